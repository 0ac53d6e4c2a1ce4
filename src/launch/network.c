/*
 * The router and its wires; see network.h.
 *
 * Both ends of a wire have the same hardware address and ask nobody for others (NOARP), so no neighbour needs to be looked
 * up, and nothing that a sandbox sends can be taken for an answer. A sandbox's only route leads to its wire. The router has
 * one route per sandbox, and takes from a wire only what comes from the address that it leads to (rp_filter).
 */
#include "launch/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "base/util.h"
#include "launch/netlink.h"

#define INSIDE_INDEX 1000        /* above what the kernel makes by itself, as tunl0 */
#define FIRST_WIRE 1000          /* likewise */
#define UPLINK_INDEX 0x40000000u /* and above: devices of the machine count up from 1 */
#define GATEWAY \
    RESOLVE_ADDRESS /* packets only need somewhere to go, and there all names are asked for */
#define LOOPBACK_INDEX 1 /* in every namespace */
#define LOCK_PATH "/run/cwsandbox-network.lock"
#define MACHINE_END 1u /* addresses of ours, from the base on */
#define ROUTER_END 2u
#define FIRST_SANDBOX 4u
#define WIRE_MTU 1500u

static int open_own(void)
{
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static void write_text(int dir, const char *path, const char *text)
{
    CLEANUP_FD int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)write(fd, text, strlen(text)); /* checked by what does not work without */
}

/* ---- messages ---- */

static void put_address(struct netlink_batch *b, uint16_t type, uint32_t address)
{
    netlink_put_u32(b, type, htonl(address));
}

