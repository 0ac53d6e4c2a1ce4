/* What a sandbox has used: asked of launch while it lives, remembered from its end after that.
 */
#include <errno.h>
#include <string.h>

#include "runtime/sandbox.h"

struct usage_call {
    struct sandbox *sb; /* a reference */
    struct deferred later;
    void (*cb)(void *user, const struct sandbox_usage *u, const struct err *err);
    void *user;
};

static void answer(struct usage_call *call, const struct sandbox_usage *u,
                   const struct err *err)
{
    call->cb(call->user, u, err);
    sandbox_unref(call->sb);
    free(call);
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
    struct sandbox_usage usage = {.cpu_ns = u->cpu_ns,
                                  .memory_bytes = u->memory_bytes,
                                  .memory_peak_bytes = u->memory_peak_bytes,
                                  .n_oom_kills = u->n_oom_kills};
    answer(call, &usage, NULL);
}

static void on_later(struct deferred *d)
{
    struct usage_call *call = CONTAINER_OF(d, struct usage_call, later);
    answer(call, &call->sb->usage, NULL);
}

void sandbox_usage(struct sandbox *sb,
                   void (*cb)(void *user, const struct sandbox_usage *u, const struct err *err),
                   void *user)
{
    struct cell_driver *driver = sb->rt->driver;
    struct usage_call *call = calloc(1, sizeof(*call));
    if (!call) {
        struct err err = {
            .code = ERR_RESOURCE_EXHAUSTED}; /* out of memory: no text, and no later turn */
        cb(user, NULL, &err);
        return;
    }
    *call = (struct usage_call){
        .sb = sandbox_ref(sb), .later.cb = on_later, .cb = cb, .user = user};
    if (!sb->cell || !sb->cell->created ||
        driver->ops->usage(driver, sb->id, on_answer, call) < 0)
        deferred_post(&sb->rt->deferred, &call->later);
}
