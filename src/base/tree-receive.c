/* From a stream to a directory; see tree.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/tree.h"

#define TRIES 16       /* against somebody who changes names under us */
#define MODE_BITS 0777 /* no set-id, no sticky bit comes by a tree */

static int fault(struct tree_receiver *r, const char *path, int error, const char *why)
{
    r->fault.error = error;
    r->fault.why = why;
    (void)snprintf(r->fault.path, sizeof(r->fault.path), "%s", path);
    return -1;
}

/* ---- the stream ---- */

/* As many as are there, at least one; 0 at the end. */
static ssize_t peek(struct tree_receiver *r)
{
    ssize_t n;

    if (r->at < r->n_in)
        return (ssize_t)(r->n_in - r->at);
    n = r->source->read(r->source, r->in, sizeof(r->in));
    if (n < 0)
        return fault(r, "", (int)-n, NULL);
    r->at = 0;
    r->n_in = (size_t)n;
    return n;
}

static int take(struct tree_receiver *r, void *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t there = peek(r);

        if (there < 0)
            return -1;
        if (there == 0)
            return fault(r, "", 0, "ends before its end marker");
        size_t part = MIN((size_t)there, n - done);
        memcpy((uint8_t *)data + done, r->in + r->at, part);
        r->at += part;
        done += part;
    }
    return 0;
}

static int skip_padding(struct tree_receiver *r, uint64_t size)
{
    uint8_t padding[TAR_BLOCK];

    return take(r, padding, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* What is behind the end marker is zeros, of writers that fill a record. */
static int read_end(struct tree_receiver *r)
{
    ssize_t n;

    while ((n = peek(r)) > 0) {
        for (; r->at < r->n_in; r->at++) {
            if (r->in[r->at] != 0)
                return fault(r, "", 0, "goes on behind its end marker");
        }
    }
    return (int)n;
}

/* 1 with an entry, 0 at the end. */
static int next_entry(struct tree_receiver *r, struct tree_entry *ret)
{
    uint8_t block[TAR_BLOCK];

    for (;;) {
        if (take(r, block, sizeof(block)) < 0)
            return -1;
        switch (tree_head_read(&r->head, block, ret)) {
        case TREE_HEAD_ENTRY:
            return 1;
        case TREE_HEAD_ZERO:
            return read_end(r);
        case TREE_HEAD_BAD:
            return fault(r, r->head.path, 0, r->head.why);
        case TREE_HEAD_PAX:
            if (take(r, r->head.pax, (size_t)ret->size) < 0 || skip_padding(r, ret->size) < 0)
                return -1;
            if (!tree_pax_read(&r->head, (size_t)ret->size))
                return fault(r, r->head.path, 0, r->head.why);
            break;
        }
    }
}

/* ---- where we are ---- */

/* What was made gets its mode and its time when nothing goes into it any more. */
static int leave(struct tree_receiver *r)
{
    const struct timespec now = {.tv_nsec = UTIME_OMIT};
    size_t i = --r->depth;
    struct timespec times[2] = {now, {.tv_sec = (time_t)r->levels[i].mtime_s}};
    struct stat st;
    int failed = 0;

    if (r->levels[i].made) {
        (void)futimens(r->levels[i].fd, times);
        if (r->levels[i].no_bits && fstat(r->levels[i].fd, &st) == 0 &&
            fchmod(r->levels[i].fd, st.st_mode & MODE_BITS & ~r->levels[i].no_bits) < 0)
            failed = errno;
    }
    (void)close(r->levels[i].fd);
    if (failed)
        return fault(r, r->path, failed, NULL);
    r->path_len = r->levels[i].path_len;
    r->path[r->path_len] = 0;
    return 0;
}

static bool is_within(const struct tree_receiver *r, const char *path)
{
    return r->path_len == 0 ||
           (strncmp(path, r->path, r->path_len) == 0 && path[r->path_len] == '/');
}

/* Goes up to the directory that @path is in; its last name in *@ret. */
static int locate(struct tree_receiver *r, const char *path, const char **ret)
{
    while (r->depth > 1 && !is_within(r, path)) {
        if (leave(r) < 0)
            return -1;
    }
    *ret = path + r->path_len + (r->path_len > 0);
    if (strcmp(*ret, "") == 0 || strcmp(*ret, ".") == 0 || strcmp(*ret, "..") == 0)
        return fault(r, path, 0, "is no name");
    if (strchr(*ret, '/'))
        return fault(r, path, 0, "leads elsewhere, or comes before its directory");
    return 0;
}

static void enter(struct tree_receiver *r, int take_fd, const struct tree_entry *e, bool made)
{
    size_t i = r->depth++;

    r->levels[i].fd = take_fd;
    r->levels[i].path_len = r->path_len;
    r->levels[i].made = made;
    r->levels[i].no_bits = 0700 & ~e->mode_bits;
    r->levels[i].mtime_s = e->mtime_s;
}

/* ---- what comes ---- */

static int receive_directory(struct tree_receiver *r, int dir, const char *name,
                             const struct tree_entry *e)
{
    bool made = mkdirat(dir, name, (e->mode_bits & MODE_BITS) | 0700) == 0;
    int fd;

    if (!made && errno != EEXIST)
        return fault(r, e->path, errno, NULL);
    if (r->depth == TREE_DEPTH_MAX)
        return fault(r, e->path, 0, "is deeper than 128 directories");
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return fault(r, e->path, 0, "is there already, and is no directory");
    if (fd < 0)
        return fault(r, e->path, errno, NULL);
    enter(r, fd, e, made);
    r->path_len = (size_t)snprintf(r->path, sizeof(r->path), "%s", e->path);
    return 0;
}

/* Takes away what is in the way of a file or a link. 0: nothing is, or not any more. 1: a file, or with @files_too nothing. */
static int make_room(struct tree_receiver *r, int dir, const char *name, const char *path,
                     bool files_too)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fault(r, path, errno, NULL);
    if (S_ISDIR(st.st_mode))
        return fault(r, path, 0, "is there already, and is a directory");
    if (S_ISREG(st.st_mode) && !files_too)
        return 1;
    return unlinkat(dir, name, 0) == 0 || errno == ENOENT ? 0 : fault(r, path, errno, NULL);
}

/* A descriptor to write with. */
static int open_file(struct tree_receiver *r, int dir, const char *name,
                     const struct tree_entry *e, bool *ret_made)
{
    const int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat st;

    for (int i = 0; i < TRIES; i++) {
        int fd = openat(dir, name, flags | O_CREAT | O_EXCL, e->mode_bits & MODE_BITS);

        *ret_made = fd >= 0;
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            return fault(r, e->path, errno, NULL);
        int there = make_room(r, dir, name, e->path, false);
        if (there < 0)
            return -1;
        if (there == 0)
            continue;
        fd = openat(dir, name, flags);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
            return fd;
        if (fd < 0 && errno != ELOOP && errno != ENXIO && errno != ENOENT)
            return fault(r, e->path, errno, NULL);
        cleanup_fd(&fd);
    }
    return fault(r, e->path, 0, "changes what it is while it is written");
}

static int write_content(struct tree_receiver *r, int fd, const struct tree_entry *e)
{
    for (uint64_t left = e->size; left > 0;) {
        ssize_t there = peek(r);

        if (there < 0)
            return -1;
        if (there == 0)
            return fault(r, e->path, 0, "is cut: the stream ends within it");
        ssize_t n = write(fd, r->in + r->at, MIN((uint64_t)there, left));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault(r, e->path, errno, NULL);
        r->at += (size_t)n;
        left -= (uint64_t)n;
    }
    return skip_padding(r, e->size);
}

static int receive_file(struct tree_receiver *r, int dir, const char *name,
                        const struct tree_entry *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)e->mtime_s}};
    bool made;
    CLEANUP_FD int fd = open_file(r, dir, name, e, &made);

    if (fd < 0 || write_content(r, fd, e) < 0)
        return -1;
    if (!made && ftruncate(fd, (off_t)e->size) < 0)
        return fault(r, e->path, errno, NULL);
    (void)futimens(fd, times); /* only the owner of what was there may */
    return 0;
}

