/* See pack.h. */
#include "image/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/strmap.h"
#include "base/util.h"
#include "image/tar.h"
#include "image/tree.h"

struct packer {
    struct tar_writer writer;
    enum pack_as as;
    struct strmap links; /* "dev:ino" -> struct link */
    char path[TAR_PATH_MAX + 1];
};

/* Directories that are one: from the topmost to the lowest. */
struct dirs {
    int fds[PACK_DIRS_MAX];
    size_t n;
};

struct link {
    char key[48];
    char path[];
};

static int broken(const struct packer *p, int failed, struct err *err)
{
    return err_set_errno(err, ERR_INTERNAL, failed, "pack `%.200s`", p->path);
}

/* Attributes of an open file or directory that unpack_layer() would set. */
static int put_xattrs(struct packer *p, int fd, struct buf *pax, struct err *err)
{
    char names[65536], value[65536], keyword[300];
    ssize_t n = flistxattr(fd, names, sizeof(names));
    if (n < 0)
        return errno == ENOTSUP ? 0 : broken(p, errno, err);
    for (const char *name = names; name < names + n; name += strlen(name) + 1) {
        if ((!str_startswith(name, "user.") && strcmp(name, "security.capability") != 0) ||
            str_startswith(name, "user.overlay."))
            continue;
        ssize_t len = fgetxattr(fd, name, value, sizeof(value));
        if (len < 0)
            return broken(p, errno, err);
        (void)snprintf(keyword, sizeof(keyword), "SCHILY.xattr.%.255s", name);
        if (tar_pax_put(pax, keyword, value, (size_t)len) < 0)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    return 0;
}

static int copy_file(struct packer *p, int fd, uint64_t size, struct err *err)
{
    uint8_t bytes[65536];
    while (size > 0) {
        ssize_t got = read(fd, bytes, MIN(sizeof(bytes), size));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0
                       ? broken(p, errno, err)
                       : err_set(err, ERR_ABORTED, "pack `%.200s`: it became shorter", p->path);
        if (tar_writer_put(&p->writer, bytes, (size_t)got, err) < 0)
            return -1;
        size -= (uint64_t)got;
    }
    return tar_writer_pad(&p->writer, err);
}

/* The path that this file was packed under, or NULL after remembering this one. */
static int find_link(struct packer *p, const struct stat *st, const char **ret, struct err *err)
{
    struct link *l = malloc(sizeof(*l) + strlen(p->path) + 1);
    if (!l)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    (void)snprintf(l->key, sizeof(l->key), "%llx:%llx", (unsigned long long)st->st_dev,
                   (unsigned long long)st->st_ino);
    memcpy(l->path, p->path, strlen(p->path) + 1);
    const struct link *known = strmap_get(&p->links, l->key);
    *ret = known ? known->path : NULL;
    if (known || strmap_put(&p->links, l->key, l) < 0) {
        free(l);
        return known ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    return 0;
}

static struct tar_out describe(const struct packer *p, const struct stat *st, char type)
{
    return (struct tar_out){.type = type,
                            .path = p->path,
                            .link = "",
                            .mode_bits = st->st_mode & 07777,
                            .uid = st->st_uid,
                            .gid = st->st_gid,
                            .mtime = st->st_mtim};
}

static int pack_file(struct packer *p, int dir, const char *name, const struct stat *st,
                     struct err *err)
{
    CLEANUP_BUF struct buf pax = {0};
    struct tar_out e = describe(p, st, '0');
    const char *known = NULL;
    if (st->st_nlink > 1 && find_link(p, st, &known, err) < 0)
        return -1;
    if (known) {
        e.type = '1';
        e.link = known;
        return tar_writer_entry(&p->writer, &e, &pax, err);
    }
    CLEANUP_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat now;
    if (fd < 0 || fstat(fd, &now) < 0)
        return broken(p, errno, err);
    if (!S_ISREG(now.st_mode))
        return err_set(err, ERR_ABORTED, "pack `%.200s`: it became something else", p->path);
    e.size = (uint64_t)now.st_size;
    if (put_xattrs(p, fd, &pax, err) < 0 || tar_writer_entry(&p->writer, &e, &pax, err) < 0)
        return -1;
    return copy_file(p, fd, e.size, err);
}

static int pack_link(struct packer *p, int dir, const char *name, const struct stat *st,
                     struct err *err)
{
    CLEANUP_BUF struct buf pax = {0};
    char target[TAR_PATH_MAX + 1];
    struct tar_out e = describe(p, st, '2');
    ssize_t n = readlinkat(dir, name, target, sizeof(target));
    if (n < 0 || n == (ssize_t)sizeof(target))
        return broken(p, n < 0 ? errno : ENAMETOOLONG, err);
    target[n] = '\0';
    e.link = target;
    return tar_writer_entry(&p->writer, &e, &pax, err);
}

static int pack_whiteout(struct packer *p, const char *name, struct err *err)
{
    CLEANUP_BUF struct buf pax = {0};
    char path[TAR_PATH_MAX + 8];
    struct tar_out e = {.type = '0', .path = path, .link = "", .mode_bits = 0};
    int above = (int)(strlen(p->path) - strlen(name));
    (void)snprintf(path, sizeof(path), "%.*s.wh.%s", above, p->path, name);
    return tar_writer_entry(&p->writer, &e, &pax, err);
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_opaque(int dir)
{
    char value[2];
    return fgetxattr(dir, "user.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

struct names {
    char **items;
    size_t n, cap;
};

static void names_done(struct names *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i]);
    free(l->items);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_names(struct names *l, int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return -errno;
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (l->n == l->cap) {
            l->cap = l->cap ? l->cap * 2 : 64;
            char **more = reallocarray(l->items, l->cap, sizeof(*more));
            l->items = more ? more : l->items;
            r = more ? 0 : -ENOMEM;
        }
        if (r == 0 && (l->items[l->n] = strdup(e->d_name)) == NULL)
            r = -ENOMEM;
        l->n += r == 0;
    }
    (void)closedir(d);
    return r;
}

/* Of each name once, sorted. */
static int list_names(struct packer *p, const struct dirs *dirs, struct names *ret,
                      struct err *err)
{
    for (size_t i = 0; i < dirs->n; i++) {
        int r = add_names(ret, dirs->fds[i]);
        if (r < 0)
            return broken(p, -r, err);
    }
    if (ret->n > 0)
        qsort(ret->items, ret->n, sizeof(*ret->items), compare_names);
    size_t n = 0;
    for (size_t i = 0; i < ret->n; i++) {
        if (n > 0 && strcmp(ret->items[n - 1], ret->items[i]) == 0)
            free(ret->items[i]);
        else
            ret->items[n++] = ret->items[i];
    }
    ret->n = n;
    return 0;
}

static void dirs_done(struct dirs *d)
{
    for (size_t i = 0; i < d->n; i++)
        cleanup_fd(&d->fds[i]);
}

/* The directories of @name, from the one in dirs->fds[@top] downwards as far as they are merged. */
static int open_merged(struct packer *p, const struct dirs *dirs, size_t top, const char *name,
                       struct dirs *ret, struct err *err)
{
    for (size_t i = top; i < dirs->n; i++) {
        struct stat st;
        if (fstatat(dirs->fds[i], name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT)
                continue;
            return broken(p, errno, err);
        }
        if (!S_ISDIR(st.st_mode)) /* a file or a whiteout hides what is below it */
            break;
        int fd = openat(dirs->fds[i], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return broken(p, errno, err);
        ret->fds[ret->n++] = fd;
        if (is_opaque(fd))
            break;
    }
    return 0;
}

static int pack_opaque(struct packer *p, struct err *err)
{
    CLEANUP_BUF struct buf pax = {0};
    char path[TAR_PATH_MAX + 16];
    struct tar_out e = {.type = '0', .path = path, .link = ""};
    (void)snprintf(path, sizeof(path), "%s%s.wh..wh..opq", p->path, p->path[0] ? "/" : "");
    return tar_writer_entry(&p->writer, &e, &pax, err);
}

static int pack_content(struct packer *p, const struct dirs *dirs, int depth, struct err *err);

static int pack_directory(struct packer *p, const struct dirs *merged, const struct stat *st,
                          int depth, struct err *err)
{
    CLEANUP_BUF struct buf pax = {0};
    struct tar_out e = describe(p, st, '5');
    if (e.path[0] == '\0')
        e.path = "./";
    if (put_xattrs(p, merged->fds[0], &pax, err) < 0 ||
        tar_writer_entry(&p->writer, &e, &pax, err) < 0)
        return -1;
    if (p->as == PACK_LAYER && is_opaque(merged->fds[0]) && pack_opaque(p, err) < 0)
        return -1;
    return pack_content(p, merged, depth, err);
}

static int pack_other(struct packer *p, int dir, const char *name, const struct stat *st,
                      struct err *err)
{
    CLEANUP_BUF struct buf pax = {0};
    if (is_whiteout(st))
        return p->as == PACK_LAYER ? pack_whiteout(p, name, err) : 0;
    if (S_ISREG(st->st_mode))
        return pack_file(p, dir, name, st, err);
    if (S_ISLNK(st->st_mode))
        return pack_link(p, dir, name, st, err);
    if (!S_ISFIFO(
            st->st_mode)) /* sockets mean nothing without who made them, devices nothing inside */
        return 0;
    struct tar_out e = describe(p, st, '6');
    return tar_writer_entry(&p->writer, &e, &pax, err);
}

static int pack_name(struct packer *p, const struct dirs *dirs, const char *name, int depth,
                     struct err *err)
{
    struct stat st = {0};
    size_t top = 0;
    while (fstatat(dirs->fds[top], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        if (errno != ENOENT || ++top == dirs->n)
            return errno == ENOENT ? 0 : broken(p, errno, err); /* it went while we looked */
    if (!S_ISDIR(st.st_mode))
        return pack_other(p, dirs->fds[top], name, &st, err);
    CLEANUP(dirs_done) struct dirs merged = {.n = 0};
    if (open_merged(p, dirs, top, name, &merged, err) < 0)
        return -1;
    return merged.n == 0 ? 0 : pack_directory(p, &merged, &st, depth + 1, err);
}

static int pack_content(struct packer *p, const struct dirs *dirs, int depth, struct err *err)
{
    CLEANUP(names_done) struct names names = {0};
    size_t n = strlen(p->path);
    if (depth > TREE_DEPTH_MAX)
        return broken(p, ELOOP, err);
    if (list_names(p, dirs, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        if (n + strlen(names.items[i]) + 2 > sizeof(p->path))
            return broken(p, ENAMETOOLONG, err);
        (void)snprintf(p->path + n, sizeof(p->path) - n, "%s%s", n ? "/" : "", names.items[i]);
        if (pack_name(p, dirs, names.items[i], depth, err) < 0)
            return -1;
    }
    p->path[n] = '\0';
    return 0;
}

static struct packer *packer_free(struct packer *p)
{
    size_t at = 0;
    for (struct link *l; (l = strmap_next(&p->links, &at)) != NULL;)
        free(l);
    strmap_done(&p->links);
    tar_writer_done(&p->writer);
    free(p);
    return NULL;
}

int pack(const int *dirs, size_t n_dirs, enum pack_as as, int out, struct tar_written *ret,
         struct err *err)
{
    struct packer *p = calloc(1, sizeof(*p)); /* it holds a buffer and a path */
    struct dirs root = {.n = n_dirs};
    struct stat st;
    if (!p)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    CHECK(n_dirs > 0 && n_dirs <= PACK_DIRS_MAX);
    for (size_t i = 0; i < n_dirs; i++) /* borrowed: not closed */
        root.fds[i] = dirs[n_dirs - 1 - i];
    p->as = as;
    int r = tar_writer_init(&p->writer, out, err);
    if (r == 0 && fstat(root.fds[0], &st) < 0)
        r = broken(p, errno, err);
    if (r == 0)
        r = pack_directory(p, &root, &st, 0, err);
    if (r == 0)
        r = tar_writer_end(&p->writer, ret, err);
    (void)packer_free(p);
    return r;
}
