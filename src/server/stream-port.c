/*
 * StreamExec with EXEC_PORT_HEADER (wire/exec-facts.h): no command, but a TCP connection to a port of the sandbox. stdin is
 * what the inside reads, stdout what it writes; both ends of file pass on their own.
 *
 * Back-pressure, both ways, as in stream-exec.c.
 */
#include "base/util.h"
#include "runtime/io.h"
#include "server/dispatch.h"
#include "server/exec-common.h"

#define SEND_HIGH (256u << 10) /* io.h: on_drain comes below 64 KiB after that */

struct stream_port {
    struct call *call;
    struct tunnel *tunnel; /* NULL until opened */
    size_t charged;        /* of SHARE_REQUEST_BYTES, while the caller is paused */
    bool caller_paused, inside_paused;
};

static void fail_memory(struct stream_port *s)
{
    call_refuse(s->call, ERR_RESOURCE_EXHAUSTED, NULL, "port: out of memory");
}

static void on_open(void *user, struct tunnel *t)
{
    struct stream_port *s = user;
    if (call_send_exec_ready(s->call) < 0)
        fail_memory(s);
}

/* @take: NULL for the end of file, an output without bytes. */
static void send_output(struct stream_port *s, struct buf *take)
{
    uint8_t head[PROTO_HEAD_MAX];
    size_t n = proto_head_exec_output(head, PB__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDOUT,
                                      take != NULL ? buf_len(take) : 0);
    if (call_send(s->call, head, n, take) < 0)
        fail_memory(s);
}

static void on_data(void *user, struct tunnel *t, struct buf *take)
{
    struct stream_port *s = user;
    struct call *call = s->call;
    send_output(s, take);
    if (call->finished || s->inside_paused || !call_is_full(call))
        return;
    s->inside_paused = true;
    tunnel_pause(t);
}

static void on_eof(void *user, struct tunnel *t)
{
    send_output(user, NULL);
}

static void uncharge(struct stream_port *s)
{
    budget_give(call_share(s->call, SHARE_REQUEST_BYTES), s->charged);
    s->charged = 0;
}

static void on_drain(void *user, struct tunnel *t)
{
    struct stream_port *s = user;
    if (!s->caller_paused)
        return;
    s->caller_paused = false;
    uncharge(s);
    call_resume(s->call); /* may deliver a message at once */
}

static void on_end(void *user, struct tunnel *t, const struct err *why)
{
    struct stream_port *s = user;
    if (why != NULL)
        call_finish(s->call, why);
    else
        call_reply_exec_exit(s->call, 0);
}

static const struct tunnel_events tunnel_events = {
    .on_open = on_open,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_drain = on_drain,
    .on_end = on_end,
};

static void send_inside(struct stream_port *s, const uint8_t *data, size_t n)
{
    if (tunnel_write(s->tunnel, data, n) < 0) {
        fail_memory(s);
        return;
    }
    if (s->caller_paused || tunnel_queued(s->tunnel) <= SEND_HIGH)
        return;
    s->caller_paused = true;
    s->charged = tunnel_queued(s->tunnel);
    budget_force(call_share(s->call, SHARE_REQUEST_BYTES), s->charged);
    call_pause(s->call);
}

static void stream_port_on_message(struct call *call, const uint8_t *data, size_t n)
{
    struct stream_port *s = call->state;
    CLEANUP_ERR struct err err = {0};
    struct proto_slice bytes;
    if (proto_find_exec_stdin(data, n, &bytes)) {
        send_inside(s, bytes.data, bytes.n);
        return;
    }
    CLEANUP_PROTO Pb__ExecStreamRequest *message =
        proto_unpack(&pb__exec_stream_request__descriptor, data, n, &err);
    if (message == NULL) {
        call_finish(call, &err);
    } else if (message->message_case == PB__EXEC_STREAM_REQUEST__MESSAGE_INIT) {
        (void)err_invalid(&err, "init", "sent twice");
        call_finish(call, &err);
    } else if (message->message_case == PB__EXEC_STREAM_REQUEST__MESSAGE_STDIN_DATA) {
        send_inside(s, message->stdin_data.data, message->stdin_data.len);
    } else if (message->message_case == PB__EXEC_STREAM_REQUEST__MESSAGE_CLOSE) {
        tunnel_close_write(s->tunnel);
    }
}

static void stream_port_on_half_close(struct call *call)
{
    struct stream_port *s = call->state;
    tunnel_close_write(s->tunnel);
}

static void stream_port_on_drain(struct call *call)
{
    struct stream_port *s = call->state;
    if (!s->inside_paused)
        return;
    s->inside_paused = false;
    tunnel_resume(s->tunnel);
}

static void stream_port_on_release(struct call *call)
{
    struct stream_port *s = call->state;
    uncharge(s);
    tunnel_free(s->tunnel);
    free(s);
}

/* What a StreamExec becomes when it names a port. */
static const struct method port_method = {
    .path = PROTO_PATH_SANDBOX("StreamExec"),
    .kind = METHOD_BIDI,
    .max_request_bytes = 101u << 20, /* as StreamExec's */
    .on_message = stream_port_on_message,
    .on_half_close = stream_port_on_half_close,
    .on_drain = stream_port_on_drain,
    .on_release = stream_port_on_release,
};

static int open_tunnel(struct stream_port *s, const Pb__ExecStreamInit *init, struct err *err)
{
    struct call *call = s->call;
    struct sandbox *sb =
        sandbox_find(call->service->runtime, call->owner, init->sandbox_id, err);
    if (sb == NULL || sandbox_check_container(sb, init->container, err) < 0)
        return -1;
    if (init->n_command > 0 || init->n_env > 0 || init->tty || call->exec.cwd ||
        call->exec.user)
        return err_invalid(err, "port", "a connection to a port runs no command");
    struct tunnel_spec spec = {.port = call->exec.port};
    return tunnel_open(sb, &spec, &tunnel_events, s, &s->tunnel, err);
}

void stream_port_begin(struct call *call, const Pb__ExecStreamInit *init)
{
    CLEANUP_ERR struct err err = {0};
    struct stream_port *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "port: out of memory");
        return;
    }
    s->call = call;
    call->state = s;
    call->method = &port_method;
    if (open_tunnel(s, init, &err) < 0)
        call_finish(call, &err);
}
