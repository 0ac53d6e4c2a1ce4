/*
 * Files of the sandbox by name, and whole trees: [child] what base/files-words.h says, in the place of an execve. Needs no program
 * of the sandbox, and runs as its caller's user, under its limits, killed and reaped as any exec. What it finds in the file system
 * is the sandbox's, so no link is followed but those in a path that the caller wrote, and none of /proc that leads to
 * descriptors of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/files-words.h"
#include "base/tree.h"
#include "init/init.h"

#define REMOVE_DEPTH_MAX 512 /* directories within each other. Chosen: a descriptor each */

struct names { /* getdents64(2) */
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

static int g_space_fd; /* for do_changes() */

/* ---- the end ---- */

static const char *reason_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return FILES_NOT_FOUND;
    case EISDIR:
        return FILES_IS_DIRECTORY;
    case EACCES:
    case EPERM:
    case EROFS:
        return FILES_PERMISSION_DENIED;
    default:
        return FILES_IO_FAILED;
    }
}

/* Names of the sandbox in it shall not end the line. */
__attribute__((noreturn)) static void give_up(const char *reason, const char *path,
                                              const char *within, const char *why)
{
    static char text[3 * PATH_MAX];
    int n = snprintf(text, sizeof(text), "%s %s%s%s: %s", reason, path, within[0] ? "/" : "",
                     within, why);

    for (char *at = text; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
    (void)write(STDERR_FILENO, text, MIN((size_t)n, sizeof(text) - 1));
    _exit(1);
}

__attribute__((noreturn)) static void fail(const char *path, int error)
{
    give_up(reason_of(error), path, "", strerror(error));
}

__attribute__((noreturn)) static void fail_tree(const char *path, const struct tree_fault *f)
{
    if (f->why)
        give_up(FILES_IO_FAILED, path, f->path, f->why);
    give_up(reason_of(f->error), path, f->path, strerror(f->error));
}

/* ---- where ---- */

static int open_path(const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC,
                           .resolve = RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

/* The last name of @path, which is cut in front of it, and the directory that it is in. */
static int open_parent(char *path, const char **ret_name)
{
    size_t n = strlen(path);
    char *slash;
    int fd;

    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    slash = strrchr(path, '/');
    if (!slash || slash[1] == 0 || strcmp(slash + 1, ".") == 0 || strcmp(slash + 1, "..") == 0)
        fail(path, EINVAL);
    *ret_name = slash + 1;
    *slash = 0;
    fd = open_path(slash == path ? "/" : path, O_PATH | O_DIRECTORY);
    *slash = '/';
    if (fd < 0)
        fail(path, errno);
    return fd;
}

/* /proc/1 is init: its files are no place to change anything, whatever link led here. */
static void check_writable(int fd, const char *path)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC))
        fail(path, EPERM);
}

/* A directory to put things into. True: it was made. */
static bool make_directory(char *path, mode_t mode)
{
    struct stat st;

    make_parents(path);
    if (mkdir(path, mode) == 0)
        return true;
    if (errno != EEXIST)
        fail(path, errno);
    if (stat(path, &st) < 0)
        fail(path, errno);
    if (!S_ISDIR(st.st_mode))
        fail(path, EEXIST);
    return false;
}

/* ---- bytes ---- */

static void write_all(const void *data, size_t n)
{
    const char *from = data;

    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, from, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            _exit(1); /* nobody is there to be told why */
        from += done;
        n -= (size_t)done;
    }
}

static char g_out[TREE_BUFFER];
static size_t g_n_out;

static void flush_out(void)
{
    write_all(g_out, g_n_out);
    g_n_out = 0;
}

