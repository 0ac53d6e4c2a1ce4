/*
 * StreamExec: one process, its standard streams and its end over one bidirectional call.
 *
 * States: waiting for `init` -> init known -> started -> ended. Between "init known" and
 * "started" at most one pass of the loop goes by, to learn whether the client half-closes right
 * behind its init: then the process needs no stdin pipe.
 *
 * Back-pressure, both ways: output stops being read while the call is full (call_is_full);
 * messages stop being taken while the process has STDIN_HIGH unread. So neither side can make
 * us buffer.
 */
#include <string.h>

#include "base/files-words.h"
#include "base/util.h"
#include "runtime/io.h"
#include "server/dispatch.h"
#include "server/exec-common.h"

#define STDIN_HIGH (256u << 10) /* runtime.h: on_stdin_drain comes below 64 KiB after that */

struct stream_exec {
    struct call *call;
    struct process *process;     /* NULL until started */
    Pb__ExecStreamRequest *init; /* until started */
    struct timer start;
    size_t stdin_charged; /* of SHARE_REQUEST_BYTES, while stdin is paused */
    bool tty;
    bool ready_sent;
    bool stdin_closed;
    bool stdin_paused;
    bool output_paused;
};

int call_send_exec_ready(struct call *call)
{
    Pb__ExecStreamResponse response = PB__EXEC_STREAM_RESPONSE__INIT;
    Pb__ExecStreamReady ready = PB__EXEC_STREAM_READY__INIT;
    Pb__Timestamp now;
    timestamp_fill(&now, clock_wall_ns());
    ready.ready_time = &now;
    response.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_READY;
    response.ready = &ready;
    return call_send_message(call, &response);
}

void call_reply_exec_exit(struct call *call, int exit_code)
{
    Pb__ExecStreamResponse response = PB__EXEC_STREAM_RESPONSE__INIT;
    Pb__ExecStreamExit end = PB__EXEC_STREAM_EXIT__INIT;
    Pb__Timestamp now;
    timestamp_fill(&now, clock_wall_ns());
    end.exit_code = exit_code;
    end.completed_time = &now;
    response.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_EXIT;
    response.exit = &end;
    call_reply(call, &response);
}

static int send_ready(struct stream_exec *e)
{
    if (e->ready_sent)
        return 0;
    e->ready_sent = true;
    return call_send_exec_ready(e->call);
}

static void fail_memory(struct stream_exec *e)
{
    call_refuse(e->call, ERR_RESOURCE_EXHAUSTED, NULL, "exec: out of memory");
}

static void on_ready(void *user, struct process *p)
{
    struct stream_exec *e = user;
    if (send_ready(e) < 0)
        fail_memory(e);
}

static void on_output(void *user, struct process *p, enum output_stream s, struct buf *take)
{
    struct stream_exec *e = user;
    uint8_t head[PROTO_HEAD_MAX];
    Pb__ExecStreamOutput__Stream stream = s == OUTPUT_STDERR
                                              ? PB__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDERR
                                              : PB__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDOUT;
    size_t n = proto_head_exec_output(head, stream, buf_len(take));
    if (send_ready(e) < 0 || call_send(e->call, head, n, take) < 0) {
        fail_memory(e);
        return;
    }
    if (!e->output_paused && call_is_full(e->call)) {
        e->output_paused = true;
        process_pause_output(p);
    }
}

static void on_end(void *user, struct process *p, int exit_code)
{
    struct stream_exec *e = user;
    call_tell_facts(e->call, p);
    if (e->call->expired) {
        call_expire(e->call);
        return;
    }
    if (send_ready(e) < 0)
        fail_memory(e);
    else
        call_reply_exec_exit(e->call, exit_code);
}

/* No exit code was seen, so none is invented: the call fails. */
static void on_error(void *user, struct process *p, const struct err *err)
{
    struct stream_exec *e = user;
    call_finish(e->call, err);
}

static void uncharge_stdin(struct stream_exec *e)
{
    budget_give(call_share(e->call, SHARE_REQUEST_BYTES), e->stdin_charged);
    e->stdin_charged = 0;
}

static void on_stdin_drain(void *user, struct process *p)
{
    struct stream_exec *e = user;
    if (!e->stdin_paused)
        return;
    e->stdin_paused = false;
    uncharge_stdin(e);
    call_resume(e->call); /* may deliver a message at once */
}

static const struct process_events stream_events = {
    .on_ready = on_ready,
    .on_output = on_output,
    .on_exit = on_end,
    .on_error = on_error,
    .on_stdin_drain = on_stdin_drain,
};

void stream_exec_on_drain(struct call *call)
{
    struct stream_exec *e = call->state;
    if (e == NULL || !e->output_paused)
        return;
    e->output_paused = false;
    process_resume_output(e->process);
}

bool stream_exec_on_expire(struct call *call)
{
    struct stream_exec *e = call->state;
    if (e == NULL || e->process == NULL)
        return false;         /* nothing was started */
    process_kill(e->process); /* on_end() follows when all of it is dead */
    return true;
}

void stream_exec_on_release(struct call *call)
{
    struct stream_exec *e = call->state;
    if (e == NULL)
        return;
    timer_stop(&call->service->timers, &e->start);
    uncharge_stdin(e);
    process_free(e->process); /* kills the tree if it still runs: client gone, deadline */
    proto_free(e->init);
    free(e);
}

