/* From a directory to a stream; see tree.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/tree.h"

#define TRIES 3 /* of a name that is one thing now and another then */

struct name { /* getdents64(2) */
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

int tree_fault(struct tree_sender *s, int error, const char *why)
{
    s->fault.error = error;
    s->fault.why = why;
    memcpy(s->fault.path, s->path, s->path_len);
    s->fault.path[s->path_len] = 0;
    return -1;
}

static int flush(struct tree_sender *s)
{
    int r = s->n_out > 0 ? s->sink->write(s->sink, s->out, s->n_out) : 0;

    s->n_out = 0;
    if (r == 0)
        return 0;
    s->path_len = 0;
    return tree_fault(s, -r, NULL);
}

int tree_put(struct tree_sender *s, const void *data, size_t n)
{
    const uint8_t *from = data;

    while (n > 0) {
        size_t part = MIN(n, sizeof(s->out) - s->n_out);

        memcpy(s->out + s->n_out, from, part);
        s->n_out += part;
        from += part;
        n -= part;
        if (s->n_out == sizeof(s->out) && flush(s) < 0)
            return -1;
    }
    return 0;
}

static int put_zeros(struct tree_sender *s, size_t n)
{
    static const uint8_t zeros[2 * TAR_BLOCK];

    return tree_put(s, zeros, n);
}

static int put_head(struct tree_sender *s, enum tree_kind kind, int fd, const struct stat *st)
{
    if (s->format)
        return s->format->head(s, kind, fd, st);

    struct tree_entry e = {
        .kind = kind,
        .path = s->path_len > 0 ? s->path : ".",
        .link = s->link,
        .size = kind == TREE_FILE ? (uint64_t)st->st_size : 0,
        .mode_bits = st->st_mode & 0777,
        .mtime_s = st->st_mtime,
    };
    size_t n = tree_head_write(s->head, &e);

    return n > 0 ? tree_put(s, s->head, n) : tree_fault(s, ENAMETOOLONG, NULL);
}

/* Exactly the bytes that the head announced: what a writer appends meanwhile is not part of it. */
static int put_content(struct tree_sender *s, int fd, uint64_t size)
{
    for (uint64_t left = size; left > 0;) {
        size_t room = MIN(left, sizeof(s->out) - s->n_out);
        ssize_t n = read(fd, s->out + s->n_out, room);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tree_fault(s, errno, NULL);
        if (n == 0)
            return tree_fault(s, 0, "became shorter while it was read");
        s->n_out += (size_t)n;
        left -= (uint64_t)n;
        if (s->n_out == sizeof(s->out) && flush(s) < 0)
            return -1;
    }
    return put_zeros(s, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

static int send_file(struct tree_sender *s, int fd, const struct stat *st)
{
    int r = put_head(s, TREE_FILE, fd, st);

    if (r != 0)
        return MIN(r, 0);
    return put_content(s, fd, (uint64_t)st->st_size);
}

static int enter(struct tree_sender *s, int take_fd, size_t path_len, const struct stat *st)
{
    CLEANUP_FD int fd = take_fd;

    if (s->depth == TREE_DEPTH_MAX)
        return tree_fault(s, 0, "is deeper than 128 directories");
    if (put_head(s, TREE_DIRECTORY, fd, st) < 0)
        return -1;
    struct tree_level *level = &s->levels[s->depth++];
    level->fd = TAKE_FD(fd);
    level->path_len = path_len;
    level->at = level->n = 0;
    return 0;
}

static int send_link(struct tree_sender *s, int dir_fd, const char *name, const struct stat *st)
{
    ssize_t n = readlinkat(dir_fd, name, s->link, sizeof(s->link));

    if (n < 0)
        return errno == ENOENT || errno == EINVAL ? 0 : tree_fault(s, errno, NULL);
    if ((size_t)n == sizeof(s->link))
        return tree_fault(s, ENAMETOOLONG, NULL);
    s->link[n] = 0;
    return MIN(put_head(s, TREE_LINK, -1, st), 0);
}

/* 1: it is something else now than when we looked. */
static int send_opened(struct tree_sender *s, int dir_fd, const char *name, size_t path_len)
{
    CLEANUP_FD int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && (errno == ELOOP || errno == ENXIO || errno == ENODEV))
        return 1;
    if (fd < 0)
        return errno == ENOENT ? 0 : tree_fault(s, errno, NULL);
    if (fstat(fd, &st) < 0)
        return tree_fault(s, errno, NULL);
    if (S_ISREG(st.st_mode))
        return send_file(s, fd, &st);
    return S_ISDIR(st.st_mode) ? enter(s, TAKE_FD(fd), path_len, &st) : 1;
}

/* What @name is is asked first: opening a device or a FIFO does things. */
static int send_name(struct tree_sender *s, int dir_fd, const char *name)
{
    size_t before = s->path_len, n = strlen(name);
    struct stat st;
    int r = 1;

    if (before + (before > 0) + n > TREE_PATH_MAX)
        return tree_fault(s, ENAMETOOLONG, NULL);
    if (before > 0)
        s->path[s->path_len++] = '/';
    memcpy(s->path + s->path_len, name, n + 1);
    s->path_len += n;
    if (s->format && s->format->skip(s))
        r = 0;
    for (int i = 0; r == 1 && i < TRIES; i++) {
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = errno == ENOENT ? 0 : tree_fault(s, errno, NULL);
        else if (S_ISLNK(st.st_mode))
            r = send_link(s, dir_fd, name, &st);
        else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
            r = send_opened(s, dir_fd, name, before);
        else
            r = s->format ? s->format->other(s, &st) : 0;
    }
    if (r == 1)
        return tree_fault(s, 0, "changes what it is while it is read");
    if (r == 0 && (s->depth == 0 || s->levels[s->depth - 1].fd == dir_fd))
        s->path[s->path_len = before] = 0; /* else we are in it now */
    return r;
}

/* The next name of the deepest directory; NULL at its end. */
static int next_name(struct tree_sender *s, const char **ret)
{
    struct tree_level *level = &s->levels[s->depth - 1];

    for (;;) {
        if (level->at == level->n) {
            long n = syscall(SYS_getdents64, level->fd, level->names, sizeof(level->names));

            if (n < 0 && errno != ENOENT) /* it was removed under us */
                return tree_fault(s, errno, NULL);
            level->at = 0;
            level->n = n > 0 ? (size_t)n : 0;
            *ret = NULL;
            if (level->n == 0)
                return 0;
        }
        const struct name *d = (const struct name *)(const void *)(level->names + level->at);

        level->at += d->size;
        if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0) {
            *ret = d->name;
            return 0;
        }
    }
}

static void leave(struct tree_sender *s)
{
    struct tree_level *level = &s->levels[--s->depth];

    (void)close(level->fd);
    s->path_len = level->path_len;
    s->path[s->path_len] = 0;
}

static int walk(struct tree_sender *s)
{
    while (s->depth > 0) {
        const char *name;

        if (next_name(s, &name) < 0)
            return -1;
        if (!name)
            leave(s);
        else if (send_name(s, s->levels[s->depth - 1].fd, name) < 0)
            return -1;
    }
    return 0;
}

int tree_send_part(struct tree_sender *s, int fd, const char *path)
{
    struct stat st;
    int own, r;

    s->path_len = strlen(path);
    memcpy(s->path, path, s->path_len + 1);
    own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0 || fstat(own, &st) < 0) {
        r = tree_fault(s, errno, NULL);
        cleanup_fd(&own);
        return r;
    }
    r = enter(s, own, 0, &st);
    if (r == 0)
        r = walk(s);
    while (s->depth > 0)
        leave(s);
    return r;
}

int tree_send_end(struct tree_sender *s)
{
    return put_zeros(s, 2 * TAR_BLOCK) < 0 ? -1 : flush(s);
}

int tree_send(struct tree_sender *s, int fd, struct tree_sink *sink)
{
    s->sink = sink;
    s->format = NULL;
    s->depth = s->n_out = 0;
    return tree_send_part(s, fd, "") < 0 ? -1 : tree_send_end(s);
}
