/* See web-exchange.h. */
#include "server/web-exchange.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "server/service.h"

void exchange_init(struct exchange *x, struct service *s, const struct exchange_events *events,
                   void *user)
{
    *x = (struct exchange){.service = s, .events = events, .user = user};
}

static void drop_tunnel(struct exchange *x)
{
    tunnel_free(TAKE_PTR(x->tunnel));
    if (x->sandbox != NULL)
        sandbox_unref(TAKE_PTR(x->sandbox));
    x->paused = false;
}

/* IDLE, with or without a tunnel. */
static void settle(struct exchange *x)
{
    timer_stop(&x->service->timers, &x->timer);
    x->state = EXCHANGE_IDLE;
    buf_done(&x->head);
    buf_done(&x->in);
    if (!x->keep)
        drop_tunnel(x);
    exchange_resume(x);
}

void exchange_done(struct exchange *x)
{
    x->keep = false;
    settle(x);
}

static void finish(struct exchange *x)
{
    settle(x);
    x->events->on_end(x->user);
}

static void fail(struct exchange *x, unsigned status, const char *text)
{
    x->keep = false;
    settle(x);
    x->events->on_fail(x->user, status, text);
}

unsigned exchange_status_of(const struct err *why)
{
    if (why->code == ERR_DEADLINE_EXCEEDED)
        return 504;
    return why->code == ERR_RESOURCE_EXHAUSTED ? 503 : 502;
}

/* ---- the answer ---- */

static void feed_body(struct exchange *x, const char *data, size_t n)
{
    struct tunnel *t = x->tunnel;
    while (n > 0 && !x->body.done) {
        struct http_text part;
        ssize_t r = http_body_next(&x->body, data, n, &part);
        if (r < 0) {
            fail(x, 502, "the service's answer is not valid HTTP");
            return;
        }
        if (part.n > 0)
            x->events->on_body(x->user, part.data, part.n);
        if (x->tunnel != t) /* ended by the event */
            return;
        data += r;
        n -= (size_t)r;
    }
    if (!x->body.done)
        return;
    x->keep = x->keep && n == 0 && x->sent;
    finish(x);
}

/* The head at the front of x->in has @size bytes. False: the exchange is over. */
static bool take_head(struct exchange *x, const struct http_head *head, size_t size)
{
    if (head->status < 200 && head->status != 101) {
        x->events->on_head(x->user, head);
        buf_consume(&x->in, size);
        return x->state == EXCHANGE_HEAD;
    }
    if (head->status == 101 && (!x->upgrade || !head->upgrade)) {
        fail(x, 502, "the service changed the protocol, which nobody asked for");
        return false;
    }
    timer_stop(&x->service->timers, &x->timer);
    buf_done(&x->head);
    x->keep = !head->close && head->framing != HTTP_UNTIL_CLOSE && head->status != 101;
    x->state = head->status == 101 ? EXCHANGE_RAW : EXCHANGE_BODY;
    http_body_init(&x->body, head);
    x->events->on_head(x->user, head);
    buf_consume(&x->in, size);
    return x->state == EXCHANGE_RAW || x->state == EXCHANGE_BODY;
}

static void take_rest(struct exchange *x)
{
    CLEANUP_BUF struct buf rest = x->in;
    x->in = (struct buf){0};
    if (x->state == EXCHANGE_BODY)
        feed_body(x, (const char *)buf_head(&rest), buf_len(&rest));
    else if (buf_len(&rest) > 0)
        x->events->on_body(x->user, (const char *)buf_head(&rest), buf_len(&rest));
}

static void read_head(struct exchange *x)
{
    const struct http_text method = {x->method, x->n_method};
    struct http_head head;
    ssize_t size = 0;
    while (x->state == EXCHANGE_HEAD) {
        size =
            http_parse_answer((const char *)buf_head(&x->in), buf_len(&x->in), method, &head);
        if (size <= 0 || !take_head(x, &head, (size_t)size))
            break;
    }
    if (x->state == EXCHANGE_HEAD && size < 0)
        fail(x, 502, "the service's answer is not valid HTTP/1");
    else if (x->state == EXCHANGE_BODY || x->state == EXCHANGE_RAW)
        take_rest(x);
}

static void on_data(void *user, struct tunnel *t, struct buf *take)
{
    struct exchange *x = user;
    const char *data = (const char *)buf_head(take);
    switch (x->state) {
    case EXCHANGE_IDLE: /* nobody asked */
        drop_tunnel(x);
        break;
    case EXCHANGE_HEAD:
        if (buf_put(&x->in, data, buf_len(take)) < 0)
            fail(x, 503, "out of memory");
        else
            read_head(x);
        break;
    case EXCHANGE_BODY:
        feed_body(x, data, buf_len(take));
        break;
    case EXCHANGE_RAW:
        x->events->on_body(x->user, data, buf_len(take));
        break;
    }
}

/* ---- the tunnel ---- */

