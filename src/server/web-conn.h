/*
 * The web front (--front): services of sandboxes under URLs of their own (sites.h).
 *
 *   visitor -- HTTP/1.1 [TLS] --> web_conn (web.c, web-conn.c) --> exchange (web-exchange.c) -- tunnel, HTTP/1.1 --> sandbox
 *
 * Visitors are nobody's clients: they reach what was published, by its name, and nothing else. What they make us hold is paid for
 * by the sandbox's owner (SHARE_VISITORS, SHARE_VISITOR_BYTES); who has not named a site yet is one of SERVICE_MAX_WEB_STRANGERS.
 *
 * One visitor's connection: a session (transport/session.h) that speaks HTTP/1.1, one request at a time. Its beginning, its end and
 * what it costs are in web.c, its requests in web-conn.c.
 *
 *   HELLO (with TLS: waiting for the name that is asked for) -> HEAD, or RAW (a program that speaks TLS itself)
 *   HEAD (waiting for a request) -> BODY (of the request) -> ANSWER (the request is whole) -> HEAD
 *                                                                                        -> RAW (upgraded)
 *   any -> LAST (no more requests: what waits leaves, then the stream ends)
 *
 * Nothing waits without a bound. In: `in`, IN_MAX; when it is full the transport is held. To the app: the tunnel's queue; while it
 * is long `in` is not emptied. Out: `out`; while it is long the tunnel is paused. In time: a head must come within FIRST_NS of its
 * first byte (or of the connection), a body must go on, and an answer must be taken.
 */
#ifndef CWS_SERVER_WEB_CONN_H
#define CWS_SERVER_WEB_CONN_H

#include "server/service.h"
#include "server/web-exchange.h"
#include "wire/segq.h"

#define WEB_IN_MAX 65536u                  /* at least HTTP_MAX_HEAD */
#define WEB_FIRST_NS (10ull * 1000000000)  /* chosen: a head is one packet */
#define WEB_BODY_NS (60ull * 1000000000)   /* as a call's request */
#define WEB_STALL_NS (120ull * 1000000000) /* as a call's answer */

struct web_conn {
    struct session session;
    struct service *service;
    struct transport *transport;
    struct list link;          /* web.connections, once accepted */
    struct list stranger_link; /* web.strangers while `stranger` */
    struct account *account;   /* who pays: the owner of the last site */
    size_t charged;            /* of SHARE_VISITOR_BYTES */
    struct timer patience;     /* with the visitor's bytes */
    struct timer stall;        /* with the visitor taking ours */
    enum { WEB_HELLO, WEB_HEAD, WEB_BODY, WEB_ANSWER, WEB_RAW, WEB_LAST } state;
    struct buf in;
    struct segq out;
    struct http_body body; /* of the request */
    struct exchange exchange;
    char *host;                /* of the request */
    enum http_framing framing; /* of the answer's body */
    bool tls;
    bool accepted, stranger;
    bool stopping;
    bool answered; /* the answer's head is out */
    bool close;    /* behind this answer */
    bool to_head;  /* the request's method is HEAD */
    bool chunked;  /* the request's body is sent in chunks */
    bool old;      /* the visitor speaks HTTP/1.0 */
};

/* ---- web-conn.c ---- */

extern const struct exchange_events web_exchange_events;
/** web_conn_hello() - in HELLO: with what has come. */
void web_conn_hello(struct web_conn *c);
/** web_conn_work() - as far as it goes with what has come. */
void web_conn_work(struct web_conn *c);
/** web_conn_wait() - for more of a request, so long. */
void web_conn_wait(struct web_conn *c, uint64_t ns);
/** web_conn_taken() - the visitor took some of `out`. */
void web_conn_taken(struct web_conn *c);
/** web_conn_last() - no request comes after what is out. */
void web_conn_last(struct web_conn *c);

/* ---- web.c ---- */

/** web_conn_claim() - charge it to the owner of a site. False: it has no room for one more. */
bool web_conn_claim(struct web_conn *c, const char *owner);
/** web_conn_charge() - what it holds now. */
void web_conn_charge(struct web_conn *c);

#endif
