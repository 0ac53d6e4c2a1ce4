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

#include "base/buf.h"
#include "base/err.h"
#include "transport/session.h"

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

struct tls_config; /* refcounted SSL_CTX */
/** tls_server_new() - certificate chain and key in PEM files; ALPN h2 required, ECDHE and AEAD only.
 *  ERR_INVALID_ARGUMENT names the file; also when others may read the key: a file of mode 0600 or less is taken, and of 0640 or
 *  less when root owns it (a group made for this, as Kubernetes' fsGroup does). */
struct tls_config *tls_server_new(const char *cert_path, const char *key_path, struct err *err);
/** tls_client_new() - @ca_path NULL: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH if set, else system roots. Verifies host names. */
struct tls_config *tls_client_new(const char *ca_path, struct err *err);

/* A fresh P-256 key pair, in memory only. */
struct tls_key;
/** tls_key_new() - NULL: no memory or no randomness. */
struct tls_key *tls_key_new(void);
void tls_key_free(struct tls_key *key);
/** tls_key_request() - append a request for a certificate over @key: PKCS#10 in DER, SHA-256, empty subject. 0 or -ENOMEM. */
int tls_key_request(struct tls_key *key, struct buf *ret_der);

/* A client that proves who it is. All borrowed; PEM. */
struct tls_identity {
    const void *roots, *chain;
    size_t n_roots, n_chain; /* no roots: those of tls_client_new(NULL) */
    struct tls_key *key;
};
/** tls_client_new_as() - ERR_INVALID_ARGUMENT "its ... not valid" about what is in @id. */
struct tls_config *tls_client_new_as(const struct tls_identity *id, struct err *err);
/** tls_config_unref() - any thread. */
struct tls_config *tls_config_ref(struct tls_config *t);
void tls_config_unref(struct tls_config *t);

struct transport_events {
    /* The stream is connected (TLS done); the session exists from the start, calls may be queued before this. */
    void (*on_open)(void *user, struct transport *t);
    /* Last callback, exactly once. @why->code == ERR_OK for an orderly end. Calls got their on_close before. */
    void (*on_closed)(void *user, struct transport *t, const struct err *why);
};

struct transport_peer {
    bool is_unix;
    uid_t uid; /* SO_PEERCRED, valid when is_unix */
    gid_t gid;
    pid_t pid;
    char text[64]; /* "127.0.0.1:1234" or "unix uid=0 pid=12" */
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
/** transport_shutdown() - graceful: GOAWAY, open calls finish, then the stream closes by itself. */
void transport_shutdown(struct transport *t);
/** transport_close() - now: calls end with ERR_UNAVAILABLE @why (may be NULL); on_closed follows from the loop. */
void transport_close(struct transport *t, const char *why);

#endif