static int open_tunnel(struct exchange *x, struct sandbox *sb, uint16_t port, struct err *err);

/* The program closed the tunnel, maybe while it was kept and before it saw this request. */
static void no_answer(struct exchange *x, unsigned status, const char *text)
{
    CLEANUP_ERR struct err err = {0};
    if (!x->second_try || buf_len(&x->in) > 0) {
        fail(x, status, text);
        return;
    }
    struct sandbox *sb = sandbox_ref(x->sandbox);
    x->second_try = false;
    drop_tunnel(x);
    int r = open_tunnel(x, sb, x->port, &err);
    sandbox_unref(sb);
    if (r < 0 || tunnel_write(x->tunnel, buf_head(&x->head), buf_len(&x->head)) < 0)
        fail(x, exchange_status_of(&err), err_text(&err));
}

static void ended(struct exchange *x, const struct err *why)
{
    bool clean = why == NULL;
    switch (x->state) {
    case EXCHANGE_IDLE:
        drop_tunnel(x);
        break;
    case EXCHANGE_HEAD:
        no_answer(x, clean ? 502 : exchange_status_of(why),
                  clean ? "the service closed the connection without an answer"
                        : err_text(why));
        break;
    case EXCHANGE_BODY:
        x->keep = false;
        if (clean && x->body.framing == HTTP_UNTIL_CLOSE)
            finish(x);
        else
            fail(x, 502, "the service's answer was cut");
        break;
    case EXCHANGE_RAW:
        x->keep = false;
        finish(x);
        break;
    }
}

static void on_eof(void *user, struct tunnel *t)
{
    ended(user, NULL);
}

static void on_end(void *user, struct tunnel *t, const struct err *why)
{
    ended(user, why);
}

static void on_drain(void *user, struct tunnel *t)
{
    struct exchange *x = user;
    x->events->on_room(x->user);
}

static const struct tunnel_events tunnel_events = {
    .on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_end = on_end};

static int open_tunnel(struct exchange *x, struct sandbox *sb, uint16_t port, struct err *err)
{
    struct tunnel_spec spec = {.port = port, .timeout_ns = x->timeout_ns};
    if (tunnel_open(sb, &spec, &tunnel_events, x, &x->tunnel, err) < 0)
        return -1;
    x->sandbox = sandbox_ref(sb);
    x->port = port;
    return 0;
}

/* ---- the request ---- */

static void on_late(struct timer *t)
{
    fail(CONTAINER_OF(t, struct exchange, timer), 504, "the service did not answer in time");
}

/* The program's time begins anew with each part of the request. */
static void wait_for_answer(struct exchange *x)
{
    if (x->state == EXCHANGE_HEAD)
        timer_start_in(&x->service->timers, &x->timer, x->timeout_ns, on_late);
}

int exchange_begin(struct exchange *x, const struct exchange_request *r, struct err *err)
{
    const struct http_head *head = r->head;
    bool again = head->framing == HTTP_EMPTY && !head->upgrade && x->sandbox == r->sandbox &&
                 x->port == r->port;
    if (!again)
        drop_tunnel(x);
    x->second_try = x->tunnel != NULL;
    x->timeout_ns = r->timeout_ns;
    if (x->tunnel == NULL && open_tunnel(x, r->sandbox, r->port, err) < 0)
        return -1;
    x->state = EXCHANGE_HEAD;
    x->sent = false;
    x->keep = false;
    x->upgrade = head->upgrade;
    x->n_method = head->method.n;
    memcpy(x->method, head->method.data, head->method.n); /* http_parse_request() bounds it */
    x->head = *r->take_head;
    *r->take_head = (struct buf){0};
    if (tunnel_write(x->tunnel, buf_head(&x->head), buf_len(&x->head)) < 0) {
        exchange_done(x);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    wait_for_answer(x);
    return 0;
}

int exchange_begin_raw(struct exchange *x, struct sandbox *sb, uint16_t port, struct err *err)
{
    drop_tunnel(x);
    x->keep = false;
    x->timeout_ns = 0; /* to connect: tunnel_open()'s own */
    if (open_tunnel(x, sb, port, err) < 0)
        return -1;
    x->state = EXCHANGE_RAW;
    return 0;
}

int exchange_write(struct exchange *x, const void *data, size_t n)
{
    if (x->tunnel == NULL)
        return 0;
    wait_for_answer(x);
    return tunnel_write(x->tunnel, data, n);
}

void exchange_sent(struct exchange *x)
{
    x->sent = true;
}

size_t exchange_queued(const struct exchange *x)
{
    return x->tunnel != NULL ? tunnel_queued(x->tunnel) : 0;
}

void exchange_pause(struct exchange *x)
{
    if (x->tunnel == NULL || x->paused)
        return;
    x->paused = true;
    tunnel_pause(x->tunnel);
}

void exchange_resume(struct exchange *x)
{
    if (x->tunnel == NULL || !x->paused)
        return;
    x->paused = false;
    tunnel_resume(x->tunnel);
}
