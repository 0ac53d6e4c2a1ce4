/*
 * One request to a program in a sandbox, and its answer: HTTP/1.1 through a tunnel. Whoever has the visitor (web-conn.c) gives a
 * head and body bytes, and gets a head and body bytes; neither framing passes.
 *
 *   IDLE -> HEAD (the request is sent, no answer yet) -> BODY -> IDLE
 *                                                     -> RAW (the protocol was upgraded) -> IDLE
 *
 * A tunnel is kept for the next exchange_begin(): of requests without a body only, because one that a program closed meanwhile
 * means a second try, which must not do anything twice (RFC 9110 9.2.2).
 *
 * Owner: embedded. An event may begin the next exchange or end this one; on_end and on_fail are the last thing of an exchange.
 */
#ifndef CWS_SERVER_WEB_EXCHANGE_H
#define CWS_SERVER_WEB_EXCHANGE_H

#include "loop/timers.h"
#include "runtime/io.h"
#include "wire/http1.h"

struct service;

struct exchange_events {
    /* Borrowed for the call. Interim ones (1xx but 101) come before. */
    void (*on_head)(void *user, const struct http_head *head);
    void (*on_body)(void *user, const char *data, size_t n);
    void (*on_end)(void *user);
    /* @status: what to tell the visitor, when no head came; @text: why. After the head the answer is cut. */
    void (*on_fail)(void *user, unsigned status, const char *text);
    void (*on_room)(
        void *user); /* exchange_queued() is below 64 KiB, after having been above 256 KiB */
};

struct exchange {
    const struct exchange_events *events;
    void *user;
    struct service *service;
    enum exchange_state { EXCHANGE_IDLE, EXCHANGE_HEAD, EXCHANGE_BODY, EXCHANGE_RAW } state;
    struct sandbox *sandbox; /* a reference, with `tunnel` */
    struct tunnel *tunnel;   /* NULL: none */
    struct timer timer;      /* for the answer's head */
    uint64_t timeout_ns;
    struct buf head; /* of the request, while a second try may be made */
    struct buf in;   /* the answer's head, until it is whole */
    struct http_body body;
    char method[HTTP_MAX_METHOD];
    size_t n_method;
    uint16_t port;
    bool second_try; /* the tunnel was kept, and may be closed by now */
    bool sent;       /* the request is whole */
    bool upgrade;    /* was asked for */
    bool keep;       /* the tunnel may serve another exchange */
    bool paused;
};

void exchange_init(struct exchange *x, struct service *s, const struct exchange_events *events,
                   void *user);
/** exchange_done() - no event comes after this. */
void exchange_done(struct exchange *x);

struct exchange_request {
    struct sandbox *sandbox;
    uint16_t port;
    uint64_t timeout_ns;
    const struct http_head *head; /* borrowed for the call */
    struct buf *take_head;        /* the same, as it is sent */
};
/** exchange_begin() - of one that is IDLE. Errors: tunnel_open()'s. */
int exchange_begin(struct exchange *x, const struct exchange_request *r, struct err *err);
/** exchange_begin_raw() - RAW from the start: bytes both ways. */
int exchange_begin_raw(struct exchange *x, struct sandbox *sb, uint16_t port, struct err *err);
/** exchange_write() - of the request's body, as it is sent; RAW: bytes. 0 or -ENOMEM. */
int exchange_write(struct exchange *x, const void *data, size_t n) WARN_UNUSED;
/** exchange_sent() - the request is whole. */
void exchange_sent(struct exchange *x);
size_t exchange_queued(const struct exchange *x);
/** exchange_pause() - read nothing of the answer (back-pressure); nests not. */
void exchange_pause(struct exchange *x);
void exchange_resume(struct exchange *x);
/** exchange_status_of() - what a visitor is told when the program cannot be reached. */
unsigned exchange_status_of(const struct err *why);

#endif
