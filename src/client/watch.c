/*
 * Waiting for a state, and asking for it. One question at a time per sandbox, whoever waits:.
 *
 * The kind of question follows the state: before RUNNING it asks for a stable state, after it
 * for the end. Against our service a question is a long-poll and the next one follows at once;
 * elsewhere the poll schedule applies. A failure that may pass is retried within a budget that
 * starts at the first failure of a row.
 */
#include "base/util.h"
#include "client/retry.h"
#include "client/sandbox.h"
#include "client/token.h"
#include "client/verdict.h"

/* Contract/sdk.md 3.3, 3.5. */
#define POLL_FIRST_NS RETRY_FIRST_NS
#define POLL_MAX_NS RETRY_MAX_NS
#define FRESH_NS (15 * NS_PER_SEC)
#define FRESH_MAX_NS (NS_PER_SEC / 2)
#define MISSING_WINDOW_NS (2 * NS_PER_SEC)
#define GRACE_TRIES 2u
#define GRACE_DELAY_NS (2 * NS_PER_SEC)
#define GRACE_RPC_NS (2 * NS_PER_SEC)
/* Chosen: long enough to be rare, short enough to notice a peer that died without a word. */
#define LONG_POLL_NS (60 * NS_PER_SEC)
/* An answer that came faster than this and brought nothing is no long-poll: fall back to the
 * schedule. */
#define LONG_POLL_MIN_NS (NS_PER_SEC)

static void ask(struct cws_sandbox *sb);

/* ---- who waits ---- */

/* Whether the wait for RUNNING is over, and how. */
static bool running_decided(const struct cws_sandbox *sb, struct cws_error **ret_error)
{
    *ret_error = NULL;
    if (sb->cancelled || (sb->stopping && sb->state == SB_CREATING)) {
        *ret_error = sandbox_not_running(sb);
        return true;
    }
    switch (sb->state) {
    case SB_NEW:
    case SB_CREATING:
    case SB_STARTING:
        return false;
    case SB_RUNNING:
        return true;
    case SB_STOPPING:
        if (sb->stop_owned)
            *ret_error = sandbox_not_running(sb);
        return true;
    case SB_TERMINAL:
        break;
    }
    if (sandbox_status(sb) == CWS_STATUS_FAILED) {
        *ret_error = sandbox_failed(sb);
        return true;
    }
    if (sandbox_status(sb) == CWS_STATUS_TERMINATED || sb->stop_owned)
        *ret_error = sandbox_terminated(sb);
    return true;
}

static bool anybody_waits(const struct cws_sandbox *sb)
{
    return !list_empty(&sb->running) || !list_empty(&sb->terminal);
}

static void watch_stop(struct cws_sandbox *sb)
{
    struct watch *w = &sb->watch;
    bool held = w->get || timer_armed(&w->timer);
    unary_cancel(w->get);
    timer_stop(&sb->client->loop.timers, &w->timer);
    error_unref(w->last);
    *w = (struct watch){0};
    if (held)
        cws_sandbox_unref(sb);
}

void sandbox_settle(struct cws_sandbox *sb)
{
    (void)cws_sandbox_ref(sb); /* a waiter may hold the last reference */
    struct cws_error *error;
    if (!list_empty(&sb->running) && running_decided(sb, &error)) {
        sb_waiters_fire(&sb->running, error);
        error_unref(error);
    }
    if (sb->state == SB_TERMINAL)
        sb_waiters_fire(&sb->terminal, NULL);
    struct watch *w = &sb->watch;
    if (!anybody_waits(sb) || sb->state < SB_STARTING || sb->state == SB_TERMINAL)
        watch_stop(sb);
    else if (!w->get && !timer_armed(&w->timer))
        ask(sb);
    cws_sandbox_unref(sb);
}

/* Ends every wait with @take: asking cannot go on. The next wait starts afresh. */
static void watch_fail(struct cws_sandbox *sb, struct cws_error *take)
{
    (void)cws_sandbox_ref(sb);
    watch_stop(sb);
    struct list running, terminal;
    list_init(&running);
    list_init(&terminal);
    list_splice(&sb->running, &running);
    list_splice(&sb->terminal, &terminal);
    sb_waiters_fire(&running, take);
    sb_waiters_fire(&terminal, take);
    error_unref(take);
    cws_sandbox_unref(sb);
}

/* ---- asking ---- */

