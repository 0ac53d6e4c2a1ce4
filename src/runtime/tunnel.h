/*
 * struct tunnel: one TCP connection to a port of a sandbox's loopback, as io.h shows it.
 *
 *   queued (sandbox not running yet) -> asked (CONNECT is under way) -> connecting (the socket is here) -> open -> ended
 *
 * The control call stays begun to the end, because its on_lost tells that the sandbox ends: our socket would keep the
 * network namespace alive. tunnel_free() while CONNECT is under way detaches the user; the object stays for the answer.
 *
 * The socket comes from init, so it is not trusted: it must be TCP, and every call on it says MSG_DONTWAIT, since whoever
 * else holds the description can make it block.
 */
#ifndef CWS_RUNTIME_TUNNEL_H
#define CWS_RUNTIME_TUNNEL_H

#include "runtime/io.h"
#include "runtime/sandbox.h"

/* Chosen: with init's SOCKET_BUFFER_BYTES it bounds what one sandbox's connections hold of the machine's memory. */
#define TUNNEL_MAX 256
#define TUNNEL_CONNECT_NS \
    (10 * \
     NS_PER_SEC) /* chosen: TCP asks again after 1, 3 and 7 s where a queue of connections is full */
#define TUNNEL_LOST_NS \
    (5 * NS_PER_SEC) /* chosen: what is left to read of a sandbox that has ended */
#define TUNNEL_READ_SIZE 65536
#define TUNNEL_COPY_MAX 16384 /* as PROCESS_COPY_MAX */
#define TUNNEL_HIGH 262144
#define TUNNEL_LOW 65536

struct tunnel {
    struct list link;   /* sandbox.tunnels, until ended */
    struct sandbox *sb; /* a reference, until ended */
    struct tunnel_events events;
    void *user;
    struct sandbox_waiter waiter;
    struct control_call call;
    struct deferred later; /* tell the end */
    struct timer timer;    /* for the connection; then for the rest of a sandbox that ended */
    struct fd_watch watch; /* fd -1: none */
    struct buf queue;      /* to be sent */
    uint16_t port;
    bool asked; /* CONNECT is sent and not answered */
    bool ipv6;  /* the second try */
    bool open, paused, ended, user_gone;
    bool eof;           /* the inside has sent all */
    bool close, closed; /* we send no more: when the queue is empty; from now on */
    bool lost;          /* the sandbox ends: nobody is there whom we could send to */
    bool high;          /* above TUNNEL_HIGH; tells when it is below TUNNEL_LOW */
    unsigned n_busy;    /* callbacks under way: memory stays */
    struct err err;     /* why it ended */
};

#endif
