/* See token.h. */
#include "client/token.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

static bool needs_token(Pb__EndpointKind kind, Pb__EndpointAuth auth)
{
    return kind == PB__ENDPOINT_KIND__ENDPOINT_KIND_HTTPS &&
           auth == PB__ENDPOINT_AUTH__ENDPOINT_AUTH_SHARE_TOKEN;
}

/* As the service tells it, for what a template adds. */
static bool told_of_one(const Pb__Sandbox *msg)
{
    for (size_t i = 0; msg->spec && i < msg->spec->n_services; i++) {
        const Pb__EndpointSpec *e = msg->spec->services[i]->endpoint;
        if (e && needs_token(e->kind, e->auth))
            return true;
    }
    for (size_t i = 0; msg->status && i < msg->status->n_services; i++) {
        const Pb__EndpointStatus *e = msg->status->services[i]->endpoint;
        if (e && needs_token(e->kind, e->auth))
            return true;
    }
    return false;
}

/* Waiters may wait again, or drop the sandbox: the caller's reference keeps it. */
static void end_round(struct cws_sandbox *sb)
{
    struct token *t = &sb->token;
    if (!t->active)
        return;
    t->active = false;
    timer_stop(&sb->client->loop.timers, &t->timer);
    unary_cancel(t->call);
    t->call = NULL;
    struct list waiting;
    list_init(&waiting);
    list_splice(&t->waiters, &waiting);
    if (!list_empty(&waiting)) {
        sb_waiters_fire(&waiting, NULL);
        sb->n_wanting = 0; /* they have it */
    }
    cws_sandbox_unref(sb);
}

void token_give_up(struct cws_sandbox *sb)
{
    sb->token.wanted = false;
    end_round(sb);
}

static bool is_over(const Pb__Sandbox *msg)
{
    Pb__State state = msg->status ? msg->status->state : PB__STATE__STATE_UNSPECIFIED;
    return state == PB__STATE__STATE_COMPLETED || state == PB__STATE__STATE_FAILED ||
           state == PB__STATE__STATE_TERMINATED;
}

static void ask(struct cws_sandbox *sb);

static void on_pause(struct timer *timer)
{
    ask(CONTAINER_OF(timer, struct cws_sandbox, token.timer));
}

static void pause_round(struct cws_sandbox *sb, uint64_t hint_ns)
{
    struct token *t = &sb->token;
    uint64_t pause_ns = MIN(hint_ns ? hint_ns : t->pause_ns, TOKEN_PAUSE_MAX_NS);
    t->pause_ns = MIN(2 * t->pause_ns, TOKEN_PAUSE_MAX_NS);
    if (t->attempts >= TOKEN_ATTEMPTS || clock_now_ns() + pause_ns >= t->end_ns)
        end_round(sb);
    else
        timer_start_in(&sb->client->loop.timers, &t->timer, pause_ns, on_pause);
}

static void on_answer(struct cws_sandbox *sb, const Pb__Sandbox *msg)
{
    if (strcmp(msg->sandbox_id, sandbox_id_borrow(sb)) != 0) {
        token_give_up(sb);
    } else if (is_over(msg)) {
        (void)sandbox_apply(sb, msg, APPLY_POLL);
        token_give_up(sb);
        sandbox_settle(sb);
    } else if (*msg->endpoint_share_token) {
        if (sandbox_set_token(sb, msg->endpoint_share_token) == 0)
            sb->token.wanted = false;
        end_round(sb);
    } else {
        pause_round(sb, 0);
    }
}

static void on_asked(void *user, void *reply, const struct err *status)
{
    struct cws_sandbox *sb = cws_sandbox_ref(user);
    sb->token.call = NULL;
    if (reply) {
        on_answer(sb, reply);
    } else {
        struct cws_error *e =
            error_from_status(status, &(struct error_site){.label = sb->create_label});
        if (error_is_transient(e))
            pause_round(sb, cws_error_retry_delay_ns(e));
        else
            end_round(sb);
        error_unref(e);
    }
    cws_sandbox_unref(sb);
}

static void ask(struct cws_sandbox *sb)
{
    struct token *t = &sb->token;
    CLEANUP_ERR struct err err = {0};
    struct conn *conn = sandbox_conn(sb, &err);
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = t->end_ns > now_ns ? t->end_ns - now_ns : 1;
    struct unary_call call = {
        .path = sb->create_method,
        .packed = sb->spilled ? &sb->spill_request : &sb->create_request,
        .reply = &pb__sandbox__descriptor,
        .target = sb->target,
        .timeout_ns = MIN(MIN(TOKEN_RPC_NS, sb->times.request_timeout_ns), left_ns),
        .done = on_asked,
        .user = sb,
    };
    t->attempts++;
    t->call = conn ? unary_start(conn, &call, NULL) : NULL;
    if (!t->call)
        end_round(sb);
}

int token_on_created(struct cws_sandbox *sb, const Pb__Sandbox *msg)
{
    if (*msg->endpoint_share_token)
        return sandbox_set_token(sb, msg->endpoint_share_token);
    sb->token.wanted = (sb->token.asked || told_of_one(msg)) && !is_over(msg);
    return 0;
}

void token_wait(struct cws_sandbox *sb, struct sb_waiter *w)
{
    struct token *t = &sb->token;
    bool can = t->wanted && !sb->stopping && sb->state < SB_STOPPING && !sb->client->closing;
    if (!can) {
        w->fire(w, NULL);
        return;
    }
    list_append(&t->waiters, &w->link);
    if (t->active)
        return;
    (void)cws_sandbox_ref(sb);
    t->active = true;
    t->attempts = 0;
    t->end_ns = clock_now_ns() + TOKEN_ROUND_NS;
    t->pause_ns = TOKEN_PAUSE_NS;
    ask(sb);
}

void token_left(struct cws_sandbox *sb)
{
    if (list_empty(&sb->token.waiters))
        end_round(sb);
}
