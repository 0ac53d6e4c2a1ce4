/*
 * The rules as nftables. Loaded once as text by nft(8), which also says what is wrong with them; from then on only elements
 * of sets come and go, by messages of our own.
 *
 * A table survives an engine that was killed. Until the next one of the service replaces it, it keeps from passing what it
 * kept before.
 */
#include "launch/network-rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/address-blocks.h"
#include "base/util.h"
#include "launch/netlink.h"

#define NFT "/usr/sbin/nft"
#define RULES_BYTES \
    16384 /* the text below is below 2 KiB; devices of the machine have 15 bytes each */
#define SERVICE_PREFIX "cwsandbox-"
#define FORWARD_TABLE "cwsandbox_forward" /* of all services of a machine */
#define ROUTER_TABLE "cwsandbox"          /* in the router */
#define IP_FORWARD "sys/net/ipv4/ip_forward"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define BLOCK(a, b, c, d, bits) #a "." #b "." #c "." #d "/" #bits ", "
#define NEVER ADDRESS_BLOCKS_NEVER(BLOCK)
#define PRIVATE ADDRESS_BLOCKS_PRIVATE(BLOCK)

struct rules {
    char text[RULES_BYTES];
    size_t n;
};

PRINTF_LIKE(2, 3)
static void add(struct rules *rules, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(rules->text + rules->n, sizeof(rules->text) - rules->n, fmt, ap);
    va_end(ap);
    if (n > 0)
        rules->n = MIN(rules->n + (size_t)n, sizeof(rules->text) - 1);
}

