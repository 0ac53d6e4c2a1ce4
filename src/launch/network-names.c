/* See network-names.h. */
#include "launch/network-names.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address-blocks.h"
#include "base/util.h"
#include "launch/network-rules.h"
#include "privproto/grant.h"

#define GRANTS_A_TURN 16 /* chosen: others of the engine's have their turn then */
#define FRESH_S RESOLVE_TTL_MAX_S

/* An address that is said again has what is left of NETWORK_NAMED_S, which is a whole time to live at least. */
static_assert(NETWORK_NAMED_S >= FRESH_S + RESOLVE_TTL_MAX_S,
              "held as long as an answer is good");

static struct named **find(struct network *n, uint32_t sandbox)
{
    struct named **at = &n->named;

    while (*at && (*at)->sandbox != sandbox)
        at = &(*at)->next;
    return at;
}

struct named *network_names_of(struct network *n, uint32_t address)
{
    return *find(n, address);
}

static int add(struct network *n, uint32_t address)
{
    struct named *named = calloc(1, sizeof(*named));

    if (!named)
        return -ENOMEM;
    named->sandbox = address;
    named->next = n->named;
    n->named = named;
    return 0;
}

int network_names_resume(struct network *n, uint32_t address)
{
    return resolver_mode(&n->resolver, address) == RESOLVE_NAMED ? add(n, address) : 0;
}

int network_names_begin(struct network *n, uint32_t address, const char *names)
{
    enum resolve_mode mode = *names == '\0'              ? RESOLVE_NOTHING
                             : strcmp(names, "*\n") == 0 ? RESOLVE_ANY
                                                         : RESOLVE_NAMED;
    int r = mode == RESOLVE_NAMED ? add(n, address) : 0;

    if (r < 0)
        return r;
    resolver_allow(&n->resolver, address, mode, names);
    return 0;
}

void network_names_end(struct network *n, uint32_t address)
{
    struct named **at = find(n, address), *named = *at;

    if (!named)
        return;
    for (uint32_t i = 0; i < named->n; i++)
        (void)network_name_rule(n, address, named->rows[i].address,
                                false); /* it may have ended */
    *at = named->next;
    free(named);
}

#define BLOCK(a, b, c, d, bits) {ADDRESS_OF(a, b, c, d), ADDRESS_REST(bits)},

static bool is_public(uint32_t address)
{
    static const struct {
        uint32_t first, rest;
    } not_public[] = {ADDRESS_BLOCKS_NEVER(BLOCK) ADDRESS_BLOCKS_PRIVATE(BLOCK)};

    for (size_t i = 0; i < ARRAY_SIZE(not_public); i++)
        if ((address & ~not_public[i].rest) == not_public[i].first)
            return false;
    return true;
}

/* The place of @address: its own, a new one, or that of the one that was named the longest ago. */
static uint32_t place_of(struct network *n, struct named *named, uint32_t address)
{
    uint32_t oldest = 0;

    for (uint32_t i = 0; i < named->n; i++) {
        if (named->rows[i].address == address)
            return i;
        if (named->rows[i].fresh_ns < named->rows[oldest].fresh_ns)
            oldest = i;
    }
    if (named->n < NAMED_MAX) {
        named->rows[named->n].address = 0;
        return named->n++;
    }
    (void)network_name_rule(n, named->sandbox, named->rows[oldest].address, false);
    named->rows[oldest].address = 0;
    return oldest;
}

static void grant(struct network *n, struct named *named, uint32_t address)
{
    uint64_t now = clock_now_ns();
    uint32_t i = place_of(n, named, address);

    if (named->rows[i].address == address &&
        now - named->rows[i].fresh_ns < FRESH_S * NS_PER_SEC)
        return;
    named->rows[i].address = address;
    named->rows[i].fresh_ns =
        network_name_rule(n, named->sandbox, address, true) == 0 ? now : 0;
}

static void on_grant(struct network *n, const struct resolve_grant *g)
{
    struct named *named = *find(n, g->sandbox);

    for (uint32_t i = 0; named && i < MIN(g->n, (uint32_t)RESOLVE_MAX_ADDRESSES); i++)
        if (is_public(g->addresses[i]))
            grant(n, named, g->addresses[i]);
}

void network_names_turn(struct network *n)
{
    for (int i = 0; i < GRANTS_A_TURN; i++) {
        struct resolve_grant g;
        ssize_t size = recv(n->resolver.engine_fd, &g, sizeof(g), MSG_DONTWAIT);

        if (size < 0)
            return;
        if (size != (ssize_t)sizeof(g))
            continue;
        on_grant(n, &g);
        const struct resolve_granted answer = {g.query, g.number};
        (void)send(n->resolver.engine_fd, &answer, sizeof(answer),
                   MSG_DONTWAIT |
                       MSG_NOSIGNAL); /* not taken: it tells the asker of a failure */
    }
}
