/*
 * One header block: names and values, copied. Collected from the peer, or kept until a block
 * can be submitted. Owner: embeds it zeroed; headers_done() frees.
 */
#ifndef CWS_WIRE_HEADERS_H
#define CWS_WIRE_HEADERS_H

#include "wire/grpc.h"

#define HEADERS_ENTRY_OVERHEAD 32u /* RFC 9113 6.5.2 SETTINGS_MAX_HEADER_LIST_SIZE */

struct headers {
    struct buf text; /* "name\0value\0" again and again */
    size_t n;
    size_t size; /* as RFC 9113 6.5.2 counts: name + value + 32 each */
};

/** headers_add() - -ENOMEM. Values must not contain NUL. */
int headers_add(struct headers *h, const char *name, const char *value) WARN_UNUSED;
int headers_add_n(struct headers *h, const void *name, size_t name_len, const void *value,
                  size_t value_len) WARN_UNUSED;
/** headers_add_custom() - metadata given by our user: -EINVAL when a name or value is not
 * allowed. */
int headers_add_custom(struct headers *h, const struct grpc_header *custom,
                       size_t n) WARN_UNUSED;
/** headers_list() - array of h->n entries pointing into @h; the caller frees the array. NULL:
 * out of memory. */
struct grpc_header *headers_list(const struct headers *h);
/** headers_drop_reserved() - keep metadata only: removes pseudo headers and those of the gRPC
 * protocol itself. */
size_t headers_drop_reserved(struct grpc_header *list, size_t n);
void headers_done(struct headers *h);

#endif
