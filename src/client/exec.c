#include "client/exec.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/event.h"
#include "client/shellquote.h"

static struct timers *timers_of(struct exec *x)
{
    return &x->sb->client->loop.timers;
}

static void report_closed(struct exec *x)
{
    if (x->closed)
        return;
    x->closed = true;
    plane_leave(&x->plane, NULL);
    x->events->on_closed(x);
}

static void report_done(struct exec *x, int exit_code, struct cws_error *take_error)
{
    if (x->done) {
        error_unref(take_error);
        return;
    }
    x->done = true;
    timer_stop(timers_of(x), &x->timer);
    x->events->on_done(x, exit_code, take_error);
}

/* The exec failed on our side: tell, and drop the call. */
static void fail(struct exec *x, struct cws_error *take)
{
    report_done(x, 0, take);
    if (x->calling)
        rpc_cancel(&x->rpc);
    else
        report_closed(x);
}

/* A service knows when the call had to end, not what the caller asked for. */
static void name_limit(struct cws_error *e, uint64_t timeout_ns)
{
    bool timed_out = e->kind == CWS_E_TIMEOUT || e->kind == CWS_E_COMMAND_TIMEOUT ||
                     e->kind == CWS_E_REQUEST_TIMEOUT;
    if (!timed_out || e->immortal || timeout_ns >= UINT64_MAX / 2)
        return;
    char *text = str_dup_printf("%s (limit: %.6g s)", cws_error_message(e),
                                (double)timeout_ns / (double)NS_PER_SEC);
    if (!text)
        return;
    free(e->detail.message);
    e->detail.message = text;
}

static struct cws_error *status_error(const struct exec *x, const struct err *status)
{
    struct cws_error *e = error_from_status(status, &(struct error_site){
                                                        .label = x->spec.label,
                                                        .sandbox_id = sandbox_id_borrow(x->sb),
                                                        .filepath = x->spec.filepath,
                                                        .is_exec = true,
                                                    });
    name_limit(e, x->spec.timeout_ns);
    return e;
}

/* ---- what we send ---- */

static int send_message(struct exec *x, const Pb__ExecStreamRequest *msg)
{
    CLEANUP_BUF struct buf bytes = {0};
    int r = proto_pack(msg, &bytes);
    return r < 0 ? r : rpc_send(&x->rpc, buf_head(&bytes), buf_len(&bytes), NULL);
}

/* Entries for @init, which point into the spec; NULL without memory. The caller frees them. */
static Pb__ExecStreamInit__EnvEntry *fill_env(const struct exec_spec *spec,
                                              Pb__ExecStreamInit *init)
{
    size_t n = spec->n_env;
    Pb__ExecStreamInit__EnvEntry *all = calloc(n + 1, sizeof(*all) + sizeof(all));
    if (!all)
        return NULL;
    init->env = (Pb__ExecStreamInit__EnvEntry **)(all + n + 1);
    init->n_env = n;
    for (size_t i = 0; i < n; i++) {
        pb__exec_stream_init__env_entry__init(&all[i]);
        all[i].key = spec->env[i];
        all[i].value = spec->env[i] + strlen(spec->env[i]) + 1;
        init->env[i] = &all[i];
    }
    return all;
}

static int on_request(struct rpc *rpc)
{
    struct exec *x = CONTAINER_OF(rpc, struct exec, rpc);
    bool by_shell = x->spec.cwd && !rpc->conn->exec_fields;
    CLEANUP_FREE char *script =
        by_shell ? shell_cd(x->spec.cwd, x->spec.argv, x->spec.n_argv) : NULL;
    char *shell[] = {(char *)"/bin/sh", (char *)"-c", script};
    if (by_shell && !script)
        return -ENOMEM;
    Pb__ExecStreamInit init = PB__EXEC_STREAM_INIT__INIT;
    init.sandbox_id = (char *)sandbox_id_borrow(x->sb);
    if (x->spec.container)
        init.container = (char *)x->spec.container;
    init.command = by_shell ? shell : x->spec.argv;
    init.n_command = by_shell ? ARRAY_SIZE(shell) : x->spec.n_argv;
    init.tty = x->spec.tty;
    init.tty_width = x->spec.width;
    init.tty_height = x->spec.height;
    CLEANUP_FREE Pb__ExecStreamInit__EnvEntry *env = fill_env(&x->spec, &init);
    if (!env)
        return -ENOMEM;
    Pb__ExecStreamRequest msg = PB__EXEC_STREAM_REQUEST__INIT;
    msg.message_case = PB__EXEC_STREAM_REQUEST__MESSAGE_INIT;
    msg.init = &init;
    int r = send_message(x, &msg);
    if (r == 0 && !x->in)
        r = rpc_half_close(rpc);
    return r;
}

