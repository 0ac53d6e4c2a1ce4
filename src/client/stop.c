/*
 * Stopping a sandbox: DeleteSandbox, then waiting for a terminal state.
 * All stops of one sandbox share one attempt with the first one's grace and missing_ok; a
 * joiner's own missing_ok decides what NOT_FOUND means to it. A stop while the create is under
 * way waits for it, so nothing is left behind.
 *
 * With a snapshot the service captures the scratch volumes before it ends the sandbox; the
 * attempt is over when they are complete and the end was seen. Such a stop conflicts with
 * everything that ends the sandbox without one.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/leave.h"
#include "client/op.h"
#include "client/plane-ask.h"
#include "client/sandbox.h"
#include "client/token.h"

#define STOP_MARGIN_NS (10 * NS_PER_SEC)     /* as the published client: grace + 5 + 5 */
#define SNAPSHOT_MARGIN_NS (35 * NS_PER_SEC) /* the same: 600 + grace + 35 */

struct stop_op {
    struct cws_op op;
    struct cws_sandbox *sb; /* [const] reference */
    struct list link;       /* [loop] in sb->stop_ops */
    bool missing_ok;        /* [const] */
    uint64_t grace_ns;      /* [const] */
    bool snapshot;          /* [const] */
    bool wait_ready;        /* [const] */
    char *request_id;       /* [const] or NULL; taken by the attempt */
};

static void set_stopping(struct cws_sandbox *sb, bool stopping)
{
    if (sb->stopping == stopping)
        return;
    sb->stopping = stopping;
    if (stopping)
        leave_began(sb->client);
    else
        leave_ended(sb->client);
}

/* The attempt is over. The state says what became of the sandbox; @take NULL = it is stopped.
 */
static void stop_finish(struct cws_sandbox *sb, struct cws_error *take)
{
    (void)cws_sandbox_ref(sb);
    set_stopping(sb, false);
    plane_forget(sb);
    struct list ending;
    list_init(&ending);
    list_splice(&sb->stop_ops, &ending);
    while (!list_empty(&ending)) {
        struct stop_op *stop = CONTAINER_OF(list_first(&ending), struct stop_op, link);
        list_remove(&stop->link);
        bool forgiven = take && take->kind == CWS_E_NOT_FOUND && stop->missing_ok;
        (void)op_fail(&stop->op, forgiven ? NULL : error_ref(take));
        op_end(&stop->op);
    }
    error_unref(take);
    sandbox_settle(sb);
    cws_sandbox_unref(sb);
}

static void on_terminal(struct sb_waiter *w, struct cws_error *error)
{
    stop_finish(CONTAINER_OF(w, struct cws_sandbox, stop_waiter), error_ref(error));
}

static void stop_wait(struct cws_sandbox *sb)
{
    sb->stop_waiter.fire = on_terminal;
    sandbox_when_terminal(sb, &sb->stop_waiter);
}

static struct cws_error *conflict(const struct cws_sandbox *sb, const char *why)
{
    struct cws_error *e = error_new(CWS_E_SNAPSHOT_ON_STOP_CONFLICT,
                                    "sandbox '%s' cannot be stopped with a snapshot: %s",
                                    sandbox_id_borrow(sb), why);
    error_add_sandbox_id(e, sb->info.id);
    return e;
}

/* @repeated: a call before this one may have ended it. */
static void on_missing(struct cws_sandbox *sb, struct cws_error *take, bool repeated)
{
    if (sb->stop_snapshot) { /* its files are gone, whether it may be missing or not */
        struct cws_error *e = conflict(sb, "it does not exist any more (allow_missing does not "
                                           "apply to snapshots)");
        error_add_cause(e, take);
        error_unref(take);
        stop_finish(sb, e);
        return;
    }
    if (!sb->stop_missing_ok && !repeated) {
        stop_finish(sb, take);
        return;
    }
    error_unref(take);
    sandbox_set_status(sb, SB_TERMINAL, CWS_STATUS_TERMINATED);
    stop_finish(sb, NULL);
}

