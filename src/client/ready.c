#include "client/ready.h"
#include "client/verdict.h"

#include "base/util.h"

static void finish(struct sb_ready *r, struct cws_error *take)
{
    timer_stop(&r->sb->client->loop.timers, &r->timer);
    r->done(r, take);
    error_unref(take);
}

static void on_timeout(struct timer *t)
{
    struct sb_ready *r = CONTAINER_OF(t, struct sb_ready, timer);
    sb_waiter_cancel(r->sb, &r->waiter);
    const char *id = sandbox_id_borrow(r->sb);
    struct cws_error *e =
        error_new(CWS_E_TIMEOUT, "%s: sandbox '%s' is not running after %.3g s", r->label, id,
                  (double)r->sb->times.request_timeout_ns / (double)NS_PER_SEC);
    error_add_sandbox_id(e, id);
    finish(r, e);
}

static void on_running(struct sb_waiter *w, struct cws_error *error)
{
    struct sb_ready *r = CONTAINER_OF(w, struct sb_ready, waiter);
    if (error)
        finish(r, error_ref(error));
    else if (r->sb->state != SB_RUNNING) /* it ended before it could be used */
        finish(r, sandbox_not_running(r->sb));
    else
        finish(r, NULL);
}

static void on_started(struct sb_waiter *w, struct cws_error *error)
{
    struct sb_ready *r = CONTAINER_OF(w, struct sb_ready, waiter);
    if (error) {
        finish(r, error_ref(error));
        return;
    }
    w->fire = on_running;
    timer_start_in(&r->sb->client->loop.timers, &r->timer, r->sb->times.request_timeout_ns,
                   on_timeout);
    sandbox_when_running(r->sb, w);
}

void sb_ready_init(struct sb_ready *r, struct cws_sandbox *sb, const char *label,
                   void (*done)(struct sb_ready *r, struct cws_error *error))
{
    *r = (struct sb_ready){.sb = sb, .label = label, .done = done};
    list_init(&r->waiter.link);
}

void sb_ready_begin(struct sb_ready *r)
{
    struct cws_sandbox *sb = r->sb;
    if (sb->cancelled || sb->undone || sb->state >= SB_STOPPING ||
        (sb->stopping && sb->state <= SB_CREATING)) {
        finish(r, sandbox_not_running(sb));
        return;
    }
    if (sb->state == SB_RUNNING) {
        finish(r, NULL);
        return;
    }
    r->waiter.fire = on_started;
    sandbox_when_started(sb, &r->waiter);
}

void sb_ready_cancel(struct sb_ready *r)
{
    timer_stop(&r->sb->client->loop.timers, &r->timer);
    sb_waiter_cancel(r->sb, &r->waiter);
}
