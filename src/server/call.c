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

#define VERSION_HEADER "x-cwsandbox-server"
#define WAIT_HEADER "x-cwsandbox-wait"
#define LATE_ANSWER_NS \
    NS_PER_SEC /* chosen: for the status that says that the deadline passed */

static void call_release(struct call *call)
{
    if (call->method->on_release != NULL)
        call->method->on_release(call);
    call->state = NULL;
    proto_free(TAKE_PTR(call->request));
}

/* A stream is held back by its source (GRPC_HIGH_WATER); an answer of one message is whole before it begins to leave. */
static int answer_reserve(struct call *call, size_t n)
{
    struct service *s = call->service;
    if (call->method->kind != METHOD_UNARY || n <= SERVICE_SMALL_ANSWER_BYTES)
        return 0;
    if (n > SERVICE_MAX_ANSWER_BYTES - s->answer_bytes)
        return -ENOMEM;
    s->answer_bytes += n;
    call->answer_bytes += n;
    return 0;
}

int call_send(struct call *call, const void *head, size_t head_len, struct buf *take_body)
{
    if (call->finished)
        return -EPIPE;
    if (answer_reserve(call, head_len + (take_body != NULL ? buf_len(take_body) : 0)) < 0) {
        if (take_body != NULL)
            buf_done(take_body);
        return -ENOMEM;
    }
    if (!call->headers_sent) {
        const struct grpc_header version = {VERSION_HEADER, CWS_VERSION};
        int r = grpc_call_send_headers(call->grpc, &version, 1);
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

/* Refusals tell an operator something; a missing file or sandbox is everyday life of a program. */
static void note_end(struct call *call, const struct err *status)
{
    struct log_text text;
    call->finished = true;
    call->code = status != NULL ? status->code : ERR_OK;
    if (call->code == ERR_UNAUTHENTICATED || call->code == ERR_PERMISSION_DENIED ||
        call->code == ERR_RESOURCE_EXHAUSTED || call->code == ERR_INTERNAL)
        log_event(LOG_WARN, "call_refused",
                  "method=%s peer=\"%s\" owner=%s code=%s error=\"%s\"", call->method->path,
                  call->peer, call->owner, err_code_name(call->code),
                  log_text(&text, err_text(status)));
    call_release(call);
}

void call_finish(struct call *call, const struct err *status)
{
    if (call->finished)
        return;
    note_end(call, status);
    if (grpc_call_finish(call->grpc, status) < 0)
        grpc_call_cancel(call->grpc, ERR_INTERNAL, "out of memory");
}

void call_reply(struct call *call, const void *message)
{
    if (call_send_message(call, message) < 0)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "send the answer: out of memory");
    else
        call_finish(call, NULL);
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

void call_stop_waiting(struct call *call)
{
    if (!call->finished && call->method->on_stopping != NULL)
        call->method->on_stopping(call);
}

/* Ends also a call that was answered: a client that takes nothing keeps the answer here, but not past the time at which
 * it gives up. */
static void on_deadline(void *user)
{
    struct call *call = user;
    bool command = call->method->runs_command;
    if (call->finished) {
        grpc_call_cancel(call->grpc, ERR_DEADLINE_EXCEEDED, "the answer was not taken in time");
        return;
    }
    timer_set(&call->service->timers, &call->deadline, clock_now_ns() + LATE_ANSWER_NS,
              on_deadline, call);
    call_refuse(call, ERR_DEADLINE_EXCEEDED, command ? "CWSANDBOX_COMMAND_TIMEOUT" : NULL,
                command ? "the command did not end within the deadline and was killed"
                        : "the deadline passed");
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

static void on_message(void *user, struct grpc_call *grpc, const uint8_t *data, size_t n)
{
    struct call *call = user;
    if (call->finished)
        return; /* what was under way when we ended the call */
    if (call->method->kind == METHOD_BIDI) {
        call->method->on_message(call, data, n);
    } else if (call->method->request == NULL) {
        return; /* answered at the half-close, whatever it holds */
    } else if (call->request != NULL) {
        call_refuse(call, ERR_UNIMPLEMENTED, NULL, "%s: more than one request message",
                    call->method->path);
    } else {
        CLEANUP_ERR struct err err = {0};
        call->request = proto_unpack(call->method->request, data, n, &err);
        if (call->request == NULL)
            call_finish(call, &err);
    }
}

static void on_half_close(void *user, struct grpc_call *grpc)
{
    struct call *call = user;
    call->half_closed = true;
    if (call->finished)
        return;
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
    timer_clear(&s->timers, &call->deadline);
    list_remove(&call->link);
    s->n_calls--;
    s->n_stranger_calls -= call->stranger;
    s->answer_bytes -= call->answer_bytes;
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

/* Ends what may not be served; the call is bound, so all ways lead to on_close. */
static void admit(struct call *call, struct transport *t, const struct grpc_request *req,
                  const struct err *stranger)
{
    struct service *s = call->service;
    if (call->stranger && s->n_stranger_calls > SERVICE_MAX_STRANGER_CALLS)
        transport_close(t, "too many calls without a key");
    else if (call->stranger && !call->method->open)
        call_finish(call, stranger);
    else if (!call->stranger && s->n_calls - s->n_stranger_calls > SERVICE_MAX_CALLS)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "the service has %d calls open",
                    SERVICE_MAX_CALLS);
    else if (call->method == &unknown_method)
        call_refuse(call, ERR_UNIMPLEMENTED, NULL, "unknown method %s", req->path);
}

static void start_deadline(struct call *call, uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns >= UINT64_MAX - call->start_ns)
        return;
    call->deadline_ns = call->start_ns + timeout_ns;
    timer_set(&call->service->timers, &call->deadline, call->deadline_ns, on_deadline, call);
}

bool call_accept(struct service *s, struct transport *t, struct grpc_call *grpc,
                 const struct grpc_request *req)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        grpc_call_cancel(grpc, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return false;
    }
    const struct method *method = method_find(req->path);
    call->service = s;
    call->grpc = grpc;
    call->method = method != NULL ? method : &unknown_method;
    call->peer = transport_peer(t)->text;
    call->wait = parse_wait(req);
    call->start_ns = clock_now_ns();
    list_append(&s->calls, &call->link);
    s->n_calls++;
    grpc_call_bind(grpc, &call_events, call);
    grpc_call_limit(grpc, call->method->max_request_bytes);
    service_activity(s);

    CLEANUP_ERR struct err err = {0};
    call->stranger = auth_check(s, transport_peer(t), req, call->owner, &err) < 0;
    s->n_stranger_calls += call->stranger;
    admit(call, t, req, &err);
    bool known = !call->stranger;
    if (!call->finished)
        start_deadline(call, req->timeout_ns);
    return known;
}
