/* Log files; see log-file.h. */
#include "runtime/log-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/util.h"
#include "runtime/log-stream.h"
#include "runtime/sandbox.h"

#define LOG_SUFFIX ".log"
#define LOG_BIG_PIPE LOG_MOVE_MAX
#define LOGS_MAX_BYTES (64ull << 30) /* chosen: a thousand logs of full length */
#define LOG_MIN_BYTES (256u << 10)   /* chosen: what a log keeps however full the disk is */
#define LOG_FULL_PIPE \
    65536 /* Linux's default capacity: a writer that fills it gets a larger one */

static void start_moves(struct runtime *rt);
static void remove_file(struct runtime *rt, struct log_file *log);

bool log_file_is_closed(const struct log_file *log)
{
    return !log->rt || (log->pipe.fd < 0 && !log->moving);
}

struct log_file *log_file_ref(struct log_file *log)
{
    log->n_refs++;
    return log;
}

void log_file_unref(struct log_file *log)
{
    if (!log || --log->n_refs > 0)
        return;
    CHECK(list_empty(&log->readers) && list_empty(&log->waiters) && !log->rt &&
          log->pipe.fd < 0);
    log_index_done(&log->index);
    free(log->path);
    free(log);
}

/* ---- the queue ---- */

/* init has a duplicate of this end, so that the pipe outlives us: it must leave the set by name. */
static void close_pipe(struct runtime *rt, struct log_file *log)
{
    fd_watch_close(&rt->poller, &log->pipe, false);
    list_remove(&log->queue_link);
}

static void enqueue(struct log_file *log)
{
    struct runtime *rt = log->rt;
    (void)fd_watch_set(&rt->poller, &log->pipe, 0);
    if (!log->moving && list_empty(&log->queue_link))
        list_append(&rt->log_queue, &log->queue_link);
    start_moves(rt);
}

static void on_pipe(struct fd_watch *w, uint32_t events)
{
    (void)events;
    enqueue(CONTAINER_OF(w, struct log_file, pipe));
}

static void tell_waiters(struct log_file *log)
{
    for (struct list *it; (it = list_first(&log->waiters));) {
        struct log_waiter *w = CONTAINER_OF(it, struct log_waiter, link);
        if (w->ticket > log->n_done && !log_file_is_closed(log))
            return; /* in the order of their tickets */
        list_remove(it);
        w->cb(w);
    }
}

static void charge(struct runtime *rt, struct log_file *log, uint64_t on_disk)
{
    rt->log_bytes += on_disk - log->charged;
    log->charged = on_disk;
}

/* With too much on disk a log that still grows keeps an equal part of half of it. */
static uint64_t max_bytes_now(const struct runtime *rt)
{
    const struct runtime_config *c = &rt->config;
    if (rt->log_bytes <= c->max_log_bytes)
        return c->log_max_bytes;
    return MIN(c->log_max_bytes, MAX(c->max_log_bytes / 2 / rt->n_logs, LOG_MIN_BYTES));
}

static void note_growth(struct runtime *rt, struct log_file *log)
{
    const struct log_move *m = &log->move;
    bool first_loss = m->lost_bytes > 0 && log->lost_bytes == 0;
    if (m->size != log->size) {
        if (m->size - log->size >= LOG_FULL_PIPE && log->pipe.fd >= 0)
            (void)fcntl(log->pipe.fd, F_SETPIPE_SZ,
                        LOG_BIG_PIPE); /* refused above the user's quota: fine */
        log->change_ns = clock_now_ns();
        log_index_add(&log->index, m->size, clock_wall_ns());
    }
    log->size = m->size;
    log->start = m->start;
    charge(rt, log, log->size - log->start);
    log->lost_bytes = m->lost_bytes;
    log->lost_error = m->lost_error;
    if (first_loss && rt->on_log_lost)
        rt->on_log_lost(rt->on_log_lost_user, log->id, log->lost_error);
    registry_on_logs_grown(rt);
}

/* Has somebody asked, while a move was under way, for one that begins later? */
static bool is_wanted(const struct log_file *log)
{
    LIST_FOREACH(it, &log->waiters)
    {
        if (CONTAINER_OF(it, struct log_waiter, link)->ticket > log->n_done)
            return true;
    }
    return log->end_ticket > log->n_done;
}

/* What comes after a move: the next one, or waiting for the pipe, or the end. */
static void go_on(struct runtime *rt, struct log_file *log)
{
    bool again = log->move.more || is_wanted(log);
    if (log->pipe.fd < 0)
        return;
    if (log->move.eof || (log->end_ticket > 0 && !again))
        close_pipe(rt, log);
    else if (again || fd_watch_set(&rt->poller, &log->pipe, EPOLLIN) < 0)
        enqueue(log);
}

