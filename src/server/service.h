/*
 * The service: one libuv loop, its listeners, connections and open calls, and the runtime below
 * them.
 *
 * States: serving -> stopping (no listener, GOAWAY sent, open calls have SERVICE_DRAIN_NS) ->
 * with the last connection gone the runtime is closed, every sandbox with it -> the loop runs
 * empty. Idle exit of the embedded service is the same path, taken when there is nothing to
 * drain. Owner: main.c. Thread: the loop's.
 */
#ifndef CWS_SERVER_SERVICE_H
#define CWS_SERVER_SERVICE_H

#include "loop/timers.h"
#include "server/account.h"
#include "server/descriptors.h"
#include "server/keys.h"
#include "server/options.h"
#include "server/pulls.h"
#include "server/sites.h"
#include "transport/transport.h"

/* What an owner may hold: account.c. */
/* Chosen: a burst of new connections, before their first call, is smaller. Above it the longest-lived one goes. */
#define SERVICE_MAX_STRANGERS 2048
/* Chosen: requests and answers up to this are never refused for their size; ids, states, commands. */
#define SERVICE_SMALL_BYTES 65536u
#define SERVICE_PREFACE_NS \
    (10ull * 1000000000) /* TLS and HTTP/2 preface must be there by then */
#define SERVICE_LEAVE_NS \
    (300ull * \
     1000000) /* chosen: creates and small files take 1 ms; new callers wait for this long */
#define SERVICE_DRAIN_NS (5ull * 1000000000) /* open calls, after a stop was asked for */

struct connection;
struct method;

struct service {
    /* [const] after service_start() */
    uv_loop_t *loop;
    const struct options *options;
    struct runtime *runtime;
    const struct method *(*find_method)(const char *path); /* dispatch.h's method_find() */
    char *runner_id;
    uid_t owner_uid; /* who started the service; the daemon itself may be somebody else */
    uint64_t start_wall_ns;

    struct keys *keys;          /* replaced when the supervisor brings new ones; may be NULL */
    struct tls_config *tls;     /* the same */
    struct tls_config *web_tls; /* of the same certificate, for visitors */
    struct sites sites;
    struct timers timers;
    struct timer idle;
    struct timer drain;
    uv_signal_t signals[2];
    uv_poll_t supervisor;
    struct list listeners;
    struct list connections;
    struct list strangers; /* connections that presented no key yet, oldest first */
    struct list calls;
    struct list visitors;      /* of sandboxes' services: web.c */
    struct list web_strangers; /* those that have named no site, oldest first */
    size_t n_web_strangers;
    size_t n_connections; /* visitors' too */
    size_t n_strangers;
    size_t n_calls;
    struct accounts accounts;
    struct descriptors descriptors;
    struct pulls pulls;
    bool stopping;
    bool leaving; /* stopping, and the next daemon takes the sandboxes over */
    int exit_status;
};

/**
 * service_start() - listen on the sockets handed to us; @s->loop, options, find_method, runtime, tls, keys, runner_id, owner_uid are
 * set
 * Errors: FAILED_PRECONDITION naming the address that cannot be bound.
 */
int service_start(struct service *s, struct err *err);
/** service_stop() - begin draining; idempotent. @why is for the log. */
void service_stop(struct service *s, const char *why);
/** service_leave() - another daemon takes over: calls in flight have SERVICE_LEAVE_NS, then the process exits. Sandboxes,
 * and who waits in the queues of the listening sockets, are the next one's. */
void service_leave(struct service *s);
/** service_unlinked() - after service_stop(): nobody finds us any more. */
void service_unlinked(struct service *s);
/** service_activity() - something began or ended: judge the idle time anew. */
void service_activity(struct service *s);
/** service_may_connect() - may @uid use our Unix sockets? */
bool service_may_connect(const struct service *s, uid_t uid);
/** service_done() - frees keys and certificates, at any stage. */
void service_done(struct service *s);

/* ---- listener.c ---- */

#define SERVICE_BACKLOG 1024 /* that of bind.c */
/** listener_open() - serve @url on @fd, which listens there. Linked into @s->listeners. Logs the address with its real
 * port. */
int listener_open(struct service *s, const char *url, int fd, struct err *err);
/** listener_open_web() - the same for the web front, which is open from then on. */
int listener_open_web(struct service *s, const char *url, int fd, struct err *err);
/** listeners_close() - stop accepting. */
void listeners_close(struct service *s);

/* ---- connection.c ---- */

/** connection_accept() - take the next connection of @stream. */
void connection_accept(struct service *s, uv_stream_t *stream, struct tls_config *tls);
/** connection_transport() - for the peer of a call. */
struct transport *connection_transport(const struct connection *c);
/** connection_claim() - a call of @a came on @c: from now on it is @a's, if it was nobody's. Fails when @a has no share for
 * it. */
int connection_claim(struct connection *c, struct account *a, struct err *err);
/** connections_shutdown() - GOAWAY to every peer. connections_close() - end them now. */
void connections_shutdown(struct service *s);
void connections_close(struct service *s, const char *why);

/* ---- web.c: visitors of services that sandboxes publish ---- */

/* Chosen: more than browsers open at once before their first request; above it the longest-lived one goes. */
#define SERVICE_MAX_WEB_STRANGERS 512
/** web_accept() - take the next visitor of @stream. */
void web_accept(struct service *s, uv_stream_t *stream, bool tls);
/** web_shutdown() - visitors finish the request they are at. web_close() - they end now. */
void web_shutdown(struct service *s);
void web_close(struct service *s, const char *why);

/** service_connection_closed() - of service.c: one connection less. */
void service_connection_closed(struct service *s);

#endif