/*
 * Certainly within: some ".." that lead no higher than the tree, then names only. Names lead down, and what links there may be on
 * the way passed here themselves; a ".." behind a name could be one behind a link, and then means another directory.
 */
static bool leads_within(const struct tree_receiver *r, const char *target)
{
    size_t up = 0;
    bool down = false;

    if (target[0] == '/')
        return false;
    while (*target) {
        size_t n = strcspn(target, "/");

        if (n == 2 && memcmp(target, "..", 2) == 0) {
            if (down || ++up >= r->depth)
                return false;
        } else if (n > 1 || (n == 1 && *target != '.')) {
            down = true;
        }
        target += n + (target[n] == '/');
    }
    return true;
}

static int receive_link(struct tree_receiver *r, int dir, const char *name,
                        const struct tree_entry *e)
{
    if (e->link[0] == 0)
        return fault(r, e->path, 0, "is a link to nothing");
    if (r->flags & TREE_LINKS_WITHIN && !leads_within(r, e->link))
        return fault(r, e->path, 0, "is a link that leads out of the tree");
    for (int i = 0; i < TRIES; i++) {
        if (symlinkat(e->link, dir, name) == 0)
            return 0;
        if (errno != EEXIST)
            return fault(r, e->path, errno, NULL);
        if (make_room(r, dir, name, e->path, true) < 0)
            return -1;
    }
    return fault(r, e->path, 0, "changes what it is while it is written");
}

static int receive_entry(struct tree_receiver *r, const struct tree_entry *e)
{
    const char *name;

    if (strcmp(e->path, ".") == 0 && e->kind == TREE_DIRECTORY) { /* it is there */
        r->levels[0].made = (r->flags & TREE_TOP_MADE) != 0;
        r->levels[0].no_bits = MODE_BITS & ~e->mode_bits;
        r->levels[0].mtime_s = e->mtime_s;
        return 0;
    }
    if (locate(r, e->path, &name) < 0)
        return -1;
    int dir = r->levels[r->depth - 1].fd;
    switch (e->kind) {
    case TREE_FILE:
        return receive_file(r, dir, name, e);
    case TREE_DIRECTORY:
        return receive_directory(r, dir, name, e);
    case TREE_LINK:
        return receive_link(r, dir, name, e);
    }
    return fault(r, e->path, EINVAL, NULL);
}

int tree_receive(struct tree_receiver *r, int fd, struct tree_source *source,
                 enum tree_flags flags)
{
    struct tree_entry e;
    int own, result;

    r->source = source;
    r->flags = flags;
    r->head = (struct tree_head_reader){.why = ""};
    r->depth = r->path_len = r->at = r->n_in = 0;
    r->path[0] = 0;
    own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return fault(r, "", errno, NULL);
    enter(r, own, &(struct tree_entry){.mode_bits = MODE_BITS}, false);
    while ((result = next_entry(r, &e)) > 0) {
        if (receive_entry(r, &e) < 0) {
            result = -1;
            break;
        }
    }
    while (r->depth > 0) {
        if (leave(r) < 0)
            result = -1;
    }
    return result;
}
