/*
 * The life of one RPC. See call.h.
 */
#include "server/call.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "server/auth.h"
#include "wire/exec-facts.h"
#include "wire/grpc.h"

#define VERSION_HEADER "x-cwsandbox-server"
#define WAIT_HEADER "x-cwsandbox-wait"
#define LATE_ANSWER_NS \
    NS_PER_SEC /* chosen: for the status that says that the deadline passed */
/* chosen: for the end of a command that is killed, usually some ms; client/exec.h waits a little longer */
#define EXPIRE_NS (2 * NS_PER_SEC)
/* Chosen: a client that says nothing more for so long in the middle of its request is gone or hostile. */
#define REQUEST_PATIENCE_NS (60 * NS_PER_SEC)
/* Chosen: the one answer of a unary call, of which nothing was taken for so long. A stream may wait for its reader for ever:
 * it is bounded by its owner's share. */
#define ANSWER_PATIENCE_NS (120 * NS_PER_SEC)

static void call_release(struct call *call)
{
    if (call->method->on_release != NULL)
        call->method->on_release(call);
    call->state = NULL;
    proto_free(TAKE_PTR(call->request));
    budget_give(call_share(call, SHARE_REQUEST_BYTES), call->request_bytes);
    call->request_bytes = 0;
}

/* A stream is held back by its source (call_is_full); an answer of one message is whole before it begins to leave. */
static bool answer_fits(struct call *call, size_t n)
{
    return call->method->kind != METHOD_UNARY || n <= SERVICE_SMALL_BYTES ||
           n <= budget_room(call_share(call, SHARE_ANSWER_BYTES));
}

bool call_is_full(struct call *call)
{
    return !call->finished && grpc_call_is_full(call->grpc);
}

int call_send(struct call *call, const void *head, size_t head_len, struct buf *take_body)
{
    if (call->finished)
        return -EPIPE;
    if (!answer_fits(call, head_len + (take_body != NULL ? buf_len(take_body) : 0))) {
        if (take_body != NULL)
            buf_done(take_body);
        return -ENOBUFS;
    }
    if (!call->headers_sent) {
        static const struct grpc_header ours[] = {{VERSION_HEADER, CWS_VERSION},
                                                  {EXEC_FIELDS_HEADER, EXEC_FIELDS},
                                                  {EXEC_FILES_HEADER, EXEC_FILES}};
        int r = grpc_call_send_headers(call->grpc, ours, ARRAY_SIZE(ours));
        if (r < 0)
            return r;
        call->headers_sent = true;
    }
    return grpc_call_send(call->grpc, head, head_len, take_body);
}

int call_send_message(struct call *call, const void *message)
{
    CLEANUP_BUF struct buf body = {0};
    int r = proto_pack(message, &body);
    return r < 0 ? r : call_send(call, NULL, 0, &body);
}

void call_add_trailer(struct call *call, const char *name, const char *value)
{
    const struct grpc_header trailer = {name, value};
    (void)grpc_call_add_trailer(call->grpc, &trailer);
}

/* Refusals tell an operator something; a missing file or sandbox is everyday life of a program. */
static void log_refusal(struct call *call, const struct err *status)
{
    struct log_text text;
    size_t n_silent;
    if (!account_may_log(call->account, clock_now_ns(), &n_silent))
        return;
    if (n_silent > 0)
        log_event(LOG_WARN, "calls_refused", "owner=%s not_logged=%zu", call->account->name,
                  n_silent);
    log_event(LOG_WARN, "call_refused", "method=%s peer=\"%s\" owner=%s code=%s error=\"%s\"",
              call->method->path, call->peer, call->owner, err_code_name(call->code),
              log_text(&text, err_text(status)));
}

static void note_end(struct call *call, const struct err *status)
{
    call->finished = true;
    call->code = status != NULL ? status->code : ERR_OK;
    if (call->code == ERR_UNAUTHENTICATED || call->code == ERR_PERMISSION_DENIED ||
        call->code == ERR_RESOURCE_EXHAUSTED || call->code == ERR_INTERNAL)
        log_refusal(call, status);
    call_release(call);
}

