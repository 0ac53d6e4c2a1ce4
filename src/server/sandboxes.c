/*
 * GetSandbox (with the long poll of docs/architecture.md "Waiting without polling") and
 * DeleteSandbox.
 */
#include <string.h>

#include "base/util.h"
#include "server/dispatch.h"
#include "server/record.h"
#include "server/spec.h"
#include "server/usage-wait.h"

#define WAIT_DEFAULT_NS (60 * NS_PER_SEC) /* a wait without a deadline */
#define WAIT_MARGIN_NS (50 * NS_PER_MS)   /* the answer leaves so long before the deadline */
#define GRACE_MAX_SECONDS 3600            /* chosen; an older hosted service had 300 */

struct get_wait {
    struct call *call;
    struct sandbox *sandbox; /* reference */
    struct sandbox_watch watch;
    struct timer timer;
    struct usage_wait *usage; /* NULL: not asked for */
};

static void reply_sandbox(struct call *call, struct sandbox *sb)
{
    struct sandbox_message m;
    sandbox_message_fill(&m, sb);
    call_reply(call, &m.message);
}

static bool reached(struct sandbox *sb, enum call_wait wait)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    if (wait == CALL_WAIT_TERMINAL)
        return sandbox_state_terminal(info.state);
    if (wait == CALL_WAIT_STABLE)
        return !sandbox_state_starting(info.state);
    return true;
}

static void on_state(void *user, struct sandbox *sb)
{
    struct get_wait *w = user;
    if (reached(sb, w->call->wait))
        reply_sandbox(w->call, sb);
}

static void on_timer(struct timer *t)
{
    struct get_wait *w = CONTAINER_OF(t, struct get_wait, timer);
    reply_sandbox(w->call, w->sandbox);
}

void get_on_stopping(struct call *call)
{
    struct get_wait *w = call->state;
    if (w != NULL)
        reply_sandbox(call, w->sandbox);
}

void get_on_release(struct call *call)
{
    struct get_wait *w = call->state;
    if (w == NULL)
        return;
    sandbox_watch_remove(&w->watch);
    timer_stop(&call->service->timers, &w->timer);
    usage_wait_cancel(w->usage);
    sandbox_unref(w->sandbox);
    free(w);
}

static struct get_wait *wait_new(struct call *call, struct sandbox *sb)
{
    struct get_wait *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return NULL;
    }
    w->call = call;
    w->sandbox = sandbox_ref(sb);
    call->state = w;
    return w;
}

static void on_usage(void *user)
{
    struct get_wait *w = user;
    w->usage = NULL;
    reply_sandbox(w->call, w->sandbox);
}

/* What it uses is part of the answer, which a second's old figures are good for. */
static void reply_with_usage(struct call *call, struct sandbox *sb)
{
    if (!sandbox_usage_is_stale(sb) || call->service->stopping) {
        reply_sandbox(call, sb);
        return;
    }
    struct get_wait *w = wait_new(call, sb);
    if (w == NULL)
        return;
    w->usage = usage_wait_new(sb, on_usage, w);
    if (w->usage == NULL)
        reply_sandbox(call, sb);
}

static void wait_for(struct call *call, struct sandbox *sb)
{
    struct get_wait *w = wait_new(call, sb);
    if (w == NULL)
        return;
    w->watch.cb = on_state;
    w->watch.user = w;
    sandbox_watch_add(sb, &w->watch);
    uint64_t when_ns = call->deadline_ns > WAIT_MARGIN_NS ? call->deadline_ns - WAIT_MARGIN_NS
                                                          : call->start_ns + WAIT_DEFAULT_NS;
    timer_start(&call->service->timers, &w->timer, when_ns, on_timer);
}

void get_on_request(struct call *call, void *request)
{
    Pb__GetSandboxRequest *req = request;
    CLEANUP_ERR struct err err = {0};
    struct sandbox *sb =
        sandbox_find(call->service->runtime, call->owner, req->sandbox_id, &err);
    if (sb == NULL)
        call_finish(call, &err);
    else if (reached(sb, call->wait) || call->service->stopping)
        reply_with_usage(call, sb);
    else
        wait_for(call, sb);
}

static int check_delete(const Pb__DeleteSandboxRequest *req, struct err *err)
{
    if (req->grace_period_seconds < 0 || req->grace_period_seconds > GRACE_MAX_SECONDS)
        return err_invalid(err, "grace_period_seconds", "%d is not 0 to %d",
                           req->grace_period_seconds, GRACE_MAX_SECONDS);
    if (req->n_snapshot_volumes > 0 && req->allow_missing)
        return err_invalid(err, "snapshot_volumes", "cannot be combined with allow_missing");
    if (req->n_snapshot_volumes > 0)
        return err_set_reason(
            err, ERR_UNIMPLEMENTED, "CWSANDBOX_FSS_NOT_SUPPORTED",
            "snapshot_volumes: file system snapshots are not implemented by this service");
    return 0;
}

void delete_on_request(struct call *call, void *request)
{
    Pb__DeleteSandboxRequest *req = request;
    Pb__DeleteSandboxResponse response = PB__DELETE_SANDBOX_RESPONSE__INIT;
    CLEANUP_ERR struct err err = {0};
    if (check_delete(req, &err) < 0) {
        call_finish(call, &err);
        return;
    }
    struct sandbox *sb =
        sandbox_find(call->service->runtime, call->owner, req->sandbox_id, &err);
    if (sb == NULL && !(req->allow_missing && err.code == ERR_NOT_FOUND)) {
        call_finish(call, &err);
        return;
    }
    struct sandbox_message m;
    if (sb != NULL) { /* absent and allowed to be: `sandbox` stays unset */
        sandbox_ref(sb);
        sandbox_stop(sb, (uint64_t)req->grace_period_seconds * NS_PER_SEC,
                     "deleted by a client");
        sandbox_message_fill(&m, sb);
        response.sandbox = &m.message;
    }
    call_reply(call, &response);
    sandbox_unref(sb);
}
