/*
 * Finding and connecting, for the client side: a Unix path, or every address that a name
 * resolves to, one after the other (RFC 6724 order as getaddrinfo gives it).
 *
 * A name lookup runs on libuv's thread pool and cannot be interrupted once begun, so struct
 * dial outlives a transport that closes meanwhile: dial_abandon() cuts the tie, the lookup's
 * callback frees the rest. The loop is kept alive by libuv until then, the transport's
 * on_closed is not delayed.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "transport/transport-internal.h"

struct dial {
    struct transport *t; /* NULL: abandoned */
    struct address addr;
    uv_getaddrinfo_t lookup;
    bool looking_up;
    struct addrinfo *results; /* libuv's list */
    struct addrinfo *next;    /* not tried yet */
    char trying[INET6_ADDRSTRLEN];
    struct err last; /* why the latest address did not work */
};

static int address_dup(struct address *dst, const struct address *src)
{
    *dst = (struct address){.kind = src->kind, .tls = src->tls, .port = src->port};
    dst->path = src->path ? strdup(src->path) : NULL;
    dst->host = src->host ? strdup(src->host) : NULL;
    bool ok = !src->path == !dst->path && !src->host == !dst->host;
    return ok ? 0 : -ENOMEM;
}

void dial_free(struct dial *d)
{
    if (d->results)
        uv_freeaddrinfo(d->results);
    err_done(&d->last);
    address_done(&d->addr);
    free(d);
}

struct dial *dial_new(const struct address *addr)
{
    struct dial *d = calloc(1, sizeof(*d));
    if (d && address_dup(&d->addr, addr) < 0) {
        dial_free(d);
        return NULL;
    }
    return d;
}

void dial_abandon(struct transport *t)
{
    struct dial *d = t->dial;
    if (!d)
        return;
    t->dial = NULL;
    d->t = NULL;
    if (d->looking_up)
        (void)uv_cancel(
            (uv_req_t *)&d
                ->lookup); /* EBUSY: running; either way on_resolved comes and frees */
    else
        dial_free(d);
}

static void dial_fail(struct dial *d, int status, const char *verb)
{
    /* A name may have several addresses: say which one */
    bool named = d->trying[0] && strcmp(d->trying, d->addr.host) != 0;
    transport_describe(d->t, &d->last, status, verb, named ? d->trying : NULL);
}

static void give_up(struct dial *d)
{
    struct err last = {0};
    err_move(&last, &d->last);
    transport_fail(d->t, &last); /* abandons and frees @d */
}

static void succeed(struct dial *d)
{
    struct transport *t = d->t;
    t->dial = NULL;
    dial_free(d);
    transport_connected(t);
}

static void try_next(struct dial *d);

/* A socket that failed to connect cannot be used again: it was closed, go on with the next
 * address. */
static void on_attempt_closed(uv_handle_t *handle)
{
    struct transport *t = handle->data;
    struct dial *d = t->dial;
    transport_handle_closed(t); /* may free @t, but only when CLOSING, and then @d is NULL */
    if (d)
        try_next(d);
}

static void attempt_failed(struct dial *d, int status)
{
    struct transport *t = d->t;
    dial_fail(d, status, "connect to");
    t->has_stream = false;
    uv_close(&t->stream.handle, on_attempt_closed);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct transport *t = CONTAINER_OF(req, struct transport, connect_req);
    struct dial *d = t->dial;
    if (!d) /* cancelled: the transport is closing */
        return;
    if (status < 0)
        attempt_failed(d, status);
    else
        succeed(d);
}

static int open_tcp(struct transport *t, struct dial *d, const struct sockaddr *sa)
{
    int r = uv_tcp_init(t->loop, &t->stream.tcp);
    if (r < 0)
        return r;
    t->stream.handle.data = t;
    t->has_stream = true;
    t->n_handles++;
    r = uv_tcp_connect(&t->connect_req, &t->stream.tcp, sa, on_connect);
    if (r < 0)
        return r;
    io_tune(t);
    return 0;
}

static void try_next(struct dial *d)
{
    struct addrinfo *ai = d->next;
    if (!ai) {
        give_up(d);
        return;
    }
    d->next = ai->ai_next;
    if (uv_ip_name(ai->ai_addr, d->trying, sizeof(d->trying)) < 0)
        d->trying[0] = '\0';
    int r = open_tcp(d->t, d, ai->ai_addr);
    if (r == 0)
        return;
    if (d->t->has_stream) {
        attempt_failed(d, r); /* for example ENETUNREACH: no IPv6 here */
        return;
    }
    dial_fail(d, r, "connect to");
    give_up(d);
}

static void resolved(struct dial *d, int status, struct addrinfo *take_results)
{
    d->results = take_results;
    d->next = take_results;
    if (status == 0 && !take_results)
        status = UV_EAI_NODATA;
    if (status < 0) {
        dial_fail(d, status, "resolve");
        give_up(d);
    } else
        try_next(d);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *take_results)
{
    struct dial *d = CONTAINER_OF(req, struct dial, lookup);
    d->looking_up = false;
    if (d->t) {
        resolved(d, status, take_results);
        return;
    }
    d->results = take_results;
    dial_free(d);
}

static void begin_tcp(struct dial *d)
{
    uv_loop_t *loop = d->t->loop;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", d->addr.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    /* A literal needs no thread: without a callback libuv answers at once, and NUMERICHOST
     * keeps that from blocking */
    if (uv_getaddrinfo(loop, &d->lookup, NULL, d->addr.host, port, &hints) == 0) {
        resolved(d, 0, d->lookup.addrinfo);
        return;
    }
    /* No AI_ADDRCONFIG: every address is tried anyway, and it may hide "localhost" where only
     * lo is up */
    hints.ai_flags = AI_NUMERICSERV;
    int r = uv_getaddrinfo(loop, &d->lookup, on_resolved, d->addr.host, port, &hints);
    if (r < 0)
        resolved(d, r, NULL);
    else
        d->looking_up = true;
}

static void begin_unix(struct dial *d)
{
    struct transport *t = d->t;
    int r = uv_pipe_init(t->loop, &t->stream.pipe, 0);
    if (r < 0) {
        dial_fail(d, r, "connect to");
        give_up(d);
        return;
    }
    t->stream.handle.data = t;
    t->has_stream = true;
    t->n_handles++;
    uv_pipe_connect(&t->connect_req, &t->stream.pipe, d->addr.path, on_connect);
}

void dial_begin(struct transport *t, struct dial *take_dial)
{
    t->dial = take_dial;
    take_dial->t = t;
    if (take_dial->addr.kind == ADDRESS_UNIX)
        begin_unix(take_dial);
    else
        begin_tcp(take_dial);
}
