/*
 * Creating a sandbox: once, however many ask. A place that is full is asked again within the
 * budget of the options, with the same request; then comes the second place, if there is one,
 * with a budget of its own.
 */
#include "base/util.h"
#include "client/leave.h"
#include "client/placement.h"
#include "client/sandbox.h"
#include "client/token.h"
#include "client/verdict.h"

/* ---- the second place ---- */

static bool may_spill(const struct cws_sandbox *sb, const struct cws_error *e)
{
    return buf_len(&sb->spill_request) > 0 && !sb->spilled && !sb->stopping && !sb->abandoned &&
           !sb->client->closing && placement_no_room(e);
}

/* The second place failed too. */
static void both_failed(struct cws_sandbox *sb, struct cws_error *e)
{
    error_add_cause(e, sb->no_room);
    error_add_note(e, "placement spillover: the first placement had no room (see the cause), "
                      "the alternate placement failed with this");
    error_unref(sb->no_room);
    sb->no_room = NULL;
    if (placement_is_definite(e))
        sandbox_set_spilled(sb, false);
}

/* ---- create ---- */

static struct cws_error *create_begin(struct cws_sandbox *sb);

void sandbox_reclaim(struct cws_sandbox *sb)
{
    if (!sb->abandoned)
        return;
    sb->abandoned = false;
    leave_ended(sb->client);
}

void sandbox_abandon(struct cws_sandbox *sb)
{
    if (sb->n_wanting == 0 || --sb->n_wanting > 0)
        return;
    if (sb->stopping || sb->client->closing)
        return;
    sb->abandoned = true;
    leave_began(sb->client);
    if (sb->state == SB_CREATING)
        create_stop_waiting(sb);
    else
        stop_unwanted(sb);
}

/* Who waits for its token does not have it yet. When that is all of the @n who wanted it, it can still be abandoned. */
static void count_wanting(struct cws_sandbox *sb, size_t n)
{
    size_t n_waiting = 0;
    LIST_FOREACH(it, &sb->token.waiters)
    {
        n_waiting++;
    }
    sb->n_wanting = n == n_waiting ? n : 0;
}

/* No further attempt at this place. */
static void create_failed(struct cws_sandbox *sb, struct cws_error *take_error)
{
    sb->create.retry = (struct retry){0};
    if (may_spill(sb, take_error)) {
        sb->no_room = take_error;
        options_renew_request_id(&sb->spill_request);
        sandbox_set_spilled(sb, true);
        take_error = create_begin(sb);
        if (!take_error)
            return;
    }
    if (sb->no_room)
        both_failed(sb, take_error);
    sandbox_reclaim(sb); /* nothing came of it that could be stopped */
    sb->n_wanting = 0;
    sb->state =
        SB_NEW; /* the request keeps its id: another start() cannot make a second sandbox */
    if (sb->stopping)
        stop_advance(sb);
    struct list started, running, terminal;
    list_init(&started);
    list_init(&running);
    list_init(&terminal);
    list_splice(&sb->started,
                &started); /* a waiter that starts again waits for the new attempt */
    list_splice(&sb->running, &running);
    list_splice(&sb->terminal, &terminal);
    sb_waiters_fire(&started, take_error);
    sb_waiters_fire(&running, take_error);
    sb_waiters_fire(&terminal, take_error);
    error_unref(take_error);
}

/* ---- the same place a little later ---- */

static void on_create_timer(struct timer *t)
{
    struct create *c = CONTAINER_OF(t, struct create, timer);
    struct cws_sandbox *sb = CONTAINER_OF(c, struct cws_sandbox, create);
    struct cws_error *error = TAKE_PTR(c->refused);
    /* What the last answer said is final when the budget was slept away */
    if (clock_now_ns() < c->retry.budget_end_ns) {
        error_unref(error);
        error = create_begin(sb);
    }
    if (error)
        create_failed(sb, error);
    cws_sandbox_unref(sb);
}

