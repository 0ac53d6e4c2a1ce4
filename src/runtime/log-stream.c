/* Log streams; see log-stream.h. */
#include "runtime/log-stream.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

static void pump_soon(struct log_stream *l)
{
    if (!l->ended)
        deferred_post(l->sb->rt, &l->pump);
}

/* ---- the end ---- */

static void log_stream_reap(struct log_stream *l)
{
    if (l->user_gone && l->ended && l->n_busy == 0)
        free(l);
}

static void on_grace_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct log_grace, timer));
}

static void drop_grace(struct log_stream *l)
{
    struct log_grace *grace = TAKE_PTR(l->grace);
    if (!grace)
        return;
    grace->stream = NULL;
    uv_close((uv_handle_t *)&grace->timer, on_grace_closed);
}

static void detach(struct log_stream *l)
{
    l->ended = true;
    sandbox_waiter_cancel(&l->waiter);
    deferred_cancel(&l->pump);
    drop_grace(l);
    cleanup_fd(&l->fd);
    if (l->session)
        log_session_release(l->sb, TAKE_PTR(l->session));
    list_remove(&l->link);
    list_remove(&l->reader_link);
    log_file_unref(TAKE_PTR(l->log));
    sandbox_unref(TAKE_PTR(l->sb));
}

static void end_stream(struct log_stream *l, const char *code, const char *message)
{
    detach(l);
    l->n_busy++;
    if (!l->user_gone && l->events.on_end)
        l->events.on_end(l->user, l, code, message);
    l->n_busy--;
    log_stream_reap(l);
}

void log_streams_end_now(struct sandbox *sb)
{
    for (struct list *it; (it = list_first(&sb->streams));)
        end_stream(CONTAINER_OF(it, struct log_stream, link), NULL, "");
}

/* ---- where to begin ---- */

/* True once no byte can be added any more. */
static bool log_is_complete(const struct log_stream *l)
{
    return sandbox_state_terminal(l->sb->state) && !l->sb->cell;
}

static void seek_fresh(struct log_stream *l)
{
    struct log_file *log = l->log;
    uint64_t start = log->start > 0 ? log_seek_line(l->fd, log->start, log->size) : 0;
    l->position = start;
    if (l->tail_lines > 0)
        l->position = log_seek_tail(l->fd, start, log->size, l->tail_lines);
    if (l->since_wall_ns > 0) {
        uint64_t since = log_index_since(&log->index, l->since_wall_ns);
        since = since >= log->size ? log->size : log_seek_line(l->fd, since, log->size);
        l->position = MAX(l->position, since);
    }
}

/* Opens the file and finds the place. */
static void begin_reading(struct log_stream *l)
{
    drop_grace(l);
    l->reading = true;
    if (!l->log)
        return;
    l->fd = log_file_open(l->log);
    if (l->fd < 0) {
        l->fd = -1;
        return; /* removed: the sandbox was just pruned */
    }
    log_file_look(l->log);
    if (!l->resumed)
        seek_fresh(l);
    l->end = l->log->size;
}

/* ---- the grace of a young process ---- */

static void on_grace_timer(uv_timer_t *timer)
{
    struct log_grace *grace = CONTAINER_OF(timer, struct log_grace, timer);
    struct log_stream *l = grace->stream;
    if (!l)
        return;
    begin_reading(l);
    pump_soon(l);
}

/* How long is still to be waited? 0: the process has said something and then been quiet, is old
 * enough, or has ended. */
static uint64_t grace_left(const struct log_stream *l)
{
    const struct sandbox *sb = l->sb;
    uint64_t now = clock_now_ns();
    if (l->follow || l->resumed || !l->log || sb->state != SANDBOX_RUNNING || sb->main.ended)
        return 0;
    uint64_t end = sb->main.start_ns + LOG_GRACE_NS;
    if (l->log->size > 0)
        end = MIN(end, l->log->change_ns + LOG_QUIET_NS);
    return end > now ? end - now : 0;
}