/* False: the call has ended. */
static bool ensure_started(struct stream_exec *e)
{
    if (e->process != NULL)
        return true;
    timer_stop(&e->call->service->timers, &e->start);
    CLEANUP_PROTO Pb__ExecStreamRequest *message = TAKE_PTR(e->init);
    const Pb__ExecStreamInit *init = message->init;
    struct exec_request req = {
        .sandbox_id = init->sandbox_id,
        .container = init->container,
        .command = init->command,
        .n_command = init->n_command,
        .env = (spec_map_entry *const *)init->env,
        .n_env = init->n_env,
        .want_stdin =
            !e->stdin_closed || e->tty, /* a terminal has one descriptor for both ways */
        .tty = init->tty,
        .tty_width = init->tty_width,
        .tty_height = init->tty_height,
    };
    CLEANUP_ERR struct err err = {0};
    if (call_start_process(e->call, &req, &stream_events, e, &e->process, &err) < 0) {
        call_finish(e->call, &err);
        return false;
    }
    return true;
}

static void on_start(struct timer *t)
{
    (void)ensure_started(CONTAINER_OF(t, struct stream_exec, start));
}

static void close_stdin(struct stream_exec *e)
{
    if (e->stdin_closed)
        return;
    e->stdin_closed = true;
    bool has_stdin = e->process != NULL || e->tty;
    if (ensure_started(e) && has_stdin)
        process_close_stdin(e->process);
}

static void write_stdin(struct stream_exec *e, const uint8_t *data, size_t n)
{
    if (e->stdin_closed || !ensure_started(e))
        return; /* bytes behind a `close` have nowhere to go */
    if (process_write(e->process, data, n) < 0) {
        fail_memory(e);
        return;
    }
    if (!e->stdin_paused && process_stdin_queued(e->process) > STDIN_HIGH) {
        e->stdin_paused = true;
        e->stdin_charged = process_stdin_queued(e->process);
        budget_force(call_share(e->call, SHARE_REQUEST_BYTES), e->stdin_charged);
        call_pause(e->call);
    }
}

static bool is_commit(const struct call *call, const Pb__ExecStreamInit *init)
{
    return call->exec.files && init->n_command > 1 &&
           strcmp(init->command[1], FILES_COMMIT) == 0;
}

static void begin(struct call *call, const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_PROTO Pb__ExecStreamRequest *message =
        proto_unpack(&pb__exec_stream_request__descriptor, data, n, &err);
    if (message == NULL) {
        call_finish(call, &err);
        return;
    }
    if (message->message_case != PB__EXEC_STREAM_REQUEST__MESSAGE_INIT) {
        (void)err_invalid(&err, "init", "must be the first message");
        call_finish(call, &err);
        return;
    }
    if (call->exec.port != 0) {
        stream_port_begin(call, message->init);
        return;
    }
    if (is_commit(call, message->init)) {
        stream_commit_begin(call, message->init);
        return;
    }
    struct stream_exec *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "exec: out of memory");
        return;
    }
    e->call = call;
    e->tty = message->init->tty;
    e->init = TAKE_PTR(message);
    call->state = e;
    timer_start(&call->service->timers, &e->start, clock_now_ns(), on_start);
}

static void handle(struct stream_exec *e, const Pb__ExecStreamRequest *message)
{
    CLEANUP_ERR struct err err = {0};
    switch ((int)message->message_case) {
    case PB__EXEC_STREAM_REQUEST__MESSAGE_INIT:
        (void)err_invalid(&err, "init", "sent twice");
        call_finish(e->call, &err);
        break;
    case PB__EXEC_STREAM_REQUEST__MESSAGE_STDIN_DATA:
        write_stdin(e, message->stdin_data.data, message->stdin_data.len);
        break;
    case PB__EXEC_STREAM_REQUEST__MESSAGE_RESIZE:
        if (ensure_started(e))
            process_resize(e->process, exec_tty_size(message->resize->width),
                           exec_tty_size(message->resize->height));
        break;
    case PB__EXEC_STREAM_REQUEST__MESSAGE_CLOSE:
        close_stdin(e);
        break;
    default: /* a newer client's message: nothing we could do with it */
        break;
    }
}

void stream_exec_on_message(struct call *call, const uint8_t *data, size_t n)
{
    struct stream_exec *e = call->state;
    struct proto_slice bytes;
    if (e == NULL) {
        begin(call, data, n);
        return;
    }
    if (proto_find_exec_stdin(data, n, &bytes)) {
        write_stdin(e, bytes.data, bytes.n);
        return;
    }
    CLEANUP_ERR struct err err = {0};
    CLEANUP_PROTO Pb__ExecStreamRequest *message =
        proto_unpack(&pb__exec_stream_request__descriptor, data, n, &err);
    if (message == NULL)
        call_finish(call, &err);
    else
        handle(e, message);
}

void stream_exec_on_half_close(struct call *call)
{
    struct stream_exec *e = call->state;
    CLEANUP_ERR struct err err = {0};
    if (e != NULL) {
        close_stdin(e);
        return;
    }
    (void)err_invalid(&err, "init", "the stream ended without it");
    call_finish(call, &err);
}