/* A move is over; the log may be gone after it. */
static void on_moved(uv_work_t *work, int status)
{
    struct log_file *log = CONTAINER_OF(work, struct log_file, move.work);
    struct runtime *rt = work->data;
    (void)status; /* never cancelled */
    log->moving = false;
    log->n_done++;
    rt->n_moves--;
    if (log->rt) {
        note_growth(rt, log);
        go_on(rt, log);
        LIST_FOREACH(it, &log->readers)
        log_stream_on_change(CONTAINER_OF(it, struct log_stream, reader_link));
        tell_waiters(log);
    } else {
        remove_file(rt, log); /* dropped meanwhile */
    }
    log_file_unref(log);
    start_moves(rt);
    runtime_job_end(rt);
}

static void on_work(uv_work_t *work)
{
    log_move_run(CONTAINER_OF(work, struct log_move, work));
}

static void start_moves(struct runtime *rt)
{
    struct list *first;
    while (rt->n_moves < LOG_MAX_MOVES && (first = list_first(&rt->log_queue))) {
        struct log_file *log = log_file_ref(CONTAINER_OF(first, struct log_file, queue_link));
        list_remove(first);
        log->move = (struct log_move){.work.data = rt,
                                      .path = log->path,
                                      .pipe_fd = log->pipe.fd,
                                      .max_bytes = max_bytes_now(rt),
                                      .size = log->size,
                                      .start = log->start,
                                      .lost_bytes = log->lost_bytes,
                                      .lost_error = log->lost_error};
        log->moving = true;
        log->n_started++;
        rt->n_moves++;
        runtime_job_begin(rt);
        (void)uv_queue_work(rt->loop, &log->move.work, on_work, on_moved); /* cannot fail */
    }
}

bool log_file_flush(struct log_file *log, struct log_waiter *w)
{
    if (log_file_is_closed(log))
        return false;
    w->ticket = log->n_started + 1;
    list_append(&log->waiters, &w->link);
    enqueue(log);
    return true;
}

void log_waiter_cancel(struct log_waiter *w)
{
    if (w->link.next)
        list_remove(&w->link);
}

void log_file_end(struct log_file *log)
{
    if (!log || log->pipe.fd < 0 || log->end_ticket > 0)
        return;
    log->end_ticket = log->n_started + 1;
    enqueue(log);
}

/* ---- birth and death ---- */

/*
 * Our end does not block, the other one does, as every program expects. Mode 0666 lets the process open /dev/stdout and
 * /dev/stderr by name: the inode belongs to our user, who is nobody inside; only those who hold the pipe can reach it.
 */
static int make_pipe(int ret_fds[2])
{
    if (pipe2(ret_fds, O_CLOEXEC) < 0)
        return -errno;
    (void)fchmod(ret_fds[0], 0666); /* cannot fail for our own pipe */
    (void)fcntl(ret_fds[0], F_SETFL, O_NONBLOCK);
    return 0;
}

static struct log_file *log_file_alloc(struct runtime *rt, const char *id, struct err *err)
{
    struct log_file *log = calloc(1, sizeof(*log));
    if (!log || !(log->path = str_dup_printf("%s/%s" LOG_SUFFIX, rt->log_dir, id))) {
        free(log);
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "create the log: out of memory");
        return NULL;
    }
    log->n_refs = 1;
    log->pipe.fd = -1;
    (void)snprintf(log->id, sizeof(log->id), "%s", id);
    list_init(&log->queue_link);
    list_init(&log->readers);
    list_init(&log->waiters);
    return log;
}

static void publish(struct runtime *rt, struct log_file *log)
{
    log->rt = rt;
    rt->n_logs++;
}

int log_file_new(struct runtime *rt, const char *id, struct log_file **ret, int *ret_fd,
                 struct err *err)
{
    int fds[2];
    struct log_file *log = log_file_alloc(rt, id, err);
    if (!log)
        return -1;
    int r = make_pipe(fds);
    if (r == 0) {
        log->pipe = (struct fd_watch){.fd = fds[0], .cb = on_pipe};
        r = fd_watch_set(&rt->poller, &log->pipe, EPOLLIN);
        if (r < 0) {
            cleanup_fd(&fds[0]);
            cleanup_fd(&fds[1]);
        }
    }
    if (r < 0) {
        free(log->path);
        free(log);
        return err_set_errno(err, ERR_RESOURCE_EXHAUSTED, -r, "create the pipe of the log");
    }
    publish(rt, log);
    *ret = log;
    *ret_fd = fds[1];
    return 0;
}

