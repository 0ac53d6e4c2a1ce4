/* Reading a log file; see log-read.h. */
#include "runtime/log-read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

bool log_seek_tail(int fd, uint64_t start, uint64_t end, uint64_t n_lines,
                   struct log_tail *tail)
{
    CLEANUP_FREE char *data = malloc(LOG_CHUNK);
    for (size_t left = LOG_SCAN_MAX; data && tail->at > start; left -= LOG_CHUNK) {
        size_t n = (size_t)MIN(tail->at - start, (uint64_t)LOG_CHUNK);
        uint64_t base = tail->at - n;
        if (left == 0)
            return false;
        if (pread(fd, data, n, (off_t)base) != (ssize_t)n)
            break;
        for (const char *hit; (hit = memrchr(data, '\n', n)); n = (size_t)(hit - data)) {
            uint64_t line = base + (uint64_t)(hit - data) + 1;
            /* The newline that ends the last line opens none. */
            if (line != end && ++tail->n_seen == n_lines) {
                tail->at = line;
                return true;
            }
        }
        tail->at = base;
    }
    tail->at = start;
    return true;
}

uint64_t log_seek_line(int fd, uint64_t from, uint64_t end)
{
    CLEANUP_FREE char *data = malloc(LOG_CHUNK);
    char before = '\n';
    if (!data || from == 0 || pread(fd, &before, 1, (off_t)from - 1) != 1 || before == '\n')
        return from;
    end = MIN(end, from + LOG_LINE_MAX);
    for (uint64_t at = from; at < end; at += LOG_CHUNK) {
        ssize_t n = pread(fd, data, (size_t)MIN(end - at, (uint64_t)LOG_CHUNK), (off_t)at);
        if (n <= 0)
            break;
        const char *newline = memchr(data, '\n', (size_t)n);
        if (!newline)
            continue;
        uint64_t line = at + (uint64_t)(newline - data) + 1;
        return line < end ? line : from; /* half a line is better than nothing */
    }
    return from;
}

/* One step of a search. */
static void seek(struct log_read *r)
{
    uint64_t start = r->start > 0 ? log_seek_line(r->fd, r->start, r->end) : 0;
    r->position = start;
    if (r->n_lines > 0) {
        r->more = !log_seek_tail(r->fd, start, r->end, r->n_lines, &r->tail);
        r->position = r->tail.at;
    }
    if (r->since > 0 && !r->more)
        r->position = MAX(r->position,
                          r->since >= r->end ? r->end : log_seek_line(r->fd, r->since, r->end));
}

/* Whole lines when there are any, so that no character is cut in two. */
static size_t cut_at_line(const uint8_t *data, size_t n)
{
    const uint8_t *newline = n == LOG_CHUNK ? memrchr(data, '\n', n) : NULL;
    return newline ? (size_t)(newline - data) + 1 : n;
}

static void read_chunk(struct log_read *r)
{
    size_t max = (size_t)MIN(r->end - r->position, (uint64_t)LOG_CHUNK);
    if (buf_reserve(&r->data, max) < 0) {
        r->error = ENOMEM;
        return;
    }
    ssize_t n = pread(r->fd, buf_tail(&r->data), max, (off_t)r->position);
    if (n <= 0)
        r->error = n < 0 ? errno : EIO; /* shorter than we made it */
    else
        buf_commit(&r->data, cut_at_line(buf_tail(&r->data), (size_t)n));
}

void log_read_run(struct log_read *r)
{
    r->error = 0;
    r->more = false;
    if (r->fd < 0)
        r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (r->fd < 0)
        r->error = errno;
    else if (r->seek)
        seek(r);
    else
        read_chunk(r);
}

static int put_time(struct buf *out, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
    struct tm tm;
    char text[32]; /* "2026-11-23T18:00:00" is 19; years have four digits for the next 8,000 */
    if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return 0;
    return buf_printf(out, "%s.%09uZ ", text, (unsigned)(wall_ns % NS_PER_SEC));
}

int log_render(const struct log_index *ix, uint64_t position, const uint8_t *data, size_t n,
               uint64_t now_ns, bool *line_start, struct buf *out)
{
    for (size_t at = 0; at < n;) {
        const uint8_t *newline = memchr(data + at, '\n', n - at);
        size_t line = newline ? (size_t)(newline - (data + at)) + 1 : n - at;
        int r = *line_start ? put_time(out, log_index_time(ix, position + at, now_ns)) : 0;
        if (r == 0)
            r = buf_put(out, data + at, line);
        if (r < 0)
            return r;
        *line_start = newline != NULL;
        at += line;
    }
    return 0;
}
