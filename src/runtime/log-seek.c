/* Places in a log file, and times in front of its lines. Reads of the page cache: the file was
 * just written. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "runtime/log-stream.h"

uint64_t log_seek_tail(int fd, uint64_t start, uint64_t end, uint64_t n_lines)
{
    CLEANUP_FREE char *data = malloc(LOG_CHUNK);
    uint64_t at = end;
    /* The newline that ends the last line opens none. */
    uint64_t seen = 0;
    while (data && at > start) {
        size_t n = (size_t)MIN(at - start, (uint64_t)LOG_CHUNK);
        if (pread(fd, data, n, (off_t)(at - n)) != (ssize_t)n)
            return start; /* cut meanwhile: everything that is left is the tail */
        for (size_t i = n; i > 0; i--) {
            uint64_t offset = at - n + i - 1;
            if (data[i - 1] == '\n' && offset + 1 != end && ++seen == n_lines)
                return offset + 1;
        }
        at -= n;
    }
    return start;
}

uint64_t log_seek_line(int fd, uint64_t from, uint64_t end)
{
    CLEANUP_FREE char *data = malloc(LOG_CHUNK);
    char before = '\n';
    if (!data || from == 0 || pread(fd, &before, 1, (off_t)from - 1) != 1 || before == '\n')
        return from;
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