/* What was dropped before shows as a hole. A main process that said nothing made no file. */
static int look_at_file(struct log_file *log)
{
    struct stat st;
    CLEANUP_FD int fd = open(log->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    off_t start = lseek(fd, 0, SEEK_DATA); /* ENXIO: there is none */
    log->size = (uint64_t)st.st_size;
    log->start = start >= 0 ? (uint64_t)start : log->size;
    log_index_add(&log->index, log->size,
                  (uint64_t)st.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)st.st_mtim.tv_nsec);
    return 0;
}

int log_file_restore(struct runtime *rt, const char *id, struct log_file **ret, struct err *err)
{
    struct log_file *log = log_file_alloc(rt, id, err);
    if (!log)
        return -1;
    int r = look_at_file(log);
    if (r < 0) {
        (void)err_set_errno(err, ERR_INTERNAL, -r, "open the log %s", log->path);
        log_file_unref(log);
        return -1;
    }
    publish(rt, log);
    charge(rt, log, log->size - log->start);
    *ret = log;
    return 0;
}

int log_file_adopt(struct log_file *log, int take_pipe)
{
    struct stat st;
    log->pipe = (struct fd_watch){.fd = take_pipe, .cb = on_pipe};
    int r = -EBADF; /* init is not trusted to send what it got */
    if (fstat(take_pipe, &st) == 0 && S_ISFIFO(st.st_mode) &&
        fcntl(take_pipe, F_SETFL, O_NONBLOCK) == 0)
        r = fd_watch_set(&log->rt->poller, &log->pipe, EPOLLIN);
    if (r < 0)
        cleanup_fd(&log->pipe.fd);
    return r;
}

static void on_removed(uv_work_t *work, int status)
{
    struct runtime *rt = work->data;
    (void)status;
    log_file_unref(CONTAINER_OF(work, struct log_file, move.work));
    runtime_job_end(rt);
}

/* On the pool: taking away 64 MiB may keep a disk busy. No move is under way, so the number of the pipe is free to go. */
static void remove_file(struct runtime *rt, struct log_file *log)
{
    fd_watch_close(&rt->poller, &log->pipe, false);
    if (log->keep)
        return;
    (void)log_file_ref(log);
    log->move = (struct log_move){.work.data = rt, .path = log->path, .remove = true};
    runtime_job_begin(rt);
    (void)uv_queue_work(rt->loop, &log->move.work, on_work, on_removed); /* cannot fail */
}

void log_file_drop(struct log_file *log, bool keep)
{
    if (!log)
        return;
    log->keep = keep;
    struct runtime *rt = TAKE_PTR(log->rt);
    charge(rt, log, 0);
    rt->n_logs--;
    (void)fd_watch_set(&rt->poller, &log->pipe, 0);
    list_remove(&log->queue_link);
    tell_waiters(log);
    if (!log->moving)
        remove_file(rt, log);
    log_file_unref(log);
}

/* ---- the directory ---- */

void logs_remove_stale(struct runtime *rt)
{
    DIR *d = opendir(rt->log_dir);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        char id[LAUNCH_MAX_ID];
        size_t n = strcspn(entry->d_name, "."); /* no id has one */
        if (n >= sizeof(id) || strcmp(entry->d_name + n, LOG_SUFFIX) != 0)
            continue;
        memcpy(id, entry->d_name, n);
        id[n] = '\0';
        if (!strmap_get(&rt->by_id, id))
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    }
    if (d)
        (void)closedir(d);
}

static uint64_t half_of_disk(const char *dir)
{
    struct statvfs fs;
    uint64_t half = statvfs(dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize / 2 : 0;
    return MAX(MIN(half, LOGS_MAX_BYTES), LOG_MIN_BYTES);
}

int logs_open(struct runtime *rt, struct err *err)
{
    rt->log_dir = str_dup_printf("%s/logs", rt->config.data_dir);
    if (!rt->log_dir)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "open the logs: out of memory");
    if (mkdir(rt->log_dir, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "create %s", rt->log_dir);
    if (rt->config.max_log_bytes == 0)
        rt->config.max_log_bytes = half_of_disk(rt->log_dir);
    return 0;
}

void logs_close(struct runtime *rt)
{
    CHECK(rt->n_logs == 0 && rt->n_moves == 0);
    free(rt->log_dir);
    rt->log_dir = NULL;
}
