/* From the pipe to the log; see log-move.h. */
#include "runtime/log-move.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define PUNCH_ALIGN 4096ULL /* smaller holes free nothing */

/* Tells in the log that something is missing, on a line of its own. 0 or errno. */
static int put_mark(struct log_move *m, int fd)
{
    char text[160], why[64], last = '\n';

    if (m->size > m->start)
        (void)pread(fd, &last, 1, (off_t)m->size - 1);
    int n = snprintf(
        text, sizeof(text), "%s[cwsandbox: %" PRIu64 " bytes of output were lost here: %s]\n",
        last == '\n' ? "" : "\n", m->lost_bytes, strerror_r(m->lost_error, why, sizeof(why)));
    ssize_t done = pwrite(fd, text, (size_t)n, (off_t)m->size);
    if (done != n) { /* what there is of it is overwritten by the next try */
        int error = done < 0 ? errno : ENOSPC;
        (void)ftruncate(fd, (off_t)m->size);
        return error;
    }
    m->size += (uint64_t)n;
    m->lost_bytes = 0;
    return 0;
}

/* Some bytes into the file. Their count, 0 at the end of the stream, -errno. */
static ssize_t store(struct log_move *m, int fd, size_t max)
{
    off_t at = (off_t)m->size;
    ssize_t n = splice(m->pipe_fd, NULL, fd, &at, max, SPLICE_F_NONBLOCK);

    if (n < 0)
        return -errno;
    m->size += (uint64_t)n;
    return n;
}

/* Some bytes nowhere. */
static ssize_t discard(struct log_move *m, size_t max)
{
    uint8_t data[65536];
    ssize_t n = read(m->pipe_fd, data, MIN(max, sizeof(data)));

    if (n < 0)
        return -errno;
    m->lost_bytes += (uint64_t)n;
    return n;
}

/* Frees the oldest part. On a file system without holes all that is there goes: offsets stay as they are. */
static void enforce_limit(struct log_move *m, int fd)
{
    /* some slack, or every line would punch */
    if (m->size - m->start <= m->max_bytes + m->max_bytes / 8 + PUNCH_ALIGN)
        return;
    uint64_t keep_from = (m->size - m->max_bytes) & ~(PUNCH_ALIGN - 1);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)m->start,
                  (off_t)(keep_from - m->start)) == 0)
        m->start = keep_from;
    else if (ftruncate(fd, 0) == 0)
        m->start = m->size;
}

static void move(struct log_move *m, int fd, int error)
{
    for (size_t left = LOG_MOVE_MAX; left > 0;) {
        ssize_t n = error ? discard(m, left) : store(m, fd, left);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            return;
        if (n == 0 ||
            (n < 0 && error)) { /* a pipe that cannot even be read has no more to give */
            m->eof = true;
            return;
        }
        if (n < 0)
            m->lost_error = error = (int)-n;
        else
            left -= (size_t)n;
    }
    m->more = true;
}

void log_move_run(struct log_move *m)
{
    m->more = m->eof = false;
    if (m->remove) {
        (void)unlink(m->path); /* what stays is removed by the next start */
        return;
    }
    CLEANUP_FD int fd = open(m->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = fd < 0 ? errno : 0;
    if (error == 0 && m->lost_bytes > 0)
        error = put_mark(m, fd);
    if (error)
        m->lost_error = error;
    move(m, fd, error);
    if (fd >= 0)
        enforce_limit(m, fd);
}