/* ---- patience ---- */

static void on_patience(struct timer *t);

static void be_patient(struct call *call, uint64_t progress, uint64_t wait_ns)
{
    call->progress = progress;
    timer_start(&call->service->timers, &call->patience, clock_now_ns() + wait_ns, on_patience);
}

static void on_patience(struct timer *t)
{
    struct call *call = CONTAINER_OF(t, struct call, patience);
    bool answered = call->finished;
    uint64_t progress =
        answered ? grpc_call_queued(call->grpc) : grpc_call_received(call->grpc);
    if (progress != call->progress)
        be_patient(call, progress, answered ? ANSWER_PATIENCE_NS : REQUEST_PATIENCE_NS);
    else if (answered)
        grpc_call_cancel(call->grpc, ERR_DEADLINE_EXCEEDED, "the answer was not taken in time");
    else
        call_refuse(call, ERR_DEADLINE_EXCEEDED, NULL,
                    "the request did not go on arriving for %llu s",
                    (unsigned long long)(REQUEST_PATIENCE_NS / NS_PER_SEC));
}

static void request_is_whole(struct call *call)
{
    timer_stop(&call->service->timers, &call->patience);
}

void call_finish(struct call *call, const struct err *status)
{
    if (call->finished)
        return;
    note_end(call, status);
    if (grpc_call_finish(call->grpc, status) < 0)
        grpc_call_cancel(call->grpc, ERR_INTERNAL, "out of memory");
    else if (call->method->kind == METHOD_UNARY || !call->headers_sent)
        be_patient(call, grpc_call_queued(call->grpc), ANSWER_PATIENCE_NS);
    else
        timer_stop(&call->service->timers, &call->patience);
}

void call_reply(struct call *call, const void *message)
{
    int r = call_send_message(call, message);
    if (r == -ENOBUFS)
        call_refuse_full(call, SHARE_ANSWER_BYTES);
    else if (r < 0)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "send the answer: out of memory");
    else
        call_finish(call, NULL);
}

void call_refuse_full(struct call *call, enum share share)
{
    CLEANUP_ERR struct err err = {0};
    (void)account_full(call->account, share, &err);
    call_finish(call, &err);
}

void call_refuse(struct call *call, enum err_code code, const char *reason, const char *fmt,
                 ...)
{
    CLEANUP_ERR struct err err = {0};
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    (void)err_set_reason(&err, code, reason, "%s", text != NULL ? text : "out of memory");
    call_finish(call, &err);
}

void call_turn_away(struct call *call, const char *why)
{
    grpc_call_refuse(call->grpc, why);
}

void call_pause(struct call *call)
{
    grpc_call_pause(call->grpc);
}

void call_resume(struct call *call)
{
    grpc_call_resume(call->grpc);
}

void call_stop_waiting(struct call *call)
{
    if (!call->finished && call->method->on_stopping != NULL)
        call->method->on_stopping(call);
}

static void on_deadline(struct timer *t);

static void end_late(struct call *call, const char *text)
{
    timer_start(&call->service->timers, &call->deadline, clock_now_ns() + LATE_ANSWER_NS,
                on_deadline);
    call_refuse(call, ERR_DEADLINE_EXCEEDED,
                call->method->runs_command ? "CWSANDBOX_COMMAND_TIMEOUT" : NULL, "%s", text);
}

/* Ends also a call that was answered: a client that takes nothing keeps the answer here, but not past the time at which
 * it gives up. */
static void on_deadline(struct timer *t)
{
    struct call *call = CONTAINER_OF(t, struct call, deadline);
    bool command = call->method->runs_command;
    if (call->finished) {
        grpc_call_cancel(call->grpc, ERR_DEADLINE_EXCEEDED, "the answer was not taken in time");
        return;
    }
    if (!call->expired && call->method->on_expire != NULL) {
        call->expired = true;
        timer_start(&call->service->timers, &call->deadline, clock_now_ns() + EXPIRE_NS,
                    on_deadline);
        if (call->method->on_expire(call))
            return;
    }
    end_late(call, command ? "the command did not end within the deadline and is being killed"
                           : "the deadline passed");
}

