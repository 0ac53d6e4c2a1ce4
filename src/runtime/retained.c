#include "runtime/retained.h"

#include <stdlib.h>

#include "runtime/log-file.h"
#include "runtime/sandbox.h"

enum measure { MEASURE_NUMBER, MEASURE_MEMORY, MEASURE_DISK };

struct keeper {
    const char *owner; /* borrowed from one of its sandboxes: not read once these go */
    uint64_t total;
};

static uint64_t measure_of(const struct sandbox *sb, enum measure m)
{
    switch (m) {
    case MEASURE_NUMBER:
        return 1;
    case MEASURE_MEMORY:
        return sb->kept_bytes;
    case MEASURE_DISK:
        return sb->log ? sb->log->charged : 0;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

uint64_t retained_level(uint64_t *totals, size_t n, uint64_t target)
{
    if (n > 0) /* qsort() takes no NULL, not even of nothing */
        qsort(totals, n, sizeof(*totals), compare);
    for (size_t i = 0; i < n; i++) {
        uint64_t part = target / (n - i);
        if (totals[i] > part)
            return part;
        target -= totals[i];
    }
    return UINT64_MAX;
}

static struct keeper *find(struct strmap *keepers, const char *owner)
{
    struct keeper *k = strmap_get(keepers, owner);
    if (k || !(k = calloc(1, sizeof(*k))))
        return k;
    k->owner = owner;
    if (strmap_put(keepers, k->owner, k) == 0)
        return k;
    free(k);
    return NULL;
}

/* What each owner keeps, in sb->keeper too. -1: out of memory. */
static int add_up(struct runtime *rt, enum measure m, struct strmap *keepers)
{
    LIST_FOREACH(it, &rt->ended)
    {
        struct sandbox *sb = CONTAINER_OF(it, struct sandbox, ended_link);
        sb->keeper = find(keepers, sb->owner);
        if (!sb->keeper)
            return -1;
        sb->keeper->total += measure_of(sb, m);
    }
    return 0;
}

static uint64_t level_of(const struct strmap *keepers, uint64_t target)
{
    CLEANUP_FREE uint64_t *totals = calloc(keepers->n_entries + 1, sizeof(*totals));
    size_t n = 0, pos = 0;
    if (!totals)
        return UINT64_MAX;
    for (const struct keeper *k; (k = strmap_next(keepers, &pos));)
        totals[n++] = k->total;
    return retained_level(totals, n, target);
}

static void trim(struct runtime *rt, enum measure m, uint64_t target)
{
    struct strmap keepers = {0};
    uint64_t level = add_up(rt, m, &keepers) == 0 ? level_of(&keepers, target) : UINT64_MAX;
    LIST_FOREACH_SAFE(it, &rt->ended)
    {
        struct sandbox *sb = CONTAINER_OF(it, struct sandbox, ended_link);
        uint64_t n = measure_of(sb, m);
        if (level == UINT64_MAX || sb->keeper->total <= level || n == 0 || sb->cell)
            continue; /* one whose cell still dies is left alone */
        sb->keeper->total -= n;
        registry_forget(sb);
    }
    size_t pos = 0;
    for (struct keeper *k; (k = strmap_next(&keepers, &pos));)
        free(k);
    strmap_done(&keepers);
}

static uint64_t below(uint64_t cap)
{
    return cap - cap / 16;
}

/* Of the disk only what ended sandboxes have can be given back. */
static uint64_t ended_logs(const struct runtime *rt)
{
    uint64_t n = 0;
    LIST_FOREACH(it, &rt->ended)
    {
        n += measure_of(CONTAINER_OF(it, struct sandbox, ended_link), MEASURE_DISK);
    }
    return n;
}

bool retained_is_too_much(const struct runtime *rt)
{
    const struct runtime_config *c = &rt->config;
    return rt->n_ended > c->max_retained || rt->kept_bytes > c->max_retained_bytes ||
           (rt->log_bytes > c->max_log_bytes && !rt->logs_are_alive);
}

void retained_trim(struct runtime *rt)
{
    const struct runtime_config *c = &rt->config;
    if (rt->n_ended > c->max_retained)
        trim(rt, MEASURE_NUMBER, below(c->max_retained));
    if (rt->kept_bytes > c->max_retained_bytes)
        trim(rt, MEASURE_MEMORY, below(c->max_retained_bytes));
    if (rt->log_bytes > c->max_log_bytes) {
        uint64_t ended = ended_logs(rt), alive = rt->log_bytes - ended;
        trim(rt, MEASURE_DISK, below(c->max_log_bytes) - MIN(alive, below(c->max_log_bytes)));
        rt->logs_are_alive = rt->log_bytes > c->max_log_bytes;
    }
}
