/* Log files; see log-file.h. */
#include "runtime/log-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/util.h"
#include "runtime/log-stream.h"

#define PUNCH_ALIGN 4096ULL /* smaller holes free nothing */
/* Chosen: what a log may take of the disk, in log_max_bytes. File systems reserve ahead for a file that grows, XFS as much
 * again; only a writer that means it gets past this. */
#define DISK_FACTOR 4
#define STAT_BLOCK 512ULL /* stat(2): unit of st_blocks */
#define LOG_SUFFIX ".log"

static char *path_of(const struct runtime *rt, const char *name)
{
    return str_dup_printf("%s/%s", rt->log_dir, name);
}

/* Never waits: an ordinary user's sandbox owns its log and could hold a lease on it (fcntl(2)
 * F_SETLEASE), which a blocking open waits for. */
static int open_log(const struct log_file *log, int flags, mode_t mode)
{
    if (!log->rt)
        return -ENOENT;
    CLEANUP_FREE char *path = path_of(log->rt, log->name);
    if (!path)
        return -ENOMEM;
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
    return fd < 0 ? -errno : fd;
}

int log_file_open(const struct log_file *log)
{
    return open_log(log, O_RDONLY, 0);
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
    CHECK(list_empty(&log->readers) && !log->rt);
    log_index_done(&log->index);
    free(log);
}

int log_file_new(struct runtime *rt, const char *id, struct log_file **ret, int *ret_fd,
                 struct err *err)
{
    struct log_file *log = calloc(1, sizeof(*log));
    if (!log)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "create the log: out of memory");
    log->rt = rt;
    log->n_refs = 1;
    list_init(&log->readers);
    (void)snprintf(log->name, sizeof(log->name), "%s" LOG_SUFFIX, id);
    CLEANUP_FD int fd = open_log(log, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || strmap_put(&rt->logs, log->name, log) < 0) {
        free(log);
        return err_set_errno(err, ERR_INTERNAL, fd < 0 ? -fd : ENOMEM, "create the log in %s",
                             rt->log_dir);
    }
    /* Lets the process open /dev/stdout by name: our user is nobody inside. The directory above
     * is closed to others. */
    (void)fchmod(fd, 0602);
    *ret = log;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void on_unlinked(uv_fs_t *request)
{
    uv_fs_req_cleanup(request);
    free(request);
}

/* On libuv's pool: taking away 64 MiB may keep a disk busy. */
static void remove_file(struct runtime *rt, const char *name)
{
    CLEANUP_FREE char *path = path_of(rt, name);
    uv_fs_t *request = malloc(sizeof(*request));
    if (path && request && !rt->closing &&
        uv_fs_unlink(rt->loop, request, path, on_unlinked) == 0)
        return;
    free(request);
    if (path)
        (void)unlink(path); /* what stays is removed by the next start */
}

void log_file_drop(struct log_file *log)
{
    if (!log)
        return;
    CHECK(strmap_remove(&log->rt->logs, log->name) == log);
    remove_file(log->rt, log->name);
    log->rt = NULL;
    log_file_unref(log);
}

void log_file_append(struct log_file *log, const char *text)
{
    CLEANUP_FD int fd = open_log(log, O_WRONLY | O_APPEND, 0);
    if (fd >= 0)
        (void)fd_write_all(fd, text, strlen(text)); /* a full disk: the exit code still tells */
}

/* Frees what lies before @start; a file system without holes keeps the limit at the price of all
 * that is there. */
static void drop_before(struct log_file *log, int fd, uint64_t from, uint64_t start)
{
    if (from == start || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                                   (off_t)(start - from)) == 0)
        log->start = start;
    else if (ftruncate(fd, 0) == 0)
        log->start = log->size = 0;
}

/* Frees the oldest part of the file on disk. @on_disk tells of a writer that fills what was dropped, which changes
 * no size. */
