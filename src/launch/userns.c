/* User namespaces: launch's own as an ordinary user, each sandbox's maps, and the map of
 * idmapped mounts. */
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/util.h"
#include "launch/launch.h"

/* One write(2): the kernel takes a map only whole. */
static int write_proc(pid_t pid, const char *file, const char *text)
{
    char path[64];
    ssize_t n;

    if (pid == 0)
        (void)snprintf(path, sizeof(path), "/proc/self/%s", file);
    else
        (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = write(fd, text, strlen(text));
    if (n < 0)
        return -errno;
    return (size_t)n == strlen(text) ? 0 : -EIO;
}

static int write_single_map(pid_t pid, const char *file, uint32_t outside)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "0 %u 1", outside);
    return write_proc(pid, file, text);
}

/* What sandboxes use of inotify is charged to this user too: they may have half of it, together. */
static void share_inotify(void)
{
    CLEANUP_FREE char *text = NULL;
    char half[24];
    size_t n;

    if (file_read("/proc/sys/fs/inotify/max_user_instances", 64, &text, &n) < 0)
        return;
    (void)snprintf(half, sizeof(half), "%lu", strtoul(text, NULL, 10) / 2);
    CLEANUP_FD int fd = open("/proc/sys/user/max_inotify_instances", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)write(fd, half,
                    strlen(half)); /* a limit more; without it the user's own still holds */
}

/* So are queued signals; what a namespace may have is the limit of the process that makes it. */
static int unshare_with_half_of_signals(void)
{
    struct rlimit limit, half;
    int r;

    if (getrlimit(RLIMIT_SIGPENDING, &limit) < 0)
        return -errno;
    half = limit;
    half.rlim_cur = limit.rlim_cur == RLIM_INFINITY ? limit.rlim_cur : limit.rlim_cur / 2;
    (void)setrlimit(RLIMIT_SIGPENDING, &half); /* cannot fail: downwards */
    r = unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
    (void)setrlimit(RLIMIT_SIGPENDING, &limit);
    return r;
}

int userns_enter(const struct id_map *map)
{
    int r = unshare_with_half_of_signals();

    if (r < 0)
        return r;
    share_inotify();
    /* user_namespaces(7): without privilege outside, a gid may be mapped only once setgroups is
     * denied. */
    r = write_proc(0, "setgroups", "deny");
    if (r < 0)
        return r;
    r = write_single_map(0, "uid_map", map->own_uid);
    if (r < 0)
        return r;
    return write_single_map(0, "gid_map", map->own_gid);
}

/*
 * What a sandbox uses of things that the kernel counts per user (inotify instances and watches, processes) is charged
 * to the owner of its user namespace as well, all the way up (ucounts). Owned by root, one sandbox could use up what
 * root itself, and every other sandbox, may have. So each gets an owner of its own: a user of the range that runs
 * nothing outside of sandboxes, and inside has no power over a namespace that it is not in.
 */
uid_t userns_owner(const struct id_map *map, uint32_t n)
{
    return map->root ? map->base + 1 + n % (map->count - 1) : 0;
}

int userns_keep_caps(bool keep)
{
    return prctl(PR_SET_SECUREBITS, keep ? SECBIT_NO_SETUID_FIXUP : 0) < 0 ? -errno : 0;
}

void userns_set_owner(const struct id_map *map, uid_t owner)
{
    if (!map->root)
        return;
    /* The system call: glibc's wrapper wants to tell other threads, of which there are none. */
    CHECK(syscall(SYS_setresuid, -1, owner, -1) == 0);
    CHECK(geteuid() == owner);
}

int userns_write_maps(pid_t pid, const struct id_map *map)
{
    char text[64];
    int r;

    if (!map->root) {
        /* setgroups is denied already in the parent namespace, and inherited. */
        r = write_single_map(pid, "uid_map", 0);
        return r < 0 ? r : write_single_map(pid, "gid_map", 0);
    }
    (void)snprintf(text, sizeof(text), "0 %u %u", map->base, map->count);
    r = write_proc(pid, "uid_map", text);
    return r < 0 ? r : write_proc(pid, "gid_map", text);
}

/* Of a namespace with the maps that @write_maps gives it. */
static int open_mapped(int (*write_maps)(pid_t pid, const struct id_map *map),
                       const struct id_map *map)
{
    char path[64];
    int r, fd = -1, gate[2];
    pid_t pid;

    if (pipe2(gate, O_CLOEXEC) < 0)
        return -errno;
    CLEANUP_FD int gate_read = gate[0];
    CLEANUP_FD int gate_write = gate[1];
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        char byte;

        (void)close(gate_read);
        byte = unshare(CLONE_NEWUSER) < 0 ? 1 : 0;
        (void)write(gate_write, &byte, 1); /* #1 the namespace exists */
        (void)pause();                     /* #2 killed when its descriptor is taken */
        _exit(0);
    }
    (void)close(TAKE_FD(gate_write));
    char failed = 1;
    r = read(gate_read, &failed, 1) == 1 && !failed ? 0 : -EPERM; /* #1 */
    if (r == 0)
        r = write_maps(pid, map);
    if (r == 0) {
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        r = fd < 0 ? -errno : fd;
    }
    (void)kill(pid, SIGKILL); /* #2 */
    (void)waitpid(pid, NULL, 0);
    return r;
}

int userns_open_mapped(const struct id_map *map)
{
    return open_mapped(userns_write_maps, map);
}

static int write_one(pid_t pid, const struct id_map *map)
{
    char text[64];
    int r;

    (void)snprintf(text, sizeof(text), "%u %u 1", map->own_uid, map->base);
    r = write_proc(pid, "uid_map", text);
    return r < 0 ? r : write_proc(pid, "gid_map", text);
}

int userns_open_single(uint32_t inside, uint32_t outside)
{
    const struct id_map map = {.own_uid = inside, .base = outside};

    return open_mapped(write_one, &map);
}
