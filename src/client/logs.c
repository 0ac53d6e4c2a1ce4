/*
 * The main process's log: StreamLogs, assembled into lines, resumed when the connection or the
 * service hiccups.
 *
 * A *session* (id and offset) lets the service continue where it was. Some failures lose it:
 * then a follower starts afresh from now on, behind a line that says between which moments
 * output may be missing; but a gap that the service knows of (REPLAY_GAP) is an error. At most
 * LOGS_ATTEMPTS in a row bring nothing; data resets the count.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "client/event.h"
#include "client/lines.h"
#include "client/plane.h"
#include "client/reader.h"
#include "client/ready.h"
#include "client/verdict.h"

#define LOGS_ATTEMPTS 3u
#define LOGS_BACKOFF_NS \
    (500 * NS_PER_MS) /* as the published client: 0.5 * 2^(n-1), at most 4 s \
                       */
#define LOGS_BACKOFF_MAX_NS (4 * NS_PER_SEC)

static const char label[] = "Stream logs";

struct logs_op {
    struct cws_op op;
    struct cws_sandbox *sb;  /* [const] reference */
    cws_log_options options; /* [const] its `container` is not used */
    char *container;         /* [const] NULL = the primary one */
    struct cws_reader out;

    struct sb_ready way;    /* [loop] */
    struct plane_way plane; /* [loop] */
    struct rpc rpc;         /* [loop] */
    bool calling;           /* [loop] */
    struct timer timer;     /* [loop] back-off */
    struct lines lines;     /* [loop] */
    char *session_id;       /* [loop] */
    uint64_t offset;        /* [loop] */
    unsigned attempts;      /* [loop] in a row, without data */
    bool got_data;          /* [loop] since the beginning */
    uint64_t data_ns;       /* [loop] when the last came, wall clock */
    const char *lost;     /* [loop] why its place was lost, until the reader is told; static */
    uint64_t afresh_ns;   /* [loop] since when it reads again, wall clock */
    uint64_t deadline_ns; /* [loop] */
    struct cws_error *last; /* [loop] the transport error of the last attempt, for the cause */
    bool retry;             /* [loop] the call is to be made again when it is closed */
    bool over;              /* [loop] nothing more is delivered */
};

/* Delivers the end; the op ends when the call is closed. */
static void finish(struct logs_op *l, struct cws_error *take)
{
    if (l->over) {
        error_unref(take);
        return;
    }
    l->over = true;
    l->retry = false;
    reader_end(&l->out, error_ref(take));
    (void)op_fail(&l->op, take);
}

static void wind_up(struct logs_op *l)
{
    timer_stop(&l->op.client->loop.timers, &l->timer);
    sb_ready_cancel(&l->way);
    if (l->calling) {
        rpc_cancel(&l->rpc);
        return;
    }
    plane_leave(&l->plane, NULL);
    op_end(&l->op);
}

static void fail(struct logs_op *l, struct cws_error *take)
{
    finish(l, take);
    if (l->calling)
        rpc_cancel(&l->rpc);
}

static struct cws_error *logs_error(const struct logs_op *l, cws_error_kind kind,
                                    const char *code, const char *text)
{
    struct cws_error *e = error_new(kind, "%s: %s", label, text);
    error_add_sandbox_id(e, sandbox_id_borrow(l->sb));
    if (code && !e->immortal)
        err_set_peer_reason(&e->detail, code, "");
    return e;
}

/* ---- attempts ---- */

/* @why is static. */
static void forget_session(struct logs_op *l, const char *why)
{
    free(l->session_id);
    l->session_id = NULL;
    l->offset = 0;
    lines_drop(&l->lines);
    if (l->got_data)
        l->lost = why;
}

static void on_backoff(struct timer *t)
{
    plane_choose(&CONTAINER_OF(t, struct logs_op, timer)->plane);
}

/* The call is closed and another one is wanted. */
static void try_again(struct logs_op *l)
{
    l->retry = false;
    if (++l->attempts > LOGS_ATTEMPTS || l->op.client->closing) {
        struct cws_error *e =
            logs_error(l, CWS_E_UNAVAILABLE, NULL, "the stream broke and could not be resumed");
        if (l->last)
            error_add_cause(e, l->last);
        finish(l, e);
        op_end(&l->op);
        return;
    }
    uint64_t delay_ns = MIN(LOGS_BACKOFF_NS << (l->attempts - 1), LOGS_BACKOFF_MAX_NS);
    timer_start_in(&l->op.client->loop.timers, &l->timer, delay_ns, on_backoff);
}