static void on_timer(struct timer *t)
{
    struct watch *w = CONTAINER_OF(t, struct watch, timer);
    struct cws_sandbox *sb = CONTAINER_OF(w, struct cws_sandbox, watch);
    /* What the last answer said is final when the budget was slept away */
    if (w->next_retries && clock_now_ns() >= w->budget_end_ns)
        watch_fail(sb, TAKE_PTR(w->last));
    else
        ask(sb);
    cws_sandbox_unref(sb); /* the timer's; ask() has taken its own */
}

static void ask_in(struct cws_sandbox *sb, uint64_t delay_ns)
{
    (void)cws_sandbox_ref(sb);
    timer_start_in(&sb->client->loop.timers, &sb->watch.timer, delay_ns, on_timer);
}

static void on_failure(struct cws_sandbox *sb, struct cws_error *take)
{
    struct watch *w = &sb->watch;
    uint64_t now_ns = clock_now_ns();
    if (w->budget_end_ns == 0)
        w->budget_end_ns = now_ns + sb->times.retry_budget_ns;
    if (sb->client->closing || !error_is_transient(take) || now_ns >= w->budget_end_ns) {
        watch_fail(sb, take);
        return;
    }
    w->next_retries = true;
    ask_in(sb, retry_jitter(&w->retry_delay_ns, cws_error_retry_delay_ns(take),
                            w->budget_end_ns - now_ns));
    error_unref(w->last);
    w->last = take;
}

/* After our own stop a service may forget the sandbox before we saw its end:. */
static void on_missing(struct cws_sandbox *sb, struct cws_error *take)
{
    struct watch *w = &sb->watch;
    uint64_t now_ns = clock_now_ns();
    w->next_retries = false;
    if (!sb->stop_owned && !(sb->stopping && sb->stop_missing_ok)) {
        watch_fail(sb, take);
        return;
    }
    if (w->missing_end_ns == 0) {
        w->missing_end_ns = now_ns + MISSING_WINDOW_NS;
        w->missing_delay_ns = POLL_FIRST_NS;
    }
    if (now_ns >= w->missing_end_ns || sb->client->closing) {
        struct cws_error *e =
            error_new(CWS_E_TERMINAL_STATE_UNAVAILABLE,
                      "sandbox '%s' was stopped, but the service no longer knows how it ended",
                      sandbox_id_borrow(sb));
        error_add_sandbox_id(e, sandbox_id_borrow(sb));
        error_add_cause(e, take);
        error_unref(take);
        watch_fail(sb, e);
        return;
    }
    ask_in(sb, MIN(w->missing_delay_ns, w->missing_end_ns - now_ns));
    w->missing_delay_ns += w->missing_delay_ns / 2;
    error_unref(take);
}

static bool lacks_exit_code(const struct cws_sandbox *sb, const Pb__Sandbox *msg)
{
    const Pb__SandboxStatus *status = msg->status;
    return status && status->state == PB__STATE__STATE_COMPLETED &&
           !PROTO_HAS(status, exit_code) && !sb->stop_owned && !sb->conn->ours;
}

void watch_adopt(struct cws_sandbox *sb)
{
    if (!sb->watch.in_grace)
        return;
    sandbox_set_status(sb, SB_TERMINAL, CWS_STATUS_COMPLETED);
    sandbox_settle(sb);
}

/* COMPLETED without a code: ask a little longer before it becomes final. True while asking goes
 * on. */
static bool grace_goes_on(struct cws_sandbox *sb, const Pb__Sandbox *msg)
{
    struct watch *w = &sb->watch;
    if (!w->in_grace) {
        if (sb->state == SB_TERMINAL || !msg || !lacks_exit_code(sb, msg))
            return false;
        w->in_grace = true;
        w->grace_left = GRACE_TRIES;
    } else if (msg && msg->status && !lacks_exit_code(sb, msg)) {
        return false;
    }
    if (w->grace_left == 0 || sb->client->closing) {
        watch_adopt(sb);
        return true;
    }
    w->grace_left--;
    ask_in(sb, GRACE_DELAY_NS);
    return true;
}

/* Our own create was accepted a moment ago: whoever waits wants to know soon. */
static bool is_fresh(const struct cws_sandbox *sb)
{
    return sb->state == SB_STARTING && !sb->stopping && sb->create.began_ns &&
           !sb->info.startup_ns && clock_now_ns() - sb->create.began_ns < FRESH_NS;
}

