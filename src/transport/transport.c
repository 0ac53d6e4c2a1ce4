/*
 * Birth, states and end of a transport (contract: transport.h; the object:
 * transport-internal.h).
 *
 * One rule makes closing safe at any point: nothing is freed in place. transport_fail() only
 * gives the handles to uv_close(); the last close callback, which comes from the loop and never
 * from inside its recv(), frees the session and reports.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/util.h"
#include "transport/peer.h"
#include "transport/transport-internal.h"

/* libuv writes with write(2) and writev(2), which cannot ask for EPIPE without the signal.
 * Blocking it in the loop's thread is invisible to the rest of the program, unlike ignoring it.
 */
static void block_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* fails only for an invalid `how` */
}

/* A session that nothing was said in. Accepts NULL. */
static void session_discard(struct session *session)
{
    if (session)
        session->ops->free(session, NULL);
}

/* ---- the end ---- */

/* Every handle is closed, so no callback can come any more. */
static void destroy(struct transport *t)
{
    if (t->session)
        t->session->ops->free(t->session, t->why.code ? err_text(&t->why) : NULL);
    t->session = NULL; /* not earlier: on_close of a call may ask the session */
    if (t->events.on_closed)
        t->events.on_closed(t->user, t, &t->why);
    tls_free(t->tls);
    io_done(t);
    err_done(&t->why);
    free(t->label);
    free(t);
}

void transport_handle_closed(struct transport *t)
{
    if (--t->n_handles == 0)
        destroy(t);
}

static void on_handle_closed(uv_handle_t *handle)
{
    transport_handle_closed(handle->data);
}

void transport_fail(struct transport *t, struct err *take_why)
{
    if (t->state == TRANSPORT_CLOSING) {
        err_done(take_why);
        return;
    }
    t->state = TRANSPORT_CLOSING;
    err_move(&t->why, take_why);
    dial_abandon(t);
    uv_close((uv_handle_t *)&t->idle, on_handle_closed);
    uv_close((uv_handle_t *)&t->check, on_handle_closed);
    uv_close((uv_handle_t *)&t->timer, on_handle_closed);
    uv_close((uv_handle_t *)&t->quiet, on_handle_closed);
    if (t->has_stream)
        uv_close(&t->stream.handle, on_handle_closed);
    t->has_stream = false;
}

void transport_describe(const struct transport *t, struct err *err, int status,
                        const char *verb, const char *detail)
{
    const char *label = t->label ? t->label : "peer";
    const char *open = detail ? " (" : "", *close = detail ? ")" : "";
    detail = detail ? detail : "";
    /* libuv's own codes (UV_EAI_*, UV_EOF) start at -3000; the others are errno values */
    if (status > UV_EAI_ADDRFAMILY)
        err_set_errno(err, ERR_UNAVAILABLE, -status, "%s `%s`%s%s%s", verb, label, open, detail,
                      close);
    else
        err_set(err, ERR_UNAVAILABLE, "%s `%s`%s%s%s: %s", verb, label, open, detail, close,
                uv_strerror(status));
}

void transport_close(struct transport *t, const char *why)
{
    struct err err = {0};
    if (why)
        err_set(&err, ERR_UNAVAILABLE, "%s", why);
    transport_fail(t, &err);
}

void transport_shutdown(struct transport *t)
{
    if (t->state == TRANSPORT_CLOSING || t->state == TRANSPORT_LINGER)
        return;
    if (t->state != TRANSPORT_OPEN && t->session->ops->n_calls(t->session) == 0) {
        transport_close(t, NULL); /* nothing was said yet, nothing is left to say */
        return;
    }
    t->shutting_down = true;
    t->session->ops->shutdown(t->session);
    if (t->state == TRANSPORT_OPEN)
        io_arm(t); /* also when GOAWAY was queued before: the flush notices that all is done */
}

/* ---- the beginning ---- */

void transport_opened(struct transport *t)
{
    t->state = TRANSPORT_OPEN;
    if (t->events.on_open)
        t->events.on_open(t->user, t);
    if (t->state == TRANSPORT_OPEN)
        io_flush(t);
}

void transport_connected(struct transport *t)
{
    peer_describe(&t->stream.base, &t->peer);
    if (!t->label)
        t->label = strdup(t->peer.text);
    int r = t->label ? io_start_reading(t) : -ENOMEM;
    if (r < 0) {
        struct err err = {0};
        transport_describe(t, &err, r, "read from", NULL);
        transport_fail(t, &err);
        return;
    }
    if (!t->tls) {
        transport_opened(t);
        return;
    }
    t->state = TRANSPORT_HANDSHAKE;
    io_step_handshake(t);
}

