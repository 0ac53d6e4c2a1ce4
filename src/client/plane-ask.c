#include "client/plane-ask.h"

#include "base/util.h"
#include "client/event.h"
#include "client/plane-pool.h"

#define ABSENT_NS (30 * NS_PER_SEC)      /* as the published client: doubling */
#define ABSENT_MAX_NS (600 * NS_PER_SEC) /* up to this */

static const Pb__SandboxDataPermission wire_permissions[] = {
    [PLANE_EXEC] = PB__SANDBOX_DATA_PERMISSION__SANDBOX_DATA_PERMISSION_STREAM_EXEC,
    [PLANE_LOGS] = PB__SANDBOX_DATA_PERMISSION__SANDBOX_DATA_PERMISSION_STREAM_LOGS,
    [PLANE_READ] = PB__SANDBOX_DATA_PERMISSION__SANDBOX_DATA_PERMISSION_READ_FILE,
    [PLANE_WRITE] = PB__SANDBOX_DATA_PERMISSION__SANDBOX_DATA_PERMISSION_WRITE_FILE,
};

static struct timers *timers_of(struct plane_ask *a)
{
    return &a->sb->client->loop.timers;
}

/* ---- what is known about the service ---- */

static void note_absent(struct plane *p)
{
    p->absent_ns = p->absent_ns ? MIN(p->absent_ns * 2, ABSENT_MAX_NS) : ABSENT_NS;
    p->absent_until_ns = clock_now_ns() + p->absent_ns;
}

bool plane_may_ask(const struct cws_sandbox *sb, enum plane_permission permission)
{
    return clock_now_ns() >= sb->plane.absent_until_ns ||
           credential_lives(sb->plane.asks[permission].held, clock_wall_ns());
}

/* ---- asking ---- */

static void end(struct plane_ask *a)
{
    struct cws_sandbox *sb = a->sb;
    timer_stop(timers_of(a), &a->timer);
    unary_cancel(a->call);
    tls_key_free(a->key);
    a->call = NULL;
    a->key = NULL;
    a->sb = NULL;
    cws_sandbox_unref(sb);
}

static void settle(struct plane_ask *a, struct credential *take, struct cws_error *take_error)
{
    struct cws_sandbox *sb = cws_sandbox_ref(a->sb);
    struct list told;
    list_init(&told);
    list_splice(&a->waiters, &told);
    end(a);
    if (take) {
        channel_forget(sb->client, a->held);
        credential_free(a->held);
        a->held = take;
    }
    while (!list_empty(&told)) {
        struct ask_waiter *w = CONTAINER_OF(list_first(&told), struct ask_waiter, link);
        list_remove(&w->link);
        w->done(w, take, take_error);
    }
    error_unref(take_error);
    cws_sandbox_unref(sb);
}

static void take_answer(struct plane_ask *a, const Pb__SandboxConnection *answer)
{
    CLEANUP_ERR struct err err = {0};
    struct credential_ask ask = {.sandbox_id = sandbox_id_borrow(a->sb),
                                 .permission = wire_permissions[a->permission],
                                 .key = a->key};
    struct credential *c = credential_new(answer, &ask, clock_wall_ns(), &err);
    if (c) {
        a->sb->plane.absent_ns = a->sb->plane.absent_until_ns = 0;
        settle(a, c, NULL);
    } else if (err.code == ERR_RESOURCE_EXHAUSTED) {
        settle(a, NULL, &error_nomem);
    } else {
        settle(a, NULL,
               error_new(CWS_E_UNAVAILABLE, "the service's answer cannot be used: %s",
                         err_text(&err)));
    }
}

static void on_pause_over(struct timer *t);

