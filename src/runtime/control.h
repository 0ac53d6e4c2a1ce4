/*
 * The control socket of one cwsandbox-init: requests out, packets of a hostile peer in
 * (privproto/initproto.h).
 *
 * A request that expects packets embeds a `struct control_call`, which owns an id from
 * control_begin() to control_end(). The low half of an id is its slot, the high half counts
 * reuse, so a late packet for an old id is recognised. init that sends anything we did not ask
 * for is treated as gone: the socket is closed and every call gets on_lost.
 *
 * States: open -> closed (EOF, protocol error, control_close()). Owner: struct cell. Loop
 * thread only.
 */
#ifndef CWS_RUNTIME_CONTROL_H
#define CWS_RUNTIME_CONTROL_H

#include "base/list.h"
#include "loop/poller.h"
#include "privproto/initproto.h"

#define CONTROL_MAX_FDS 5 /* stdin, stdout, stderr, main's output, memfd */
#define CONTROL_MAX_CALLS \
    16384 /* chosen: INIT_MAX_EXECS running ones and as many file requests, with room */

struct control_call {
    uint32_t id; /* 0: not begun */
    /* A packet for this call. @take_fd: -1 or a descriptor of unknown kind. May end the call.
     */
    void (*on_packet)(struct control_call *call, const struct init_packet *packet, int take_fd);
    /* init is gone; no packet follows. Must end the call. */
    void (*on_lost)(struct control_call *call);
};

struct control_slot {
    struct control_call *call; /* NULL: free */
    uint16_t generation;
    uint16_t next_free; /* index + 1; 0 = none */
};

/* Keeps the slots of what had not ended when it was taken from being used again: control_hold(). */
struct control_hold {
    struct list link; /* zeroed: not held */
    uint32_t n_exited;
};

struct control {
    struct poller *poller;
    uint32_t init_version; /* whom we speak to; ours, until somebody knows better */
    struct fd_watch watch; /* fd -1: closed */
    void (*on_closed)(struct control *c); /* closed by the peer or for its fault; called after
                                             every on_lost */
    struct control_slot *slots;
    uint32_t n_slots, n_calls;
    bool syncing;        /* SYNCED is still to come, */
    uint64_t nonce;      /* with this number */
    uint32_t first_free; /* index + 1; 0 = none */
    struct list unsent;  /* struct control_packet: the socket was full */
    uint32_t n_exited;   /* EXITED received */
    struct list holds;   /* struct control_hold, oldest first */
};

struct control_request {
    struct init_packet head; /* body_size is filled in */
    const void *body;
    size_t body_size;
    const int *fds; /* borrowed: duplicated by the kernel, or by us when the socket is full */
    size_t n_fds;
};

/** control_open() - @take_fd is owned at once. */
int control_open(struct control *c, struct poller *poller, int take_fd);
/** control_sync() - the first request on a socket that another daemon had: @call gets the SYNCED, and what init said
 * before it is dropped. As control_send(). */
int control_sync(struct control *c, struct control_call *call);
/** control_close() - on_lost for every call, no on_closed. Harmless when closed or zeroed. */
void control_close(struct control *c);
/** control_done() - frees what is left after control_close(); no call may be open. */
void control_done(struct control *c);
/** control_begin() - 0, -EAGAIN (too many calls), -ENOMEM. */
int control_begin(struct control *c, struct control_call *call);
void control_end(struct control *c, struct control_call *call);
/** control_send() - 0, -EPIPE (closed), -EOPNOTSUPP (this init is too old), -ETOOMANYREFS, -ENOMEM, -EMFILE. */
int control_send(struct control *c, const struct control_request *r);
/** control_hold() - while launch kills by the number of a slot, init must not use it for the next exec. */
void control_hold(struct control *c, struct control_hold *hold);
void control_hold_end(struct control_hold *hold);
/** control_check_packet() - is this a packet that init may send? 0 or -EBADMSG; makes `stage` a
 * string. */
int control_check_packet(const void *data, size_t n, struct init_packet *ret);

#endif
