/*
 * When did which byte of a log arrive? The file has no times, so each look at its growth is
 * noted here; when the table is full every second note is dropped, so old times get coarser and
 * memory stays bounded. Pure; no clock, no file.
 */
#ifndef CWS_RUNTIME_LOG_INDEX_H
#define CWS_RUNTIME_LOG_INDEX_H

#include "base/macros.h"

#define LOG_INDEX_MAX 512 /* chosen: 8 KiB a log at most */

struct log_note {
    uint64_t end;     /* the bytes before this offset ... */
    uint64_t wall_ns; /* ... were there at this time */
};

struct log_index {
    struct log_note *notes; /* both members strictly ascending / ascending */
    size_t n, cap;
};

/** log_index_add() - the log has @end bytes at @wall_ns. A smaller @end than before means it
 * was cut. */
void log_index_add(struct log_index *ix, uint64_t end, uint64_t wall_ns);
/** log_index_time() - arrival of the byte at @offset; @now_ns when it is not noted yet. */
uint64_t log_index_time(const struct log_index *ix, uint64_t offset, uint64_t now_ns);
/** log_index_since() - offset of the first byte that arrived at @wall_ns or later; UINT64_MAX:
 * none noted. */
uint64_t log_index_since(const struct log_index *ix, uint64_t wall_ns);
void log_index_done(struct log_index *ix);

#endif
