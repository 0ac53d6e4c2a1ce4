/*
 * chunk: a piece of output as it arrived, allocated with its bytes. Refcounted: the reader's
 * list and the program may hold it at once, so output is stored once however often it is looked
 * at. Bytes are followed by a NUL for C's sake.
 */
#ifndef CWS_CLIENT_CHUNK_H
#define CWS_CLIENT_CHUNK_H

#include <stdatomic.h>

#include "base/macros.h"

struct chunk {
    _Atomic uint32_t refs;
    struct chunk *next; /* [lock of the list's owner] */
    size_t size;
    uint8_t data[];
};

/** chunk_new() - @data copied, or left unset when NULL. NULL when out of memory. */
struct chunk *chunk_new(const void *data, size_t n);
struct chunk *chunk_ref(struct chunk *c);
void chunk_unref(struct chunk *c);
/** chunk_list_free() - drop the list's references, iteratively. */
void chunk_list_free(struct chunk *head);

#endif