static void put_record(int dir_fd, const char *name, const char *shown, const struct stat *st)
{
    static char target[PATH_MAX], text[3 * PATH_MAX];
    static const struct {
        mode_t format;
        char kind;
    } kinds[] = {{S_IFREG, 'f'},  {S_IFDIR, 'd'}, {S_IFLNK, 'l'}, {S_IFIFO, 'p'},
                 {S_IFSOCK, 's'}, {S_IFCHR, 'c'}, {S_IFBLK, 'b'}};
    char kind = 'f';
    ssize_t n_target = 0;
    size_t n;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if ((st->st_mode & S_IFMT) == kinds[i].format)
            kind = kinds[i].kind;
    }
    if (kind == 'l')
        n_target = readlinkat(dir_fd, name, target, sizeof(target) - 1);
    target[n_target > 0 ? n_target : 0] = 0;
    n = (size_t)snprintf(text, sizeof(text), "%c %o %u %u %lld %lld %ld %s", kind,
                         (unsigned)st->st_mode & 07777, st->st_uid, st->st_gid,
                         (long long)st->st_size, (long long)st->st_mtim.tv_sec,
                         st->st_mtim.tv_nsec, shown) +
        1;
    n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", target) + 1;
    if (g_n_out + n > sizeof(g_out))
        flush_out();
    memcpy(g_out + g_n_out, text, n);
    g_n_out += n;
}

/* ---- list, stat ---- */

/* Names of the directory but "." and ".."; NULL at the end. */
struct listing {
    int fd;
    size_t at, n;
    _Alignas(8) char names[2048]; /* on the stack, once a directory */
};

static const char *next_name(struct listing *l)
{
    for (;;) {
        if (l->at == l->n) {
            long n = syscall(SYS_getdents64, l->fd, l->names, sizeof(l->names));

            l->at = 0;
            l->n = n > 0 ? (size_t)n : 0;
            if (l->n == 0) {
                errno = n < 0 ? errno : 0;
                return NULL;
            }
        }
        const struct names *d = (const struct names *)(const void *)(l->names + l->at);

        l->at += d->size;
        if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
            return d->name;
    }
}

static void do_list(char **args)
{
    static struct listing l;
    const char *name;
    struct stat st;

    l.fd = open_path(args[0], O_RDONLY | O_DIRECTORY);
    if (l.fd < 0 && errno == ENOTDIR && stat(args[0], &st) == 0)
        give_up(FILES_IO_FAILED, args[0], "", "is not a directory");
    if (l.fd < 0)
        fail(args[0], errno);
    while ((name = next_name(&l))) {
        if (fstatat(l.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            put_record(l.fd, name, name, &st);
        else if (errno != ENOENT)
            fail(args[0], errno);
    }
    if (errno)
        fail(args[0], errno);
    flush_out();
}

static void do_stat(char **args)
{
    const char *name = "";
    struct stat st;
    int fd, at_flags = AT_EMPTY_PATH;

    if (args[0][strlen(args[0]) - 1] == '/') { /* what it leads to, as everywhere */
        fd = open_path(args[0], O_PATH | O_DIRECTORY);
    } else {
        fd = open_parent(args[0], &name);
        at_flags = AT_SYMLINK_NOFOLLOW;
    }
    if (fd < 0 || fstatat(fd, name, &st, at_flags) < 0)
        fail(args[0], errno);
    put_record(fd, name, args[0], &st);
    flush_out();
}

/* ---- mkdir, remove, rename ---- */

static void do_mkdir(char **args)
{
    char *end;
    unsigned long mode = strtoul(args[1], &end, 8);
    int fd;

    if (*end || end == args[1] || mode > 07777)
        fail(args[0], EINVAL);
    (void)umask(0); /* as asked for */
    if (!make_directory(args[0], (mode_t)mode) || !(mode & 06000))
        return;
    fd = open_path(args[0],
                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW); /* mkdir(2) leaves these bits out */
    if (fd < 0 || fchmod(fd, (mode_t)mode) < 0)
        fail(args[0], errno);
}

static void remove_one(const char *path, int dir_fd, const char *name, bool directory)
{
    if (unlinkat(dir_fd, name, directory ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
        fail(path, errno);
}

/* Removes what is in the directory @fd, which it closes. */
static void empty(const char *path, int fd, size_t depth)
{
    struct listing l = {.fd = fd};
    const char *name;

    if (depth == REMOVE_DEPTH_MAX)
        give_up(FILES_IO_FAILED, path, "", "is deeper than 512 directories");
    while ((name = next_name(&l))) {
        int below =
            openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (below >= 0)
            empty(path, below, depth + 1);
        else if (errno != ENOTDIR && errno != ELOOP && errno != ENOENT && errno != ENXIO)
            fail(path, errno);
        remove_one(path, fd, name, below >= 0);
    }
    if (errno)
        fail(path, errno);
    (void)close(fd);
}

static void remove_path(char *path, bool tree)
{
    const char *name;
    int fd = open_parent(path, &name), below;
    struct stat st;

    check_writable(fd, path);
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        fail(path, errno);
    if (S_ISDIR(st.st_mode) && tree) {
        below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0)
            fail(path, errno);
        empty(path, below, 0);
    }
    remove_one(path, fd, name, S_ISDIR(st.st_mode));
}

static void do_remove(char **args)
{
    remove_path(args[0], false);
}

static void do_remove_tree(char **args)
{
    remove_path(args[0], true);
}

static void do_rename(char **args)
{
    const char *old_name, *new_name;
    int from = open_parent(args[0], &old_name), to = open_parent(args[1], &new_name);

    check_writable(from, args[0]);
    check_writable(to, args[1]);
    if (renameat(from, old_name, to, new_name) < 0)
        fail(args[0], errno);
}

/* ---- one file ---- */

/* True: a regular file. A stream may be a FIFO or a device as well: it waits as long as its caller does. */
static bool check_kind(int fd, const char *path, bool regular_only)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        fail(path, errno);
    if (S_ISDIR(st.st_mode))
        fail(path, EISDIR);
    if (regular_only && !S_ISREG(st.st_mode))
        give_up(FILES_IO_FAILED, path, "", "is not a file");
    return S_ISREG(st.st_mode);
}

static void do_read(char **args)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY,
                           .resolve = RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, args[0], &how, sizeof(how));
    ssize_t n;

    if (fd < 0)
        fail(args[0], errno);
    (void)check_kind(fd, args[0], false);
    while ((n = read(fd, g_out, sizeof(g_out))) > 0)
        write_all(g_out, (size_t)n);
    if (n < 0)
        fail(args[0], errno);
}