void call_expire(struct call *call)
{
    end_late(call, "the command did not end within the deadline and was killed");
}

/* A whole request and its half-close are there. */
static void call_run(struct call *call)
{
    if (call->finished)
        return;
    if (call->request == NULL && call->method->request != NULL)
        call_refuse(call, ERR_UNIMPLEMENTED, NULL, "%s: no request message",
                    call->method->path);
    else
        call->method->on_request(call, call->request);
}

/* The message and what it says, for as long as the call is served. */
static void keep_request(struct call *call, const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    if (n > SERVICE_SMALL_BYTES && n > budget_room(call_share(call, SHARE_REQUEST_BYTES))) {
        /* In the words that make clients send a file in a stream instead. */
        (void)account_full(call->account, SHARE_REQUEST_BYTES, &err);
        (void)err_wrap(&err, "received message larger than max for now (%zu vs. %zu)", n,
                       budget_room(call_share(call, SHARE_REQUEST_BYTES)));
        call_finish(call, &err);
        return;
    }
    budget_force(call_share(call, SHARE_REQUEST_BYTES), n);
    call->request_bytes = n;
    call->request = proto_unpack(call->method->request, data, n, &err);
    if (call->request == NULL)
        call_finish(call, &err);
}

static void on_message(void *user, struct grpc_call *grpc, const uint8_t *data, size_t n)
{
    struct call *call = user;
    if (call->finished)
        return; /* what was under way when we ended the call */
    if (call->method->kind == METHOD_BIDI) {
        request_is_whole(call);
        call->method->on_message(call, data, n);
    } else if (call->method->request == NULL) {
        return; /* answered at the half-close, whatever it holds */
    } else if (call->request != NULL) {
        call_refuse(call, ERR_UNIMPLEMENTED, NULL, "%s: more than one request message",
                    call->method->path);
    } else {
        keep_request(call, data, n);
    }
}

static void on_half_close(void *user, struct grpc_call *grpc)
{
    struct call *call = user;
    call->half_closed = true;
    if (call->finished)
        return;
    request_is_whole(call);
    if (call->method->kind == METHOD_BIDI)
        call->method->on_half_close(call);
    else
        call_run(call);
}

static void on_drain(void *user, struct grpc_call *grpc)
{
    struct call *call = user;
    if (!call->finished && call->method->on_drain != NULL)
        call->method->on_drain(call);
}

static void on_close(void *user, struct grpc_call *grpc, const struct grpc_close *how)
{
    struct call *call = user;
    struct service *s = call->service;
    const struct err cancelled = {.code = ERR_CANCELLED};
    if (!call->finished) /* the client left, or wire/ refused a message */
        note_end(call, how->by_peer ? &cancelled : how->status);
    log_event(LOG_DEBUG, "call", "method=%s peer=\"%s\" owner=%s code=%s%s ms=%.2f",
              call->method->path, call->peer, call->owner, err_code_name(call->code),
              how->by_peer ? " client=gone" : "",
              (double)(clock_now_ns() - call->start_ns) / (double)NS_PER_MS);
    timer_stop(&s->timers, &call->deadline);
    timer_stop(&s->timers, &call->patience);
    list_remove(&call->link);
    s->n_calls--;
    if (call->counted)
        budget_give(call_share(call, SHARE_CALLS), 1);
    else
        call->account->n_refused_calls--;
    exec_headers_done(&call->exec);
    free(call);
    service_activity(s);
}

static const struct grpc_call_events call_events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_drain = on_drain,
    .on_close = on_close,
};

static enum call_wait parse_wait(const struct grpc_request *req)
{
    const char *wait = grpc_header_find(req->headers, req->n_headers, WAIT_HEADER);
    if (wait != NULL && strcmp(wait, "stable") == 0)
        return CALL_WAIT_STABLE;
    if (wait != NULL && strcmp(wait, "terminal") == 0)
        return CALL_WAIT_TERMINAL;
    return CALL_WAIT_NONE; /* unknown words are no error: a newer client may know more than we
                              do */
}

