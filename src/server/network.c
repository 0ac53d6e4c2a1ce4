/* See network.h. */
#include "server/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "base/address-blocks.h"
#include "base/util.h"
#include "server/spec.h"

#define FIELD "sandbox.spec.network."
#define MAX_RANGES 512 /* rules, and what their exceptions cut them into */
#define ALL_PROTOCOLS 255u
#define ANY_NAME "*\n"
#define HTTPS_PORT 443

struct range { /* of addresses, both ends belong to it */
    uint32_t first, last;
};

/* A rule's part: from here to there, these ports. */
struct part {
    struct range to;
    uint32_t ports_at, n_ports; /* in builder.ports; 0: all of every protocol */
};

struct ports {
    uint16_t protocol, first, last;
};

struct builder {
    struct part parts[MAX_RANGES];
    uint32_t n_parts;
    struct ports ports[2 * NETWORK_MAX_PORTS];
    uint32_t n_ports;
    uint32_t n_except;
    bool any_name;
    struct network_plan *plan;
};

#define BLOCK(a, b, c, d, bits) \
    {ADDRESS_OF(a, b, c, d), ADDRESS_OF(a, b, c, d) | ADDRESS_REST(bits)},

/* launch refuses these too, whoever is granted what (network-rules.c). */
static const struct range never[] = {ADDRESS_BLOCKS_NEVER(BLOCK)};
static const struct range private[] = {ADDRESS_BLOCKS_PRIVATE(BLOCK)};

static bool is_inside(struct range r, const struct range *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (r.first >= of[i].first && r.last <= of[i].last)
            return true;
    return false;
}

/* "10.1.2.0/24"; an address alone is a block of one. */
static int parse_block(const char *text, struct range *ret)
{
    char copy[32];
    struct in_addr address;
    uint64_t n_bits = 32;
    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        return -EINVAL;
    char *slash = strchr(copy, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (parse_u64(slash + 1, 32, &n_bits) < 0)
            return -EINVAL;
    }
    if (inet_pton(AF_INET, copy, &address) != 1)
        return -EINVAL;
    uint32_t mask = n_bits == 0 ? 0 : ~0u << (32 - n_bits);
    ret->first = ntohl(address.s_addr) & mask;
    ret->last = ret->first | ~mask;
    return 0;
}

/* ---- one rule ---- */

/* Cuts @hole out of the parts from @from on. -ENOSPC. */
static int cut(struct builder *b, uint32_t from, struct range hole)
{
    for (uint32_t i = from, n = b->n_parts; i < n; i++) {
        struct part *p = &b->parts[i];
        if (p->to.first > p->to.last || hole.last < p->to.first || hole.first > p->to.last)
            continue;
        struct part right = *p;
        bool has_right = hole.last < p->to.last;
        if (hole.first > p->to.first)
            p->to.last = hole.first - 1;
        else
            p->to = (struct range){1, 0}; /* nothing */
        if (!has_right)
            continue;
        right.to.first = hole.last + 1;
        if (b->n_parts == MAX_RANGES)
            return -ENOSPC;
        b->parts[b->n_parts++] = right;
    }
    return 0;
}

static int cut_all(struct builder *b, uint32_t from, const struct range *holes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cut(b, from, holes[i]) < 0)
            return -ENOSPC;
    return 0;
}

static int too_many(const char *field, struct err *err)
{
    return err_invalid(err, field, "the rules are too many for this service");
}

static int add_port(struct builder *b, uint16_t protocol, const Pb__PortRange *p)
{
    if (b->n_ports == ARRAY_SIZE(b->ports))
        return -ENOSPC;
    b->ports[b->n_ports++] = (struct ports){
        protocol, (uint16_t)p->port, (uint16_t)(p->end_port != 0 ? p->end_port : p->port)};
    return 0;
}

static int add_ports(struct builder *b, const Pb__EgressRule *rule, const char *field,
                     struct err *err)
{
    for (size_t i = 0; i < rule->n_ports; i++) {
        const Pb__PortRange *p = rule->ports[i];
        bool any = p->protocol[0] == '\0';
        bool tcp = any || strcasecmp(p->protocol, "tcp") == 0;
        bool udp = any || strcasecmp(p->protocol, "udp") == 0;
        if (p->port < 1 || p->port > 65535 || p->end_port > 65535 ||
            (p->end_port != 0 && p->end_port < p->port))
            return err_invalid(err, field, "ports: %d to %d is no range of ports", p->port,
                               p->end_port);
        if (!tcp && !udp)
            return err_invalid(err, field, "ports: `%s` is neither TCP nor UDP", p->protocol);
        if ((tcp && add_port(b, IPPROTO_TCP, p) < 0) ||
            (udp && add_port(b, IPPROTO_UDP, p) < 0))
            return too_many(field, err);
    }
    return 0;
}