static off_t parse_size(const char *path, const char *text)
{
    char *end;
    unsigned long long size = strtoull(text, &end, 10);

    if (*end || end == text || size > INT64_MAX)
        fail(path, EINVAL);
    return (off_t)size;
}

/* KEEP_SIZE: a failure leaves the size, too, and what was reserved is given back. */
static void reserve(const char *path, int fd, off_t size)
{
    struct stat st;

    if (size == 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size) == 0 || errno == EOPNOTSUPP)
        return;
    int error = errno;
    if (fstat(fd, &st) == 0)
        (void)ftruncate(fd, st.st_size);
    fail(path, error);
}

static void do_write(char **args)
{
    off_t size = args[1] ? parse_size(args[0], args[1]) : 0, done = 0;
    struct open_how how = {.flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY |
                                    (args[1] ? O_NONBLOCK : 0),
                           .mode = 0644,
                           .resolve = RESOLVE_NO_MAGICLINKS};
    ssize_t n = 0;
    int fd;

    make_parents(args[0]);
    fd = (int)syscall(SYS_openat2, AT_FDCWD, args[0], &how, sizeof(how));
    if (fd < 0)
        fail(args[0], errno);
    bool regular = check_kind(fd, args[0], args[1] != NULL);
    check_writable(fd, args[0]);
    reserve(args[0], fd, size);
    /* Counted: the end of stdin may not be delivered. */
    while (!(args[1] && done == size) && (n = read(STDIN_FILENO, g_out, sizeof(g_out))) > 0) {
        for (ssize_t at = 0, w; at < n; at += w, done += w) {
            w = write(fd, g_out + at, (size_t)(n - at));
            if (w < 0)
                fail(args[0], errno);
        }
    }
    if (n < 0 || (regular && ftruncate(fd, done) < 0))
        fail(args[0], errno);
    if (args[1] && done != size)
        give_up(FILES_IO_FAILED, args[0], "", "the content ended early");
}

