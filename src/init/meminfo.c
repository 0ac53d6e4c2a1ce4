/*
 * /proc/meminfo of a sandbox with a memory limit: its size, and what is used of it now. launch has put a file system of one file
 * there, a FUSE whose requests we answer (SHOW); what is used says memory.stat of the load's cgroup, of either version.
 *
 * Who reads the file waits for us, so nothing here waits for anybody: a request is there whole or not at all, the answer is taken
 * at once, and no path is looked at. Children that are copies of us close our end (meminfo_leave()): the kernel lets those go
 * who wait for an answer when the last end is closed, and that has to be when we end.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "init/meminfo.h"

#define FOREVER_S UINT32_MAX /* nothing about the file ever changes but its content */
#define MAX_REQUESTS 16 /* in a turn; chosen: who reads without end holds up nobody for long */

struct meminfo_counts { /* bytes */
    uint64_t anon, file, inactive_file, shmem, kernel;
};

void meminfo_init(struct meminfo *m)
{
    *m = (struct meminfo){.fuse_fd = -1, .stat_fd = -1};
}

int meminfo_take(struct meminfo *m, struct packet *p)
{
    if (p->n_fds != 2)
        return -EPROTO;
    meminfo_leave(m);
    m->fuse_fd = TAKE_FD(p->fds[0]);
    m->stat_fd = TAKE_FD(p->fds[1]);
    m->owner = p->head.aux;
    return 0;
}

void meminfo_leave(struct meminfo *m)
{
    cleanup_fd(&m->fuse_fd);
    cleanup_fd(&m->stat_fd);
}

/* Of "name value" at the beginning of a line; 0: there is none. */
static uint64_t find(const char *text, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, n) == 0 && at[n] == ' ')
            return strtoull(at + n, NULL, 10);
    }
    return 0;
}

static uint64_t find_either(const char *text, const char *v2, const char *v1)
{
    uint64_t value = find(text, v2);

    return value ? value : find(text, v1);
}

static struct meminfo_counts count(const struct meminfo *m)
{
    char text[4096]; /* about 60 lines of at most 40 */
    ssize_t n = pread(m->stat_fd, text, sizeof(text) - 1, 0);

    text[MAX(n, 0)] = 0;
    return (struct meminfo_counts){
        .anon = find_either(text, "anon", "total_rss"),
        .file = find_either(text, "file", "total_cache"),
        .inactive_file = find_either(text, "inactive_file", "total_inactive_file"),
        .shmem = find_either(text, "shmem", "total_shmem"),
        .kernel = find(text, "kernel"), /* of version 1 nobody tells */
    };
}

static size_t put(char *text, size_t n, size_t room, const char *name, uint64_t bytes)
{
    return n + (size_t)snprintf(text + n, room - n, "%s:%*llu kB\n", name,
                                (int)(23 - strlen(name)), (unsigned long long)(bytes / 1024));
}

/* As long at any time: every number has its place. */
static size_t compose(const struct meminfo *m, uint64_t limit, char *text, size_t room)
{
    struct meminfo_counts c = count(m);
    uint64_t used = c.anon + c.file + c.kernel, free_bytes = limit > used ? limit - used : 0;
    uint64_t cached = c.file > c.shmem ? c.file - c.shmem : 0;
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = {
        {"MemTotal", limit},
        {"MemFree", free_bytes},
        {"MemAvailable", MIN(limit, free_bytes + MIN(cached, c.inactive_file))},
        {"Buffers", 0},
        {"Cached", cached + c.shmem},
        {"SwapCached", 0},
        {"Active", c.anon + c.file - MIN(c.file, c.inactive_file)},
        {"Inactive", c.inactive_file},
        {"SwapTotal", 0},
        {"SwapFree", 0},
        {"AnonPages", c.anon},
        {"Shmem", c.shmem},
        {"Slab", c.kernel},
        {"SReclaimable", 0},
        {"SUnreclaim", c.kernel},
    };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        n = put(text, n, room, rows[i].name, rows[i].bytes);
    return n;
}

/* ---- what the kernel asks ---- */

static void reply(const struct meminfo *m, uint64_t unique, int error, const void *body,
                  size_t n)
{
    struct {
        struct fuse_out_header head;
        char body[2048];
    } out = {.head = {.unique = unique, .error = error}};

    if (error == 0 && n > 0)
        memcpy(out.body, body, n);
    out.head.len = (uint32_t)(sizeof(out.head) + (error == 0 ? n : 0));
    (void)write(m->fuse_fd, &out, out.head.len); /* ENOENT: who asked was killed */
}

/* read(2) asks each time (FOPEN_DIRECT_IO); sendfile(2) takes pages of a file that has a size, anew for each opening. */
static void reply_attr(const struct meminfo *m, uint64_t limit, uint64_t unique)
{
    char text[1024];
    struct fuse_attr_out attr = {
        .attr_valid = FOREVER_S,
        .attr = {.ino = FUSE_ROOT_ID,
                 .size = compose(m, limit, text, sizeof(text)),
                 .mode = S_IFREG | 0444,
                 .nlink = 1,
                 .uid = m->owner,
                 .gid = m->owner},
    };

    reply(m, unique, 0, &attr, sizeof(attr));
}

static void reply_read(const struct meminfo *m, uint64_t limit,
                       const struct fuse_in_header *head)
{
    const struct fuse_read_in *in = (const void *)(head + 1);
    char text[1024];
    size_t n = compose(m, limit, text, sizeof(text));
    size_t from = (size_t)MIN(in->offset, n);

    reply(m, head->unique, 0, text + from, MIN(n - from, in->size));
}

static void answer(struct meminfo *m, uint64_t limit, const struct fuse_in_header *head)
{
    const struct fuse_init_in *theirs = (const void *)(head + 1);
    struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION, .max_write = 4096};
    struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};

    switch (head->opcode) {
    case FUSE_INIT:
        init.minor = MIN(theirs->minor, FUSE_KERNEL_MINOR_VERSION);
        reply(m, head->unique, 0, &init, sizeof(init));
        break;
    case FUSE_GETATTR:
        reply_attr(m, limit, head->unique);
        break;
    case FUSE_OPEN:
        reply(m, head->unique, 0, &opened, sizeof(opened));
        break;
    case FUSE_READ:
        reply_read(m, limit, head);
        break;
    case FUSE_RELEASE:
        reply(m, head->unique, 0, NULL, 0);
        break;
    case FUSE_FORGET: /* these have no answer */
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break;
    default:
        reply(m, head->unique, -ENOSYS, NULL, 0);
        break;
    }
}

void meminfo_answer(struct meminfo *m, uint64_t limit)
{
    for (int i = 0; i < MAX_REQUESTS && m->fuse_fd >= 0; i++) {
        const struct fuse_in_header *head = (const void *)m->buffer;
        ssize_t n = read(m->fuse_fd, m->buffer, sizeof(m->buffer));

        if (n < 0 && errno == ENODEV) /* nothing of it is mounted any more */
            meminfo_leave(m);
        if (n < (ssize_t)sizeof(*head))
            return;
        answer(m, limit, head);
    }
}