static int add_part(struct builder *b, struct range to, uint32_t ports_at)
{
    if (b->n_parts == MAX_RANGES)
        return -ENOSPC;
    b->parts[b->n_parts++] =
        (struct part){.to = to, .ports_at = ports_at, .n_ports = b->n_ports - ports_at};
    return 0;
}

static int add_block(struct builder *b, const Pb__CidrBlock *block, enum network_offer offer,
                     uint32_t ports_at, const char *field, struct err *err)
{
    uint32_t from = b->n_parts;
    struct range to, hole;
    if (parse_block(block->cidr, &to) < 0)
        return err_invalid(err, field, "cidr: `%s` is not an IPv4 block such as 203.0.113.0/24",
                           block->cidr);
    if (is_inside(to, never, ARRAY_SIZE(never)))
        return err_invalid(err, field, "cidr: `%s` is never reachable from a sandbox",
                           block->cidr);
    bool is_private = is_inside(to, private, ARRAY_SIZE(private));
    if (is_private && offer != NETWORK_OFFER_PRIVATE)
        return err_invalid(err, field,
                           "cidr: `%s` is private, and this service grants public addresses "
                           "only (the operator's --network egress-private)",
                           block->cidr);
    if (add_part(b, to, ports_at) < 0 || cut_all(b, from, never, ARRAY_SIZE(never)) < 0 ||
        (!is_private && cut_all(b, from, private, ARRAY_SIZE(private)) < 0))
        return too_many(field, err);
    for (size_t i = 0; i < block->n_except; i++) {
        if (parse_block(block->except[i], &hole) < 0)
            return err_invalid(err, field, "cidr: except: `%s` is not an IPv4 block",
                               block->except[i]);
        if (b->n_except++ == NETWORK_MAX_EXCEPT || cut(b, from, hole) < 0)
            return too_many(field, err);
    }
    return 0;
}

/* Whoever may reach every public address may ask for every name, too. */
static int add_any(struct builder *b, uint32_t ports_at)
{
    uint32_t from = b->n_parts;
    if (!b->any_name)
        (void)strcat(b->plan->names, ANY_NAME);
    b->any_name = true;
    if (add_part(b, (struct range){0, UINT32_MAX}, ports_at) < 0 ||
        cut_all(b, from, never, ARRAY_SIZE(never)) < 0)
        return -ENOSPC;
    return cut_all(b, from, private, ARRAY_SIZE(private));
}

/* DNS-1123, as clients have it; @name is lower case. */
static bool is_host_name(const char *name)
{
    size_t n = strlen(name), n_label;
    if (n == 0 || n > 253)
        return false;
    for (;; name += n_label + 1) {
        n_label = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
        if (n_label == 0 || n_label > 63 || name[0] == '-' || name[n_label - 1] == '-')
            return false;
        if (name[n_label] != '.')
            return name[n_label] == '\0';
    }
}

static bool has_https_port(const Pb__EgressRule *rule)
{
    const Pb__PortRange *p = rule->n_ports > 0 ? rule->ports[0] : NULL;
    return p == NULL || (rule->n_ports == 1 && p->port == HTTPS_PORT &&
                         (p->end_port == 0 || p->end_port == HTTPS_PORT) &&
                         (p->protocol[0] == '\0' || strcasecmp(p->protocol, "tcp") == 0));
}

static int add_name(struct builder *b, const Pb__EgressRule *rule, const char *field,
                    struct err *err)
{
    char *at = b->plan->names + strlen(b->plan->names), *name = at;
    size_t room = sizeof(b->plan->names) - (size_t)(at - b->plan->names);
    if (!has_https_port(rule))
        return err_invalid(err, field, "a host name is reached by TCP 443 and nothing else");
    if (rule->n_https_hostname_except > 0)
        return err_invalid(err, field, "exceptions of host names are for policies only");
    if ((size_t)snprintf(at, room, "%s", rule->https_hostname) + 2 > room)
        return too_many(field, err);
    for (char *c = name; *c; c++)
        *c = ascii_lower(*c);
    if (!is_host_name(str_startswith(name, "*.") ? name + 2 : name) || strlen(name) > 253) {
        *at = '\0';
        return err_invalid(err, field, "`%s` is no host name", rule->https_hostname);
    }
    (void)strcat(name, "\n");
    return 0;
}