static bool try_again(struct plane_ask *a, const struct err *status)
{
    if (a->sb->data_plane != CWS_DATA_PLANE_DIRECT || status->code != ERR_UNAVAILABLE ||
        a->sb->client->closing || clock_now_ns() + a->pause_ns >= a->end_ns)
        return false;
    timer_start_in(timers_of(a), &a->timer, a->pause_ns, on_pause_over);
    a->pause_ns = MIN(a->pause_ns * 2, ASK_PAUSE_MAX_NS);
    return true;
}

static void on_answer(void *user, void *reply, const struct err *status)
{
    struct plane_ask *a = user;
    a->call = NULL;
    if (reply) {
        take_answer(a, reply);
        return;
    }
    if (try_again(a, status))
        return;
    if (status->code == ERR_UNIMPLEMENTED)
        note_absent(&a->sb->plane);
    settle(a, NULL,
           error_from_status(status,
                             &(struct error_site){.label = "Connect to sandbox",
                                                  .sandbox_id = sandbox_id_borrow(a->sb)}));
}

static struct cws_error *send_request(struct plane_ask *a)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_BUF struct buf csr = {0};
    struct conn *conn = sandbox_conn(a->sb, &err);
    if (!conn)
        return error_from_local(&err);
    if (!a->key || tls_key_request(a->key, &csr) < 0)
        return &error_nomem;
    Pb__ConnectSandboxRequest request = PB__CONNECT_SANDBOX_REQUEST__INIT;
    Pb__SandboxDataPermission permission = wire_permissions[a->permission];
    request.sandbox_id = (char *)sandbox_id_borrow(a->sb);
    request.csr_der = (ProtobufCBinaryData){buf_len(&csr), (uint8_t *)buf_head(&csr)};
    request.requested_permissions = &permission;
    request.n_requested_permissions = 1;
    uint64_t now_ns = clock_now_ns();
    struct unary_call call = {
        .path = PROTO_PATH_SANDBOX("ConnectSandbox"),
        .request = &request,
        .reply = &pb__sandbox_connection__descriptor,
        .target = a->sb->target,
        .timeout_ns = MIN(ASK_CALL_NS, a->end_ns > now_ns ? a->end_ns - now_ns : 1),
        .idempotent = true,
        .done = on_answer,
        .user = a,
    };
    a->call = unary_start(conn, &call, NULL);
    return a->call ? NULL : &error_nomem;
}

static void send_or_settle(struct plane_ask *a)
{
    struct cws_error *error = send_request(a);
    if (error)
        settle(a, NULL, error);
}

static void on_pause_over(struct timer *t)
{
    send_or_settle(CONTAINER_OF(t, struct plane_ask, timer));
}

void plane_ask(struct cws_sandbox *sb, enum plane_permission permission, struct ask_waiter *w)
{
    struct plane_ask *a = &sb->plane.asks[permission];
    if (credential_lives(a->held, clock_wall_ns())) {
        w->done(w, a->held, NULL);
        return;
    }
    list_append(&a->waiters, &w->link);
    if (a->sb)
        return; /* others have asked */
    uint64_t budget_ns = sb->data_plane == CWS_DATA_PLANE_DIRECT ? ASK_DIRECT_NS : ASK_AUTO_NS;
    a->sb = cws_sandbox_ref(sb);
    a->permission = permission;
    a->key = tls_key_new();
    a->end_ns = event_deadline(MIN(sb->times.request_timeout_ns, budget_ns));
    a->pause_ns = ASK_PAUSE_NS;
    send_or_settle(a);
}

void plane_ask_leave(struct cws_sandbox *sb, enum plane_permission permission,
                     struct ask_waiter *w)
{
    struct plane_ask *a = &sb->plane.asks[permission];
    list_remove(&w->link);
    if (a->sb && list_empty(&a->waiters))
        end(a);
}

void plane_forget(struct cws_sandbox *sb)
{
    for (int i = 0; i < PLANE_PERMISSION_MAX; i++) {
        struct plane_ask *a = &sb->plane.asks[i];
        channel_forget(sb->client, a->held);
        credential_free(a->held);
        a->held = NULL;
    }
}