static int send_eof(struct exec *x)
{
    Pb__ExecStreamClose close = PB__EXEC_STREAM_CLOSE__INIT;
    Pb__ExecStreamRequest msg = PB__EXEC_STREAM_REQUEST__INIT;
    msg.message_case = PB__EXEC_STREAM_REQUEST__MESSAGE_CLOSE;
    msg.close = &close;
    x->eof_sent = true;
    int r = send_message(x, &msg);
    return r < 0 ? r : rpc_half_close(&x->rpc);
}

static int send_stdin(struct exec *x, struct buf *frame)
{
    uint8_t head[PROTO_HEAD_MAX];
    size_t n = proto_head_exec_stdin(head, buf_len(frame));
    return rpc_send(&x->rpc, head, n, frame);
}

static int send_resize(struct exec *x)
{
    Pb__ExecStreamResize resize = PB__EXEC_STREAM_RESIZE__INIT;
    resize.width = x->new_width;
    resize.height = x->new_height;
    Pb__ExecStreamRequest msg = PB__EXEC_STREAM_REQUEST__INIT;
    msg.message_case = PB__EXEC_STREAM_REQUEST__MESSAGE_RESIZE;
    msg.resize = &resize;
    x->resize_wanted = false;
    return send_message(x, &msg);
}

void exec_pump(struct exec *x)
{
    if (!x->in || !x->ready || x->done || x->exited || !x->rpc.call)
        return;
    int r = 0;
    if (x->resize_wanted && !x->eof_sent)
        r = send_resize(x);
    while (r == 0 && !x->eof_sent && rpc_queued(&x->rpc) <= GRPC_HIGH_WATER) {
        CLEANUP_BUF struct buf frame = {0};
        enum writer_next next = writer_take(x->in, &frame);
        if (next == WRITER_FRAME)
            r = send_stdin(x, &frame);
        else if (next == WRITER_EOF)
            r = send_eof(x);
        else
            break;
    }
    if (r == -ENOMEM)
        fail(x, &error_nomem); /* -EPIPE: the call is over, its end is on the way */
}

void exec_resize(struct exec *x, uint32_t width, uint32_t height)
{
    x->resize_wanted = true;
    x->new_width = width;
    x->new_height = height;
    exec_pump(x);
}

/* ---- what comes back ---- */

static void on_trailers_timeout(struct timer *t)
{
    rpc_cancel(&CONTAINER_OF(t, struct exec, timer)->rpc);
}

static void on_exit_frame(struct exec *x, int exit_code)
{
    x->exited = true;
    x->exit_code = exit_code;
    if (!x->rpc.conn->ours)
        report_done(x, exit_code, NULL);
    timer_start_in(timers_of(x), &x->timer, EXEC_TRAILERS_TIMEOUT_NS, on_trailers_timeout);
}

static void on_trailers(struct rpc *rpc, const struct grpc_header *headers, size_t n)
{
    struct exec *x = CONTAINER_OF(rpc, struct exec, rpc);
    const char *facts = grpc_header_find(headers, n, EXEC_FACTS_HEADER);
    if (facts && !x->done)
        exec_facts_parse(facts, &x->facts);
}

/* Contract/sdk.md 8.5. */
static void on_error_frame(struct exec *x, const Pb__ExecStreamError *error)
{
    cws_error_kind kind = CWS_E_EXECUTION;
    if (strcmp(error->code, "STREAM_BACKPRESSURE") == 0)
        kind = CWS_E_STREAM_BACKPRESSURE;
    else if (strcmp(error->code, "STREAM_TRUNCATED") == 0)
        kind = CWS_E_STREAM_TRUNCATED;
    struct cws_error *e =
        error_new(kind, "%s: %s", x->spec.label,
                  *error->message ? error->message : "the command's stream failed");
    if (*error->code) {
        error_add_stream_code(e, error->code);
        if (kind == CWS_E_EXECUTION && !e->immortal)
            err_set_peer_reason(&e->detail, error->code, "");
    }
    error_add_sandbox_id(e, sandbox_id_borrow(x->sb));
    fail(x, e);
}

static void on_ready(struct exec *x)
{
    x->ready = true;
    timer_stop(timers_of(x), &x->timer);
    exec_pump(x);
}