/* The snapshots one after the other: they all are made at the same time anyway. */
static struct cws_error *await_snapshots(struct cws_sandbox *sb);

static void on_snapshot_ready(struct snapshot_wait *w, struct cws_error *take)
{
    struct cws_sandbox *sb = CONTAINER_OF(w, struct cws_sandbox, stop_snapshot_wait);
    sb->stop_n_ready++;
    if (!take)
        take = await_snapshots(sb);
    if (take)
        stop_finish(sb, take);
    cws_sandbox_unref(sb); /* await_snapshots() took one for this wait */
}

/* NULL: under way, here or in stop_wait(). */
static struct cws_error *await_snapshots(struct cws_sandbox *sb)
{
    if (!sb->stop_wait_ready || sb->stop_n_ready >= sb->info.n_snapshot_ids) {
        stop_wait(sb);
        return NULL;
    }
    sb->stop_snapshot_wait.done = on_snapshot_ready;
    struct cws_error *e = snapshot_wait_begin(&sb->stop_snapshot_wait, sb->conn, sb->target,
                                              sb->info.snapshot_ids[sb->stop_n_ready]);
    if (!e)
        (void)cws_sandbox_ref(sb);
    return e;
}

static void begin_snapshots(struct cws_sandbox *sb, const Pb__DeleteSandboxResponse *reply)
{
    struct cws_error *e = NULL;
    sb->stop_n_ready = 0;
    if (sandbox_add_snapshots(sb, reply->file_system_snapshot_ids,
                              reply->n_file_system_snapshot_ids) < 0)
        e = &error_nomem;
    else
        e = await_snapshots(sb);
    if (e)
        stop_finish(sb, e);
    else
        sandbox_settle(sb); /* as stop_wait() does */
}

static void on_accepted(struct cws_sandbox *sb, const Pb__DeleteSandboxResponse *reply)
{
    if (!reply->sandbox && reply->n_file_system_snapshot_ids == 0 && sb->stop_missing_ok) {
        sandbox_set_status(sb, SB_TERMINAL, CWS_STATUS_TERMINATED); /* it was not there */
        stop_finish(sb, sb->stop_snapshot
                            ? conflict(sb, "it was not there (stopped with allow_missing)")
                            : NULL);
        return;
    }
    sb->stop_owned = true;
    if (sb->state < SB_STOPPING)
        sandbox_set_status(sb, SB_STOPPING, CWS_STATUS_TERMINATING);
    if (reply->sandbox)
        (void)sandbox_apply(sb, reply->sandbox, APPLY_POLL);
    if (sb->stop_snapshot)
        begin_snapshots(sb, reply);
    else
        stop_wait(sb); /* settles: who waited for RUNNING hears that it was stopped */
}

/* The service answers so when somebody else is ending it. */
static struct cws_error *refused(struct cws_sandbox *sb, struct cws_error *take)
{
    if (!sb->stop_snapshot || !error_reason_is(take, "INVALID_REQUEST"))
        return take;
    struct cws_error *e = conflict(sb, cws_error_message(take));
    error_add_reason(e, "CWSANDBOX_INVALID_REQUEST");
    error_add_cause(e, take);
    error_unref(take);
    return e;
}

static void send_delete(struct cws_sandbox *sb);

static void on_hint(struct timer *t)
{
    struct hint *h = CONTAINER_OF(t, struct hint, timer);
    struct cws_sandbox *sb = CONTAINER_OF(h, struct cws_sandbox, stop_hint);
    send_delete(sb);
    cws_sandbox_unref(sb); /* the timer's */
}

static void on_deleted(void *user, void *reply, const struct err *status)
{
    struct cws_sandbox *sb = user;
    if (reply) {
        on_accepted(sb, reply);
    } else {
        struct cws_error *e = error_from_status(
            status,
            &(struct error_site){.label = "Stop sandbox", .sandbox_id = sandbox_id_borrow(sb)});
        bool repeated = hint_is_repeated(&sb->stop_hint);
        if (!sb->stop_snapshot && hint_again(&sb->stop_hint, sb->client, e, on_hint)) {
            error_unref(e);
            return; /* the timer holds our reference */
        }
        if (error_is_not_found(e))
            on_missing(sb, e, repeated);
        else
            stop_finish(sb, refused(sb, e));
    }
    cws_sandbox_unref(sb);
}

