#include "launch/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "launch/arguments.h"
#include "launch/children.h"
#include "launch/table.h"
#include "privproto/handover.h"

/* clang-format off */
#define S(tag, member) TABLE_ROW(tag, struct supervised, member)
static const struct table_row rows[] = {
    S(1, engine_pid), S(2, daemon_pid), TABLE_FD(3, struct supervised, engine_fd), TABLE_FD(4, struct supervised, daemon_fd),
    S(5, born_ns), S(6, delay_ms), S(7, reload), S(8, reload_programs), S(9, fetches),
    TABLE_FD(10, struct supervised, program_fd),
};
/* clang-format on */

static const struct table_shape shape = TABLE_SHAPE(TABLE_SUPERVISOR, rows);

/* ---- which program ---- */

struct program program_now(const char *path)
{
    struct stat st = {0};

    (void)stat(path, &st); /* none is another one, too */
    return (struct program){.dev = st.st_dev, .ino = st.st_ino, .changed = st.st_ctim};
}

bool program_same(const struct program *a, const struct program *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

int program_open(const char *path)
{
    int fd = open(path, O_PATH | O_CLOEXEC);

    return fd < 0 ? -errno : child_move_up(fd);
}

/* A file that runs is not written to, so its number is enough; its time changes when its name is taken away. */
bool upgrade_wanted(const char *path)
{
    struct program own = program_now("/proc/self/exe"), other = program_now(path);

    return own.dev != other.dev || own.ino != other.ino;
}

pid_t upgrade_check(const char *path)
{
    pid_t pid = fork();

    if (pid == 0)
        child_become_check(path, TABLE_VERSION);
    return pid < 0 ? -errno : pid;
}

/* ---- the engine ---- */

/* In a child. What an ordinary user's engine may enter is a copy that belongs to its user namespace. */
static int send_copy(pid_t engine, int to)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", engine);
    CLEANUP_FD int users = open(path, O_RDONLY | O_CLOEXEC);
    if (users < 0 || setns(users, CLONE_NEWUSER) < 0 || unshare(CLONE_NEWNS) < 0)
        return -errno;
    CLEANUP_FD int mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    const uint8_t packet[2] = {HANDOVER_WORD_REPLACE, 0};
    return mounts < 0 ? -errno : handover_send(to, packet, &mounts, 1);
}

static int copy_mounts(pid_t engine)
{
    int pair[2], fds[HANDOVER_MAX_FDS], status, r = child_pair(pair);
    size_t n_fds = 0;
    uint8_t packet[2];

    if (r < 0)
        return r;
    CLEANUP_FD int ours = pair[0];
    CLEANUP_FD int theirs = pair[1];
    pid_t pid = fork();
    if (pid == 0)
        _exit(-send_copy(engine, theirs));
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -errno;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
    return handover_receive(ours, packet, fds, &n_fds) == 2 && n_fds == 1 ? fds[0] : -EIO;
}

static int open_mounts(pid_t engine)
{
    if (geteuid() != 0)
        return copy_mounts(engine);
    int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int upgrade_engine(int engine_fd, pid_t engine, const struct options *options)
{
    const uint8_t packet[2] = {HANDOVER_WORD_REPLACE, 0};
    CLEANUP_FD int mounts = open_mounts(engine);
    CLEANUP_FD int argv = arguments_write(options->argc, options->argv);
    const int fds[] = {mounts, argv};

    if (mounts < 0 || argv < 0)
        return MIN(mounts, argv);
    return handover_send(engine_fd, packet, fds, ARRAY_SIZE(fds));
}

/* ---- the supervisor ---- */

static void leave_open(bool open)
{
    for (int fd = HANDOVER_DATA; fd < HANDOVER_END; fd++)
        (void)fd_set_cloexec(fd, !open); /* EBADF: not needed by this service */
}

int upgrade_self(const struct supervised *s, const struct options *options)
{
    CLEANUP(table_done) struct table t = {0};
    struct arguments a = {.n = options->argc, .items = options->argv};
    int r = table_put(&t, &shape, s);

    if (r < 0)
        return r;
    CLEANUP_FD int table = table_write(&t);
    if (table < 0)
        return table;
    leave_open(true);
    table_leave_open(&t, true);
    r = arguments_execute(&a, a.items[0], -1, "--resume", table);
    table_leave_open(&t, false);
    leave_open(false);
    return r;
}

int upgrade_resume(struct supervised *ret, int take_table)
{
    CLEANUP(table_done) struct table t = {0};
    int r = table_read(&t, take_table);

    if (r == 0 && table_next(&t) != TABLE_SUPERVISOR)
        r = -EBADMSG;
    return r < 0 ? r : table_get(&t, &shape, ret);
}
