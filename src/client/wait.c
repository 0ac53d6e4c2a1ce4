/* Handles that wait for a state of a sandbox, and the one that asks for it:. */
#include "base/util.h"
#include "client/leave.h"
#include "client/op-sandboxes.h"
#include "client/sandbox.h"
#include "client/token.h"
#include "client/verdict.h"

enum wait_kind { WAIT_STARTED, WAIT_RUNNING, WAIT_COMPLETE };

struct wait_op {
    struct cws_op op;
    struct cws_sandbox *sb;    /* [const] reference */
    enum wait_kind kind;       /* [const] */
    bool raise_on_termination; /* [const] */
    uint64_t timeout_ns;       /* [const] counts from acceptance */
    struct sb_waiter waiter;   /* [loop] */
    struct timer timer;        /* [loop] */
};

static void wait_finish(struct wait_op *w, struct cws_error *take)
{
    timer_stop(&w->op.client->loop.timers, &w->timer);
    sb_waiter_cancel(w->sb, &w->waiter);
    struct cws_sandbox **found = take ? NULL : malloc(sizeof(struct cws_sandbox *));
    if (found) {
        *found = cws_sandbox_ref(w->sb);
        (void)op_complete(&w->op, op_result_sandboxes(found, 1));
    } else {
        (void)op_fail(&w->op, take ? take : &error_nomem);
    }
    op_end(&w->op);
}

/* The policy is each waiter's own; what happened is everybody's. */
static struct cws_error *complete_verdict(const struct wait_op *w)
{
    const struct cws_sandbox *sb = w->sb;
    if (sandbox_status(sb) == CWS_STATUS_FAILED)
        return sandbox_failed(sb);
    if (w->raise_on_termination &&
        (sandbox_status(sb) == CWS_STATUS_TERMINATED || sb->stop_owned))
        return sandbox_terminated(sb);
    return NULL;
}

static void on_reached(struct sb_waiter *waiter, struct cws_error *error)
{
    struct wait_op *w = CONTAINER_OF(waiter, struct wait_op, waiter);
    if (error)
        wait_finish(w, error_ref(error));
    else
        wait_finish(w, w->kind == WAIT_COMPLETE ? complete_verdict(w) : NULL);
}

static void on_timeout(struct timer *t)
{
    struct wait_op *w = CONTAINER_OF(t, struct wait_op, timer);
    if (w->sb->watch.in_grace) {
        watch_adopt(w->sb); /* it is over, only the exit code is missing: that is no time-out */
        return;
    }
    struct cws_error *e =
        error_new(CWS_E_TIMEOUT, "sandbox '%s' is not %s after %.3g s",
                  sandbox_id_borrow(w->sb), w->kind == WAIT_RUNNING ? "running" : "complete",
                  (double)w->timeout_ns / (double)NS_PER_SEC);
    error_add_sandbox_id(e, sandbox_id_borrow(w->sb));
    wait_finish(w, e);
}

/* True: cancelled, and what it waited for came before that was heard of. */
static bool wait_lost(struct wait_op *w)
{
    bool lost = op_is_done(&w->op);
    if (lost && w->kind != WAIT_COMPLETE)
        sandbox_abandon(w->sb);
    return lost;
}

static void on_token(struct sb_waiter *waiter, struct cws_error *error)
{
    struct wait_op *w = CONTAINER_OF(waiter, struct wait_op, waiter);
    (void)wait_lost(w);
    wait_finish(w, error_ref(error));
}

static void on_started(struct sb_waiter *waiter, struct cws_error *error)
{
    struct wait_op *w = CONTAINER_OF(waiter, struct wait_op, waiter);
    bool lost = wait_lost(w);
    if (error || lost) {
        wait_finish(w, error_ref(error));
        return;
    }
    if (w->kind == WAIT_STARTED) {
        waiter->fire = on_token;
        token_wait(w->sb, waiter);
        return;
    }
    waiter->fire = on_reached;
    timer_start_in(&w->op.client->loop.timers, &w->timer, w->timeout_ns, on_timeout);
    if (w->kind == WAIT_RUNNING)
        sandbox_when_running(w->sb, waiter);
    else
        sandbox_when_terminal(w->sb, waiter);
}

static void wait_begin(struct cws_op *op)
{
    struct wait_op *w = CONTAINER_OF(op, struct wait_op, op);
    w->waiter.fire = on_started;
    if (w->sb->cancelled || (w->sb->stopping && w->sb->state <= SB_CREATING) ||
        (w->sb->undone && w->kind != WAIT_COMPLETE))
        wait_finish(w, sandbox_not_running(w->sb));
    else
        sandbox_when_started(w->sb, &w->waiter);
}

static void wait_cancel(struct cws_op *op)
{
    struct wait_op *w = CONTAINER_OF(op, struct wait_op, op);
    timer_stop(&op->client->loop.timers, &w->timer);
    bool waits = !list_empty(&w->waiter.link);
    sb_waiter_cancel(w->sb, &w->waiter);
    if (waits && w->kind != WAIT_COMPLETE)
        sandbox_abandon(w->sb);
    op_end(op);
}

static void wait_free(struct cws_op *op)
{
    struct wait_op *w = CONTAINER_OF(op, struct wait_op, op);
    op_done_memory(op);
    cws_sandbox_unref(w->sb);
    free(w);
}

