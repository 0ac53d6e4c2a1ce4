/*
 * The object behind transport.h, shared by the three files that make it: transport.c (birth,
 * states, end), dial.c (finding and connecting), io.c (reading and writing). Private to this
 * room.
 *
 *   CONNECTING ──► HANDSHAKE ──► OPEN ──► LINGER ──► CLOSING
 *        └───────(no TLS)───────────┘
 *
 * Every state may go to CLOSING. CLOSING ends when libuv has released every handle: then the
 * session is freed (calls get on_close), on_closed is called, and the memory goes.
 */
#ifndef CWS_TRANSPORT_TRANSPORT_INTERNAL_H
#define CWS_TRANSPORT_TRANSPORT_INTERNAL_H

#include "transport/tls.h"
#include "transport/transport.h"

enum transport_state {
    TRANSPORT_CONNECTING, /* client: DNS and connect; server: accepted, not announced yet */
    TRANSPORT_HANDSHAKE,  /* TLS */
    TRANSPORT_OPEN,
    TRANSPORT_LINGER,  /* all is said: our half is shut down, late bytes are thrown away */
    TRANSPORT_CLOSING, /* handles are being released; only destroy() follows */
};

/* Chosen: more than any unary call; what an idle connection costs. */
#define TRANSPORT_READ_SMALL_BYTES 16384u
/* Chosen: a Unix socket's default buffer in one read. */
#define TRANSPORT_READ_LARGE_BYTES 262144u
/* Chosen: about 1 MiB in one writev, as DATA frames have at most 16 KiB unless the peer asks
 * for more. */
#define TRANSPORT_MAX_IOVECS 64
/* Chosen: a peer that neither answers nor closes after our end of stream, or after refusing our
 * bytes, is not worth more. Also the longest that a broken connection hides. */
#define TRANSPORT_LINGER_MS 1000

struct dial;

struct transport {
    uv_loop_t *loop;
    struct transport_events events;
    void *user;
    struct session *session;
    struct tls *tls;        /* NULL: plain */
    struct err why;         /* of on_closed; set on the way to CLOSING */
    struct err write_error; /* our bytes were refused, but an answer may be left to read */
    enum transport_state state;
    bool shutting_down; /* transport_shutdown() was called */
    char *label;        /* for messages: "unix:/path", "http://host:80", or the peer's text */
    struct transport_peer peer;

    /* Handles. n_handles counts those whose close callback has not run; 0 is reached once, in
     * CLOSING. */
    unsigned n_handles;
    bool has_stream; /* `stream` is initialised and not yet given to uv_close */
    union {
        uv_handle_t handle;
        uv_stream_t base;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } stream;
    uv_idle_t idle; /* with `check`: see "Leaving in the same pass" in io.c */
    uv_check_t check;
    uv_timer_t timer; /* LINGER, or after a write error */
    uv_timer_t quiet; /* keepalive.c */
    unsigned quiet_ms, ping_wait_ms;
    bool heard;               /* something came since the quiet timer was started */
    bool pinged;              /* ... and it was started with a PING */
    struct dial *dial;        /* client, CONNECTING only */
    uv_connect_t connect_req; /* not in dial: libuv cancels it as late as at the close */

    /* Reading */
    uint8_t *read_buf;
    size_t read_size; /* SMALL until a read filled it */
    struct buf rest; /* plain bytes beyond a turn's work; nothing is read while there are any */
    bool read_paused; /* until the end of this pass: others have their turn */
    bool held;        /* transport_hold(): paused, and longer than that */
    bool receiving;   /* inside the session's recv: a flush follows anyway */

    /* Writing. What is in flight stays borrowed from `session` (plain) or from `cipher` (TLS)
     * until on_written. */
    uv_write_t write_req;
    uv_shutdown_t shutdown_req;
    size_t in_flight; /* bytes handed to uv_write; 0 = none */
    bool armed;       /* idle and check run */
    bool flushing;
    bool want_write; /* the session said so while flushing */
    struct buf cipher;
};

/* transport.c */
/** transport_connected() - `stream` is connected: identify the peer, start reading, begin TLS
 * or open. */
void transport_connected(struct transport *t);
/** transport_opened() - TLS is done or not used: on_open, then what was queued leaves. */
void transport_opened(struct transport *t);
/** transport_fail() - begin CLOSING because of @take_why (emptied). Does nothing when already
 * CLOSING. */
void transport_fail(struct transport *t, struct err *take_why);
/** transport_describe() - set @err to UNAVAILABLE "<verb> `<label>` (<detail>): <text of
 * libuv's @status>". */
void transport_describe(const struct transport *t, struct err *err, int status,
                        const char *verb, const char *detail);
/** transport_handle_closed() - one close callback ran; the last one in CLOSING frees @t. */
void transport_handle_closed(struct transport *t);

/* dial.c */
/** dial_begin() - find and connect; ends in transport_connected() or transport_fail(). */
void dial_begin(struct transport *t, struct dial *take_dial);
/** dial_abandon() - the transport is closing; forget it. */
void dial_abandon(struct transport *t);
/** dial_new() - copies @addr; NULL: out of memory. */
struct dial *dial_new(const struct address *addr);
void dial_free(struct dial *d);

/* keepalive.c */
void keepalive_init(struct transport *t);
/** keepalive_tune() - the kernel's part, for a new TCP stream. */
void keepalive_tune(const struct transport *t);

/* io.c */
/** io_init() - the handles for flushing; cannot fail. */
void io_init(struct transport *t);
/** io_tune() - socket options of a new stream; best effort, only speed is lost. */
void io_tune(struct transport *t);
int io_start_reading(struct transport *t);
/** io_arm() - flush (or open) at the end of this loop pass. */
void io_arm(struct transport *t);
/** io_flush() - write what waits, now; may end in any state. */
void io_flush(struct transport *t);
/** io_step_handshake() - go on with TLS after input; opens the transport when done. */
void io_step_handshake(struct transport *t);
void io_done(struct transport *t);

#endif