static void on_state(struct cws_sandbox *sb, const Pb__Sandbox *msg)
{
    struct watch *w = &sb->watch;
    uint64_t took_ns = clock_now_ns() - w->asked_ns;
    w->budget_end_ns = w->retry_delay_ns = w->missing_end_ns = 0;
    w->next_retries = false;
    if (grace_goes_on(sb, msg))
        return;
    enum sb_state before = sb->state;
    (void)sandbox_apply(sb, msg, APPLY_POLL); /* without memory texts stay as they were */
    if (sb->state != before)
        w->interval_ns = 0;
    uint64_t delay_ns = w->interval_ns ? w->interval_ns : POLL_FIRST_NS;
    w->interval_ns = MIN(delay_ns + delay_ns / 2, POLL_MAX_NS);
    if (is_fresh(sb)) /* the schedule goes on underneath */
        delay_ns = MIN(delay_ns, FRESH_MAX_NS);
    bool other_question = w->terminal != (sb->state > SB_STARTING);
    bool at_once = sb->conn->ours &&
                   (took_ns >= LONG_POLL_MIN_NS || sb->state != before || other_question);
    /* Arm first: settle() sees that asking goes on, and stops it if nobody is left. */
    ask_in(sb, at_once ? 0 : delay_ns);
    sandbox_settle(sb);
}

static void on_answer(void *user, void *reply, const struct err *status)
{
    struct cws_sandbox *sb = user;
    struct watch *w = &sb->watch;
    w->get = NULL;
    if (reply) {
        on_state(sb, reply);
    } else if (w->in_grace) {
        (void)grace_goes_on(sb, NULL);
    } else {
        struct cws_error *e = error_from_status(
            status,
            &(struct error_site){.label = "Get sandbox", .sandbox_id = sandbox_id_borrow(sb)});
        if (error_is_not_found(e))
            on_missing(sb, e);
        else
            on_failure(sb, e);
    }
    cws_sandbox_unref(sb);
}

static uint64_t ask_timeout(const struct cws_sandbox *sb, bool long_poll)
{
    const struct watch *w = &sb->watch;
    uint64_t now_ns = clock_now_ns();
    if (w->in_grace)
        return GRACE_RPC_NS;
    if (w->next_retries && w->budget_end_ns) {
        uint64_t left_ns = w->budget_end_ns > now_ns ? w->budget_end_ns - now_ns : 0;
        return MIN(sb->times.poll_timeout_ns, MAX(RETRY_RPC_MIN_NS, left_ns));
    }
    if (long_poll)
        return LONG_POLL_NS;
    return sb->times.retry_budget_ns ? MIN(sb->times.poll_timeout_ns, sb->times.retry_budget_ns)
                                     : sb->times.poll_timeout_ns;
}

static void ask(struct cws_sandbox *sb)
{
    struct watch *w = &sb->watch;
    CLEANUP_ERR struct err err = {0};
    struct conn *conn = sandbox_conn(sb, &err);
    Pb__GetSandboxRequest request = PB__GET_SANDBOX_REQUEST__INIT;
    request.sandbox_id = (char *)sandbox_id_borrow(sb);
    w->terminal = sb->state > SB_STARTING;
    struct unary_call call = {
        .path = PROTO_PATH_SANDBOX("GetSandbox"),
        .request = &request,
        .reply = &pb__sandbox__descriptor,
        .target = sb->target,
        .wait = w->in_grace   ? NULL
                : w->terminal ? "terminal"
                              : "stable",
        .timeout_ns = ask_timeout(sb, conn && conn->ours),
        .idempotent = true,
        .done = on_answer,
        .user = sb,
    };
    w->asked_ns = clock_now_ns();
    (void)cws_sandbox_ref(sb);
    w->get = conn ? unary_start(conn, &call, NULL) : NULL;
    if (!w->get) {
        watch_fail(sb, &error_nomem);
        cws_sandbox_unref(sb);
    }
}

/* ---- for the others ---- */

void sandbox_when_running(struct cws_sandbox *sb, struct sb_waiter *w)
{
    list_append(&sb->running, &w->link);
    sandbox_settle(sb);
}

void sandbox_when_terminal(struct cws_sandbox *sb, struct sb_waiter *w)
{
    list_append(&sb->terminal, &w->link);
    sandbox_settle(sb);
}

void sb_waiter_cancel(struct cws_sandbox *sb, struct sb_waiter *w)
{
    list_remove(&w->link);
    token_left(sb);
    if (!anybody_waits(sb))
        watch_stop(sb);
    if (list_empty(&sb->started))
        create_stop_waiting(sb);
}