static void on_output(struct exec *x, Pb__ExecStreamOutput__Stream stream, const uint8_t *data,
                      size_t n)
{
    if (n == 0)
        return;
    x->heard = true;
    cws_stream to =
        stream == PB__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDERR ? CWS_STDERR : CWS_STDOUT;
    if (x->events->on_output(x, to, data, n) < 0)
        fail(x, &error_nomem);
}

static void on_other_frame(struct exec *x, const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_PROTO Pb__ExecStreamResponse *msg =
        proto_unpack(&pb__exec_stream_response__descriptor, data, n, &err);
    if (!msg) {
        error_mark_unreadable(&err);
        fail(x, status_error(x, &err));
        return;
    }
    switch (msg->message_case) {
    case PB__EXEC_STREAM_RESPONSE__MESSAGE_READY:
        on_ready(x);
        break;
    case PB__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT:
        on_output(x, msg->output->stream, msg->output->data.data, msg->output->data.len);
        break;
    case PB__EXEC_STREAM_RESPONSE__MESSAGE_EXIT:
        on_exit_frame(x, msg->exit->exit_code);
        break;
    case PB__EXEC_STREAM_RESPONSE__MESSAGE_ERROR:
        on_error_frame(x, msg->error);
        break;
    case PB__EXEC_STREAM_RESPONSE__MESSAGE__NOT_SET: /* a frame of a newer service */
    case _PB__EXEC_STREAM_RESPONSE__MESSAGE__CASE_IS_INT_SIZE:
        break;
    }
}

static void on_message(struct rpc *rpc, const uint8_t *data, size_t n)
{
    struct exec *x = CONTAINER_OF(rpc, struct exec, rpc);
    if (x->done || x->exited)
        return; /* frames after the end are ignored */
    x->opened = true;
    Pb__ExecStreamOutput__Stream stream;
    struct proto_slice bytes;
    if (proto_find_exec_output(data, n, &stream, &bytes))
        on_output(x, stream, bytes.data, bytes.n);
    else
        on_other_frame(x, data, n);
}

static void on_drain(struct rpc *rpc)
{
    exec_pump(CONTAINER_OF(rpc, struct exec, rpc));
}

/* The call ended well, and the command did not say how it did. */
static void report_end(struct exec *x)
{
    if (x->spec.tty) {
        report_done(x, EXEC_TTY_NO_EXIT, NULL);
        return;
    }
    struct cws_error *e = error_new(x->spec.filepath ? CWS_E_FILE : CWS_E_EXECUTION,
                                    "%s: the stream ended without %sexit status", x->spec.label,
                                    x->spec.filepath ? "" : "an ");
    error_add_filepath(e, x->spec.filepath);
    error_add_sandbox_id(e, sandbox_id_borrow(x->sb));
    report_done(x, 0, e);
}

/* What moves a file is made again only when the service says that a part of it is going, and while nothing was delivered
 * to anybody: no output, no input. */
static bool may_replay(const struct exec *x, const struct cws_error *e)
{
    if (!x->plane.direct || x->replayed || x->sb->client->closing)
        return false;
    if (x->spec.filepath)
        return plane_is_retiring(&x->plane, e) && !x->heard && !(x->in && x->ready);
    return error_is_transient(e) && !x->opened;
}

static void on_no_time(struct timer *t)
{
    struct exec *x = CONTAINER_OF(t, struct exec, timer);
    fail(x,
         error_new(CWS_E_TIMEOUT, "%s: the time was over while reconnecting", x->spec.label));
}

static void replay(struct exec *x)
{
    x->replayed = true;
    x->opened = x->ready = false;
    if (x->deadline_ns != UINT64_MAX)
        timer_start(timers_of(x), &x->timer, x->deadline_ns, on_no_time);
    plane_choose(&x->plane);
}

static void on_close(struct rpc *rpc, const struct err *status)
{
    struct exec *x = CONTAINER_OF(rpc, struct exec, rpc);
    x->calling = false;
    timer_stop(timers_of(x), &x->timer);
    plane_leave(&x->plane, status);
    if (!x->done && x->exited) {
        report_done(x, x->exit_code,
                    NULL); /* whatever the status: the command's end is known */
    } else if (!x->done && status->code == ERR_OK) {
        report_end(x);
    } else if (!x->done) {
        struct cws_error *e = status_error(x, status);
        if (may_replay(x, e)) {
            error_unref(e);
            replay(x);
            return;
        }
        report_done(x, 0, e);
    }
    report_closed(x);
}

static const struct rpc_events rpc_events = {
    .on_request = on_request,
    .on_message = on_message,
    .on_drain = on_drain,
    .on_trailers = on_trailers,
    .on_close = on_close,
};