int transport_begin_tls(struct transport *t, struct tls_config *tls, struct buf *take_bytes,
                        struct err *err)
{
    CLEANUP_BUF struct buf bytes = *take_bytes;
    *take_bytes = (struct buf){0};
    t->tls = tls_new(tls, NULL, err);
    if (!t->tls)
        return -1;
    if (tls_feed(t->tls, buf_head(&bytes), buf_len(&bytes)) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "begin TLS: out of memory");
    t->state = TRANSPORT_HANDSHAKE;
    io_step_handshake(t);
    return 0;
}

/* Frees what has no handle yet. */
static void discard(struct transport *t)
{
    session_discard(t->session);
    tls_free(t->tls);
    free(t->label);
    free(t);
}

/* Everything that can fail, before any handle exists. */
static int prepare(struct transport *t, struct tls_config *tls, const char *tls_host,
                   struct err *err)
{
    if (!t->session)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "open connection: out of memory");
    if (tls) {
        t->tls = tls_new(tls, tls_host, err);
        if (!t->tls)
            return -1;
    }
    return 0;
}

static struct transport *allocate(uv_loop_t *loop, struct session *take_session,
                                  const struct transport_events *events, void *user,
                                  struct err *err)
{
    struct transport *t = calloc(1, sizeof(*t));
    if (!t) {
        session_discard(take_session);
        err_set(err, ERR_RESOURCE_EXHAUSTED, "open connection: out of memory");
        return NULL;
    }
    t->loop = loop;
    t->session = take_session;
    if (t->session)
        t->session->transport = t;
    t->events = *events;
    t->user = user;
    block_sigpipe();
    return t;
}

static char *describe_address(const struct address *addr)
{
    if (addr->kind == ADDRESS_UNIX)
        return str_dup_printf("unix:%s", addr->path);
    return str_dup_printf("%s://%s", addr->tls ? "https" : "http", addr->authority);
}

int transport_connect(uv_loop_t *loop, const struct address *addr, struct tls_config *tls,
                      struct session *take_session, const struct transport_events *events,
                      void *user, struct transport **ret, struct err *err)
{
    if (addr->tls && !tls) {
        session_discard(take_session);
        return err_set(err, ERR_INVALID_ARGUMENT, "https needs a TLS configuration");
    }
    struct transport *t = allocate(loop, take_session, events, user, err);
    if (!t)
        return -1;
    if (prepare(t, addr->tls ? tls : NULL, addr->host, err) < 0) {
        discard(t);
        return -1;
    }
    t->label = describe_address(addr);
    struct dial *dial = dial_new(addr);
    if (!t->label || !dial) {
        if (dial)
            dial_free(dial);
        discard(t);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "open connection: out of memory");
    }
    io_init(t);
    *ret = t;
    dial_begin(t, dial);
    return 0;
}

/* Takes the connection off @listener even if the rest fails later: otherwise the listener would
 * not report another. */
static int take_connection(struct transport *t, uv_stream_t *listener)
{
    int r = listener->type == UV_TCP ? uv_tcp_init(t->loop, &t->stream.tcp)
                                     : uv_pipe_init(t->loop, &t->stream.pipe, 0);
    if (r < 0)
        return r;
    t->stream.handle.data = t;
    t->has_stream = true;
    t->n_handles++;
    return uv_accept(listener, &t->stream.base);
}

int transport_accept(uv_loop_t *loop, uv_stream_t *listener, struct tls_config *tls,
                     struct session *take_session, const struct transport_events *events,
                     void *user, struct transport **ret, struct err *err)
{
    struct transport *t = allocate(loop, take_session, events, user, err);
    if (!t)
        return -1;
    io_init(t);
    int r = take_connection(t, listener);
    if (r < 0)
        err_set_errno(err, ERR_UNAVAILABLE, -r, "accept connection");
    if (r < 0 || prepare(t, tls, NULL, err) < 0) {
        t->events.on_closed = NULL; /* the caller never learns of @t */
        transport_close(t, NULL);
        return -1;
    }
    io_tune(t);
    io_arm(t); /* on_open comes from the loop, when the caller has *ret */
    *ret = t;
    return 0;
}

struct session *transport_session(const struct transport *t)
{
    return t->session;
}

const struct transport_peer *transport_peer(const struct transport *t)
{
    return &t->peer;
}