static void send_delete(struct cws_sandbox *sb)
{
    CLEANUP_ERR struct err err = {0};
    struct conn *conn = sandbox_conn(sb, &err);
    Pb__DeleteSandboxRequest request = PB__DELETE_SANDBOX_REQUEST__INIT;
    request.sandbox_id = (char *)sandbox_id_borrow(sb);
    uint64_t grace_ns = MIN(sb->stop_grace_ns, UINT64_MAX / 2);
    request.grace_period_seconds =
        (int32_t)MIN((grace_ns + NS_PER_SEC - 1) / NS_PER_SEC, (uint64_t)INT32_MAX);
    request.allow_missing = sb->stop_missing_ok;
    if (sb->stop_snapshot) {
        request.snapshot_volumes = sb->scratch;
        request.n_snapshot_volumes = sb->n_scratch;
        if (sb->stop_request_id)
            request.request_id = sb->stop_request_id;
    }
    struct unary_call call = {
        .path = PROTO_PATH_SANDBOX("DeleteSandbox"),
        .request = &request,
        .reply = &pb__delete_sandbox_response__descriptor,
        .target = sb->target,
        .timeout_ns = sb->stop_snapshot ? grace_ns + SNAPSHOT_READY_NS + SNAPSHOT_MARGIN_NS
                                        : hint_timeout(&sb->stop_hint),
        .idempotent = sb->stop_missing_ok && !sb->stop_snapshot,
        .done = on_deleted,
        .user = sb,
    };
    (void)cws_sandbox_ref(sb);
    if (!conn || !unary_start(conn, &call, NULL)) {
        stop_finish(sb, conn ? &error_nomem : error_from_local(&err));
        cws_sandbox_unref(sb);
    }
}

void stop_advance(struct cws_sandbox *sb)
{
    switch (sb->state) {
    case SB_NEW:
        sb->cancelled = true;
        stop_finish(sb, NULL);
        return;
    case SB_CREATING:
        return; /* start.c comes back here */
    case SB_STARTING:
    case SB_RUNNING:
        hint_begin(&sb->stop_hint, MIN(sb->stop_grace_ns, UINT64_MAX / 2) + STOP_MARGIN_NS);
        send_delete(sb);
        return;
    case SB_STOPPING: /* somebody else's stop: watch it */
        stop_wait(sb);
        return;
    case SB_TERMINAL:
        stop_finish(sb, NULL);
        return;
    }
}

/* Why a stop with a snapshot cannot even join, or NULL. */
static struct cws_error *snapshot_conflict(const struct cws_sandbox *sb)
{
    bool captured = sb->info.n_snapshot_ids > 0;
    if (sb->cancelled || sb->state == SB_NEW)
        return NULL;
    if (sb->stopping)
        return sb->stop_snapshot ? NULL : conflict(sb, "a plain stop is already in progress");
    if (sb->state == SB_TERMINAL)
        return captured ? NULL : conflict(sb, "it is already stopped");
    if (sb->state == SB_STOPPING)
        return captured ? NULL : conflict(sb, "it is already terminating");
    if (sb->n_scratch > 0)
        return NULL;
    return error_new(CWS_E_SNAPSHOT, "sandbox '%s' has no known scratch volumes to snapshot",
                     sandbox_id_borrow(sb));
}