/* nft reads @rules in the namespace @netns. -ENOENT: there is no nft. */
static int run_nft(int netns, const struct rules *rules)
{
    CLEANUP_FD int file = memfd_create("cwsandbox-rules", MFD_CLOEXEC);
    int status;
    pid_t pid;

    if (file < 0 || fd_write_all(file, rules->text, rules->n) < 0 ||
        lseek(file, 0, SEEK_SET) != 0)
        return -EIO;
    pid = fork();
    if (pid == 0) {
        char *const env[] = {NULL};

        if (setns(netns, CLONE_NEWNET) < 0 || dup2(file, 0) < 0 || dup2(2, 1) < 0)
            _exit(126);
        (void)execle(NFT, "nft", "-f", "-", NULL, env);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -errno;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
}

static void replace_table(struct rules *rules, const char *table)
{
    add(rules, "table inet %s\ndelete table inet %s\ntable inet %s {\n", table, table, table);
}

/* What a sandbox with a network may send where. Only what the machine let in comes back, so nothing needs to be remembered. */
static void write_router(struct rules *rules, const char *net)
{
    replace_table(rules, ROUTER_TABLE);
    add(rules,
        "set never { type ipv4_addr; flags interval; elements = { " NEVER "%s }; }\n"
        "set private { type ipv4_addr; flags interval; elements = { " PRIVATE " }; }\n"
        "set ruled { type ipv4_addr; }\n"
        "set named { type ipv4_addr . ipv4_addr; flags dynamic,timeout; timeout " TEXT(
            NETWORK_NAMED_S) "s; }\n"
                             "set allowed { type ipv4_addr . ipv4_addr . inet_proto . "
                             "inet_service; flags interval; "
                             "}\n"
                             "set asking { type ipv4_addr; flags dynamic; size 65536; timeout "
                             "10s; }\n"
                             "chain input { type filter hook input priority 0; policy drop;\n"
                             "  iifname \"up\" drop\n"
                             "  ip daddr != 169.254.1.1 drop\n"
                             "  meta l4proto != { tcp, udp } drop\n"
                             "  th dport != 53 drop\n"
                             "  add @asking { ip saddr limit rate over 1000/second burst 1000 "
                             "packets } drop\n"
                             "  accept\n"
                             "}\n"
                             "chain forward { type filter hook forward priority 0; policy "
                             "drop;\n"
                             "  meta nfproto != ipv4 drop\n"
                             "  iifname \"up\" accept\n"
                             "  oifname != \"up\" reject with icmp type admin-prohibited\n"
                             "  ip daddr @never reject with icmp type admin-prohibited\n"
                             "  ip saddr @ruled goto ruled\n"
                             "  ip daddr @private reject with icmp type admin-prohibited\n"
                             "  accept\n"
                             "}\n"
                             "chain ruled {\n"
                             "  tcp dport 443 ip saddr . ip daddr @named update @named { ip "
                             "saddr . ip daddr } accept\n"
                             "  ip saddr . ip daddr . meta l4proto . th dport @allowed accept\n"
                             "  reject with icmp type admin-prohibited\n"
                             "}\n}\n",
        net);
}

/* The machine is no neighbour of its sandboxes: it takes nothing from them, lets nothing begin towards them. */
static void write_machine(struct rules *rules, const struct network *n, const char *net)
{
    replace_table(rules, n->table);
    add(rules,
        "chain input { type filter hook input priority -10; policy accept;\n"
        "  iifname \"%s\" reject with icmpx type admin-prohibited\n"
        "}\n"
        "chain forward { type filter hook forward priority -10; policy accept;\n"
        "  iifname \"%s\" oifname \"cws*\" reject with icmpx type admin-prohibited\n"
        "  iifname \"%s\" accept\n"
        "  oifname \"%s\" ct state established,related accept\n"
        "  oifname \"%s\" drop\n"
        "}\n"
        "chain postrouting { type nat hook postrouting priority 100; policy accept;\n"
        "  ip saddr %s oifname != \"%s\" masquerade\n"
        "}\n}\n",
        n->device, n->device, n->device, n->device, n->device, net, n->device);
}

int network_rules_load(struct network *n, const char **ret_why)
{
    static struct rules rules;
    CLEANUP_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    char net[32];
    int r;

    if (home < 0)
        return -errno;
    (void)snprintf(net, sizeof(net), "%u.%u.0.0/16", n->base >> 24, n->base >> 16 & 0xff);
    rules.n = 0;
    write_router(&rules, net);
    r = run_nft(n->router, &rules);
    if (r == 0) {
        rules.n = 0;
        write_machine(&rules, n, net);
        r = run_nft(home, &rules);
    }
    *ret_why = r == -ENOENT
                   ? "there is no " NFT ": install nftables"
                   : "nft refused our rules (its message is on stderr): is the kernel without "
                     "nf_tables, or its masquerade or reject?";
    return r;
}

/* ---- whether the machine passes packets on ---- */

static bool forwards(const struct network *n)
{
    CLEANUP_FD int fd = openat(n->proc, IP_FORWARD, O_RDONLY | O_CLOEXEC);
    char c = '0';

    return fd >= 0 && read(fd, &c, 1) == 1 && c != '0';
}

static int set_forwards(const struct network *n, const char *value)
{
    CLEANUP_FD int fd = openat(n->proc, IP_FORWARD, O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, value, 1) != 1 ? -errno : 0;
}

/* A machine that passed nothing on still does not, between the devices that it had then. What comes later (a bridge of
 * containers, say) comes with somebody who wants it. */
static int begin_forwarding(struct network *n)
{
    static struct rules rules;
    CLEANUP_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    struct if_nameindex *devices = if_nameindex();
    int r;

    if (home < 0 || !devices)
        return -ENOMEM;
    rules.n = 0;
    replace_table(&rules, FORWARD_TABLE);
    add(&rules, "set before { type ifname; elements = { \"lo\"");
    for (const struct if_nameindex *d = devices; d->if_index != 0; d++) {
        if (strncmp(d->if_name, "cws", 3) != 0 && strcmp(d->if_name, "lo") != 0 &&
            !strpbrk(d->if_name, "\"\\*"))
            add(&rules, ", \"%s\"", d->if_name);
    }
    if_freenameindex(devices);
    add(&rules, " }; }\nchain forward { type filter hook forward priority -10; policy accept;\n"
                "  iifname @before oifname @before drop\n}\n}\n");
    r = run_nft(home, &rules);
    return r < 0 ? r : set_forwards(n, "1");
}

int network_forward(struct network *n, const char **ret_why)
{
    int r = 0;

    (void)flock(n->lock, LOCK_EX);
    if (!forwards(n))
        r = begin_forwarding(n);
    (void)flock(n->lock, LOCK_UN);
    *ret_why =
        "the machine cannot be told to pass packets on (net.ipv4.ip_forward): is /proc/sys "
        "read-only?";
    return r;
}

/* ---- messages ---- */

static struct nfgenmsg inet_head(void)
{
    return (struct nfgenmsg){.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0};
}

static uint16_t nft_type(uint16_t type)
{
    return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
}

static void add_message(struct netlink_batch *b, uint16_t type, uint16_t flags)
{
    const struct nfgenmsg head = inet_head();

    netlink_add(b, nft_type(type), flags, &head, sizeof(head));
}

/* A transaction: all of it happens, or nothing. */
static void mark(struct netlink_batch *b, uint16_t type)
{
    const struct nfgenmsg head = {.nfgen_family = AF_UNSPEC,
                                  .version = NFNETLINK_V0,
                                  .res_id = htons(NFNL_SUBSYS_NFTABLES)};

    netlink_add(b, type, 0, &head, sizeof(head));
}

static int delete_table(int fd, const char *name)
{
    static struct netlink_batch b;

    netlink_begin(&b);
    mark(&b, NFNL_MSG_BATCH_BEGIN);
    add_message(&b, NFT_MSG_DELTABLE, NLM_F_ACK);
    netlink_put_text(&b, NFTA_TABLE_NAME, name);
    mark(&b, NFNL_MSG_BATCH_END);
    return netlink_send(fd, &b);
}

/* The value of attribute @type in @n bytes at @at; its size, -1 without it. */
static int find_attribute(const void *at, size_t n, uint16_t type, const void **ret)
{
    const uint8_t *p = at;

    while (n >= NLA_HDRLEN) {
        const struct nlattr *attr = (const void *)p;
        size_t size = NLA_ALIGN(attr->nla_len);

        if (attr->nla_len < NLA_HDRLEN || attr->nla_len > n)
            return -1;
        if ((attr->nla_type & NLA_TYPE_MASK) == type) {
            *ret = p + NLA_HDRLEN;
            return (int)(attr->nla_len - NLA_HDRLEN);
        }
        if (size >= n)
            return -1;
        p += size;
        n -= size;
    }
    return -1;
}

static void see_table(void *user, const struct nlmsghdr *msg)
{
    const size_t head = NLMSG_SPACE(sizeof(struct nfgenmsg));
    uint32_t *n_services = user;
    const void *name;
    int n = msg->nlmsg_len < head
                ? -1
                : find_attribute((const uint8_t *)msg + head, msg->nlmsg_len - head,
                                 NFTA_TABLE_NAME, &name);

    if (n > (int)sizeof(SERVICE_PREFIX) &&
        memcmp(name, SERVICE_PREFIX, sizeof(SERVICE_PREFIX) - 1) == 0)
        ++*n_services;
}

/* How many services of this machine have a table. */
static uint32_t count_services(int fd)
{
    static struct netlink_batch b;
    uint32_t n_services = 0;

    netlink_begin(&b);
    add_message(&b, NFT_MSG_GETTABLE, NLM_F_DUMP);
    return netlink_dump(fd, &b, see_table, &n_services) < 0 ? 1 : n_services;
}

void network_rules_remove(struct network *n)
{
    (void)flock(n->lock, LOCK_EX);
    (void)delete_table(n->machine_nft, n->table);
    /* -ENOENT: the machine passed packets on before any of us came. */
    if (count_services(n->machine_nft) == 0 && delete_table(n->machine_nft, FORWARD_TABLE) == 0)
        (void)set_forwards(n, "0");
    (void)flock(n->lock, LOCK_UN);
}

/* ---- elements ---- */

static void put_data(struct netlink_batch *b, uint16_t type, const void *data, size_t n)
{
    size_t key = netlink_nest(b, type);

    netlink_put(b, NFTA_DATA_VALUE, data, n);
    netlink_unnest(b, key);
}

static size_t begin_elements(struct netlink_batch *b, uint16_t type, uint16_t flags,
                             const char *set)
{
    add_message(b, type, (uint16_t)(flags | NLM_F_ACK));
    netlink_put_text(b, NFTA_SET_ELEM_LIST_TABLE, ROUTER_TABLE);
    netlink_put_text(b, NFTA_SET_ELEM_LIST_SET, set);
    return netlink_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
}

/* A key of @allowed: four parts, each filled up to four bytes. */
struct allowed_key {
    uint32_t from, to;
    uint8_t protocol, pad[3];
    uint16_t port, pad_port;
};

static void put_grant(struct netlink_batch *b, uint32_t address, const struct launch_grant *g)
{
    const struct allowed_key first = {.from = htonl(address),
                                      .to = htonl(g->first),
                                      .protocol = (uint8_t)g->first_protocol,
                                      .port = htons(g->first_port)};
    const struct allowed_key last = {.from = htonl(address),
                                     .to = htonl(g->last),
                                     .protocol = (uint8_t)g->last_protocol,
                                     .port = htons(g->last_port)};
    size_t element = netlink_nest(b, NFTA_LIST_ELEM);

    put_data(b, NFTA_SET_ELEM_KEY, &first, sizeof(first));
    put_data(b, NFTA_SET_ELEM_KEY_END, &last, sizeof(last));
    netlink_unnest(b, element);
}

static int change(struct network *n, bool there, uint32_t address,
                  const struct launch_grant *grants, uint32_t n_grants)
{
    static struct netlink_batch b;
    const uint16_t type = there ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
    const uint16_t flags = there ? NLM_F_CREATE : 0;
    const uint32_t key = htonl(address);
    size_t list, element;

    netlink_begin(&b);
    mark(&b, NFNL_MSG_BATCH_BEGIN);
    list = begin_elements(&b, type, flags, "ruled");
    element = netlink_nest(&b, NFTA_LIST_ELEM);
    put_data(&b, NFTA_SET_ELEM_KEY, &key, sizeof(key));
    netlink_unnest(&b, element);
    netlink_unnest(&b, list);
    if (n_grants > 0) {
        list = begin_elements(&b, type, flags, "allowed");
        for (uint32_t i = 0; i < n_grants; i++)
            put_grant(&b, address, &grants[i]);
        netlink_unnest(&b, list);
    }
    mark(&b, NFNL_MSG_BATCH_END);
    return netlink_send(n->router_nft, &b);
}

static int change_name(struct network *n, uint16_t type, uint32_t address, uint32_t to)
{
    static struct netlink_batch b;
    const uint32_t key[2] = {htonl(address), htonl(to)};
    size_t list, element;

    netlink_begin(&b);
    mark(&b, NFNL_MSG_BATCH_BEGIN);
    list = begin_elements(&b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, "named");
    element = netlink_nest(&b, NFTA_LIST_ELEM);
    put_data(&b, NFTA_SET_ELEM_KEY, key, sizeof(key));
    netlink_unnest(&b, element);
    netlink_unnest(&b, list);
    mark(&b, NFNL_MSG_BATCH_END);
    return netlink_send(n->router_nft, &b);
}

/* One that is there is made anew: older kernels keep its time. A packet between the two is refused, which TCP bears. */
int network_name_rule(struct network *n, uint32_t address, uint32_t to, bool there)
{
    int r = change_name(n, NFT_MSG_DELSETELEM, address, to); /* -ENOENT: there is none */

    return there ? change_name(n, NFT_MSG_NEWSETELEM, address, to) : r;
}

int network_rule(struct network *n, uint32_t address, const struct launch_grant *grants,
                 uint32_t n_grants)
{
    return change(n, true, address, grants, n_grants);
}

void network_unrule(struct network *n, uint32_t address, const struct launch_grant *grants,
                    uint32_t n_grants)
{
    (void)change(n, false, address, grants, n_grants); /* of sets whose sandbox is gone */
}
