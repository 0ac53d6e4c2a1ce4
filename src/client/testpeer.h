/*
 * For tests: a service in this process that answers what a test tells it to. It runs on its own
 * thread behind a socket, made of the same rooms as the real one (wire, transport), and
 * can do what a good service never does.
 *
 * A handler sees every message of every call, on the peer's thread, and answers with peer_*().
 * Calls are counted by method, so that a test can say "and nothing was sent twice".
 */
#ifndef CWS_CLIENT_TESTPEER_H
#define CWS_CLIENT_TESTPEER_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/client.h"
#include "wire/grpc.h"
#include "wire/proto.h"

struct peer;

struct peer_call {
    struct peer *peer;
    struct grpc_call *call;
    const char *method; /* the last part of the path */
    char path[96];
    char wait[16]; /* x-cwsandbox-wait, "" = absent */
    char authorization[64];
    uint64_t timeout_ns;
    unsigned n;   /* 1 = the first message */
    unsigned nth; /* the how-many-eth call of this method since the beginning, from 1 */
    bool half_closed;
};

/* @data NULL: the client half-closed. */
typedef void (*peer_handler)(struct peer_call *c, const uint8_t *data, size_t n);

/* PEER_TLS: <dir>/endpoint-ca.pem vouches for it. */
enum peer_kind { PEER_UNIX, PEER_TCP, PEER_TLS };

#define PEER_METHODS 16
struct peer {
    enum peer_kind kind; /* set before peer_begin() */
    pthread_t thread;
    uv_loop_t loop;
    union {
        uv_handle_t handle;
        uv_stream_t base;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } listener;
    struct tls_config *tls; /* PEER_TLS */
    uv_async_t stop;
    char dir[64];
    char url[128];
    void (*on_thread)(void); /* set before peer_begin(): runs first on the peer's thread */
    bool ours;               /* says x-cwsandbox-server */
    _Atomic unsigned n_mute; /* so many connections from now on are closed without a word */
    peer_handler handler;
    void *user;
    struct transport *transports[16];
    pthread_mutex_t lock;
    struct {
        char name[40];
        unsigned n;
    } methods[PEER_METHODS]; /* [lock] */
    _Atomic unsigned n_connections;
    _Atomic unsigned n_gone; /* calls that the client gave up */
};

void peer_begin(struct peer *p, bool ours, peer_handler handler, void *user);
void peer_end(struct peer *p);
unsigned peer_count(struct peer *p, const char *method);

/* On the peer's thread: */
bool peer_is(const struct peer_call *c, const char *method);
void peer_send(struct peer_call *c, const void *msg);
void peer_finish(struct peer_call *c);
void peer_fail(struct peer_call *c, enum err_code code, const char *reason, const char *text);
/** peer_reply() - a message and the end. */
void peer_reply(struct peer_call *c, const void *msg);
/** peer_reply_sandbox() - a Sandbox in @state; @exit_code -1 = absent. */
void peer_reply_sandbox(struct peer_call *c, const char *id, Pb__State state, int exit_code);
void peer_send_output(struct peer_call *c, int stream, const char *text);
void peer_send_ready(struct peer_call *c);
void peer_send_exit(struct peer_call *c, int code);
/** peer_drop() - every connection is cut, without a word. */
void peer_drop(struct peer *p);
/** peer_goaway() - every connection is shut down in an orderly way. */
void peer_goaway(struct peer *p);

#endif
