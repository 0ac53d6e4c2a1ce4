#include "server/account.h"

#include <stdio.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)

struct cap {
    const char *noun;
    size_t own, max, pool;
    size_t strangers; /* all of them together */
};

/* The caps, each chosen: `max` is more than correct use of one owner with 10,000 sandboxes and thousands of calls needs,
 * `own` what a good-sized program needs whatever the others do. */
static const struct cap caps[SHARE_MAX] = {
    /* About 2 KiB each. Strangers: health checks. */
    [SHARE_CALLS] = {"calls open", 2048, 20000, 32768, 4096},
    /* A descriptor each, of 20,000 at the tightest. A stranger's connection is counted in connection.c. */
    [SHARE_CONNECTIONS] = {"connections open", 128, 3072, 3072, 0},
    /* The largest request has 101 MiB, and twice that for the moment in which it is decoded; a dozen files of the largest
     * size at once. A client without room writes a file in a stream, which is held back instead. Strangers send names. */
    [SHARE_REQUEST_BYTES] = {"bytes of requests", 256 * MIB, 768 * MIB, 1024 * MIB, 8 * MIB},
    /* The same for what goes out; a stream is held back, an answer that is whole is refused. */
    [SHARE_ANSWER_BYTES] = {"bytes of answers not taken", 64 * MIB, 768 * MIB, 1024 * MIB,
                            8 * MIB},
    /* 10,000 sandboxes with 100 KiB of environment each. */
    [SHARE_SPEC_BYTES] = {"bytes of specifications of sandboxes", 64 * MIB, 1024 * MIB,
                          1024 * MIB, 0},
    /* Two descriptors each, a visitor's and a tunnel's. */
    [SHARE_VISITORS] = {"visitors of its sandboxes' services", 128, 2048, 3072, 0},
    /* A visitor's queues hold some 700 KiB at most; above the share one holds 64 KiB. */
    [SHARE_VISITOR_BYTES] = {"bytes on the way to or from visitors", 64 * MIB, 256 * MIB,
                             512 * MIB, 0},
};

static void account_init(struct account *a, const char *name)
{
    (void)snprintf(a->name, sizeof(a->name), "%s", name);
    list_init(&a->creates);
}

void accounts_init(struct accounts *all)
{
    *all = (struct accounts){0};
    account_init(&all->strangers, "-");
    for (size_t i = 0; i < SHARE_MAX; i++) {
        all->pools[i].size = caps[i].pool;
        budget_init(&all->strangers.shares[i], caps[i].strangers, caps[i].strangers,
                    &all->none);
    }
}

void accounts_done(struct accounts *all)
{
    size_t pos = 0;
    struct account *a;
    while ((a = account_next(all, &pos)) != NULL)
        free(a);
    strmap_done(&all->by_name);
}

struct account *account_get(struct accounts *all, const char *name)
{
    struct account *a = strmap_get(&all->by_name, name);
    if (a != NULL)
        return a;
    a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    account_init(a, name);
    for (size_t i = 0; i < SHARE_MAX; i++)
        budget_init(&a->shares[i], caps[i].own, caps[i].max, &all->pools[i]);
    if (strmap_put(&all->by_name, a->name, a) < 0) {
        free(a);
        return NULL;
    }
    return a;
}

struct account *account_next(const struct accounts *all, size_t *pos)
{
    return strmap_next(&all->by_name, pos);
}

int account_full(const struct account *a, enum share share, struct err *err)
{
    const struct budget *b = &a->shares[share];
    (void)err_set_reason(err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_RUNNER_OVERLOADED",
                         "`%s` has %zu %s; more are not allowed for now (at most %zu)", a->name,
                         b->used, caps[share].noun, b->max);
    if (err != NULL)
        err->retry_delay_ns = ACCOUNT_RETRY_NS;
    return -1;
}

uint32_t accounts_kept_free(const struct accounts *all, const struct account *a, size_t n_keys,
                            uint64_t max)
{
    size_t n_seen = all->by_name.n_entries, n = MAX(n_seen, n_keys);
    uint64_t each = max / MAX(n * 2, (size_t)16), kept = (n - n_seen) * each;
    size_t pos = 0;
    for (const struct account *o; (o = account_next(all, &pos)) != NULL;)
        if (o != a && o->n_alive < each)
            kept += each - o->n_alive;
    return (uint32_t)MIN(kept, max / 2);
}

bool account_may_log(struct account *a, uint64_t now_ns, size_t *ret_silent)
{
    struct log_allowance *l = &a->log;
    *ret_silent = 0;
    if (l->since_ns == 0 || now_ns - l->since_ns >= ACCOUNT_LOG_NS) {
        *ret_silent = l->n_silent;
        *l = (struct log_allowance){.since_ns = now_ns};
    }
    if (l->n_lines >= ACCOUNT_LOG_LINES) {
        l->n_silent++;
        return false;
    }
    l->n_lines++;
    return true;
}
