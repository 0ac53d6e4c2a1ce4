/* See usage.h. Asked of launch while the sandbox lives, remembered from its end after that. */
#include "runtime/usage.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "runtime/sandbox.h"

#define USAGE_AGE_NS NS_PER_SEC /* chosen: what asking often costs launch */

struct usage_call {
    struct sandbox *sb; /* a reference */
    struct deferred later;
    void (*cb)(void *user, const struct sandbox_usage *u);
    void *user;
};

static void answer(struct usage_call *call)
{
    call->cb(call->user, &call->sb->usage);
    sandbox_unref(call->sb);
    free(call);
}

/* Thousandths of a CPU between the figures that are kept and @u. */
static uint32_t rate(const struct sandbox *sb, const struct launch_usage *u, uint64_t now_ns)
{
    bool first = sb->usage_wall_ns == 0;
    uint64_t since_ns = first ? sb->start_wall_ns : sb->usage_wall_ns;
    uint64_t before_ns = first ? 0 : sb->usage.cpu_ns;
    if (now_ns <= since_ns || u->cpu_ns < before_ns) /* somebody set the clock */
        return 0;
    /* What made the sandbox was before its start, and is not to look like a load. */
    uint64_t elapsed_ns = MAX(now_ns - since_ns, USAGE_AGE_NS);
    double share = (double)(u->cpu_ns - before_ns) / (double)elapsed_ns;
    return (uint32_t)MIN(share * 1000, (double)UINT32_MAX);
}

static void keep(struct sandbox *sb, const struct launch_usage *u)
{
    uint64_t now_ns = clock_wall_ns();
    sb->usage = (struct sandbox_usage){.cpu_millis = rate(sb, u, now_ns),
                                       .cpu_ns = u->cpu_ns,
                                       .memory_bytes = u->memory_bytes,
                                       .memory_peak_bytes = u->memory_peak_bytes,
                                       .n_oom_kills = u->n_oom_kills};
    sb->usage_wall_ns = now_ns;
}

const struct sandbox_usage *sandbox_usage_last(const struct sandbox *sb)
{
    return &sb->usage;
}

bool sandbox_usage_is_stale(const struct sandbox *sb)
{
    uint64_t now_ns = clock_wall_ns();
    return sb->state == SANDBOX_RUNNING &&
           (now_ns < sb->usage_wall_ns || now_ns - sb->usage_wall_ns > USAGE_AGE_NS);
}

static void on_answer(void *user, const struct launch_usage *u)
{
    struct usage_call *call = user;
    if (!u || u->status < 0) {
        deferred_post(
            &call->sb->rt->deferred,
            &call->later); /* it ended meanwhile; its end is told before this comes up */
        return;
    }
    keep(call->sb, u);
    answer(call);
}

static void on_later(struct deferred *d)
{
    struct usage_call *call = CONTAINER_OF(d, struct usage_call, later);
    answer(call);
}

int sandbox_usage(struct sandbox *sb, void (*cb)(void *user, const struct sandbox_usage *u),
                  void *user)
{
    struct cell_driver *driver = sb->rt->driver;
    struct usage_call *call = calloc(1, sizeof(*call));
    if (!call)
        return -ENOMEM;
    *call = (struct usage_call){
        .sb = sandbox_ref(sb), .later.cb = on_later, .cb = cb, .user = user};
    if (!sb->cell || !sb->cell->created ||
        driver->ops->usage(driver, sb->id, on_answer, call) < 0)
        deferred_post(&sb->rt->deferred, &call->later);
    return 0;
}
