/* Visitors' connections: who may stay, what they cost, and the session that the transport sees. See web-conn.h. */

#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "server/web-conn.h"

static struct web_conn *of(const struct session *s)
{
    return CONTAINER_OF((struct session *)s, struct web_conn, session);
}

/* ---- what it costs ---- */

static void leave_strangers(struct web_conn *c)
{
    if (!c->stranger)
        return;
    c->stranger = false;
    list_remove(&c->stranger_link);
    c->service->n_web_strangers--;
}

static void give_back(struct web_conn *c)
{
    if (c->account == NULL)
        return;
    budget_give(&c->account->shares[SHARE_VISITORS], 1);
    budget_give(&c->account->shares[SHARE_VISITOR_BYTES], c->charged);
    c->charged = 0;
}

bool web_conn_claim(struct web_conn *c, const char *owner)
{
    struct account *a = account_get(&c->service->accounts, owner);
    if (a == c->account)
        return a != NULL;
    if (a == NULL || !budget_take(&a->shares[SHARE_VISITORS], 1))
        return false;
    leave_strangers(c);
    give_back(c);
    c->account = a;
    return true;
}

void web_conn_charge(struct web_conn *c)
{
    if (c->account == NULL)
        return;
    struct budget *b = &c->account->shares[SHARE_VISITOR_BYTES];
    size_t now = buf_len(&c->in) + c->out.bytes + exchange_queued(&c->exchange);
    if (now > c->charged)
        budget_force(b, now - c->charged);
    else
        budget_give(b, c->charged - now);
    c->charged = now;
}

/* ---- the session ---- */

static ssize_t session_recv(struct session *s, const uint8_t *data, size_t n)
{
    struct web_conn *c = of(s);
    if (c->state == WEB_LAST)
        return (ssize_t)n;
    if (c->state == WEB_HELLO) {
        /* All of it, so that TLS gets all: one read, and CLIENT_HELLO_MAX, at most. */
        if (buf_put(&c->in, data, n) < 0)
            return -ENOMEM;
        web_conn_hello(c);
        return (ssize_t)n;
    }
    size_t part = MIN(n, WEB_IN_MAX - buf_len(&c->in));
    if (c->state == WEB_HEAD && buf_len(&c->in) == 0 && c->account != NULL)
        web_conn_wait(c, WEB_FIRST_NS); /* else since the connection */
    if (c->state == WEB_BODY)
        web_conn_wait(c, WEB_BODY_NS);
    if (buf_put(&c->in, data, part) < 0)
        return -ENOMEM;
    web_conn_work(c);
    return c->state == WEB_LAST ? (ssize_t)n : (ssize_t)part;
}

static int session_pull(struct session *s, struct iovec *iov, int max)
{
    return segq_iov(&of(s)->out, iov, max);
}

static void session_pulled(struct session *s, size_t n)
{
    struct web_conn *c = of(s);
    segq_consume(&c->out, n);
    web_conn_taken(c);
}

static void session_shutdown(struct session *s)
{
    struct web_conn *c = of(s);
    c->stopping = true;
    c->close = true;
    if (c->state == WEB_HELLO || c->state == WEB_HEAD)
        web_conn_last(c);
}

static bool session_is_done(const struct session *s)
{
    return of(s)->state == WEB_LAST && of(s)->out.bytes == 0;
}

static bool session_is_broken(const struct session *s)
{
    return false;
}

static size_t session_n_calls(const struct session *s)
{
    const struct web_conn *c = of(s);
    return c->state == WEB_BODY || c->state == WEB_ANSWER || c->state == WEB_RAW ? 1 : 0;
}

static int session_ping(struct session *s)
{
    return 0; /* never asked for: transport_keepalive() is not */
}

static void session_free(struct session *s, const char *why)
{
    struct web_conn *c = of(s);
    struct service *service = c->service;
    timer_stop(&service->timers, &c->patience);
    timer_stop(&service->timers, &c->stall);
    exchange_done(&c->exchange);
    leave_strangers(c);
    give_back(c);
    buf_done(&c->in);
    segq_done(&c->out);
    free(c->host);
    bool accepted = c->accepted;
    if (accepted)
        list_remove(&c->link);
    log_event(LOG_DEBUG, "visitor_gone", "error=\"%s\"", why != NULL ? why : "");
    free(c);
    if (accepted)
        service_connection_closed(service);
}

static const struct session_ops web_ops = {
    .protocol = "HTTP/1.1",
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

/* ---- a visitor ---- */

static void on_open(void *user, struct transport *t)
{
    struct service *s = ((struct web_conn *)user)->service;
    if (s->stopping)
        transport_close(t, "the service is stopping");
    else if (!descriptors_for_connection(&s->descriptors, clock_now_ns()))
        transport_close(t, "too few descriptors are left");
}

static const struct transport_events transport_events = {.on_open = on_open};

static void welcome(struct web_conn *c)
{
    struct service *s = c->service;
    if (s->n_web_strangers >= SERVICE_MAX_WEB_STRANGERS) {
        struct web_conn *oldest =
            CONTAINER_OF(list_first(&s->web_strangers), struct web_conn, stranger_link);
        leave_strangers(oldest);
        transport_close(oldest->transport, "too many connections that name no service");
    }
    c->accepted = c->stranger = true;
    list_append(&s->visitors, &c->link);
    list_append(&s->web_strangers, &c->stranger_link);
    s->n_web_strangers++;
    s->n_connections++;
    web_conn_wait(c, WEB_FIRST_NS);
}

void web_accept(struct service *s, uv_stream_t *stream, bool tls)
{
    CLEANUP_ERR struct err err = {0};
    struct web_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        log_event(LOG_ERROR, "accept_failed", "error=\"out of memory\"");
        return;
    }
    c->session.ops = &web_ops;
    c->service = s;
    c->tls = tls;
    c->state = tls ? WEB_HELLO : WEB_HEAD;
    exchange_init(&c->exchange, s, &web_exchange_events, c);
    if (transport_accept(s->loop, stream, NULL, &c->session, &transport_events, c,
                         &c->transport, &err) < 0)
        log_event(LOG_WARN, "accept_failed", "error=\"%s\"", err_text(&err));
    else
        welcome(c);
}

void web_shutdown(struct service *s)
{
    LIST_FOREACH_SAFE(it, &s->visitors)
    {
        transport_shutdown(CONTAINER_OF(it, struct web_conn, link)->transport);
    }
}

void web_close(struct service *s, const char *why)
{
    LIST_FOREACH_SAFE(it, &s->visitors)
    {
        transport_close(CONTAINER_OF(it, struct web_conn, link)->transport, why);
    }
}
