/* See unpack.h. */
#include "image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/util.h"
#include "image/tar.h"
#include "image/tree.h"

#define COPY_BYTES ((size_t)256 * 1024)
#define OPAQUE_ATTRIBUTE "user.overlay.opaque"
#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_OTHER ".wh..wh." /* notes of aufs to itself */

/* What directories get when nothing is written into them any more. */
struct directory {
    char *path;
    uint32_t mode_bits;
    uid_t uid;
    gid_t gid;
    struct timespec mtime;
    size_t order;
};

struct unpacker {
    int root; /* borrowed */
    const struct unpack_options *options;
    struct unpack_result result;
    struct tar tar;
    struct directory *directories;
    size_t n_directories, directories_cap;
    char parent_path[TAR_PATH_MAX +
                     1]; /* of parent_fd; entries of one directory come together */
    int parent_fd;       /* -1: none is open */
    uint8_t *buffer;     /* COPY_BYTES */
};

struct place {
    int parent; /* borrowed: the unpacker's parent_fd */
    const char *base;
};

static int refuse(const struct tar_entry *e, struct err *err, const char *why)
{
    return err_set(err, ERR_FAILED_PRECONDITION, "entry `%.200s` is refused: %s", e->path, why);
}

static int broken(const struct tar_entry *e, struct err *err, int failed)
{
    enum err_code code = failed == ENOSPC || failed == EDQUOT || failed == EMFILE
                             ? ERR_RESOURCE_EXHAUSTED
                             : ERR_INTERNAL;
    return err_set_errno(err, code, failed, "write entry `%.200s`", e->path);
}

/* @raw without "./" and slashes too many; NULL, or why it is refused. "" is the root. */
static const char *clean_path(const char *raw, char ret[static TAR_PATH_MAX + 1])
{
    size_t n = 0;
    int depth = 0;
    if (raw[0] == '/' && raw[strspn(raw, "/")] != '\0')
        return "its name is absolute";
    for (const char *p = raw; *p != '\0';) {
        size_t len = strcspn(p, "/");
        const char *component = p;
        p += len + (p[len] == '/');
        if (len == 0 || (len == 1 && component[0] == '.'))
            continue;
        if (len == 2 && memcmp(component, "..", 2) == 0)
            return "its name has `..` in it";
        if (len > 255 || n + len + 1 > TAR_PATH_MAX)
            return "its name is too long";
        if (++depth > TREE_DEPTH_MAX)
            return "it is more than 256 directories deep";
        if (n > 0)
            ret[n++] = '/';
        memcpy(ret + n, component, len);
        n += len;
    }
    ret[n] = '\0';
    return NULL;
}

/* Directories that no entry named have the mode and owner that they have in every image. */
static int make_missing(struct unpacker *u, char *path)
{
    for (char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        CLEANUP_FD int fd = tree_open(u->root, path, O_PATH | O_DIRECTORY);
        int r = fd;
        if (r == -ENOENT) {
            char *last = strrchr(path, '/');
            CLEANUP_FD int above = -1;
            if (last) {
                *last = '\0';
                above = tree_open(u->root, path, O_PATH | O_DIRECTORY);
                *last = '/';
            }
            u->result.n_entries++; /* a cap that is passed is seen at the next entry */
            r = last && above < 0 ? above : 0;
            if (r == 0 && mkdirat(last ? above : u->root, last ? last + 1 : path, 0755) < 0)
                r = -errno;
        }
        if (slash)
            *slash = '/';
        if (r < 0)
            return r;
        if (!slash)
            return 0;
    }
}

static int open_parent(struct unpacker *u, const struct tar_entry *e, char *path,
                       struct err *err)
{
    if (u->parent_fd >= 0 && strcmp(u->parent_path, path) == 0)
        return 0;
    cleanup_fd(&u->parent_fd);
    int fd = tree_open(u->root, path[0] ? path : ".", O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT) {
        int r = make_missing(u, path);
        fd = r < 0 ? r : tree_open(u->root, path, O_RDONLY | O_DIRECTORY);
    }
    if (fd == -ELOOP || fd == -ENOTDIR)
        return refuse(e, err, "its name leads through something that is no directory");
    if (fd < 0)
        return broken(e, err, -fd);
    u->parent_fd = fd;
    (void)snprintf(u->parent_path, sizeof(u->parent_path), "%s", path);
    return 0;
}

static bool below_whiteout(const char *directories)
{
    return strncmp(directories, WHITEOUT, strlen(WHITEOUT)) == 0 ||
           strstr(directories, "/" WHITEOUT) != NULL;
}

