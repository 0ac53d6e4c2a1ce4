/*
 * Directory, lock and log of the embedded service. See embedded.h.
 */
#include "server/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/rundir.h"
#include "base/util.h"

/* How long another instance may take to start or to stop. Chosen: a start takes milliseconds, a
 * machine in trouble more. */
#define CLAIM_TIMEOUT_NS (15 * NS_PER_SEC)

int embedded_name(struct embedded *e, struct err *err)
{
    e->dir = rundir_path();
    e->socket_path = e->dir != NULL ? str_dup_printf("%s/%s", e->dir, RUNDIR_SOCKET) : NULL;
    if (e->socket_path == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (strlen(e->socket_path) >= sizeof((struct sockaddr_un){0}.sun_path))
        return err_set(err, ERR_FAILED_PRECONDITION, "`%s` is too long for a socket",
                       e->socket_path);
    return 0;
}

static int open_dir(struct embedded *e, struct err *err)
{
    if (embedded_name(e, err) < 0)
        return -1;
    if (mkdir(e->dir, 0700) < 0 && errno != EEXIST)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "make directory `%s`",
                             e->dir);
    e->dir_fd = open(e->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (e->dir_fd < 0 || fstat(e->dir_fd, &st) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open directory `%s`",
                             e->dir);
    /* In /tmp anybody may have made it first, to read along. */
    if (st.st_uid != geteuid())
        return err_set(err, ERR_FAILED_PRECONDITION, "`%s` belongs to uid %u, not to us",
                       e->dir, (unsigned)st.st_uid);
    if ((st.st_mode & 077) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "`%s` is open to others (mode %04o); chmod 700", e->dir,
                       (unsigned)st.st_mode & 07777);
    return 0;
}

static bool socket_answers(const struct embedded *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, e->socket_path, strlen(e->socket_path)); /* fits: open_dir() */
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    /* EAGAIN: the backlog is full, so somebody does listen. */
    return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 || errno == EAGAIN;
}

/* The lock's holder leaves its pid in the file, so that others can wait for its end. -1: not
 * written yet, or no pid. */
static int open_holder(int lock_fd)
{
    char text[32] = "";
    uint64_t pid;
    ssize_t n = pread(lock_fd, text, sizeof(text) - 1, 0);
    char *end = n > 0 ? strchr(text, '\n') : NULL;
    if (end == NULL)
        return -1;
    *end = '\0';
    if (parse_u64(text, INT32_MAX, &pid) < 0 || pid == 0)
        return -1;
    return pidfd_open((pid_t)pid, 0);
}

static int take_lock(struct embedded *e, struct err *err)
{
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 0
                                    : err_set_errno(err, ERR_FAILED_PRECONDITION, errno,
                                                    "lock `%s/%s`", e->dir, RUNDIR_LOCK);
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(e->lock_fd, 0) < 0 || pwrite(e->lock_fd, pid, (size_t)n, 0) != n)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "write `%s/%s`", e->dir,
                             RUNDIR_LOCK);
    (void)unlinkat(e->dir_fd, RUNDIR_SOCKET,
                   0); /* stale: the socket goes before the lock; ENOENT is usual */
    return 1;
}

/*
 * Lock, socket, or the holder's end: one of them comes. The directory is watched before the
 * lock and the socket are looked at, so nothing that happens in between is missed.
 */
static int wait_for_claim(struct embedded *e, struct err *err)
{
    CLEANUP_FD int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0 || inotify_add_watch(watch, e->dir, IN_CREATE | IN_DELETE | IN_MODIFY) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "watch `%s`", e->dir);
    uint64_t end_ns = clock_now_ns() + CLAIM_TIMEOUT_NS;
    for (;;) {
        int locked = take_lock(e, err);
        if (locked != 0)
            return locked < 0 ? -1 : EMBEDDED_OURS;
        if (socket_answers(e))
            return EMBEDDED_RUNNING;
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= end_ns)
            return err_set(err, ERR_DEADLINE_EXCEEDED,
                           "another cwsandboxd holds `%s/%s` but does not answer; see %s/%s",
                           e->dir, RUNDIR_LOCK, e->dir, RUNDIR_LOG);
        CLEANUP_FD int holder = open_holder(e->lock_fd);
        struct pollfd fds[] = {{.fd = watch, .events = POLLIN},
                               {.fd = holder, .events = POLLIN}};
        (void)poll(fds, 2, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
        uint8_t drop[4096];
        while (read(watch, drop, sizeof(drop)) > 0)
            ;
    }
}

int embedded_claim(struct embedded *e, struct err *err)
{
    if (open_dir(e, err) < 0)
        return -1;
    e->lock_fd =
        openat(e->dir_fd, RUNDIR_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (e->lock_fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s/%s`", e->dir,
                             RUNDIR_LOCK);
    return wait_for_claim(e, err);
}

/* The starter's descriptors must not live on here: a pipe it waits on for EOF, for one. */
static void close_others(const struct embedded *e, int keep_fd)
{
    int keep[] = {e->dir_fd, e->lock_fd, keep_fd};
    unsigned from = STDERR_FILENO + 1;
    for (;;) {
        unsigned next = ~0u;
        for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
            if (keep[i] >= (int)from && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        if (next == ~0u)
            break;
        if (next > from)
            (void)close_range(from, next - 1, 0);
        from = next + 1;
    }
    (void)close_range(from, ~0u,
                      0); /* Linux 5.9; an older kernel keeps them open, which is harmless */
}

int embedded_detach(const struct embedded *e, int keep_fd, struct err *err)
{
    CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CLEANUP_FD int log = openat(e->dir_fd, RUNDIR_LOG,
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;
    if (null < 0 || log < 0 || fstat(log, &st) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s/%s`", e->dir,
                             RUNDIR_LOG);
    if (st.st_size > EMBEDDED_LOG_MAX && ftruncate(log, 0) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "truncate `%s/%s`", e->dir,
                             RUNDIR_LOG);
    if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno,
                             "replace the standard descriptors");
    cleanup_fd(&null);
    cleanup_fd(&log);
    close_others(e, keep_fd);
    return 0;
}

void embedded_done(struct embedded *e)
{
    free(e->dir);
    free(e->socket_path);
    cleanup_fd(&e->dir_fd);
    cleanup_fd(&e->lock_fd); /* releases the lock */
    *e = (struct embedded){.dir_fd = -1, .lock_fd = -1};
}