static void stop_begin(struct cws_op *op)
{
    struct stop_op *stop = CONTAINER_OF(op, struct stop_op, op);
    struct cws_sandbox *sb = stop->sb;
    struct cws_error *error = stop->snapshot ? snapshot_conflict(sb) : NULL;
    if (error) {
        (void)op_fail(op, error);
        op_end(op);
        return;
    }
    list_append(&sb->stop_ops, &stop->link);
    bool joins = sb->stopping;
    set_stopping(sb, true);
    sandbox_reclaim(sb); /* the stop counts instead */
    if (joins)
        return;
    token_give_up(sb);
    sb->stop_missing_ok = stop->missing_ok;
    sb->stop_grace_ns = stop->grace_ns;
    sb->stop_snapshot = stop->snapshot;
    sb->stop_wait_ready = stop->wait_ready;
    free(sb->stop_request_id);
    sb->stop_request_id = TAKE_PTR(stop->request_id);
    if (sb->state == SB_CREATING)
        sandbox_settle(sb); /* who waits for RUNNING need not wait for the create */
    if (timer_armed(&sb->create.timer))
        create_stop_waiting(sb); /* comes back to stop_advance() */
    else
        stop_advance(sb);
}

/* The client is closing and nobody waits any more. */
static void stop_abandon(struct cws_sandbox *sb)
{
    sb_waiter_cancel(sb, &sb->stop_waiter);
    if (!timer_armed(&sb->stop_hint.timer))
        return;
    timer_stop(&sb->client->loop.timers, &sb->stop_hint.timer);
    set_stopping(sb, false);
    cws_sandbox_unref(sb); /* the timer's */
}

static void stop_cancel(struct cws_op *op)
{
    struct stop_op *stop = CONTAINER_OF(op, struct stop_op, op);
    struct cws_sandbox *sb = stop->sb;
    list_remove(&stop->link);
    if (sb->client->closing && list_empty(&sb->stop_ops))
        stop_abandon(sb); /* else the attempt goes on for whoever joins */
    if (list_empty(&sb->stop_ops) && snapshot_wait_cancel(&sb->stop_snapshot_wait)) {
        set_stopping(sb, false); /* nobody wants to know; whoever joins later watches the end */
        cws_sandbox_unref(sb);
    }
    op_end(op);
}

static void stop_free(struct cws_op *op)
{
    struct stop_op *stop = CONTAINER_OF(op, struct stop_op, op);
    op_done_memory(op);
    cws_sandbox_unref(stop->sb);
    free(stop->request_id);
    free(stop);
}

static const struct op_class stop_class = {
    .begin = stop_begin, .cancel = stop_cancel, .free = stop_free};

cws_op *cws_sandbox_stop_with(cws_sandbox *sb, const cws_stop_options *options,
                              cws_error **error)
{
    const char *request_id = options->snapshot ? options->request_id : NULL;
    if (request_id && !utf8_valid(request_id, strlen(request_id))) {
        (void)error_set(error, CWS_E_INVALID, "request_id is not valid UTF-8");
        return NULL;
    }
    struct stop_op *stop = calloc(1, sizeof(*stop));
    if (!stop) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&stop->op, &stop_class, sb->client);
    stop->sb = cws_sandbox_ref(sb);
    stop->missing_ok = options->missing_ok != 0;
    stop->grace_ns = options->grace_ns;
    stop->snapshot = options->snapshot != 0;
    stop->wait_ready = options->no_wait_ready == 0;
    list_init(&stop->link);
    bool copied = !request_id || (stop->request_id = strdup(request_id));
    if (!copied)
        (void)error_give(error, &error_nomem);
    if (!copied || op_submit(&stop->op, error) < 0) {
        cws_op_unref(&stop->op);
        return NULL;
    }
    return &stop->op;
}

cws_op *cws_sandbox_stop(cws_sandbox *sb, uint64_t grace_ns, int missing_ok, cws_error **error)
{
    cws_stop_options options = {.grace_ns = grace_ns, .missing_ok = missing_ok};
    return cws_sandbox_stop_with(sb, &options, error);
}

void stop_unwanted(struct cws_sandbox *sb)
{
    struct cws_op *op = cws_sandbox_stop(sb, 0, 1, NULL);
    sb->undone = op != NULL;
    if (!op)
        sandbox_reclaim(sb); /* no memory: its lifetime ends it */
    cws_op_unref(op);
}
