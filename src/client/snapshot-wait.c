/* See snapshot-wait.h. */
#include "client/snapshot-wait.h"

#include <string.h>

#include "base/util.h"

static struct timers *timers_of(struct snapshot_wait *w)
{
    return &w->conn->client->loop.timers;
}

static void finish(struct snapshot_wait *w, struct cws_error *take)
{
    if (take)
        error_add_snapshot_id(take, w->id);
    free(w->id);
    w->id = NULL;
    w->done(w, take);
}

static struct cws_error *timed_out(const struct snapshot_wait *w)
{
    return error_new(CWS_E_SNAPSHOT_WAIT_TIMEOUT, "snapshot '%s' is not ready after %.0f s",
                     w->id, (double)SNAPSHOT_READY_NS / (double)NS_PER_SEC);
}

static void ask(struct snapshot_wait *w);

static void on_timer(struct timer *t)
{
    ask(CONTAINER_OF(t, struct snapshot_wait, timer));
}

static void ask_in(struct snapshot_wait *w, uint64_t delay_ns)
{
    timer_start_in(timers_of(w), &w->timer, delay_ns, on_timer);
}

static void on_state(struct snapshot_wait *w, const Pb__FileSystemSnapshot *snapshot)
{
    w->retry = (struct retry){0};
    if (snapshot->state == PB__SNAPSHOT_STATE__SNAPSHOT_STATE_READY) {
        finish(w, NULL);
    } else if (snapshot->state == PB__SNAPSHOT_STATE__SNAPSHOT_STATE_FAILED) {
        finish(w, error_new(CWS_E_SNAPSHOT, "snapshot '%s' failed: %s", w->id,
                            *snapshot->state_reason ? snapshot->state_reason
                                                    : "the service gives no reason"));
    } else {
        uint64_t delay_ns = w->interval_ns;
        w->interval_ns = MIN(delay_ns + delay_ns / 2, RETRY_MAX_NS);
        ask_in(w, delay_ns);
    }
}

static void on_answer(void *user, void *reply, const struct err *status)
{
    struct snapshot_wait *w = user;
    w->get = NULL;
    if (reply) {
        on_state(w, reply);
        return;
    }
    struct cws_error *e = error_from_status(
        status, &(struct error_site){.label = "Get snapshot", .snapshot_id = w->id});
    uint64_t delay_ns;
    if (!w->conn->client->closing &&
        retry_after(&w->retry, SNAPSHOT_RETRY_BUDGET_NS, e, &delay_ns)) {
        error_unref(e);
        ask_in(w, delay_ns);
    } else {
        finish(w, e);
    }
}

static bool send_get(struct snapshot_wait *w, uint64_t left_ns)
{
    Pb__GetFileSystemSnapshotRequest request = PB__GET_FILE_SYSTEM_SNAPSHOT_REQUEST__INIT;
    request.file_system_snapshot_id = w->id;
    struct unary_call call = {
        .path = PROTO_PATH_SANDBOX("GetFileSystemSnapshot"),
        .request = &request,
        .reply = &pb__file_system_snapshot__descriptor,
        .target = w->target,
        .timeout_ns = MIN(retry_timeout(&w->retry, SNAPSHOT_GET_NS), left_ns),
        .idempotent = true,
        .done = on_answer,
        .user = w,
    };
    w->get = unary_start(w->conn, &call, NULL);
    return w->get != NULL;
}

static void ask(struct snapshot_wait *w)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= w->end_ns)
        finish(w, timed_out(w));
    else if (!send_get(w, w->end_ns - now_ns))
        finish(w, &error_nomem);
}

struct cws_error *snapshot_wait_begin(struct snapshot_wait *w, struct conn *conn,
                                      struct cws_target *target, const char *id)
{
    CHECK(!snapshot_wait_busy(w));
    w->id = strdup(id);
    w->conn = conn;
    w->target = target;
    w->retry = (struct retry){0};
    w->interval_ns = RETRY_FIRST_NS;
    w->end_ns = clock_now_ns() + SNAPSHOT_READY_NS;
    if (!w->id || !send_get(w, SNAPSHOT_READY_NS)) {
        free(w->id);
        w->id = NULL;
        return &error_nomem;
    }
    return NULL;
}

bool snapshot_wait_cancel(struct snapshot_wait *w)
{
    if (!snapshot_wait_busy(w))
        return false;
    unary_cancel(w->get);
    w->get = NULL;
    timer_stop(timers_of(w), &w->timer);
    free(w->id);
    w->id = NULL;
    return true;
}

bool snapshot_wait_busy(const struct snapshot_wait *w)
{
    return w->id != NULL;
}