/* Opens the directory that @path is in; @ret->base points into @path. */
static int find_place(struct unpacker *u, const struct tar_entry *e, const char *path,
                      struct place *ret, struct err *err)
{
    char directories[TAR_PATH_MAX + 1] = "";
    const char *slash = strrchr(path, '/');
    if (slash)
        (void)snprintf(directories, sizeof(directories), "%.*s", (int)(slash - path), path);
    if (below_whiteout(directories))
        return refuse(e, err, "it is below a whiteout");
    if (open_parent(u, e, directories, err) < 0)
        return -1;
    *ret = (struct place){u->parent_fd, slash ? slash + 1 : path};
    return 0;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* What an earlier entry of this layer left at this name goes. @ret_hides: it was a whiteout, so lower layers stay hidden. */
static int clear_place(const struct tar_entry *e, const struct place *at, bool *ret_hides,
                       struct err *err)
{
    struct stat st;
    *ret_hides = false;
    if (fstatat(at->parent, at->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : broken(e, err, errno);
    *ret_hides = is_whiteout(&st);
    int r = tree_remove(at->parent, at->base);
    if (r < 0)
        return broken(e, err, -r);
    return 0;
}

static int set_opaque(const struct tar_entry *e, int dir, struct err *err)
{
    return fsetxattr(dir, OPAQUE_ATTRIBUTE, "y", 1, 0) < 0 ? broken(e, err, errno) : 0;
}

static int make_whiteout(const struct tar_entry *e, const struct place *at, struct err *err)
{
    const char *name = at->base + strlen(WHITEOUT);
    struct stat st;
    if (strcmp(at->base, WHITEOUT_OPAQUE) == 0)
        return set_opaque(e, at->parent, err);
    if (str_startswith(at->base, WHITEOUT_OTHER))
        return 0;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return refuse(e, err, "it removes nothing that can be removed");
    if (mknodat(at->parent, name, S_IFCHR, makedev(0, 0)) == 0)
        return 0;
    if (errno != EEXIST)
        return broken(e, err, errno);
    /* The layer has something of that name itself, which hides a lower file; a directory must be told to. */
    if (fstatat(at->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return broken(e, err, errno);
    if (!S_ISDIR(st.st_mode))
        return 0;
    CLEANUP_FD int fd =
        openat(at->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? broken(e, err, errno) : set_opaque(e, fd, err);
}

/* Attributes of the image that mean something there; of the rest most are notes of the machine that packed it. */
static int set_xattrs(struct unpacker *u, const struct tar_entry *e, int fd, struct err *err)
{
    for (size_t i = 0; i < e->n_xattrs; i++) {
        const struct tar_xattr *x = &e->xattrs[i];
        bool of_user = str_startswith(x->name, "user.") != NULL;
        if (str_startswith(x->name, "user.overlay.") ||
            str_startswith(x->name, "trusted.overlay."))
            return refuse(e, err, "it has an attribute that commands overlayfs");
        if (!of_user &&
            !(u->options->keep_owners && strcmp(x->name, "security.capability") == 0))
            continue;
        if (fsetxattr(fd, x->name, x->value, x->n, 0) < 0)
            return err_set_errno(err, ERR_INTERNAL, errno,
                                 "set the attribute `%.100s` of entry `%.200s`", x->name,
                                 e->path);
    }
    return 0;
}

static int copy_content(struct unpacker *u, const struct tar_entry *e, int fd, struct err *err)
{
    if (e->size > u->options->max_bytes - u->result.n_bytes)
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "entry `%.200s` is refused: the layer is larger than %llu bytes",
                       e->path, (unsigned long long)u->options->max_bytes);
    u->result.n_bytes += e->size;
    ssize_t got;
    while ((got = tar_read(&u->tar, u->buffer, COPY_BYTES, err)) > 0) {
        int r = fd_write_all(fd, u->buffer, (size_t)got);
        if (r < 0)
            return broken(e, err, -r);
    }
    return (int)got;
}

static struct timespec entry_time(const struct tar_entry *e)
{
    return (struct timespec){.tv_sec = e->mtime_s, .tv_nsec = e->mtime_ns};
}

static uint32_t entry_mode(const struct unpacker *u, const struct tar_entry *e)
{
    return u->options->keep_owners ? e->mode_bits : e->mode_bits & 01777;
}

static int make_file(struct unpacker *u, const struct tar_entry *e, const struct place *at,
                     struct err *err)
{
    uint32_t mode = entry_mode(u, e);
    /* Without set-ID bits until it has its content and its owner, which both clear them. */
    CLEANUP_FD int fd =
        openat(at->parent, at->base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
               mode & 0777);
    if (fd < 0)
        return broken(e, err, errno);
    if (copy_content(u, e, fd, err) < 0)
        return -1;
    if (u->options->keep_owners && (e->uid || e->gid) &&
        fchown(fd, (uid_t)e->uid, (gid_t)e->gid) < 0)
        return broken(e, err, errno);
    if (set_xattrs(u, e, fd, err) < 0)
        return -1;
    struct timespec times[] = {entry_time(e), entry_time(e)};
    if ((mode & 07000 && fchmod(fd, mode) < 0) || futimens(fd, times) < 0)
        return broken(e, err, errno);
    return 0;
}

static int remember_directory(struct unpacker *u, const struct tar_entry *e, const char *path,
                              struct err *err)
{
    if (u->n_directories == u->directories_cap) {
        size_t cap = u->directories_cap ? u->directories_cap * 2 : 256;
        struct directory *more = reallocarray(u->directories, cap, sizeof(*more));
        if (!more)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        u->directories = more;
        u->directories_cap = cap;
    }
    char *copy = strdup(path);
    if (!copy)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    u->directories[u->n_directories] = (struct directory){
        copy, entry_mode(u, e), (uid_t)e->uid, (gid_t)e->gid, entry_time(e), u->n_directories};
    u->n_directories++;
    return 0;
}

static int make_directory(struct unpacker *u, const struct tar_entry *e, const struct place *at,
                          struct err *err)
{
    struct stat st;
    bool hides = false;
    int r = mkdirat(at->parent, at->base, 0700);
    if (r < 0 && errno == EEXIST) {
        if (fstatat(at->parent, at->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return broken(e, err, errno);
        if (!S_ISDIR(st.st_mode)) {
            if (clear_place(e, at, &hides, err) < 0)
                return -1;
            r = mkdirat(at->parent, at->base, 0700);
        } else {
            r = 0;
        }
    }
    if (r < 0)
        return broken(e, err, errno);
    CLEANUP_FD int fd =
        openat(at->parent, at->base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return broken(e, err, errno);
    return hides && set_opaque(e, fd, err) < 0 ? -1 : set_xattrs(u, e, fd, err);
}

static int make_hard_link(struct unpacker *u, const struct tar_entry *e, const struct place *at,
                          const char *own_path, struct err *err)
{
    char target[TAR_PATH_MAX + 1];
    struct stat st;
    const char *why = clean_path(e->link, target);
    if (why)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "entry `%.200s` is refused: a hard link to `%.200s`: %s", e->path,
                       e->link, why);
    if (strcmp(target, own_path) == 0)
        return refuse(e, err, "a hard link to itself");
    char *slash = strrchr(target, '/');
    if (slash)
        *slash = '\0';
    CLEANUP_FD int from = tree_open(u->root, slash ? target : ".", O_PATH | O_DIRECTORY);
    const char *base = slash ? slash + 1 : target;
    if (from < 0 || fstatat(from, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(
            err, ERR_FAILED_PRECONDITION,
            "entry `%.200s` is refused: a hard link to `%.200s`, which this layer has not",
            e->path, e->link);
    if (S_ISDIR(st.st_mode) || S_ISCHR(st.st_mode))
        return refuse(e, err, "a hard link to a directory or a whiteout");
    bool hides;
    if (clear_place(e, at, &hides, err) < 0)
        return -1;
    return linkat(from, base, at->parent, at->base, 0) < 0 ? broken(e, err, errno) : 0;
}

/* Links and pipes: no descriptor of them is open. */
static int finish_special(struct unpacker *u, const struct tar_entry *e, const struct place *at,
                          struct err *err)
{
    struct timespec times[] = {entry_time(e), entry_time(e)};
    if (u->options->keep_owners && (e->uid || e->gid) &&
        fchownat(at->parent, at->base, (uid_t)e->uid, (gid_t)e->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return broken(e, err, errno);
    return utimensat(at->parent, at->base, times, AT_SYMLINK_NOFOLLOW) < 0
               ? broken(e, err, errno)
               : 0;
}

static int make_link(struct unpacker *u, const struct tar_entry *e, const struct place *at,
                     struct err *err)
{
    size_t n = strlen(e->link);
    if (n == 0 || n > TAR_PATH_MAX)
        return refuse(e, err, "a symbolic link to nothing");
    return symlinkat(e->link, at->parent, at->base) < 0 ? broken(e, err, errno)
                                                        : finish_special(u, e, at, err);
}

static int make_pipe(struct unpacker *u, const struct tar_entry *e, const struct place *at,
                     struct err *err)
{
    return mknodat(at->parent, at->base, S_IFIFO | (entry_mode(u, e) & 0777), 0) < 0
               ? broken(e, err, errno)
               : finish_special(u, e, at, err);
}

/* A sandbox has a /dev of its own, so what packers of whole systems leave there is no loss. */
static int meet_device(const struct tar_entry *e, const char *path, struct err *err)
{
    return str_startswith(path, "dev/") ? 0 : refuse(e, err, "a device node outside /dev");
}

static int check_owner(const struct unpacker *u, const struct tar_entry *e, struct err *err)
{
    if (u->options->keep_owners && (e->uid > UNPACK_OWNER_MAX || e->gid > UNPACK_OWNER_MAX))
        return refuse(e, err, "its owner is above 65535");
    return 0;
}

/* "." of the archive: the attributes of the layer's own directory. */
static int meet_root(struct unpacker *u, const struct tar_entry *e, struct err *err)
{
    if (e->kind != TAR_DIRECTORY)
        return refuse(e, err, "it would replace the root directory");
    return set_xattrs(u, e, u->root, err) < 0 ? -1 : remember_directory(u, e, ".", err);
}

static int make_directory_entry(struct unpacker *u, const struct tar_entry *e,
                                const struct place *at, const char *path, struct err *err)
{
    return make_directory(u, e, at, err) < 0 ? -1 : remember_directory(u, e, path, err);
}

static int take_entry(struct unpacker *u, const struct tar_entry *e, struct err *err)
{
    char path[TAR_PATH_MAX + 1];
    struct place at = {.parent = -1};
    bool hides; /* says nothing of what is no directory */
    const char *why = clean_path(e->path, path);
    if (why)
        return refuse(e, err, why);
    if (check_owner(u, e, err) < 0)
        return -1;
    if (path[0] == '\0')
        return meet_root(u, e, err);
    if (e->kind == TAR_DEVICE)
        return meet_device(e, path, err);
    if (find_place(u, e, path, &at, err) < 0)
        return -1;
    if (str_startswith(at.base, WHITEOUT))
        return make_whiteout(e, &at, err);
    if (e->kind == TAR_DIRECTORY)
        return make_directory_entry(u, e, &at, path, err);
    if (e->kind == TAR_HARDLINK)
        return make_hard_link(u, e, &at, path, err);
    if (clear_place(e, &at, &hides, err) < 0)
        return -1;
    return e->kind == TAR_SYMLINK ? make_link(u, e, &at, err)
           : e->kind == TAR_FIFO  ? make_pipe(u, e, &at, err)
                                  : make_file(u, e, &at, err);
}

/* The deepest first: a directory without rights must not hide those in it. Of two entries for one, the later counts. */
static int compare_directories(const void *left, const void *right)
{
    const struct directory *a = left, *b = right;
    size_t n = strlen(a->path), m = strlen(b->path);
    if (n != m)
        return n < m ? 1 : -1;
    return a->order < b->order ? -1 : 1;
}

static int finish_directory(struct unpacker *u, const struct directory *d, struct err *err)
{
    struct timespec times[] = {d->mtime, d->mtime};
    CLEANUP_FD int fd = tree_open(u->root, d->path, O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) /* a later entry replaced it */
        return 0;
    if (fd < 0 ||
        (u->options->keep_owners && (d->uid || d->gid) && fchown(fd, d->uid, d->gid) < 0) ||
        fchmod(fd, d->mode_bits) < 0 || futimens(fd, times) < 0)
        return err_set_errno(err, ERR_INTERNAL, fd < 0 ? -fd : errno,
                             "finish the directory `%.200s`", d->path);
    return 0;
}

static int finish_directories(struct unpacker *u, struct err *err)
{
    if (u->n_directories > 0)
        qsort(u->directories, u->n_directories, sizeof(*u->directories), compare_directories);
    for (size_t i = 0; i < u->n_directories; i++)
        if (finish_directory(u, &u->directories[i], err) < 0)
            return -1;
    return 0;
}

static void unpacker_done(struct unpacker *u)
{
    tar_done(&u->tar);
    cleanup_fd(&u->parent_fd);
    for (size_t i = 0; i < u->n_directories; i++)
        free(u->directories[i].path);
    free(u->directories);
    free(u->buffer);
}

int unpack_layer(int dir, struct source *tar, const struct unpack_options *o,
                 struct unpack_result *ret, struct err *err)
{
    CLEANUP(unpacker_done)
    struct unpacker u = {
        .root = dir, .options = o, .parent_fd = -1, .buffer = malloc(COPY_BYTES)};
    const struct tar_entry *e;
    int r;
    if (!u.buffer)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    tar_init(&u.tar, tar);
    while ((r = tar_next(&u.tar, &e, err)) > 0) {
        if (++u.result.n_entries > o->max_entries)
            return err_set(err, ERR_RESOURCE_EXHAUSTED,
                           "entry `%.200s` is refused: the layer has more than %llu", e->path,
                           (unsigned long long)o->max_entries);
        if (take_entry(&u, e, err) < 0)
            return -1;
    }
    if (r == 0 && o->whole && !u.tar.marked)
        return err_set(err, ERR_DATA_LOSS, "it ended early");
    if (r < 0 || finish_directories(&u, err) < 0)
        return -1;
    *ret = u.result;
    return 0;
}