static void set_last(struct logs_op *l, struct cws_error *take)
{
    error_unref(l->last);
    l->last = take;
}

/* ---- what comes back ---- */

static int emit_line(void *user, const uint8_t *line, size_t n)
{
    struct logs_op *l = user;
    struct chunk *c = chunk_new(line, n);
    if (!c)
        return -ENOMEM;
    if (reader_push(&l->out, c))
        rpc_pause(&l->rpc);
    return 0;
}

static void format_moment(uint64_t wall_ns, char out[static 32])
{
    time_t sec = (time_t)(wall_ns / NS_PER_SEC);
    struct tm tm;
    (void)gmtime_r(&sec, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(wall_ns / NS_PER_MS % 1000));
}

/* A service that lost the reader's place cannot say how much lies between: the moments can. */
static int tell_loss(struct logs_op *l)
{
    char last[32], again[32];
    CLEANUP_BUF struct buf text = {0};
    if (!l->lost)
        return 0;
    format_moment(l->data_ns, last);
    format_moment(l->afresh_ns, again);
    int r = buf_printf(&text,
                       "[cwsandbox: output between %s and %s may be missing here: the service "
                       "lost this reader's place (%s)]\n",
                       last, again, l->lost);
    l->lost = NULL;
    return r < 0 ? r : emit_line(l, buf_head(&text), buf_len(&text));
}

static void on_data(struct logs_op *l, const uint8_t *data, size_t n)
{
    int r = tell_loss(l);
    if (r == 0)
        r = lines_feed(&l->lines, data, n, emit_line, l);
    if (r == -EMSGSIZE)
        fail(l, logs_error(l, CWS_E_STREAM_TRUNCATED, NULL, "a line is longer than 1 MiB"));
    else if (r < 0)
        fail(l, &error_nomem);
    l->got_data = true;
    l->data_ns = clock_wall_ns();
    if (l->options.follow)
        l->attempts = 0;
}

/* The one of @codes that @code is; NULL. */
static const char *any_of(const char *code, const char *const *codes)
{
    while (*codes && strcmp(code, *codes) != 0)
        codes++;
    return *codes;
}

static void on_error_entry(struct logs_op *l, const Pb__LogStreamError *error)
{
    static const char *const afresh[] = {"SESSION_NOT_FOUND", "REPLAY_GAP",
                                         "RUNNER_UNAVAILABLE", "RUNNER_DRAINING", NULL};
    const char *fresh = any_of(error->code, afresh);
    const char *text = *error->message ? error->message
                       : *error->code  ? error->code
                                       : "the stream failed";
    /* A fresh start would go on from now: all that lies between would be lost unsaid. */
    bool gap = l->got_data && strcmp(error->code, "REPLAY_GAP") == 0;
    if (strcmp(error->code, "STREAM_TRUNCATED") == 0) {
        struct cws_error *e = logs_error(l, CWS_E_STREAM_TRUNCATED, NULL, text);
        error_add_stream_code(e, error->code);
        fail(l, e);
    } else if (l->options.follow && gap) {
        struct cws_error *e = logs_error(
            l, CWS_E_STREAM_TRUNCATED, NULL,
            "this reader fell behind further than the log is kept: the lines between the last "
            "one "
            "read and the oldest one kept are lost. Another call begins at the oldest one");
        error_add_stream_code(e, error->code);
        fail(l, e);
    } else if (l->options.follow && (fresh || strcmp(error->code, "STREAM_INTERRUPTED") == 0)) {
        if (fresh)
            forget_session(l, fresh);
        set_last(l, NULL); /* this failure is the service's word, not the transport's */
        l->retry = true;
        rpc_cancel(&l->rpc);
    } else {
        fail(l, logs_error(l, CWS_E_SANDBOX, error->code, text));
    }
}

