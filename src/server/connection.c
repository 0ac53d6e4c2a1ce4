/*
 * Accepted connections: who may stay, how long a silent one may take, and the way from a new
 * call to call.c.
 *
 * A connection is a stranger's until it is known whose it is: by the user at a Unix socket, by the key of a call elsewhere. Then
 * it is charged to that owner's account. One whose owner has no share for it stays a stranger's, and its calls are refused.
 * Strangers have a number of connections together, and when it is used up the oldest makes room: whoever has a key needs one
 * round trip to leave the list.
 */
#include "base/log.h"
#include "base/util.h"
#include "server/call.h"
#include "transport/grpc-session.h"

struct connection {
    struct list link;
    struct list stranger_link; /* service->strangers while `stranger` */
    struct service *service;
    struct transport *transport;
    struct timer preface;
    struct account *account; /* NULL while `stranger` */
    bool on_unix_socket;
    bool stranger;
};

static void strangers_remove(struct connection *c)
{
    if (!c->stranger)
        return;
    c->stranger = false;
    list_remove(&c->stranger_link);
    c->service->n_strangers--;
}

static void strangers_add(struct connection *c)
{
    struct service *s = c->service;
    if (s->n_strangers >= SERVICE_MAX_STRANGERS) {
        struct connection *oldest =
            CONTAINER_OF(list_first(&s->strangers), struct connection, stranger_link);
        strangers_remove(oldest);
        transport_close(oldest->transport, "too many connections without a key");
    }
    c->stranger = true;
    list_append(&s->strangers, &c->stranger_link);
    s->n_strangers++;
}

struct transport *connection_transport(const struct connection *c)
{
    return c->transport;
}

int connection_claim(struct connection *c, struct account *a, struct err *err)
{
    if (c->account != NULL)
        return 0; /* its first owner's, also when it carries calls of others, as a proxy's does */
    if (!budget_take(&a->shares[SHARE_CONNECTIONS], 1))
        return account_full(a, SHARE_CONNECTIONS, err);
    strangers_remove(c);
    c->account = a;
    grpc_conn_charge(transport_grpc(c->transport), &a->shares[SHARE_ANSWER_BYTES]);
    return 0;
}

static void on_call(void *user, struct grpc_call *grpc, const struct grpc_request *req)
{
    struct connection *c = user;
    call_accept(c->service, c, grpc, req);
}

static void log_refused(struct connection *c, const char *why)
{
    struct account *strangers = &c->service->accounts.strangers;
    size_t n_silent;
    if (!account_may_log(strangers, clock_now_ns(), &n_silent))
        return;
    if (n_silent > 0)
        log_event(LOG_WARN, "calls_refused", "owner=%s not_logged=%zu", strangers->name,
                  n_silent);
    log_event(LOG_WARN, "connection_refused", "peer=\"%s\" error=\"%s\"",
              transport_peer(c->transport)->text, why);
}

/* The peer's SETTINGS: TLS and preface are done, it speaks HTTP/2. */
static void on_ready(void *user)
{
    struct connection *c = user;
    timer_stop(&c->service->timers, &c->preface);
    transport_keepalive(c->transport, TRANSPORT_QUIET_MS, TRANSPORT_PING_WAIT_MS);
}

static void on_preface_late(struct timer *t)
{
    struct connection *c = CONTAINER_OF(t, struct connection, preface);
    log_refused(c, "no HTTP/2 preface within 10 s");
    transport_close(c->transport, "no HTTP/2 preface in time");
}

/* NULL: welcome. */
static const char *refusal(const struct connection *c)
{
    struct service *s = c->service;
    const struct transport_peer *peer = transport_peer(c->transport);
    if (s->stopping)
        return "the service is stopping";
    if (!descriptors_for_connection(&s->descriptors, clock_now_ns()))
        return "too few descriptors are left";
    /* On a Unix socket the kernel names the user; if it does not, nobody vouches for the peer.
     */
    if (c->on_unix_socket && (!peer->is_unix || !service_may_connect(s, peer->uid)))
        return "this user may not connect";
    return NULL;
}

static void claim_by_user(struct connection *c)
{
    char name[ACCOUNT_NAME_MAX];
    (void)snprintf(name, sizeof(name), "uid:%u", (unsigned)transport_peer(c->transport)->uid);
    struct account *a = account_get(&c->service->accounts, name);
    if (a != NULL)
        (void)connection_claim(c, a, NULL); /* else its calls are refused */
}

/* The peer is known, and nothing it sent was read yet. */
static void on_open(void *user, struct transport *t)
{
    struct connection *c = user;
    const char *why = refusal(c);
    if (why != NULL) {
        log_refused(c, why);
        transport_close(t, why);
        return;
    }
    if (c->on_unix_socket)
        claim_by_user(c);
    log_event(LOG_DEBUG, "connection", "peer=\"%s\"", transport_peer(t)->text);
}

static void on_closed(void *user, struct transport *t, const struct err *why)
{
    struct connection *c = user;
    struct service *s = c->service;
    log_event(LOG_DEBUG, "connection_closed", "peer=\"%s\" error=\"%s\"",
              transport_peer(t)->text, why != NULL && why->code != ERR_OK ? err_text(why) : "");
    timer_stop(&s->timers, &c->preface);
    strangers_remove(c);
    if (c->account != NULL)
        budget_give(&c->account->shares[SHARE_CONNECTIONS], 1);
    list_remove(&c->link);
    free(c);
    service_connection_closed(s);
}

static const struct transport_events connection_events = {
    .on_open = on_open,
    .on_closed = on_closed,
};
static const struct grpc_conn_events call_events = {.on_call = on_call, .on_ready = on_ready};

void connection_accept(struct service *s, uv_stream_t *stream, struct tls_config *tls)
{
    struct connection *c = calloc(1, sizeof(*c));
    CLEANUP_ERR struct err err = {0};
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    if (c == NULL) {
        log_event(LOG_ERROR, "accept_failed", "error=\"out of memory\"");
        return;
    }
    c->service = s;
    c->on_unix_socket = stream->type == UV_NAMED_PIPE;
    if (transport_accept(s->loop, stream, tls,
                         grpc_session_new(GRPC_SERVER, &limits, &call_events, c),
                         &connection_events, c, &c->transport, &err) < 0) {
        log_event(LOG_WARN, "accept_failed", "error=\"%s\"", err_text(&err));
        free(c);
        return;
    }
    list_append(&s->connections, &c->link);
    s->n_connections++;
    grpc_conn_charge(transport_grpc(c->transport),
                     &s->accounts.strangers.shares[SHARE_ANSWER_BYTES]);
    strangers_add(c);
    timer_start(&s->timers, &c->preface, clock_now_ns() + SERVICE_PREFACE_NS, on_preface_late);
}

void connections_shutdown(struct service *s)
{
    LIST_FOREACH_SAFE(it, &s->connections)
    {
        transport_shutdown(CONTAINER_OF(it, struct connection, link)->transport);
    }
}

void connections_close(struct service *s, const char *why)
{
    LIST_FOREACH_SAFE(it, &s->connections)
    {
        transport_close(CONTAINER_OF(it, struct connection, link)->transport, why);
    }
}