static void wait_grace(struct log_stream *l, uint64_t left_ns)
{
    if (!l->grace) {
        l->grace = calloc(1, sizeof(*l->grace));
        if (!l->grace) {
            begin_reading(l);
            return;
        }
        (void)uv_timer_init(l->sb->rt->loop, &l->grace->timer);
        l->grace->stream = l;
    }
    uv_update_time(l->sb->rt->loop); /* the loop's clock may be as old as this turn */
    (void)uv_timer_start(&l->grace->timer, on_grace_timer, left_ns / NS_PER_MS + 1, 0);
}

/* ---- reading ---- */

/* Whole lines when there are any, so that no character is cut in two. */
static size_t cut_at_line(const uint8_t *data, size_t n)
{
    const uint8_t *newline = n == LOG_CHUNK ? memrchr(data, '\n', n) : NULL;
    return newline ? (size_t)(newline - data) + 1 : n;
}

/* Renders one chunk and hands it out. False: out of memory. */
static bool send_chunk(struct log_stream *l, const uint8_t *data, size_t n)
{
    CLEANUP_BUF struct buf out = {0};
    uint64_t now = clock_wall_ns();
    uint64_t arrival = log_index_time(&l->log->index, l->position, now);
    bool line_start = l->line_start;
    int r = l->timestamps
                ? log_render(&l->log->index, l->position, data, n, now, &line_start, &out)
                : buf_put(&out, data, n);
    if (r < 0)
        return false;
    log_session_mark(l->session, l->sent, l->position, l->line_start);
    l->line_start = data[n - 1] == '\n';
    l->position += n;
    l->sent += buf_len(&out);
    l->session->sent = MAX(l->session->sent, l->sent);
    size_t skip = (size_t)MIN(l->skip, (uint64_t)buf_len(&out));
    buf_consume(&out, skip);
    l->skip -= skip;
    if (buf_len(&out) > 0)
        l->events.on_data(l->user, l, &out, arrival, l->sent);
    return true;
}

/* One chunk. 1: there may be more; 0: all there is; -1: the stream has ended. */
static int read_chunk(struct log_stream *l)
{
    struct log_file *log = l->log;
    uint8_t data[LOG_CHUNK];
    if (l->fd < 0)
        return 0;
    if (log->size < l->position)
        l->position = 0; /* cut by its writer: what comes now is new */
    if (l->position < log->start) {
        end_stream(l, "REPLAY_GAP", "older output was dropped: the log is at its limit");
        return -1;
    }
    uint64_t end = l->follow ? UINT64_MAX : l->end;
    size_t max = (size_t)MIN((uint64_t)LOG_CHUNK, end > l->position ? end - l->position : 0);
    ssize_t n = max > 0 ? pread(l->fd, data, max, (off_t)l->position) : 0;
    if (n <= 0)
        return 0;
    if (!send_chunk(l, data, cut_at_line(data, (size_t)n))) {
        end_stream(l, "STREAM_INTERRUPTED", "out of memory");
        return -1;
    }
    return 1;
}

static void pump(struct log_stream *l)
{
    int r = l->log ? 1 : 0;
    if (l->log)
        log_file_look(l->log);
    for (int i = 0; r > 0 && i < LOG_CHUNKS_PER_TURN && !l->paused && !l->user_gone; i++)
        r = read_chunk(l);
    if (r < 0 || l->user_gone || l->paused)
        return;
    if (r > 0)
        pump_soon(l);
    else if (!l->follow || log_is_complete(l))
        end_stream(l, NULL, "");
}

static bool is_waiting(const struct log_stream *l)
{
    return l->waiter.link.next && !list_empty(&l->waiter.link);
}

static void on_pump(struct deferred *d)
{
    struct log_stream *l = CONTAINER_OF(d, struct log_stream, pump);
    if (is_waiting(l))
        return; /* somebody resumed it before there was anything */
    l->n_busy++;
    if (l->refusal) {
        end_stream(l, l->refusal, "");
    } else if (l->reading) {
        pump(l);
    } else {
        if (l->log)
            log_file_look(l->log);
        uint64_t left = grace_left(l);
        if (left > 0)
            wait_grace(l, left);
        else
            begin_reading(l);
        if (l->reading)
            pump(l);
    }
    l->n_busy--;
    if (l->user_gone && !l->ended)
        detach(l);
    log_stream_reap(l);
}

