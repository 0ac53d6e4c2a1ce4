/*
 * For tests: a service and a client on one loop, in a temporary directory, with real sockets.
 *
 * The service answers two methods: /test/Echo sends the request back, /test/Flood sends
 * `flood_bytes` bytes in 64 KiB messages, as fast as the queue of the call drains.
 */
#ifndef CWS_TRANSPORT_TESTPEER_H
#define CWS_TRANSPORT_TESTPEER_H

#include <arpa/inet.h>

#include "transport/grpc-session.h"

#define FLOOD_CHUNK_BYTES 65536u

enum world_kind { WORLD_UNIX, WORLD_TCP, WORLD_TLS };

/* One side as its owner sees it. */
struct side {
    struct world *w;
    struct transport *t; /* NULL before the beginning and after on_closed */
    bool opened, closed, ready, goaway;
    unsigned n_open, n_closed;
    struct err why;
};

struct world {
    uv_loop_t loop;
    uv_timer_t watchdog;
    char dir[64];
    char url[128];
    union {
        uv_handle_t handle;
        uv_stream_t base;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } listener;
    bool listening;
    struct tls_config *server_tls, *client_tls;
    struct side server, client; /* the latest of each */
    unsigned n_server_calls;    /* open */
    bool hold;                  /* Echo does not answer; the calls stay open */
    size_t flood_bytes;
    struct grpc_call *flood; /* the call that floods, NULL when it is closed */
    size_t flood_max_queued;
};

/** world_begin() - listening, nothing connected. */
void world_begin(struct world *w, enum world_kind kind);
/** world_connect() - begins a client; returns at once. */
void world_connect(struct world *w);
/** world_open() - connects and runs until both sides are open. */
void world_open(struct world *w);
/** world_run_once() - one pass of the loop, which may block; a hang fails the test. */
void world_run_once(struct world *w);
/** world_run_until() - passes of the loop until *@flag. */
void world_run_until(struct world *w, const bool *flag);
void world_stop_listening(struct world *w);
/** world_end() - closes what is open and checks that the loop holds no handle any more. */
void world_end(struct world *w);

/* A client's call, with everything that came back. */
struct reply {
    struct grpc_call *call; /* NULL after on_close */
    struct buf data;
    size_t n_bytes; /* received; @data keeps them unless `discard` */
    bool discard;
    bool got_message;
    bool closed;
    unsigned n_closes;
    bool pause_at_first;
    struct err status;
};
/** reply_start() - a call with one message of @n bytes (NULL: a NUL-terminated @text),
 * half-closed. */
void reply_start(struct world *w, struct reply *r, const char *path, const void *data,
                 size_t n);
void reply_done(struct reply *r);

#endif
