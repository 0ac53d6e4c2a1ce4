/*
 * Start, idle exit and shutdown of the service. See service.h for the states.
 */
#include "server/service.h"

#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/rundir.h"
#include "base/util.h"
#include "privproto/handover.h"
#include "server/call.h"
#include "server/supervisor.h"

bool service_may_connect(const struct service *s, uid_t uid)
{
    if (uid == s->owner_uid)
        return true;
    if (s->options->embedded)
        return false; /* not even root: the socket is one user's own */
    if (uid == 0)
        return true;
    for (size_t i = 0; i < s->options->n_allowed_uids; i++)
        if (s->options->allowed_uids[i] == uid)
            return true;
    return false;
}

/* ---- the end ---- */

static void on_runtime_closed(void *user)
{
    struct service *s = user;
    log_event(LOG_INFO, "stopped", "exit_status=%d", s->exit_status);
    listeners_close(s); /* should the supervisor's answer still be on its way */
    supervisor_close(s);
    pulls_done(&s->pulls);
    timers_close(&s->timers, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(s->signals); i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
}

/* Second half of a stop: with the last connection gone nobody can ask for anything, so the
 * sandboxes end. */
static void close_runtime(struct service *s)
{
    if (!s->stopping || s->n_connections > 0 || s->runtime == NULL)
        return;
    timer_stop(&s->timers, &s->drain);
    if (s->leaving) {
        /* What is written down is written, what a log has not is in its pipe. Closing would end sandboxes. */
        log_event(LOG_INFO, "left", "active=%zu", runtime_n_active(s->runtime));
        _exit(0);
    }
    runtime_close(TAKE_PTR(s->runtime), on_runtime_closed, s);
}

static void on_drain_over(struct timer *t)
{
    struct service *s = CONTAINER_OF(t, struct service, drain);
    log_event(LOG_WARN, "drain_over", "open_calls=%zu", s->n_calls);
    connections_close(s, "the service is stopping");
    web_close(s, "the service is stopping");
}

/* Each connection closes by itself once its answers are out. */
static void drain(struct service *s, uint64_t patience_ns)
{
    LIST_FOREACH_SAFE(it, &s->calls)
    {
        call_stop_waiting(CONTAINER_OF(it, struct call, link));
    }
    connections_shutdown(s);
    web_shutdown(s);
    timer_start_in(&s->timers, &s->drain, patience_ns, on_drain_over);
    close_runtime(s);
}

void service_stop(struct service *s, const char *why)
{
    if (s->stopping)
        return;
    s->stopping = true;
    log_event(LOG_INFO, "stopping", "why=\"%s\" open_calls=%zu", why, s->n_calls);
    timer_stop(&s->timers, &s->idle);
    supervisor_say_stopping(s); /* the socket files go first: service_unlinked() */
    drain(s, SERVICE_DRAIN_NS);
}

void service_leave(struct service *s)
{
    if (s->stopping)
        return;
    s->stopping = s->leaving = true;
    log_event(LOG_INFO, "leaving", "open_calls=%zu", s->n_calls);
    timer_stop(&s->timers, &s->idle);
    listeners_close(s);
    drain(s, SERVICE_LEAVE_NS);
}

void service_unlinked(struct service *s)
{
    if (s->stopping)
        listeners_close(s);
}

void service_connection_closed(struct service *s)
{
    s->n_connections--;
    close_runtime(s);
}

/* ---- idle ---- */

static void on_idle(struct timer *t)
{
    service_stop(CONTAINER_OF(t, struct service, idle), "idle");
}

void service_activity(struct service *s)
{
    if (s->stopping || s->options->idle_ns == 0)
        return;
    bool busy = s->n_calls > 0 || runtime_n_active(s->runtime) > 0;
    if (busy)
        timer_stop(&s->timers, &s->idle);
    else
        timer_start(&s->timers, &s->idle, clock_now_ns() + s->options->idle_ns, on_idle);
}

/* ---- events from outside ---- */

static void on_signal(uv_signal_t *handle, int signo)
{
    struct service *s = handle->data;
    if (s->stopping) {
        log_event(LOG_WARN, "killed", "signal=%d", signo);
        _exit(s->leaving ? 0 : 1); /* the supervisor ends every sandbox */
    }
    service_stop(s, signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_runtime_lost(void *user, const struct err *why)
{
    (void)user;
    log_event(LOG_ERROR, "runtime_lost", "error=\"%s\"", err_text(why));
    /* No sandbox can be trusted or even reached; whatever is still open ends with this process.
     */
    _exit(1);
}

static void on_log_lost(void *user, const char *sandbox_id, int error)
{
    (void)user;
    log_event(LOG_ERROR, "log_lost", "sandbox=%s error=\"%s\"", sandbox_id, strerror(error));
}

/* ---- the beginning ---- */

static int start_signals(struct service *s, struct err *err)
{
    static const int signals[ARRAY_SIZE(s->signals)] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        s->signals[i].data = s;
        int r = uv_signal_init(s->loop, &s->signals[i]);
        if (r == 0)
            r = uv_signal_start(&s->signals[i], on_signal, signals[i]);
        if (r < 0)
            return err_set_errno(err, ERR_INTERNAL, -r, "watch signal %d", signals[i]);
    }
    return 0;
}

int service_start(struct service *s, struct err *err)
{
    (void)signal(SIGHUP, SIG_IGN); /* the supervisor's word is what brings new keys */
    list_init(&s->listeners);
    list_init(&s->connections);
    list_init(&s->strangers);
    accounts_init(&s->accounts);
    list_init(&s->visitors);
    list_init(&s->web_strangers);
    list_init(&s->calls);
    s->start_wall_ns = clock_wall_ns();
    if (timers_init(&s->timers, s->loop) < 0)
        return err_set(err, ERR_INTERNAL, "start a timer");
    pulls_init(&s->pulls, s->loop, &s->timers, supervisor_fetch);
    if (start_signals(s, err) < 0)
        return -1;
    runtime_on_lost(s->runtime, on_runtime_lost, s);
    runtime_on_log_lost(s->runtime, on_log_lost, s);
    if (supervisor_open(s, err) < 0)
        return -1;
    const struct text_list *urls = &s->options->listen;
    if (s->options->embedded)
        return listener_open(s, "unix:///" RUNDIR_SOCKET, HANDOVER_LISTEN, err);
    for (size_t i = 0; i < urls->n_items; i++)
        if (listener_open(s, urls->items[i], HANDOVER_LISTEN + (int)i, err) < 0)
            return -1;
    if (s->options->front == NULL)
        return 0;
    return listener_open_web(s, s->options->front, HANDOVER_LISTEN + (int)urls->n_items, err);
}

void service_done(struct service *s)
{
    keys_free(s->keys);
    tls_config_unref(s->tls);
    tls_config_unref(s->web_tls);
    sites_done(&s->sites);
    s->keys = NULL;
    s->tls = s->web_tls = NULL;
    accounts_done(&s->accounts);
}
