/* cws_sandbox_snapshot(): keep the files of a running sandbox's scratch volume;. */
#include <string.h>

#include "base/util.h"
#include "client/op.h"
#include "client/ready.h"

struct snapshot_op {
    struct cws_op op;
    struct cws_sandbox *sb;    /* [const] reference */
    char *request_id;          /* [const] the same in every attempt */
    bool wait_ready;           /* [const] */
    uint64_t retry_budget_ns;  /* [const] */
    struct sb_ready ready;     /* [loop] */
    bool readying;             /* [loop] */
    struct unary *create;      /* [loop] */
    struct timer timer;        /* [loop] until the next attempt */
    struct retry retry;        /* [loop] */
    char *id;                  /* [loop] the snapshot's */
    struct snapshot_wait wait; /* [loop] */
};

static void finish(struct snapshot_op *s, struct cws_error *take)
{
    struct op_result result = {.error = take};
    if (!take) {
        result.size = strlen(s->id);
        result.data = TAKE_PTR(s->id);
    }
    (void)op_complete(&s->op, result);
    op_end(&s->op);
}

static void on_ready(struct snapshot_wait *w, struct cws_error *take)
{
    finish(CONTAINER_OF(w, struct snapshot_op, wait), take);
}

static void on_created(struct snapshot_op *s, const Pb__FileSystemSnapshot *snapshot)
{
    struct cws_error *error = NULL;
    s->id = strdup(snapshot->file_system_snapshot_id);
    if (!s->id)
        error = &error_nomem;
    else if (!*s->id)
        error = error_new(CWS_E_SNAPSHOT, "Create snapshot: the service's answer has no id");
    else if (s->wait_ready && snapshot->state != PB__SNAPSHOT_STATE__SNAPSHOT_STATE_READY) {
        s->wait.done = on_ready;
        error = snapshot_wait_begin(&s->wait, s->sb->conn, s->sb->target, s->id);
        if (!error)
            return;
    }
    finish(s, error);
}

static void send_create(struct snapshot_op *s);

static void on_timer(struct timer *t)
{
    send_create(CONTAINER_OF(t, struct snapshot_op, timer));
}

static void on_answer(void *user, void *reply, const struct err *status)
{
    struct snapshot_op *s = user;
    uint64_t delay_ns;
    s->create = NULL;
    if (reply) {
        on_created(s, reply);
        return;
    }
    struct cws_error *e =
        error_from_status(status, &(struct error_site){.label = "Create snapshot",
                                                       .sandbox_id = sandbox_id_borrow(s->sb)});
    /* A snapshot that took too long once will again */
    if (e->kind != CWS_E_REQUEST_TIMEOUT && !s->op.client->closing &&
        retry_after(&s->retry, s->retry_budget_ns, e, &delay_ns)) {
        error_unref(e);
        timer_start_in(&s->op.client->loop.timers, &s->timer, delay_ns, on_timer);
    } else {
        finish(s, e);
    }
}

static void send_create(struct snapshot_op *s)
{
    struct cws_sandbox *sb = s->sb;
    CLEANUP_ERR struct err err = {0};
    struct conn *conn = sandbox_conn(sb, &err);
    Pb__CreateFileSystemSnapshotRequest request = PB__CREATE_FILE_SYSTEM_SNAPSHOT_REQUEST__INIT;
    request.sandbox_id = (char *)sandbox_id_borrow(sb);
    request.request_id = s->request_id;
    if (sb->n_scratch == 1)
        request.scratch_volume_name = sb->scratch[0];
    uint64_t timeout_ns = s->wait_ready ? SNAPSHOT_READY_NS + SNAPSHOT_CREATE_MARGIN_NS
                                        : sb->times.request_timeout_ns;
    struct unary_call call = {
        .path = PROTO_PATH_SANDBOX("CreateFileSystemSnapshot"),
        .request = &request,
        .reply = &pb__file_system_snapshot__descriptor,
        .target = sb->target,
        .timeout_ns = retry_timeout(&s->retry, timeout_ns),
        .idempotent = true, /* by its request_id */
        .done = on_answer,
        .user = s,
    };
    s->create = conn ? unary_start(conn, &call, NULL) : NULL;
    if (!s->create)
        finish(s, conn ? &error_nomem : error_from_local(&err));
}

static void on_running(struct sb_ready *r, struct cws_error *error)
{
    struct snapshot_op *s = CONTAINER_OF(r, struct snapshot_op, ready);
    s->readying = false;
    if (error)
        finish(s, error_ref(error));
    else if (s->sb->n_scratch > 1)
        finish(s, error_new(CWS_E_SNAPSHOT,
                            "sandbox '%s' has multiple scratch volumes (%zu): snapshot() can "
                            "keep one only",
                            sandbox_id_borrow(s->sb), s->sb->n_scratch));
    else
        send_create(s);
}

static void snapshot_begin(struct cws_op *op)
{
    struct snapshot_op *s = CONTAINER_OF(op, struct snapshot_op, op);
    sb_ready_init(&s->ready, s->sb, "Create snapshot", on_running);
    s->readying = true;
    sb_ready_begin(&s->ready);
}

static void snapshot_cancel(struct cws_op *op)
{
    struct snapshot_op *s = CONTAINER_OF(op, struct snapshot_op, op);
    if (s->readying)
        sb_ready_cancel(&s->ready);
    unary_cancel(s->create);
    s->create = NULL;
    timer_stop(&op->client->loop.timers, &s->timer);
    (void)snapshot_wait_cancel(&s->wait);
    op_end(op);
}

static void snapshot_free(struct cws_op *op)
{
    struct snapshot_op *s = CONTAINER_OF(op, struct snapshot_op, op);
    op_done_memory(op);
    cws_sandbox_unref(s->sb);
    free(s->request_id);
    free(s->id);
    free(s);
}

static const struct op_class snapshot_class = {
    .begin = snapshot_begin, .cancel = snapshot_cancel, .free = snapshot_free};

/* 32 hexadecimal digits, as the contract's client makes them. */
static char *random_request_id(void)
{
    char uuid[37], *id = calloc(1, sizeof(uuid)), *to = id;
    random_uuid(uuid);
    for (const char *from = uuid; id && *from; from++)
        if (*from != '-')
            *to++ = *from;
    return id;
}

cws_op *cws_sandbox_snapshot_with(cws_sandbox *sb, const cws_snapshot_options *options,
                                  cws_error **error)
{
    const char *request_id = options->request_id;
    if (request_id && !utf8_valid(request_id, strlen(request_id))) {
        (void)error_set(error, CWS_E_INVALID, "request_id is not valid UTF-8");
        return NULL;
    }
    struct snapshot_op *s = calloc(1, sizeof(*s));
    if (!s) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&s->op, &snapshot_class, sb->client);
    s->sb = cws_sandbox_ref(sb);
    s->wait_ready = options->no_wait_ready == 0;
    s->retry_budget_ns =
        options->has_retry_budget ? options->retry_budget_ns : SNAPSHOT_RETRY_BUDGET_NS;
    s->request_id = request_id && *request_id ? strdup(request_id) : random_request_id();
    if (!s->request_id)
        (void)error_give(error, &error_nomem);
    if (!s->request_id || op_submit(&s->op, error) < 0) {
        cws_op_unref(&s->op);
        return NULL;
    }
    return &s->op;
}

cws_op *cws_sandbox_snapshot(cws_sandbox *sb, int wait_ready, const char *request_id,
                             cws_error **error)
{
    cws_snapshot_options options = {.no_wait_ready = !wait_ready, .request_id = request_id};
    return cws_sandbox_snapshot_with(sb, &options, error);
}
