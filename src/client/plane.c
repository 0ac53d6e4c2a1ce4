#include "client/plane.h"

#include "base/util.h"
#include "client/event.h"
#include "client/plane-pool.h"

#define REST_NS (30 * NS_PER_SEC) /* as the published client */

static struct timers *timers_of(struct plane_way *w)
{
    return &w->sb->client->loop.timers;
}

static bool is_auto(const struct plane_way *w)
{
    return w->sb->data_plane == CWS_DATA_PLANE_AUTO;
}

static void finish(struct plane_way *w, struct cws_error *take)
{
    timer_stop(timers_of(w), &w->timer);
    w->done(w, take);
    error_unref(take);
}

static void use_gateway(struct plane_way *w)
{
    CLEANUP_ERR struct err err = {0};
    w->conn = sandbox_conn(w->sb, &err);
    w->target = w->sb->target;
    finish(w, w->conn ? NULL : error_from_local(&err));
}

/* ---- not possible ---- */

/* Other failures of ConnectSandbox would be those of the operation too. */
static bool means_unavailable(const struct cws_error *e)
{
    switch (e->status) {
    case -1: /* an answer that cannot be used, or nobody at the endpoint */
        return !e->immortal;
    case ERR_DEADLINE_EXCEEDED:
    case ERR_FAILED_PRECONDITION:
    case ERR_RESOURCE_EXHAUSTED:
    case ERR_UNAVAILABLE:
    case ERR_UNIMPLEMENTED:
    case ERR_INTERNAL:
        return true;
    default:
        return false;
    }
}

static struct cws_error *unavailable(const struct plane_way *w, struct cws_error *why)
{
    struct cws_error *e =
        error_new(CWS_E_UNAVAILABLE, "Direct data-plane access is unavailable: %s",
                  cws_error_message(why));
    error_add_sandbox_id(e, sandbox_id_borrow(w->sb));
    error_add_cause(e, why);
    return e;
}

static void go_round(struct plane_way *w, struct cws_error *take_why)
{
    if (is_auto(w)) {
        error_unref(take_why);
        use_gateway(w);
        return;
    }
    struct cws_error *e = unavailable(w, take_why);
    error_unref(take_why);
    finish(w, e);
}

static void rest_and_go_round(struct plane_way *w, struct cws_error *take_why)
{
    w->sb->plane.rest_until_ns = clock_now_ns() + REST_NS; /* heeded by AUTO only */
    go_round(w, take_why);
}

static void drop_channel(struct plane_way *w, bool usable)
{
    struct conn *channel = w->channel;
    w->channel = NULL;
    if (channel)
        channel_give_back(channel, usable);
}

static void on_time_up(struct timer *t)
{
    struct plane_way *w = CONTAINER_OF(t, struct plane_way, timer);
    plane_ask_leave(w->sb, w->permission, &w->ask);
    conn_leave(&w->waiter);
    drop_channel(w, false);
    rest_and_go_round(w, error_new(CWS_E_UNAVAILABLE, "connecting took too long"));
}

/* ---- connecting ---- */

static void on_connected(struct conn_waiter *waiter, struct grpc_conn *grpc)
{
    struct plane_way *w = CONTAINER_OF(waiter, struct plane_way, waiter);
    w->direct = true;
    w->conn = w->channel;
    w->target = w->channel->target;
    finish(w, NULL);
}

static void begin_connecting(struct plane_way *w)
{
    timer_start(timers_of(w), &w->timer, w->end_ns, on_time_up);
    conn_wait(w->channel, &w->waiter);
    conn_kick(w->channel);
}

static void on_pause_over(struct timer *t)
{
    begin_connecting(CONTAINER_OF(t, struct plane_way, timer));
}

static void on_unreachable(struct conn_waiter *waiter, const struct err *why)
{
    struct plane_way *w = CONTAINER_OF(waiter, struct plane_way, waiter);
    if (!is_auto(w) && clock_now_ns() + w->pause_ns < w->end_ns && !w->sb->client->closing) {
        timer_start_in(timers_of(w), &w->timer, w->pause_ns, on_pause_over);
        w->pause_ns = MIN(w->pause_ns * 2, ASK_PAUSE_MAX_NS);
        return;
    }
    struct cws_error *e = error_from_local(why);
    drop_channel(w, false);
    rest_and_go_round(w, e);
}

static void on_credential(struct ask_waiter *ask, struct credential *c, struct cws_error *error)
{
    struct plane_way *w = CONTAINER_OF(ask, struct plane_way, ask);
    CLEANUP_ERR struct err err = {0};
    if (error && (!means_unavailable(error) || (!is_auto(w) && error->status == ERR_INTERNAL)))
        finish(w, error_ref(error));
    else if (error && error->status == ERR_UNIMPLEMENTED)
        go_round(w, error_ref(error)); /* that has a cool-down of its own */
    else if (error)
        rest_and_go_round(w, error_ref(error));
    else if (!c->granted)
        go_round(w, error_new(CWS_E_UNAVAILABLE, "the service does not grant it"));
    else if (!(w->channel = channel_take(w->sb->client, c, &err)))
        finish(w, error_from_local(&err));
    else {
        if (!is_auto(w)) /* connecting has a time of its own */
            w->end_ns = event_deadline(MIN(w->sb->times.request_timeout_ns, ASK_DIRECT_NS));
        begin_connecting(w);
    }
}

/* ---- for the owner ---- */

void plane_init(struct plane_way *w, struct cws_sandbox *sb, enum plane_permission permission,
                void (*done)(struct plane_way *w, struct cws_error *error))
{
    *w = (struct plane_way){.sb = sb, .permission = permission, .done = done};
    list_init(&w->ask.link);
    list_init(&w->waiter.link);
    w->ask.done = on_credential;
    w->waiter.on_connected = on_connected;
    w->waiter.on_unreachable = on_unreachable;
}

static bool goes_straight(const struct plane_way *w)
{
    const struct cws_sandbox *sb = w->sb;
    switch (sb->data_plane) {
    case CWS_DATA_PLANE_DIRECT:
        return true;
    case CWS_DATA_PLANE_AUTO: /* cwsandboxd has no such way */
        return sb->target->address.kind == ADDRESS_TCP && !(sb->conn && sb->conn->ours) &&
               clock_now_ns() >= sb->plane.rest_until_ns && plane_may_ask(sb, w->permission);
    case CWS_DATA_PLANE_GATEWAY:
        break;
    }
    return false;
}

void plane_choose(struct plane_way *w)
{
    w->direct = false;
    w->pause_ns = ASK_PAUSE_NS;
    if (!goes_straight(w)) {
        use_gateway(w);
        return;
    }
    w->end_ns = event_deadline(MIN(w->sb->times.request_timeout_ns, ASK_AUTO_NS));
    if (is_auto(w))
        timer_start(timers_of(w), &w->timer, w->end_ns, on_time_up);
    plane_ask(w->sb, w->permission, &w->ask);
}

void plane_leave(struct plane_way *w, const struct err *status)
{
    if (!w->sb)
        return; /* never begun */
    timer_stop(timers_of(w), &w->timer);
    plane_ask_leave(w->sb, w->permission, &w->ask);
    conn_leave(&w->waiter);
    drop_channel(w, !status || status->code != ERR_UNAVAILABLE);
}
