/* Creating a sandbox: once, however many ask. */
#include <string.h>

#include "base/util.h"
#include "client/sandbox.h"

/* ---- the second place ---- */

#define REASON(name) "CWSANDBOX_" name

/* The first place has no room. Whoever says it: this only chooses where to try next. */
static const char *const no_room_reasons[] = {
    REASON("RUNNER_CAPACITY_EXHAUSTED"),
    REASON("PLACEMENT_REJECTED"),
    REASON("PLACEMENT_CONSTRAINT_UNSATISFIED"),
    REASON("NO_SUITABLE_RUNNER"),
    REASON("RUNNER_OVERLOADED"),
    REASON("RUNNER_UNAVAILABLE"),
};

static bool says_no_room(const struct cws_error *e)
{
    for (size_t i = 0; e->detail.reason && i < ARRAY_SIZE(no_room_reasons); i++)
        if (strcmp(e->detail.reason, no_room_reasons[i]) == 0)
            return true;
    return false;
}

/* Nothing was created for certain, so the next start() may begin at the first place again. After
 * anything else only the same request, with the same id, is safe. */
static bool is_definite(const struct cws_error *e)
{
    if (says_no_room(e))
        return true;
    switch ((int)e->kind) {
    case CWS_E_AUTHENTICATION:
    case CWS_E_NOT_FOUND:
        return true;
    case CWS_E_UNAVAILABLE:
    case CWS_E_SNAPSHOT_THROTTLED:
    case CWS_E_NOT_RUNNING:
    case CWS_E_TIMEOUT:
    case CWS_E_REQUEST_TIMEOUT:
    case CWS_E_COMMAND_TIMEOUT:
        return false;
    default:
        return e->detail.reason != NULL;
    }
}

static bool may_spill(const struct cws_sandbox *sb, const struct cws_error *e)
{
    return buf_len(&sb->spill_request) > 0 && !sb->spilled && !sb->stopping &&
           !sb->client->closing && says_no_room(e);
}

/* The second place failed too. */
static void both_failed(struct cws_sandbox *sb, struct cws_error *e)
{
    error_add_cause(e, sb->no_room);
    error_add_note(e, "placement spillover: the first placement had no room (see the cause), "
                      "the alternate placement failed with this");
    error_unref(sb->no_room);
    sb->no_room = NULL;
    if (is_definite(e))
        sandbox_set_spilled(sb, false);
}

/* ---- create ---- */

static struct cws_error *create_begin(struct cws_sandbox *sb);

static void create_failed(struct cws_sandbox *sb, struct cws_error *take_error)
{
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
        create_failed(sb, error);
    } else {
        error_unref(sb->no_room);
        sb->no_room = NULL;
        sb_waiters_fire(&sb->started, NULL);
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
        .timeout_ns = sb->times.request_timeout_ns,
        .idempotent = true, /* by its request_id */
        .done = on_created,
        .user = sb,
    };
    (void)cws_sandbox_ref(sb);
    sb->state = SB_CREATING;
    if (!sb->create_began_ns)
        sb->create_began_ns = clock_now_ns();
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
        list_append(&sb->started, &w->link);
        return;
    }
    w->fire(w, error);
    error_unref(error);
}
