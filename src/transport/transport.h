/*
 * One byte stream (Unix socket or TCP, optionally TLS) under one session (session.h), on one libuv loop. Used by the service
 * (accept) and by the client (connect).
 *
 * Owner: the creator, until on_closed; the object frees itself after that callback. transport_close() is asynchronous.
 * Writing: what the session has to send is written without being asked for: bytes go out by one writev at the end of the callback that
 * produced them (or on the next loop pass), never later. Nothing blocks.
 * Thread: the loop's.
 */
#ifndef CWS_TRANSPORT_TRANSPORT_H
#define CWS_TRANSPORT_TRANSPORT_H

#include <uv.h>

#include "base/err.h"
#include "transport/peer.h"
#include "transport/session.h"
#include "transport/tls-config.h"

struct transport;

/* Where a service is. Parsed from unix:///path, unix:path, http://host:port, https://host:port. */
struct address {
    enum { ADDRESS_UNIX, ADDRESS_TCP } kind;
    bool tls;
    char *path;      /* ADDRESS_UNIX: file path */
    char *host;      /* ADDRESS_TCP: name or literal; IPv6 without brackets */
    uint16_t port;   /* default 443 / 80 */
    char *authority; /* for :authority; "localhost" on Unix sockets */
};
/** address_parse() - ERR_INVALID_ARGUMENT with the texts of the published client: "URL must use http or https scheme",
 *  "gRPC does not support URL paths", "URL must have a hostname". */
int address_parse(const char *url, struct address *ret, struct err *err);
void address_done(struct address *a);

struct transport_events {
    /* The stream is connected (TLS done); the session exists from the start, calls may be queued before this. */
    void (*on_open)(void *user, struct transport *t);
    /* Last callback, exactly once. @why->code == ERR_OK for an orderly end. Calls got their on_close before. */
    void (*on_closed)(void *user, struct transport *t, const struct err *why);
};

/** transport_connect() - DNS, connect, TLS, preface. Failures arrive in on_closed (ERR_UNAVAILABLE names address and why).
 *  @take_session: NULL = there was no memory for it: ERR_RESOURCE_EXHAUSTED. Freed on failure. */
int transport_connect(uv_loop_t *loop, const struct address *addr, struct tls_config *tls,
                      struct session *take_session, const struct transport_events *events,
                      void *user, struct transport **ret, struct err *err);
/** transport_accept() - take the next connection of @listener (a listening uv_pipe_t or uv_tcp_t). @tls may be NULL, @take_session as above. */
int transport_accept(uv_loop_t *loop, uv_stream_t *listener, struct tls_config *tls,
                     struct session *take_session, const struct transport_events *events,
                     void *user, struct transport **ret, struct err *err);
/** transport_session() - what was given; NULL in on_closed. */
struct session *transport_session(const struct transport *t);
const struct transport_peer *transport_peer(const struct transport *t);
/* Chosen: how long data may lie unacknowledged by the peer's kernel (TCP_USER_TIMEOUT). Long enough for
 * a program that is stopped for a moment, and for a route that changes. */
#define TRANSPORT_UNANSWERED_MS 120000
/* Chosen: a call that is quiet for so long asks whether its peer is there, and waits so long for the answer. */
#define TRANSPORT_QUIET_MS 60000
#define TRANSPORT_PING_WAIT_MS 60000
/* The same towards services that are not ours: gRPC's own refuse a client that pings more often than every five minutes
 * (GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS). */
#define TRANSPORT_QUIET_FOREIGN_MS 330000
/** transport_keepalive() - on an open TCP stream: PING when a call is open and nothing came for @quiet_ms, and the end when
 *  nothing comes for @ping_wait_ms after it. Later calls change the times. Nothing happens on Unix sockets. */
void transport_keepalive(struct transport *t, unsigned quiet_ms, unsigned ping_wait_ms);
/** transport_hold() - @on: read nothing until it is called again (what was read already may still come to the session, no more
 *  than one turn's). By a session whose own queues are full; it then also learns of the peer's end no earlier. */
void transport_hold(struct transport *t, bool on);
/** transport_begin_tls() - of a plain, accepted stream, inside its session's recv, which takes all bytes: @take_bytes, which it was
 *  given so far, are TLS, and so is what follows. on_open comes once more. -1: out of memory. */
int transport_begin_tls(struct transport *t, struct tls_config *tls, struct buf *take_bytes,
                        struct err *err);
/** transport_shutdown() - graceful: GOAWAY, open calls finish, then the stream closes by itself. */
void transport_shutdown(struct transport *t);
/** transport_close() - now: calls end with ERR_UNAVAILABLE @why (may be NULL); on_closed follows from the loop. */
void transport_close(struct transport *t, const char *why);

#endif
