/*
 * Lines out of a byte stream: bytes in, complete lines (with their newline) out, a bounded
 * partial line kept. Sans-I/O; starts zeroed.
 */
#ifndef CWS_CLIENT_LINES_H
#define CWS_CLIENT_LINES_H

#include "base/buf.h"

#define LINES_MAX_BYTES 1048576u /* as the published client: a longer line is an error */

struct lines {
    struct buf partial;
};

/**
 * lines_feed() - hand every line that @data completes to @emit
 * Return: 0; -EMSGSIZE when a line is longer than LINES_MAX_BYTES (complete lines before it
 * were emitted); -ENOMEM; or what @emit returned if negative.
 */
int lines_feed(struct lines *l, const uint8_t *data, size_t n,
               int (*emit)(void *user, const uint8_t *line, size_t n), void *user);
/** lines_flush() - the stream ended: emit the partial line, if any. */
int lines_flush(struct lines *l, int (*emit)(void *user, const uint8_t *line, size_t n),
                void *user);
/** lines_drop() - forget the partial line; also frees. */
void lines_drop(struct lines *l);

#endif