static void enforce_limit(struct log_file *log, uint64_t on_disk)
{
    uint64_t max = log->rt->config.log_max_bytes;
    bool filled = on_disk > DISK_FACTOR * max;
    /* some slack, or every line would punch */
    if (log->size - log->start <= max + max / 8 + PUNCH_ALIGN && !filled)
        return;
    CLEANUP_FD int fd = open_log(log, O_WRONLY, 0);
    if (fd < 0)
        return;
    uint64_t keep_from = log->size > max ? (log->size - max) & ~(PUNCH_ALIGN - 1) : 0;
    drop_before(log, fd, filled ? 0 : log->start, MAX(log->start, keep_from));
}

void log_file_look(struct log_file *log)
{
    struct stat st;
    if (!log->rt)
        return;
    CLEANUP_FREE char *path = path_of(log->rt, log->name);
    if (!path || lstat(path, &st) < 0)
        return;
    uint64_t size = (uint64_t)st.st_size;
    if (size != log->size) {
        log->size = size;
        log->start = MIN(log->start, size); /* it was cut */
        log->change_ns = clock_now_ns();
        log_index_add(&log->index, size, clock_wall_ns());
    }
    enforce_limit(log, (uint64_t)st.st_blocks * STAT_BLOCK);
}

/* ---- the directory ---- */

static void on_change(struct log_file *log)
{
    log_file_look(log);
    LIST_FOREACH(it, &log->readers)
    log_stream_on_change(CONTAINER_OF(it, struct log_stream, reader_link));
}

static void on_inotify(struct watch *w, uint32_t events)
{
    struct runtime *rt = CONTAINER_OF(w, struct runtime, log_watch);
    _Alignas(struct inotify_event) char
        data[16384]; /* 150 events of our names' length; the rest comes next turn */
    (void)events;
    ssize_t n = read(w->fd, data, sizeof(data));
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const struct inotify_event *)(data + at);
        struct log_file *log = e->len > 0 ? strmap_get(&rt->logs, e->name) : NULL;
        at += (ssize_t)sizeof(*e) + e->len;
        if (log) {
            on_change(log);
        } else if (e->mask & IN_Q_OVERFLOW) {
            size_t pos = 0;
            while ((log = strmap_next(&rt->logs, &pos)))
                on_change(log);
        }
    }
}

/* Logs of a service that was killed: nobody can ask for them any more. */
static void remove_stale(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        size_t n = strlen(entry->d_name);
        if (n > strlen(LOG_SUFFIX) &&
            strcmp(entry->d_name + n - strlen(LOG_SUFFIX), LOG_SUFFIX) == 0)
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    }
    if (d)
        (void)closedir(d);
}

int logs_open(struct runtime *rt, struct err *err)
{
    rt->log_watch = (struct watch){.fd = -1, .cb = on_inotify};
    rt->log_dir = str_dup_printf("%s/logs", rt->config.data_dir);
    if (!rt->log_dir)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "open the logs: out of memory");
    if (mkdir(rt->log_dir, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "create %s", rt->log_dir);
    remove_stale(rt->log_dir);
    rt->log_watch.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (rt->log_watch.fd < 0 ||
        inotify_add_watch(rt->log_watch.fd, rt->log_dir, IN_MODIFY | IN_ONLYDIR) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno,
                             "watch %s (limits: /proc/sys/fs/inotify)", rt->log_dir);
    int r = watch_set(&rt->poller, &rt->log_watch, EPOLLIN);
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, -r, "watch %s", rt->log_dir);
    return 0;
}

void logs_close(struct runtime *rt)
{
    if (rt->log_watch.fd >= 0)
        (void)watch_set(&rt->poller, &rt->log_watch, 0);
    cleanup_fd(&rt->log_watch.fd);
    CHECK(rt->logs.n_entries == 0);
    strmap_done(&rt->logs);
    free(rt->log_dir);
    rt->log_dir = NULL;
}