static void add_address(struct netlink_batch *b, int index, uint32_t address, uint8_t n_bits)
{
    const struct ifaddrmsg head = {
        .ifa_family = AF_INET, .ifa_prefixlen = n_bits, .ifa_index = (uint32_t)index};

    netlink_add(b, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    put_address(b, IFA_LOCAL, address);
    put_address(b, IFA_ADDRESS, address);
}

/* @gateway: 0: on the wire itself. */
static void add_route(struct netlink_batch *b, int index, uint32_t to, uint8_t n_bits,
                      uint32_t gateway)
{
    const struct rtmsg head = {.rtm_family = AF_INET,
                               .rtm_dst_len = n_bits,
                               .rtm_table = RT_TABLE_MAIN,
                               .rtm_protocol = RTPROT_STATIC,
                               .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                               .rtm_type = RTN_UNICAST,
                               .rtm_flags = gateway ? RTNH_F_ONLINK : 0};

    /* REPLACE: the last one with this address may still be on its way out. */
    netlink_add(b, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
    if (n_bits > 0)
        put_address(b, RTA_DST, to);
    if (gateway)
        put_address(b, RTA_GATEWAY, gateway);
    netlink_put_u32(b, RTA_OIF, (uint32_t)index);
}

struct wire_end {
    const char *name;
    int index; /* the kernel heeds it if both ends have one */
    uint32_t flags;
};

static void put_end(struct netlink_batch *b, const struct wire_end *end, const uint8_t mac[6])
{
    netlink_put_text(b, IFLA_IFNAME, end->name);
    netlink_put(b, IFLA_ADDRESS, mac, 6);
    netlink_put_u32(b, IFLA_MTU, WIRE_MTU);
    netlink_put_u32(b, IFLA_NUM_TX_QUEUES, 1); /* the default, one a CPU, costs memory */
    netlink_put_u32(b, IFLA_NUM_RX_QUEUES, 1);
}

static struct ifinfomsg end_head(const struct wire_end *end)
{
    return (struct ifinfomsg){
        .ifi_index = end->index, .ifi_flags = end->flags, .ifi_change = end->flags};
}

static void add_flags(struct netlink_batch *b, int index, uint32_t flags)
{
    const struct ifinfomsg head = {.ifi_index = index, .ifi_flags = flags, .ifi_change = flags};

    netlink_add(b, RTM_NEWLINK, NLM_F_ACK, &head, sizeof(head));
}

/* @here in our namespace, @there in @netns. The kernel does not take the far end up before the near one is there. */
static void add_wire(struct netlink_batch *b, const struct wire_end *here,
                     const struct wire_end *there, int netns, uint32_t number)
{
    const uint8_t mac[6] = {0x02,
                            0xc5,
                            (uint8_t)(number >> 24),
                            (uint8_t)(number >> 16),
                            (uint8_t)(number >> 8),
                            (uint8_t)number};
    struct ifinfomsg head = end_head(here), peer = end_head(there);
    size_t info, data, end;

    netlink_add(b, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
    put_end(b, here, mac);
    info = netlink_nest(b, IFLA_LINKINFO);
    netlink_put_text(b, IFLA_INFO_KIND, "veth");
    data = netlink_nest(b, IFLA_INFO_DATA);
    end = netlink_nest(b, VETH_INFO_PEER);
    netlink_put_head(b, &peer, sizeof(peer));
    put_end(b, there, mac);
    netlink_put_u32(b, IFLA_NET_NS_FD, (uint32_t)netns);
    netlink_unnest(b, end);
    netlink_unnest(b, data);
    netlink_unnest(b, info);
}

/* ---- addresses ---- */

static void close_file(FILE **f)
{
    if (*f)
        (void)fclose(*f);
}

/* Does anything that the machine has a route to lie in the /16 of @base? */
static bool is_taken(uint32_t base)
{
    CLEANUP(close_file) FILE *f = fopen("/proc/net/route", "re");
    char line[256];

    while (f && fgets(line, sizeof(line), f)) {
        unsigned to, mask; /* as they lie in memory */

        if (sscanf(line, "%*s %x %*x %*x %*d %*d %*d %x", &to, &mask) != 2 || mask == 0)
            continue;
        mask = ntohl(mask);
        if (((ntohl(to) ^ base) & (mask & 0xffff0000u)) == 0)
            return true;
    }
    return false;
}

/* 10.220/16 downwards, then 172.31/16: where the fewest have something. 0: none is free. */
static uint32_t choose_base(void)
{
    for (uint32_t second = 220; second > 100; second--) {
        uint32_t base = 10u << 24 | second << 16;

        if (!is_taken(base))
            return base;
    }
    for (uint32_t second = 31; second > 16; second--) {
        uint32_t base = 172u << 24 | second << 16;

        if (!is_taken(base))
            return base;
    }
    return 0;
}

/* An address that has not been used for as long as possible. 0: all are. */
static uint32_t take_address(struct network *n)
{
    for (uint32_t i = 0; i < NETWORK_ADDRESSES; i++) {
        uint32_t at = n->at++ % NETWORK_ADDRESSES;

        if (at < FIRST_SANDBOX || at == NETWORK_ADDRESSES - 1 ||
            (n->used[at / 8] & 1u << at % 8))
            continue;
        n->used[at / 8] |= (uint8_t)(1u << at % 8);
        return n->base + at;
    }
    return 0;
}

void network_release(struct network *n, uint32_t address)
{
    uint32_t at = address - n->base;

    resolver_allow(&n->resolver, address, RESOLVE_NOTHING, "");
    if (address != 0)
        n->used[at / 8] &= (uint8_t) ~(1u << at % 8);
}

/* ---- the router ---- */

static int make_resolver_address(struct network *n)
{
    static struct netlink_batch b;

    netlink_begin(&b);
    add_flags(&b, LOOPBACK_INDEX, IFF_UP);
    add_address(&b, LOOPBACK_INDEX, RESOLVE_ADDRESS, 32);
    return netlink_send(n->router_route, &b);
}

/* In a namespace of its own, which this process leaves again. */
static int make_router(struct network *n, int home, const char *const *dns,
                       const char **ret_why)
{
    int r;

    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    n->router = open_own();
    n->router_route = netlink_open(NETLINK_ROUTE);
    n->router_nft = netlink_open(NETLINK_NETFILTER);
    /* Before there is a device: they all begin with these. */
    write_text(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", "1");
    write_text(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/rp_filter", "1");
    write_text(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/send_redirects", "0");
    write_text(AT_FDCWD, "/proc/sys/net/ipv4/conf/default/send_redirects", "0");
    write_text(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    write_text(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    r = MIN(n->router, MIN(n->router_route, n->router_nft));
    if (r >= 0)
        r = make_resolver_address(n);
    if (r >= 0) {
        *ret_why = "the program cwsandbox-resolve does not lie beside cwsandbox-launch";
        r = resolver_open(&n->resolver, dns);
    }
    CHECK(setns(home, CLONE_NEWNET) == 0);
    return MIN(r, 0);
}

static void remove_uplink(struct network *n)
{
    static struct netlink_batch b;
    const struct ifinfomsg head = {0};

    netlink_begin(&b);
    netlink_add(&b, RTM_DELLINK, NLM_F_ACK, &head, sizeof(head));
    netlink_put_text(&b, IFLA_IFNAME, n->device);
    (void)netlink_send(n->machine_route, &b); /* there is none, usually */
}

static int make_uplink(struct network *n)
{
    static struct netlink_batch b;
    const struct wire_end here = {n->device, n->index, IFF_UP | IFF_NOARP};
    const struct wire_end there = {"up", FIRST_WIRE - 1, IFF_NOARP};
    int r;

    remove_uplink(n); /* of an engine that was killed: the kernel is about to */
    netlink_begin(&b);
    add_wire(&b, &here, &there, n->router, n->base);
    r = netlink_send(n->machine_route, &b);
    if (r < 0)
        return r;
    netlink_begin(&b);
    add_address(&b, n->index, n->base + MACHINE_END, 30);
    add_route(&b, n->index, n->base, 16, n->base + ROUTER_END);
    r = netlink_send(n->machine_route, &b);
    if (r < 0)
        return r;
    netlink_begin(&b);
    add_flags(&b, there.index, IFF_UP);
    add_address(&b, there.index, n->base + ROUTER_END, 30);
    add_route(&b, there.index, 0, 0, n->base + MACHINE_END);
    return netlink_send(n->router_route, &b);
}

/* FNV-1a: two services of a machine shall not have one name. */
static void name_device(struct network *n, const char *service)
{
    uint32_t hash = 2166136261u;

    for (const char *c = service; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    n->index = (int)(UPLINK_INDEX | (hash & (UPLINK_INDEX - 1)));
    (void)snprintf(n->device, sizeof(n->device), "cws%08x", hash);
    (void)snprintf(n->table, sizeof(n->table), "cwsandbox-%s", service);
}

static int open_machine(struct network *n)
{
    CLEANUP_FD int fs = fsopen("proc", FSOPEN_CLOEXEC);

    if (fs >= 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        n->proc = fsmount(fs, FSMOUNT_CLOEXEC,
                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (n->proc < 0)
        return -errno;
    n->machine_route = netlink_open(NETLINK_ROUTE);
    n->machine_nft = netlink_open(NETLINK_NETFILTER);
    n->lock = open(LOCK_PATH, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (n->machine_route < 0 || n->machine_nft < 0)
        return MIN(n->machine_route, n->machine_nft);
    return n->lock < 0 ? -errno : 0;
}

static int open_parts(struct network *n, int home, const char *const *dns, const char **ret_why)
{
    int r;

    *ret_why = "the service needs CAP_NET_ADMIN, CAP_SYS_ADMIN, and a writable /run";
    r = open_machine(n);
    if (r == 0)
        r = make_router(n, home, dns, ret_why);
    if (r < 0)
        return r;
    *ret_why = "no /16 of 10.0.0.0/8 or 172.16.0.0/12 is free of routes of this machine";
    n->base = choose_base();
    if (n->base == 0)
        return -EADDRINUSE;
    *ret_why = "a virtual wire cannot be made: is the kernel without veth, or the service "
               "without CAP_NET_ADMIN?";
    r = make_uplink(n);
    if (r < 0)
        return r;
    r = network_rules_load(n, ret_why);
    if (r < 0)
        return r;
    n->rules_loaded = true;
    return network_forward(n, ret_why);
}

int network_open(struct network *n, const char *service, const char *const *dns,
                 const char **ret_why)
{
    CLEANUP_FD int home = open_own();
    int r;

    *n = NETWORK_NONE_OPEN;
    name_device(n, service);
    n->at = FIRST_SANDBOX;
    *ret_why = "";
    r = home < 0 ? home : open_parts(n, home, dns, ret_why);
    n->open = r == 0;
    if (r < 0)
        network_close(n);
    else
        resolver_run(&n->resolver);
    return r;
}

void network_close(struct network *n)
{
    resolver_close(&n->resolver);
    if (n->machine_route >= 0)
        remove_uplink(n);
    if (n->rules_loaded)
        network_rules_remove(n);
    n->rules_loaded = n->open = false;
    cleanup_fd(&n->router);
    cleanup_fd(&n->router_route);
    cleanup_fd(&n->router_nft);
    cleanup_fd(&n->machine_route);
    cleanup_fd(&n->machine_nft);
    cleanup_fd(&n->lock);
    cleanup_fd(&n->proc);
}

/* ---- sandboxes ---- */

int network_attach(struct network *n, uint32_t *ret_address)
{
    static struct netlink_batch b;
    CLEANUP_FD int inside = netlink_open(NETLINK_ROUTE);
    uint32_t address = take_address(n), number = n->n_made++;
    char name[IFNAMSIZ];
    const struct wire_end here = {"eth0", INSIDE_INDEX, IFF_UP | IFF_NOARP};
    const struct wire_end there = {name, FIRST_WIRE + (int)number, IFF_NOARP};
    int r = inside < 0 ? inside : 0;

    if (address == 0)
        return -EADDRNOTAVAIL;
    (void)snprintf(name, sizeof(name), "s%u", number);
    netlink_begin(&b);
    add_wire(&b, &here, &there, n->router, address);
    add_address(&b, INSIDE_INDEX, address, 32);
    add_route(&b, INSIDE_INDEX, 0, 0, GATEWAY);
    if (r == 0)
        r = netlink_send(inside, &b);
    if (r == 0) {
        netlink_begin(&b);
        add_flags(&b, there.index, IFF_UP);
        add_route(&b, there.index, address, 32, 0);
        r = netlink_send(n->router_route, &b);
    }
    if (r < 0) {
        network_release(n, address);
        return r;
    }
    resolver_allow(&n->resolver, address, RESOLVE_ANY, "");
    *ret_address = address;
    return 0;
}
