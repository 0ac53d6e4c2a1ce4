/* Log streams; see log-stream.h. */
#include "runtime/log-stream.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"

static void pump_soon(struct log_stream *l)
{
    if (!l->ended)
        deferred_post(&l->sb->rt->deferred, &l->pump);
}

/* ---- the end ---- */

static void log_stream_reap(struct log_stream *l)
{
    if (!l->user_gone || !l->ended || l->n_busy > 0 || l->job_runs)
        return;
    cleanup_fd(&l->job.fd);
    buf_done(&l->job.data);
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
    log_waiter_cancel(&l->flush);
    if (l->session) { /* whose name has grown, with the first byte */
        (void)snprintf(l->session_id, sizeof(l->session_id), "%s", l->session->id);
        log_session_release(l->sb, TAKE_PTR(l->session));
    }
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
    return sandbox_state_terminal(l->sb->state) && !l->sb->cell &&
           (!l->log || log_file_is_closed(l->log));
}

static void on_work(uv_work_t *work)
{
    log_read_run(CONTAINER_OF(work, struct log_read, work));
}

static void on_worked(uv_work_t *work, int status);

static void start_job(struct log_stream *l)
{
    l->job.path = l->log->path;
    l->job.work.data = l->sb->rt;
    l->job.start = l->log->start;
    l->job.seek = l->seeking;
    l->job_runs = true;
    (void)log_file_ref(l->log); /* the path */
    l->job_log = l->log;
    runtime_job_begin(l->sb->rt);
    (void)uv_queue_work(l->sb->rt->loop, &l->job.work, on_work, on_worked); /* cannot fail */
}

/* What is in the file now is what there is, for those who do not follow. */
static void begin_reading(struct log_stream *l)
{
    drop_grace(l);
    l->reading = true;
    if (!l->log)
        return;
    l->end = l->log->size;
    if (l->resumed)
        return;
    l->position = l->log->start;
    l->seeking = l->end > 0 && (l->log->start > 0 || l->tail_lines > 0 || l->since_wall_ns > 0);
    l->job.end = l->end;
    l->job.n_lines = l->tail_lines;
    l->job.tail.at = l->end;
    if (l->since_wall_ns > 0)
        l->job.since = log_index_since(&l->log->index, l->since_wall_ns);
}

/* ---- the grace of a young process ---- */

static void on_grace_timer(uv_timer_t *timer)
{
    struct log_grace *grace = CONTAINER_OF(timer, struct log_grace, timer);
    struct log_stream *l = grace->stream;
    if (!l)
        return;
    drop_grace(l);
    l->waited = true;
    l->flushed = false;
    pump_soon(l);
}

/* How long is still to be waited? 0: the process has said something and then been quiet, is old
 * enough, or has ended. */
static uint64_t grace_left(const struct log_stream *l)
{
    const struct sandbox *sb = l->sb;
    uint64_t now = clock_now_ns();
    if (l->follow || l->resumed || l->waited || !l->log || sb->state != SANDBOX_RUNNING ||
        sb->main.exited)
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
            l->waited = true;
            pump_soon(l);
            return;
        }
        (void)uv_timer_init(l->sb->rt->loop, &l->grace->timer);
        l->grace->stream = l;
    }
    uv_update_time(l->sb->rt->loop); /* the loop's clock may be as old as this turn */
    (void)uv_timer_start(&l->grace->timer, on_grace_timer, left_ns / NS_PER_MS + 1, 0);
}

/* ---- reading ---- */

static void send_bytes(struct log_stream *l, struct buf *data, uint64_t arrival)
{
    l->sent += buf_len(data);
    l->session->sent = MAX(l->session->sent, l->sent);
    size_t skip = (size_t)MIN(l->skip, (uint64_t)buf_len(data));
    buf_consume(data, skip);
    l->skip -= skip;
    if (buf_len(data) > 0)
        l->events.on_data(l->user, l, data, arrival, l->sent);
}

static struct log_mark mark_here(const struct log_stream *l)
{
    return (struct log_mark){
        .sent = l->sent, .position = l->position, .line_start = l->line_start};
}

/* What a job brought, with times when they are wanted. False: out of memory. */
static bool send_chunk(struct log_stream *l)
{
    CLEANUP_BUF struct buf out = {0};
    struct buf *data = &l->job.data;
    size_t n = buf_len(data);
    uint64_t now = clock_wall_ns();
    uint64_t arrival = log_index_time(&l->log->index, l->position, now);
    bool line_start = l->line_start;
    if (l->timestamps &&
        log_render(&l->log->index, l->position, buf_head(data), n, now, &line_start, &out) < 0)
        return false;
    struct log_mark mark = mark_here(l);
    log_session_mark(l->session, &mark, false);
    l->line_start = buf_head(data)[n - 1] == '\n';
    l->position += n;
    send_bytes(l, l->timestamps ? &out : data, arrival);
    buf_done(data);
    return true;
}

/* The limit of the log has overtaken this reader: on it goes at the oldest line that is kept. */
static void seek_behind_gap(struct log_stream *l)
{
    l->seeking = l->in_gap = true;
    l->gap_start = l->position;
    l->job.n_lines = l->job.since = 0;
    l->job.end = l->log->size;
}