static int add_rule(struct builder *b, const Pb__EgressRule *rule, enum network_offer offer,
                    size_t number, struct err *err)
{
    char field[64];
    uint32_t ports_at = b->n_ports;
    (void)snprintf(field, sizeof(field), FIELD "egress[%zu]%s", number,
                   rule->destination_case == PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME
                       ? ".dns_name"
                       : "");
    switch ((int)rule->destination_case) { /* protobuf-c's enum has one that is none */
    case PB__EGRESS_RULE__DESTINATION_CIDR:
        if (add_ports(b, rule, field, err) < 0)
            return -1;
        return add_block(b, rule->cidr, offer, ports_at, field, err);
    case PB__EGRESS_RULE__DESTINATION_ANY:
        if (!rule->any)
            return err_invalid(err, field, "any: is false");
        if (add_ports(b, rule, field, err) < 0)
            return -1;
        return add_any(b, ports_at) < 0 ? too_many(field, err) : 0;
    case PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME:
        return add_name(b, rule, field, err);
    case PB__EGRESS_RULE__DESTINATION_TENANT:
    case PB__EGRESS_RULE__DESTINATION_SELECTOR:
        return err_invalid(err, field, "egress rules%s are not implemented by this service",
                           rule->destination_case == PB__EGRESS_RULE__DESTINATION_TENANT
                               ? " by tenant"
                               : " by selector");
    }
    return err_invalid(err, field, "has no destination");
}

/* ---- boxes that do not overlap ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int compare_ports(const void *a, const void *b)
{
    const struct ports *x = a, *y = b;
    if (x->protocol != y->protocol)
        return x->protocol < y->protocol ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorted, without overlaps, into @ret; how many. */
static uint32_t merge_ports(struct ports *ports, uint32_t n)
{
    uint32_t n_out = 0;
    qsort(ports, n, sizeof(*ports), compare_ports);
    for (uint32_t i = 0; i < n; i++) {
        struct ports *last = n_out > 0 ? &ports[n_out - 1] : NULL;
        if (last && last->protocol == ports[i].protocol &&
            ports[i].first <= (uint32_t)last->last + 1)
            last->last = MAX(last->last, ports[i].last);
        else
            ports[n_out++] = ports[i];
    }
    return n_out;
}

/* What the parts that cover @at grant there. */
static uint32_t ports_at(const struct builder *b, uint32_t at, struct ports *ret)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_parts; i++) {
        const struct part *p = &b->parts[i];
        if (at < p->to.first || at > p->to.last)
            continue;
        if (p->n_ports == 0) {
            ret[0] = (struct ports){0, 0, UINT16_MAX}; /* of all protocols */
            return 1;
        }
        if (n + p->n_ports > ARRAY_SIZE(b->ports)) /* the same ones again */
            n = merge_ports(ret, n);
        memcpy(ret + n, &b->ports[p->ports_at], p->n_ports * sizeof(*ret));
        n += p->n_ports;
    }
    return merge_ports(ret, n);
}

/* Between two neighbouring bounds every address has the same ports: one box for each of them, unless the slab before has the
 * same ones and ends where this one begins. */
static int add_slab(struct network_plan *plan, struct range slab, const struct ports *ports,
                    uint32_t n_ports, uint32_t *n_before)
{
    bool same = n_ports > 0 && *n_before == n_ports;
    struct launch_grant *before = &plan->grants[plan->n_grants - *n_before];
    for (uint32_t i = 0; same && i < n_ports; i++)
        same = before[i].last + 1 == slab.first && before[i].first_port == ports[i].first &&
               before[i].last_port == ports[i].last &&
               before[i].first_protocol == ports[i].protocol;
    if (same) {
        for (uint32_t i = 0; i < n_ports; i++)
            before[i].last = slab.last;
        return 0;
    }
    if (plan->n_grants + n_ports > LAUNCH_MAX_GRANTS)
        return -ENOSPC;
    for (uint32_t i = 0; i < n_ports; i++)
        plan->grants[plan->n_grants++] = (struct launch_grant){
            .first = slab.first,
            .last = slab.last,
            .first_protocol = ports[i].protocol,
            .last_protocol = ports[i].protocol != 0 ? ports[i].protocol : ALL_PROTOCOLS,
            .first_port = ports[i].first,
            .last_port = ports[i].last};
    *n_before = n_ports;
    return 0;
}