/* True: @take_error is kept, and the same request goes out again. */
static bool create_again(struct cws_sandbox *sb, struct cws_error *take_error)
{
    struct create *c = &sb->create;
    uint64_t delay_ns;
    if (!sb->times.create_budget_ns || sb->stopping || list_empty(&sb->started) ||
        sb->client->closing || !placement_busy(take_error) ||
        !retry_next(&c->retry, sb->times.create_budget_ns, take_error, &delay_ns))
        return false;
    c->refused = take_error;
    (void)cws_sandbox_ref(sb);
    timer_start_in(&sb->client->loop.timers, &c->timer, delay_ns, on_create_timer);
    return true;
}

void create_stop_waiting(struct cws_sandbox *sb)
{
    struct create *c = &sb->create;
    if (!timer_armed(&c->timer))
        return;
    timer_stop(&sb->client->loop.timers, &c->timer);
    create_failed(sb, TAKE_PTR(c->refused));
    cws_sandbox_unref(sb);
}

static void on_created(void *user, void *reply, const struct err *status)
{
    struct cws_sandbox *sb = user;
    const Pb__Sandbox *msg = reply;
    struct cws_error *error = NULL;
    if (!msg)
        error = error_from_status(status, &(struct error_site){.label = sb->create_label});
    else if (!*msg->sandbox_id)
        error = error_new(CWS_E_SANDBOX, "%s: the service's answer has no sandbox id",
                          sb->create_label);
    else if (sandbox_apply(sb, msg, APPLY_CREATE) < 0 && !sb->info.id)
        error =
            &error_nomem; /* without its id it cannot be used; the request id finds it again */
    if (error) {
        if (!create_again(sb, error))
            create_failed(sb, error);
    } else {
        sb->create.retry = (struct retry){0};
        error_unref(sb->no_room);
        sb->no_room = NULL;
        (void)token_on_created(sb, msg); /* without memory: as if it had not come */
        if (sb->abandoned)
            stop_unwanted(sb);
        sb_waiters_fire(&sb->started, NULL);
        count_wanting(sb, sb->n_wanting);
        if (sb->stopping)
            stop_advance(sb);
        sandbox_settle(sb);
    }
    cws_sandbox_unref(sb);
}

/* NULL, or why it could not be begun. */
static struct cws_error *create_begin(struct cws_sandbox *sb)
{
    if (sb->cancelled)
        return sandbox_not_running(sb);
    CLEANUP_ERR struct err err = {0};
    struct conn *conn = sandbox_conn(sb, &err);
    if (!conn)
        return error_from_local(&err);
    struct unary_call call = {
        .path = sb->create_method,
        .packed = sb->spilled ? &sb->spill_request : &sb->create_request,
        .reply = &pb__sandbox__descriptor,
        .target = sb->target,
        .timeout_ns = retry_timeout_exact(&sb->create.retry, sb->times.request_timeout_ns),
        .idempotent = true, /* by its request_id */
        .done = on_created,
        .user = sb,
    };
    (void)cws_sandbox_ref(sb);
    sb->state = SB_CREATING;
    sb->create.began_ns = clock_now_ns();
    if (!unary_start(conn, &call, NULL)) {
        sb->state = SB_NEW;
        cws_sandbox_unref(sb);
        return &error_nomem;
    }
    return NULL;
}

void sandbox_when_started(struct cws_sandbox *sb, struct sb_waiter *w)
{
    struct cws_error *error = NULL;
    if (sb->state == SB_NEW)
        error = create_begin(sb);
    if (!error && sb->state == SB_CREATING) {
        sandbox_reclaim(sb);
        sb->n_wanting++;
        list_append(&sb->started, &w->link);
        return;
    }
    (void)cws_sandbox_ref(sb); /* the waiter may hold the last reference */
    size_t n = sb->n_wanting ? sb->n_wanting + 1 : 0;
    w->fire(w, error);
    count_wanting(sb, n);
    error_unref(error);
    cws_sandbox_unref(sb);
}
