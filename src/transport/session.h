/*
 * What speaks over a byte stream: bytes in, bytes out, calls counted, no I/O. The transport knows this table and nothing of
 * the protocol behind it; gRPC is one (grpc-session.h).
 *
 * Owner: the transport it was given to, which ends it right before its own end, when no handle of the loop is left.
 * Thread: the loop's.
 */
#ifndef CWS_TRANSPORT_SESSION_H
#define CWS_TRANSPORT_SESSION_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/macros.h"

struct session;
struct transport;

struct session_ops {
    const char *protocol; /* "not valid %s" */
    /* Takes some of @n bytes: as many as are one turn's work. -EPROTO etc.: fatal; what `pull` has then is the last word. */
    ssize_t (*recv)(struct session *s, const uint8_t *data, size_t n);
    /* Up to @max iovecs of bytes to send, in order; valid until `pulled` says that the first @n bytes were sent. 0: nothing. */
    int (*pull)(struct session *s, struct iovec *iov, int max);
    void (*pulled)(struct session *s, size_t n);
    /* No new calls; open ones go on. */
    void (*shutdown)(struct session *s);
    bool (*is_done)(const struct session *s); /* nothing more to send or receive */
    bool (*is_broken)(
        const struct session *s); /* the peer broke the protocol, or memory ran out */
    size_t (*n_calls)(const struct session *s);
    int (*ping)(struct session *s); /* ask the peer for a sign of life. 0 or -errno */
    /* Ends every call with UNAVAILABLE, @why (may be NULL), and frees @s. */
    void (*free)(struct session *s, const char *why);
};

struct session {
    const struct session_ops *ops;
    struct transport *
        transport; /* NULL until it is given to one, which then asks for what is there already */
};

/** session_want_write() - by the session: there is something to pull. Edge: once until the next pull. */
void session_want_write(struct session *s);

#endif