/* ---- trees ---- */

static int sink_write(struct tree_sink *sink, const void *data, size_t n)
{
    (void)sink;
    write_all(data, n);
    return 0;
}

static ssize_t source_read(struct tree_source *source, void *data, size_t n)
{
    ssize_t r;

    (void)source;
    do {
        r = read(STDIN_FILENO, data, n);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static void do_pack(char **args)
{
    static struct tree_sender sender;
    struct tree_sink sink = {.write = sink_write};
    int fd = open_path(args[0], O_RDONLY | O_DIRECTORY);
    struct stat st;

    if (fd < 0 && errno == ENOTDIR && stat(args[0], &st) == 0)
        give_up(FILES_IO_FAILED, args[0], "", "is not a directory");
    if (fd < 0)
        fail(args[0], errno);
    if (tree_send(&sender, fd, &sink) < 0)
        fail_tree(args[0], &sender.fault);
}

static void do_changes(char **args)
{
    static struct tree_sender sender;
    struct tree_sink sink = {.write = sink_write};

    (void)args;
    if (g_space_fd < 0)
        fail("/", EPERM);
    sender.sink = &sink;
    if (changes_send(&sender, g_space_fd) < 0)
        fail_tree("", &sender.fault);
}

static void do_unpack(char **args)
{
    static struct tree_receiver receiver;
    struct tree_source source = {.read = source_read};
    int fd;

    (void)umask(0); /* modes are the caller's */
    bool made = make_directory(args[0], 0777);
    fd = open_path(args[0], O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        fail(args[0], errno);
    check_writable(fd, args[0]);
    if (tree_receive(&receiver, fd, &source, made ? TREE_TOP_MADE : 0) < 0)
        fail_tree(args[0], &receiver.fault);
}

/* ---- the program ---- */

static const struct {
    const char *name;
    int n_min, n_max;
    void (*run)(char **args);
} programs[] = {
    {"list", 1, 1, do_list},
    {"stat", 1, 1, do_stat},
    {"mkdir", 2, 2, do_mkdir},
    {"remove", 1, 1, do_remove},
    {"remove-tree", 1, 1, do_remove_tree},
    {"rename", 2, 2, do_rename},
    {"read", 1, 1, do_read},
    {"write", 1, 2, do_write},
    {"pack", 1, 1, do_pack},
    {"unpack", 1, 1, do_unpack},
    {FILES_CHANGES, 0, 0, do_changes},
};

/* A tree's depth costs descriptors; execs begin with fewer. */
static void raise_descriptors(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

/* In place: what is spelled becomes bytes. */
static void unspell(char *arg)
{
    char *to = arg;

    if (*arg != '\\')
        return;
    for (char *at = arg; *at; at += 5) {
        if (at[0] != '\\' || at[1] != '0' || strspn(at + 2, "01234567") < 3)
            fail(arg, EINVAL);
        *to++ = (char)((at[2] - '0') << 6 | (at[3] - '0') << 3 | (at[4] - '0'));
    }
    *to = 0;
}

void files_main(struct spawn *s)
{
    int n = 0;

    g_space_fd = s->space_fd;
    raise_descriptors();
    (void)signal(SIGPIPE, SIG_IGN); /* what is broken is said by the write */
    while (s->argv[n])
        n++;
    for (size_t i = 0; n >= 2 && i < ARRAY_SIZE(programs); i++) {
        if (strcmp(s->argv[1], programs[i].name) != 0 || n - 2 < programs[i].n_min ||
            n - 2 > programs[i].n_max)
            continue;
        for (int a = 2; a < n; a++) {
            unspell(s->argv[a]);
            if (strlen(s->argv[a]) >= PATH_MAX)
                fail("", ENAMETOOLONG);
            if (s->argv[a][0] == 0)
                fail("", EINVAL);
        }
        programs[i].run(s->argv + 2);
        _exit(0);
    }
    give_up(FILES_IO_FAILED, n >= 2 ? s->argv[1] : "", "", "this service does not know how");
}
