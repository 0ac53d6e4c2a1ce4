/* One grpc_conn behind the table of session.h. */
#include "transport/grpc-session.h"

#include <stdlib.h>

struct grpc_session {
    struct session session;
    struct grpc_conn *conn;
    struct grpc_conn_events events; /* the owner's */
    void *user;
};

static struct grpc_session *of(const struct session *s)
{
    return CONTAINER_OF((struct session *)s, struct grpc_session, session);
}

/* ---- the connection's events: `user` is ours, so each is handed on with the owner's ---- */

static void forward_on_call(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    struct grpc_session *g = user;
    g->events.on_call(g->user, call, req);
}

static void forward_on_want_write(void *user)
{
    struct grpc_session *g = user;
    session_want_write(&g->session);
}

static void forward_on_ready(void *user)
{
    struct grpc_session *g = user;
    if (g->events.on_ready)
        g->events.on_ready(g->user);
}

static void forward_on_goaway(void *user)
{
    struct grpc_session *g = user;
    if (g->events.on_goaway)
        g->events.on_goaway(g->user);
}

static const struct grpc_conn_events forward_events = {
    .on_call = forward_on_call,
    .on_want_write = forward_on_want_write,
    .on_ready = forward_on_ready,
    .on_goaway = forward_on_goaway,
};

/* ---- the table ---- */

static ssize_t session_recv(struct session *s, const uint8_t *data, size_t n)
{
    return grpc_conn_recv_some(of(s)->conn, data, n);
}

static int session_pull(struct session *s, struct iovec *iov, int max)
{
    return grpc_conn_pull(of(s)->conn, iov, max);
}

static void session_pulled(struct session *s, size_t n)
{
    grpc_conn_pulled(of(s)->conn, n);
}

static void session_shutdown(struct session *s)
{
    grpc_conn_shutdown(of(s)->conn);
}

static bool session_is_done(const struct session *s)
{
    return grpc_conn_done(of(s)->conn);
}

static bool session_is_broken(const struct session *s)
{
    return grpc_conn_is_broken(of(s)->conn);
}

static size_t session_n_calls(const struct session *s)
{
    return grpc_conn_n_calls(of(s)->conn);
}

static int session_ping(struct session *s)
{
    return grpc_conn_ping(of(s)->conn);
}

static void session_free(struct session *s, const char *why)
{
    struct grpc_session *g = of(s);
    grpc_conn_free(g->conn, why); /* on_close of a call may still ask for the connection */
    free(g);
}

static const struct session_ops grpc_ops = {
    .protocol = "HTTP/2",
    .recv = session_recv,
    .pull = session_pull,
    .pulled = session_pulled,
    .shutdown = session_shutdown,
    .is_done = session_is_done,
    .is_broken = session_is_broken,
    .n_calls = session_n_calls,
    .ping = session_ping,
    .free = session_free,
};

struct session *grpc_session_new(enum grpc_side side, const struct grpc_limits *limits,
                                 const struct grpc_conn_events *events, void *user)
{
    struct grpc_session *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->session.ops = &grpc_ops;
    g->events = *events;
    g->user = user;
    g->conn = grpc_conn_new(side, limits, &forward_events, g);
    if (!g->conn) {
        free(g);
        return NULL;
    }
    return &g->session;
}

struct grpc_conn *transport_grpc(const struct transport *t)
{
    struct session *s = transport_session(t);
    return s ? of(s)->conn : NULL;
}