/* ---- the way there ---- */

static void on_ready_timeout(struct timer *t)
{
    struct exec *x = CONTAINER_OF(t, struct exec, timer);
    fail(x, error_new(CWS_E_TIMEOUT, "%s: no ready signal from the service within %.3g s",
                      x->spec.label,
                      (double)MIN(EXEC_READY_TIMEOUT_NS, x->spec.timeout_ns) /
                          (double)NS_PER_SEC));
}

static void add_fields(struct exec *x)
{
    x->rpc.n_fields = 0;
    if (x->spec.cwd)
        x->rpc.fields[x->rpc.n_fields++] =
            (struct grpc_header){EXEC_CWD_HEADER, x->spec.cwd_base64};
    if (x->spec.user)
        x->rpc.fields[x->rpc.n_fields++] = (struct grpc_header){EXEC_USER_HEADER, x->spec.user};
    if (x->spec.files)
        x->rpc.fields[x->rpc.n_fields++] = (struct grpc_header){EXEC_FILES_HEADER, EXEC_FILES};
}

/* The whole command is one word of the shell that changes the directory. */
static struct cws_error *check_script(const struct exec *x)
{
    CLEANUP_FREE char *script = shell_cd(x->spec.cwd, x->spec.argv, x->spec.n_argv);
    if (!script)
        return &error_nomem;
    if (strlen(script) < EXEC_MAX_STRING)
        return NULL;
    return error_new(CWS_E_INVALID,
                     "command: longer than %u bytes, which is the most that this service can "
                     "run with cwd",
                     EXEC_MAX_STRING - 1);
}

/* What this service does not take must not be left out. NULL: it takes all of it. */
static struct cws_error *check_fields(const struct exec *x, const struct conn *conn)
{
    struct cws_error *e = NULL;
    if (x->spec.user && !conn->exec_fields)
        e = error_new(CWS_E_SANDBOX,
                      "%s: this service cannot run a command as another user (user='%s')",
                      x->spec.label, x->spec.user);
    else if (x->spec.cwd && !conn->exec_fields)
        e = check_script(x);
    else if (x->spec.files && !conn->exec_files)
        e = error_new(CWS_E_SANDBOX, "%s: this service offers no such call", x->spec.label);
    if (e)
        error_add_sandbox_id(e, sandbox_id_borrow(x->sb));
    return e;
}

static void call(struct exec *x)
{
    struct conn *conn = x->plane.conn;
    timer_stop(timers_of(x), &x->timer);
    struct cws_error *e = check_fields(x, conn);
    if (e) {
        fail(x, e);
        return;
    }
    add_fields(x);
    x->calling = true;
    x->rpc.events = &rpc_events;
    x->rpc.path = PLANE_PATH(&x->plane, "StreamExec");
    x->rpc.target = x->plane.target;
    /* It says that the command timed out when nothing of it runs any more. */
    x->rpc.patience_ns = conn->ours ? EXEC_KILL_PATIENCE_NS : 0;
    if (!x->replayed)
        x->deadline_ns = x->spec.timeout_ns < UINT64_MAX / 2
                             ? event_deadline(x->spec.timeout_ns)
                             : UINT64_MAX;
    x->rpc.deadline_ns = x->deadline_ns;
    if (x->in)
        timer_start_in(timers_of(x), &x->timer, MIN(EXEC_READY_TIMEOUT_NS, x->spec.timeout_ns),
                       on_ready_timeout);
    rpc_start(&x->rpc, conn);
}

static void on_way(struct plane_way *w, struct cws_error *error)
{
    struct exec *x = CONTAINER_OF(w, struct exec, plane);
    if (error)
        fail(x, error_ref(error));
    else
        call(x);
}

static void on_running(struct sb_ready *r, struct cws_error *error)
{
    struct exec *x = CONTAINER_OF(r, struct exec, way);
    if (error)
        fail(x, error_ref(error));
    else
        plane_choose(&x->plane);
}

void exec_start(struct exec *x)
{
    sb_ready_init(&x->way, x->sb, x->spec.label, on_running);
    plane_init(&x->plane, x->sb, PLANE_EXEC, on_way);
    x->started = true;
    x->facts = EXEC_FACTS_NONE;
    sb_ready_begin(&x->way);
}

void exec_cancel(struct exec *x)
{
    x->done = true;
    timer_stop(timers_of(x), &x->timer);
    if (x->started)
        sb_ready_cancel(&x->way);
    if (x->calling)
        rpc_cancel(&x->rpc);
    else
        report_closed(x);
}