static void on_message(struct rpc *rpc, const uint8_t *data, size_t n)
{
    struct logs_op *l = CONTAINER_OF(rpc, struct logs_op, rpc);
    if (l->over || l->retry)
        return;
    CLEANUP_PROTO Pb__LogEntry *entry = proto_unpack(&pb__log_entry__descriptor, data, n, NULL);
    if (!entry) {
        fail(l,
             logs_error(l, CWS_E_PROTOCOL, NULL, "the service's answer could not be decoded"));
        return;
    }
    if (*entry->log_session_id &&
        (!l->session_id || strcmp(l->session_id, entry->log_session_id) != 0)) {
        free(l->session_id);
        l->session_id =
            strdup(entry->log_session_id); /* NULL: no resume, a fresh start instead */
    }
    if (entry->next_log_offset)
        l->offset = entry->next_log_offset;
    if (entry->data.len)
        on_data(l, entry->data.data, entry->data.len);
    if (entry->error && !l->over)
        on_error_entry(l, entry->error);
}

/* A part of the service that goes has given nothing: also who does not follow may ask the next one. */
static bool may_try_again(const struct logs_op *l, const struct err *status,
                          const struct cws_error *e)
{
    if (plane_is_retiring(&l->plane, e) && !l->got_data)
        return true;
    return l->options.follow && (status->code == ERR_UNAVAILABLE ||
                                 status->code == ERR_INTERNAL || status->code == ERR_UNKNOWN);
}

/* The session is another part's of the service, which does not come back. */
static bool is_elsewhere(const struct logs_op *l, const struct cws_error *e)
{
    return l->plane.direct && l->session_id && e->status == ERR_UNAVAILABLE &&
           error_reason_is(e, "BACKEND_UNAVAILABLE") &&
           err_metadata(&e->detail, "owner_shard_id") &&
           err_metadata(&e->detail, "local_shard_id");
}

/* An empty log is no answer about a sandbox that never ran: why it did not is. */
static struct cws_error *end_error(const struct logs_op *l)
{
    bool never = sandbox_status(l->sb) == CWS_STATUS_FAILED && !sandbox_has_run(l->sb);
    return never && !l->got_data ? sandbox_failed(l->sb) : NULL;
}

static void on_close(struct rpc *rpc, const struct err *status)
{
    struct logs_op *l = CONTAINER_OF(rpc, struct logs_op, rpc);
    l->calling = false;
    plane_leave(&l->plane, status);
    if (!l->retry && !l->over && status->code == ERR_OK) {
        bool ok = tell_loss(l) == 0 && lines_flush(&l->lines, emit_line, l) == 0;
        finish(l, ok ? end_error(l) : &error_nomem);
    } else if (!l->retry && !l->over) {
        struct cws_error *e = error_from_status(
            status,
            &(struct error_site){.label = label, .sandbox_id = sandbox_id_borrow(l->sb)});
        if (may_try_again(l, status, e)) {
            if (!l->session_id)
                forget_session(l, "it has no sessions");
            else if (is_elsewhere(l, e))
                forget_session(l, "another shard has it");
            set_last(l, e);
            l->retry = true;
        } else {
            finish(l, e);
        }
    }
    if (l->retry)
        try_again(l);
    else
        op_end(&l->op);
}

/* ---- what we send ---- */

static void fill_window(struct logs_op *l, Pb__StreamLogsRequest *request, Pb__Timestamp *since)
{
    uint64_t since_ns = l->options.since_ns;
    request->timestamps = l->options.timestamps != 0;
    if (l->got_data)
        since_ns = l->afresh_ns = clock_wall_ns(); /* what was delivered must not come again */
    else
        request->tail_lines = (int32_t)MIN(l->options.tail_lines, (uint32_t)INT32_MAX);
    if (since_ns == 0)
        return;
    since->seconds = (int64_t)(since_ns / NS_PER_SEC);
    since->nanos = (int32_t)(since_ns % NS_PER_SEC);
    request->since_time = since;
}

static int on_request(struct rpc *rpc)
{
    struct logs_op *l = CONTAINER_OF(rpc, struct logs_op, rpc);
    Pb__StreamLogsRequest request = PB__STREAM_LOGS_REQUEST__INIT;
    Pb__Timestamp since = PB__TIMESTAMP__INIT;
    request.sandbox_id = (char *)sandbox_id_borrow(l->sb);
    request.follow = l->options.follow != 0;
    if (l->container)
        request.container = l->container;
    if (l->session_id) {
        request.resume_log_session_id = l->session_id;
        request.resume_log_offset = l->offset;
    } else {
        fill_window(l, &request, &since);
    }
    CLEANUP_BUF struct buf bytes = {0};
    int r = proto_pack(&request, &bytes);
    if (r == 0)
        r = rpc_send(rpc, buf_head(&bytes), buf_len(&bytes), NULL);
    return r == 0 ? rpc_half_close(rpc) : r;
}