void log_stream_on_change(struct log_stream *l)
{
    pump_soon(l);
}

void log_streams_on_ended(struct sandbox *sb)
{
    LIST_FOREACH(it, &sb->streams)
    pump_soon(CONTAINER_OF(it, struct log_stream, link));
}

/* ---- opening ---- */

/* Takes over a session, or notes why it cannot. */
static void resume(struct log_stream *l, const struct log_spec *spec)
{
    struct log_session *s = log_session_find(l->sb, spec->resume_session);
    if (!s) {
        l->refusal = "SESSION_NOT_FOUND";
        return;
    }
    const struct log_mark *mark = log_session_seek(s, spec->resume_offset);
    if (!mark && spec->resume_offset > 0) {
        l->refusal = "INVALID_RESUME_OFFSET";
        return;
    }
    if (mark && l->sb->log && mark->position < l->sb->log->start) {
        l->refusal = "REPLAY_GAP";
        return;
    }
    if (s->in_use)
        s = log_session_clone(l->sb, s);
    if (!s)
        return; /* out of memory: log_stream_open() sees that there is no session */
    s->in_use = true;
    l->session = s;
    l->timestamps = s->timestamps;
    if (!mark)
        return; /* nothing was sent yet: as a fresh one */
    l->resumed = true;
    l->position = mark->position;
    l->line_start = mark->line_start;
    l->sent = mark->sent;
    l->skip = spec->resume_offset - mark->sent;
}

static void attach_log(struct log_stream *l)
{
    if (!l->sb->log || l->log)
        return;
    l->log = log_file_ref(l->sb->log);
    list_append(&l->log->readers, &l->reader_link);
}

static void on_waited(struct sandbox_waiter *waiter, bool running)
{
    struct log_stream *l = CONTAINER_OF(waiter, struct log_stream, waiter);
    (void)running; /* a sandbox that ended has a log too */
    attach_log(l);
    pump_soon(l);
}

static struct log_stream *log_stream_new(struct sandbox *sb, const struct log_spec *spec)
{
    struct log_stream *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->sb = sandbox_ref(sb);
    list_append(&sb->streams, &l->link);
    list_init(&l->reader_link);
    l->fd = -1;
    l->waiter.cb = on_waited;
    l->pump.cb = on_pump;
    l->follow = spec->follow;
    l->timestamps = spec->timestamps;
    l->tail_lines = spec->tail_lines;
    l->since_wall_ns = spec->since_wall_ns;
    l->line_start = true;
    return l;
}

int log_stream_open(struct sandbox *sb, const struct log_spec *spec,
                    const struct log_events *events, void *user, struct log_stream **ret,
                    struct err *err)
{
    struct log_stream *l = log_stream_new(sb, spec);
    if (!l)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "open the log: out of memory");
    l->events = *events;
    l->user = user;
    if (spec->resume_session && spec->resume_session[0] != '\0')
        resume(l, spec);
    else
        l->session = log_session_new(sb, spec->timestamps);
    if (!l->session && !l->refusal) {
        log_stream_free(l);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "open the log: out of memory");
    }
    (void)snprintf(l->session_id, sizeof(l->session_id), "%s",
                   l->session ? l->session->id : spec->resume_session);
    if (l->refusal || sandbox_wait(sb, &l->waiter, NULL) != 0) {
        attach_log(l);
        pump_soon(l);
    }
    *ret = l;
    return 0;
}

const char *log_stream_session(const struct log_stream *l)
{
    return l->session_id;
}

void log_stream_pause(struct log_stream *l)
{
    l->paused = true;
}

void log_stream_resume(struct log_stream *l)
{
    l->paused = false;
    pump_soon(l);
}

void log_stream_free(struct log_stream *l)
{
    if (!l)
        return;
    l->user_gone = true;
    if (!l->ended && l->n_busy == 0)
        detach(l);
    log_stream_reap(l);
}