/* What was missed is told on a line of its own. False: out of memory. */
static bool tell_gap(struct log_stream *l)
{
    CLEANUP_BUF struct buf text = {0};
    l->in_gap = false;
    if (buf_printf(&text,
                   "%s[cwsandbox: %" PRIu64
                   " bytes of output are missing here: the log was full]\n",
                   l->line_start ? "" : "\n", l->position - l->gap_start) < 0)
        return false;
    l->line_start = true;
    l->skip = 0;
    struct log_mark mark = mark_here(l);
    mark.sent += buf_len(&text);
    log_session_mark(l->session, &mark, true);
    send_bytes(l, &text, clock_wall_ns());
    return true;
}

/* The search may need several steps; what is dropped meanwhile is seen by the reading. */
static bool take_place(struct log_stream *l)
{
    l->seeking = l->job.more;
    if (l->seeking)
        return true;
    l->position = l->job.position;
    return !l->in_gap || tell_gap(l);
}

/* A job is back. False: the stream has ended. */
static bool take_result(struct log_stream *l)
{
    struct log_read *job = &l->job;
    char why[128]; /* longest: strerror's, under 80 */
    bool ok = true;
    if (job->error && !l->log->rt) {
        end_stream(l, NULL, ""); /* pruned, and with it the log */
        return false;
    }
    if (job->error) {
        (void)snprintf(why, sizeof(why), "read the log: %s", strerror(job->error));
        end_stream(l, "STREAM_INTERRUPTED", why);
        return false;
    }
    if (l->seeking)
        ok = take_place(l);
    else if (l->position >= l->log->start)
        ok = send_chunk(l);
    else
        buf_clear(&job->data); /* maybe punched out under the read: not to be believed */
    if (!ok)
        end_stream(l, "STREAM_INTERRUPTED", "out of memory");
    return ok;
}

static void end_at_loss(struct log_stream *l)
{
    char text[160]; /* longest: 20 digits and strerror's under 80 */
    (void)snprintf(text, sizeof(text),
                   "%" PRIu64 " bytes of output were lost here: write the log: %s",
                   l->log->lost_bytes, strerror(l->log->lost_error));
    end_stream(l, "OUTPUT_LOST", text);
}

/* What is there to do next: a job, the end, or nothing until the log grows. */
static void pump(struct log_stream *l)
{
    uint64_t end = !l->log ? 0 : l->follow ? l->log->size : l->end;
    if (!l->seeking && l->position < end && l->position < l->log->start)
        seek_behind_gap(l);
    if (l->seeking || l->position < end) {
        l->job.position = l->position;
        if (!l->seeking)
            l->job.end = end;
        start_job(l);
    } else if (l->log && l->log->lost_bytes > 0 && l->position >= l->log->size) {
        end_at_loss(l);
    } else if (!l->follow || log_is_complete(l)) {
        end_stream(l, NULL, "");
    }
}

static void on_flushed(struct log_waiter *w)
{
    pump_soon(CONTAINER_OF(w, struct log_stream, flush));
}

/* Everything before the reading. True: it may begin. */
static bool get_ready(struct log_stream *l)
{
    uint64_t left = grace_left(l);
    if (left > 0) {
        wait_grace(l, left);
        return false;
    }
    if (!l->flushed && l->log) {
        l->flushed = true;
        l->flush.cb = on_flushed;
        if (log_file_flush(l->log, &l->flush))
            return false;
    }
    begin_reading(l);
    return true;
}

static bool is_linked(const struct list *link)
{
    return link->next && !list_empty(link);
}

/* Waiting for the sandbox, for the log, for a job: each comes back by itself. */
static bool is_waiting(const struct log_stream *l)
{
    return is_linked(&l->waiter.link) || is_linked(&l->flush.link) || l->job_runs;
}

static void advance(struct log_stream *l)
{
    l->n_busy++;
    if (l->refusal)
        end_stream(l, l->refusal, "");
    else if ((l->reading || get_ready(l)) && !l->paused && !l->user_gone)
        pump(l);
    l->n_busy--;
    if (l->user_gone && !l->ended)
        detach(l);
    log_stream_reap(l);
}

static void on_pump(struct deferred *d)
{
    struct log_stream *l = CONTAINER_OF(d, struct log_stream, pump);
    if (!is_waiting(l)) /* else somebody resumed it before there was anything */
        advance(l);
}

static void on_worked(uv_work_t *work, int status)
{
    struct log_stream *l = CONTAINER_OF(work, struct log_stream, job.work);
    struct runtime *rt = work->data;
    (void)status; /* never cancelled */
    l->job_runs = false;
    log_file_unref(TAKE_PTR(l->job_log));
    l->n_busy++;
    bool goes_on = !l->ended && !l->user_gone && take_result(l) && !l->ended;
    l->n_busy--;
    if (l->user_gone && !l->ended) {
        detach(l);
        goes_on = false;
    }
    if (goes_on)
        advance(l);
    else
        log_stream_reap(l);
    runtime_job_end(rt);
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
    struct log_session *s = log_session_find(l->sb, spec->resume_session, spec->resume_offset);
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
    l->job.fd = -1;
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
    return l->session ? l->session->id : l->session_id;
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