static const struct rpc_events rpc_events = {
    .on_request = on_request, .on_message = on_message, .on_close = on_close};

static void refuse(struct logs_op *l, struct cws_error *take)
{
    finish(l, take);
    op_end(&l->op);
}

static void on_way(struct plane_way *w, struct cws_error *error)
{
    struct logs_op *l = CONTAINER_OF(w, struct logs_op, plane);
    if (error) {
        refuse(l, error_ref(error));
        return;
    }
    l->calling = true;
    l->rpc.events = &rpc_events;
    l->rpc.path = PLANE_PATH(w, "StreamLogs");
    l->rpc.target = w->target;
    l->rpc.idempotent = !w->direct;
    l->rpc.deadline_ns = l->deadline_ns;
    rpc_start(&l->rpc, w->conn);
}

/* ---- the handle ---- */

static void begin_call(struct logs_op *l)
{
    l->deadline_ns = l->options.follow ? UINT64_MAX : event_deadline(l->options.timeout_ns);
    plane_choose(&l->plane);
}

static void on_running(struct sb_ready *way, struct cws_error *error)
{
    struct logs_op *l = CONTAINER_OF(way, struct logs_op, way);
    /* It may have ended while we waited: what it wrote can still be read. */
    if (!error || (!l->options.follow && l->sb->state >= SB_STOPPING && !l->sb->cancelled))
        begin_call(l);
    else
        refuse(l, error_ref(error));
}

static void logs_begin(struct cws_op *op)
{
    struct logs_op *l = CONTAINER_OF(op, struct logs_op, op);
    struct cws_sandbox *sb = l->sb;
    if (sb->cancelled || sb->state < SB_STOPPING) {
        sb_ready_begin(&l->way);
        return;
    }
    if (!l->options.follow) {
        begin_call(l);
        return;
    }
    refuse(l, logs_error(l, CWS_E_NOT_RUNNING, NULL,
                         sb->state == SB_STOPPING
                             ? "following requires a running sandbox, this one is terminating"
                             : "following requires a running sandbox, this one has ended"));
}

static void logs_cancel(struct cws_op *op)
{
    struct logs_op *l = CONTAINER_OF(op, struct logs_op, op);
    l->over = true;
    l->retry = false;
    reader_end(&l->out, error_ref(op->result.error));
    wind_up(l);
}

static void logs_free(struct cws_op *op)
{
    struct logs_op *l = CONTAINER_OF(op, struct logs_op, op);
    reader_done(&l->out);
    op_done_memory(op);
    lines_drop(&l->lines);
    error_unref(l->last);
    free(l->session_id);
    cws_sandbox_unref(l->sb);
    free(l->container);
    free(l);
}

static const struct op_class logs_class = {
    .begin = logs_begin, .cancel = logs_cancel, .free = logs_free};

static void on_room(struct cws_reader *r)
{
    rpc_resume(&CONTAINER_OF(r, struct logs_op, out)->rpc);
}

static void on_reader_closed(struct cws_reader *r)
{
    (void)cws_op_cancel(r->owner);
}

static const struct reader_events reader_events = {.on_room = on_room,
                                                   .on_closed = on_reader_closed};

cws_reader *cws_sandbox_logs(cws_sandbox *sb, const cws_log_options *options, cws_error **error)
{
    if (options && container_check(options->container, error) < 0)
        return NULL;
    struct logs_op *l = calloc(1, sizeof(*l));
    if (!l) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&l->op, &logs_class, sb->client);
    l->sb = cws_sandbox_ref(sb);
    if (options)
        l->options = *options;
    if (!l->options.timeout_ns)
        l->options.timeout_ns = sb->times.request_timeout_ns;
    sb_ready_init(&l->way, sb, label, on_running);
    plane_init(&l->plane, sb, PLANE_LOGS, on_way);
    reader_init(&l->out, &l->op, &reader_events, 0);
    l->out.counted =
        true; /* the program's one reference to the reader is our reference to the op */
    l->out.users = 1;
    if (container_dup(options ? options->container : NULL, &l->container) < 0) {
        cws_op_unref(&l->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    if (op_submit(&l->op, error) < 0) {
        cws_op_unref(&l->op);
        return NULL;
    }
    return &l->out;
}