static const struct op_class wait_class = {
    .begin = wait_begin, .cancel = wait_cancel, .free = wait_free};

static cws_op *wait_new(cws_sandbox *sb, enum wait_kind kind, uint64_t timeout_ns,
                        bool raise_on_termination, cws_error **error)
{
    struct wait_op *w = calloc(1, sizeof(*w));
    if (!w) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&w->op, &wait_class, sb->client);
    w->sb = cws_sandbox_ref(sb);
    w->kind = kind;
    w->timeout_ns = timeout_ns ? timeout_ns : sb->times.request_timeout_ns;
    w->raise_on_termination = raise_on_termination;
    list_init(&w->waiter.link);
    if (op_submit(&w->op, error) < 0) {
        cws_op_unref(&w->op);
        return NULL;
    }
    return &w->op;
}

cws_op *cws_sandbox_start(cws_sandbox *sb, cws_error **error)
{
    return wait_new(sb, WAIT_STARTED, 0, false, error);
}

cws_op *cws_sandbox_wait_running(cws_sandbox *sb, uint64_t timeout_ns, cws_error **error)
{
    return wait_new(sb, WAIT_RUNNING, timeout_ns, true, error);
}

cws_op *cws_sandbox_wait_complete(cws_sandbox *sb, uint64_t timeout_ns,
                                  int raise_on_termination, cws_error **error)
{
    return wait_new(sb, WAIT_COMPLETE, timeout_ns, raise_on_termination != 0, error);
}

cws_sandbox *cws_sandbox_run(cws_target *target, const cws_options *options, cws_error **error)
{
    cws_sandbox *sb = cws_sandbox_new(NULL, target, options, error);
    cws_op *op = sb ? cws_sandbox_start(sb, error) : NULL;
    if (!op) {
        cws_sandbox_unref(sb);
        return NULL;
    }
    while (cws_op_wait(op, CWS_FOREVER) != CWS_WAIT_DONE)
        continue; /* a signal handler ran: this call has no way to say so */
    const cws_error *failure = cws_op_error(op);
    if (failure) {
        (void)error_give(error, error_ref((struct cws_error *)failure));
        cws_sandbox_unref(sb);
        sb = NULL;
    }
    cws_op_unref(op);
    return sb;
}

/* ---- get_status ---- */

struct status_op {
    struct cws_op op;
    struct cws_sandbox *sb; /* [const] reference */
    struct unary *get;      /* [loop] */
};

static void on_status(void *user, void *reply, const struct err *status)
{
    struct status_op *s = user;
    struct cws_sandbox *sb = s->sb;
    s->get = NULL;
    if (reply) {
        (void)sandbox_apply(sb, reply, APPLY_QUERY);
        (void)op_complete(&s->op, (struct op_result){.value = (int)sandbox_status(sb)});
        sandbox_settle(sb);
    } else {
        (void)op_fail(&s->op,
                      error_from_status(
                          status, &(struct error_site){.label = "Get status",
                                                       .sandbox_id = sandbox_id_borrow(sb)}));
    }
    op_end(&s->op);
}

static void status_begin(struct cws_op *op)
{
    struct status_op *s = CONTAINER_OF(op, struct status_op, op);
    struct cws_sandbox *sb = s->sb;
    struct cws_error *error = NULL;
    CLEANUP_ERR struct err err = {0};
    if (sb->cancelled || sb->state <= SB_CREATING) {
        error = sandbox_not_running(sb);
    } else if (sb->state == SB_TERMINAL) {
        sandbox_set_status(sb, SB_TERMINAL, sandbox_status(sb)); /* refreshes the time */
        (void)op_complete(op, (struct op_result){.value = (int)sandbox_status(sb)});
        op_end(op);
        return;
    } else if (!sandbox_conn(sb, &err)) {
        error = error_from_local(&err);
    } else {
        Pb__GetSandboxRequest request = PB__GET_SANDBOX_REQUEST__INIT;
        request.sandbox_id = (char *)sandbox_id_borrow(sb);
        struct unary_call call = {
            .path = PROTO_PATH_SANDBOX("GetSandbox"),
            .request = &request,
            .reply = &pb__sandbox__descriptor,
            .target = sb->target,
            .timeout_ns = sb->times.poll_timeout_ns,
            .idempotent = true,
            .done = on_status,
            .user = s,
        };
        s->get = unary_start(sb->conn, &call, NULL);
        if (s->get)
            return;
        error = &error_nomem;
    }
    (void)op_fail(op, error);
    op_end(op);
}

static void status_cancel(struct cws_op *op)
{
    struct status_op *s = CONTAINER_OF(op, struct status_op, op);
    unary_cancel(s->get);
    s->get = NULL;
    op_end(op);
}

static void status_free(struct cws_op *op)
{
    struct status_op *s = CONTAINER_OF(op, struct status_op, op);
    op_done_memory(op);
    cws_sandbox_unref(s->sb);
    free(s);
}

static const struct op_class status_class = {
    .begin = status_begin, .cancel = status_cancel, .free = status_free};

cws_op *cws_sandbox_get_status(cws_sandbox *sb, cws_error **error)
{
    struct status_op *s = calloc(1, sizeof(*s));
    if (!s) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&s->op, &status_class, sb->client);
    s->sb = cws_sandbox_ref(sb);
    if (op_submit(&s->op, error) < 0) {
        cws_op_unref(&s->op);
        return NULL;
    }
    return &s->op;
}
