/*
 * Reading a log file: the half of a log stream that runs on libuv's pool (log_read_run()), and pure helpers. Blocking;
 * touches only what is in the struct, which its owner leaves alone meanwhile.
 */
#ifndef CWS_RUNTIME_LOG_READ_H
#define CWS_RUNTIME_LOG_READ_H

#include <uv.h>

#include "base/buf.h"
#include "runtime/log-index.h"

#define LOG_CHUNK 65536 /* one on_data */
/* Chosen: a search for the last lines reads so much in one job, then others get their turn of the pool. */
#define LOG_SCAN_MAX (4u << 20)
/* Chosen: no start of a line within so much: the place itself then. A client takes no longer lines (docs/errors.md). */
#define LOG_LINE_MAX (1u << 20)

struct log_tail { /* a search from the end */
    uint64_t at;  /* what lies behind was looked at */
    uint64_t n_seen;
};

struct log_read {
    uv_work_t work;
    const char *path;
    int fd;              /* -1: opened by the first job */
    uint64_t start, end; /* of what the file holds */
    /* Seek: where do @n_lines lines begin, or the line at or after @since? */
    bool seek;
    uint64_t n_lines, since; /* 0: no such wish */
    struct log_tail tail;
    bool more; /* out: the search is not at its end */
    /* In: where to read. Out: where a search led. */
    uint64_t position;
    struct buf data; /* out */
    int error;       /* out: errno */
};

void log_read_run(struct log_read *r);

/** log_seek_tail() - goes on with the search for the start of the last @n_lines lines below @end, not before @start. True:
 * @tail->at is it. */
bool log_seek_tail(int fd, uint64_t start, uint64_t end, uint64_t n_lines,
                   struct log_tail *tail);
/** log_seek_line() - the first start of a line at or after @from; @from when there is none before @end, or within
 * LOG_LINE_MAX. */
uint64_t log_seek_line(int fd, uint64_t from, uint64_t end);
/** log_render() - @data with a time in front of each line; *@line_start is carried on. 0 or
 * -ENOMEM. */
int log_render(const struct log_index *ix, uint64_t position, const uint8_t *data, size_t n,
               uint64_t now_ns, bool *line_start, struct buf *out);

#endif