static int make_boxes(struct builder *b)
{
    uint64_t bounds[2 * MAX_RANGES];
    struct ports ports[2 * ARRAY_SIZE(b->ports)];
    uint32_t n = 0, n_before = 0;
    for (uint32_t i = 0; i < b->n_parts; i++) {
        if (b->parts[i].to.first > b->parts[i].to.last)
            continue;
        bounds[n++] = b->parts[i].to.first;
        bounds[n++] = (uint64_t)b->parts[i].to.last + 1;
    }
    qsort(bounds, n, sizeof(*bounds), compare_u64);
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (bounds[i] == bounds[i + 1])
            continue;
        struct range slab = {(uint32_t)bounds[i], (uint32_t)(bounds[i + 1] - 1)};
        uint32_t n_ports = ports_at(b, slab.first, ports);
        if (add_slab(b->plan, slab, ports, n_ports, &n_before) < 0)
            return -ENOSPC;
    }
    return 0;
}

/* ---- all of it ---- */

static bool denies_egress(const Pb__NetworkOptions *n)
{
    return PROTO_HAS(n, deny_egress) && n->deny_egress;
}

static int check_offer(const Pb__NetworkOptions *n, enum network_offer offer, struct err *err)
{
    if (denies_egress(n) && n->n_egress > 0)
        return err_invalid(err, FIELD "deny_egress", "cannot be combined with egress rules");
    if (n->n_ingress > 0)
        return err_invalid(err, FIELD "ingress[0]",
                           "ingress rules are not implemented by this service");
    if (n->n_egress > NETWORK_MAX_RULES)
        return too_many(FIELD "egress", err);
    if (n->n_egress > 0 && offer == NETWORK_OFFER_NONE) {
        bool dns =
            n->egress[0]->destination_case == PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME;
        return err_invalid(err, dns ? FIELD "egress[0].dns_name" : FIELD "egress[0]",
                           "this service gives sandboxes no network (the operator's "
                           "--network egress)");
    }
    return 0;
}

int network_plan_make(const Pb__NetworkOptions *options, enum network_offer offer,
                      struct network_plan *ret, struct err *err)
{
    ret->ruled = false;
    ret->n_grants = 0;
    ret->names[0] = '\0';
    ret->network = offer != NETWORK_OFFER_NONE;
    if (options == NULL)
        return 0;
    if (check_offer(options, offer, err) < 0)
        return -1;
    if (denies_egress(options))
        ret->network = false;
    if (options->n_egress == 0)
        return 0;
    const Pb__EgressRule *first = options->egress[0];
    if (options->n_egress == 1 && first->destination_case == PB__EGRESS_RULE__DESTINATION_ANY &&
        first->any && first->n_ports == 0)
        return 0; /* as without rules */
    struct builder b = {.plan = ret};
    for (size_t i = 0; i < options->n_egress; i++)
        if (add_rule(&b, options->egress[i], offer, i, err) < 0)
            return -1;
    ret->ruled = true;
    return make_boxes(&b) < 0 ? too_many(FIELD "egress", err) : 0;
}

Pb__NetworkOptions *network_effective(Pb__NetworkOptions *n, const struct network_plan *plan)
{
    if (n == NULL && (n = malloc(sizeof(*n))) != NULL)
        pb__network_options__init(n);
    for (size_t i = 0; n != NULL && i < n->n_egress; i++)
        if (n->egress[i]->destination_case == PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME)
            for (char *c = n->egress[i]->https_hostname; *c; c++)
                *c = ascii_lower(*c);
    if (n == NULL || !plan->network || n->n_egress > 0)
        return n;
    Pb__EgressRule *rule = malloc(sizeof(*rule));
    n->egress = malloc(sizeof(Pb__EgressRule *));
    if (rule == NULL || n->egress == NULL) {
        free(rule);
        proto_free(n);
        return NULL;
    }
    pb__egress_rule__init(rule);
    rule->destination_case = PB__EGRESS_RULE__DESTINATION_ANY;
    rule->any = true;
    n->egress[n->n_egress++] = rule;
    return n;
}