/* Stands in for methods we never heard of, so that they are refused by the same path as
 * everything else. */
static const struct method unknown_method = {
    .path = "unknown", .kind = METHOD_UNARY, .open = true};

static int read_exec_headers(struct call *call, const struct grpc_request *req, struct err *err)
{
    call->exec.files =
        grpc_header_find(req->headers, req->n_headers, EXEC_FILES_HEADER) != NULL;
    struct exec_headers_text text = {
        .cwd_base64 = grpc_header_find(req->headers, req->n_headers, EXEC_CWD_HEADER),
        .user = grpc_header_find(req->headers, req->n_headers, EXEC_USER_HEADER),
        .port = grpc_header_find(req->headers, req->n_headers, EXEC_PORT_HEADER),
    };
    return exec_headers_read(&call->exec, &text, err);
}

/* Ends what may not be served; the call is bound, so all ways lead to on_close. */
static void admit(struct call *call, struct connection *c, const struct grpc_request *req,
                  const struct err *stranger)
{
    CLEANUP_ERR struct err err = {0};
    if (!call->counted &&
        (call->stranger || call->account->n_refused_calls > ACCOUNT_MAX_REFUSED_CALLS))
        transport_close(connection_transport(c), "too many calls");
    else if (call->stranger && !call->method->open)
        call_finish(call, stranger);
    else if (!call->counted)
        call_refuse_full(call, SHARE_CALLS);
    else if (!call->stranger && connection_claim(c, call->account, &err) < 0)
        call_finish(call, &err);
    else if (call->method == &unknown_method)
        call_refuse(call, ERR_UNIMPLEMENTED, NULL, "unknown method %s", req->path);
    else if (call->method->runs_command && read_exec_headers(call, req, &err) < 0)
        call_finish(call, &err);
}

static void start_deadline(struct call *call, uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns >= UINT64_MAX - call->start_ns)
        return;
    call->deadline_ns = call->start_ns + timeout_ns;
    timer_start(&call->service->timers, &call->deadline, call->deadline_ns, on_deadline);
}

/* Whose it is: @err says why it is a stranger's. */
static void identify(struct call *call, const struct transport_peer *peer,
                     const struct grpc_request *req, struct err *err)
{
    struct accounts *all = &call->service->accounts;
    call->stranger = auth_check(call->service, peer, req, call->owner, err) < 0;
    call->account = call->stranger ? NULL : account_get(all, call->owner);
    if (call->account == NULL && !call->stranger)
        call->stranger = err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory") < 0;
    if (call->account == NULL)
        call->account = &all->strangers;
    call->counted = budget_take(call_share(call, SHARE_CALLS), 1);
    call->account->n_refused_calls += !call->counted;
}

void call_accept(struct service *s, struct connection *c, struct grpc_call *grpc,
                 const struct grpc_request *req)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        grpc_call_cancel(grpc, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    const struct transport_peer *peer = transport_peer(connection_transport(c));
    const struct method *method = s->find_method(req->path);
    call->service = s;
    call->grpc = grpc;
    call->method = method != NULL ? method : &unknown_method;
    call->peer = peer->text;
    call->wait = parse_wait(req);
    call->start_ns = clock_now_ns();
    list_append(&s->calls, &call->link);
    s->n_calls++;
    CLEANUP_ERR struct err err = {0};
    identify(call, peer, req, &err);
    grpc_call_bind(grpc, &call_events, call);
    grpc_call_limit(grpc, call->method->max_request_bytes);
    grpc_call_charge(grpc, call_share(call, SHARE_REQUEST_BYTES),
                     call_share(call, SHARE_ANSWER_BYTES));
    service_activity(s);
    be_patient(call, 0, REQUEST_PATIENCE_NS);
    admit(call, c, req, &err);
    if (!call->finished)
        start_deadline(call, req->timeout_ns);
}
