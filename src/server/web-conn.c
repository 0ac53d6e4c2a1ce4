/* Requests of one visitor, and their answers. See web-conn.h. */
#include "server/web-conn.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "server/web-head.h"
#include "wire/client-hello.h"

#define OUT_HIGH 262144u /* as a call's */
#define OUT_LOW 65536u
#define QUEUE_HIGH 262144u        /* on_drain comes below 64 KiB after that: runtime/io.h */
#define IDLE_NS (75 * NS_PER_SEC) /* chosen: as nginx keeps connections */
#define PEER_MAX sizeof(((struct transport_peer *)NULL)->text)

static bool out_of_room(const struct web_conn *c)
{
    return c->account != NULL && budget_room(&c->account->shares[SHARE_VISITOR_BYTES]) == 0;
}

static bool app_is_full(const struct web_conn *c)
{
    return exchange_queued(&c->exchange) > QUEUE_HIGH;
}

/* ---- out ---- */

static void on_stall(struct timer *t)
{
    struct web_conn *c = CONTAINER_OF(t, struct web_conn, stall);
    transport_close(c->transport, "the visitor takes no bytes");
}

static void fail_memory(struct web_conn *c)
{
    transport_close(c->transport, "out of memory");
}

static void put(struct web_conn *c, const void *data, size_t n)
{
    if (segq_put_copy(&c->out, data, n) < 0) {
        fail_memory(c);
        return;
    }
    if (!timer_armed(&c->stall))
        timer_start_in(&c->service->timers, &c->stall, WEB_STALL_NS, on_stall);
    session_want_write(&c->session);
}

static void put_buf(struct web_conn *c, const struct buf *b)
{
    put(c, buf_head(b), buf_len(b));
}

static void hold_back(struct web_conn *c)
{
    web_conn_charge(c);
    if (c->out.bytes > OUT_HIGH || (c->out.bytes > 0 && out_of_room(c)))
        exchange_pause(&c->exchange);
}

void web_conn_taken(struct web_conn *c)
{
    if (c->out.bytes > 0)
        timer_start_in(&c->service->timers, &c->stall, WEB_STALL_NS, on_stall);
    else
        timer_stop(&c->service->timers, &c->stall);
    web_conn_charge(c);
    if (c->out.bytes == 0 || (c->out.bytes < OUT_LOW && !out_of_room(c)))
        exchange_resume(&c->exchange);
}

/* ---- the end of requests ---- */

void web_conn_last(struct web_conn *c)
{
    c->state = WEB_LAST;
    buf_done(&c->in);
    timer_stop(&c->service->timers, &c->patience);
    exchange_done(&c->exchange);
    transport_hold(c->transport, false); /* what still comes is thrown away */
    /* Even without a byte: the transport sees that this is all. */
    session_want_write(&c->session);
}

static void refuse(struct web_conn *c, unsigned status, const char *text)
{
    CLEANUP_BUF struct buf out = {0};
    if (web_put_error(&out, status, text, !c->to_head) < 0) {
        fail_memory(c);
        return;
    }
    put_buf(c, &out);
    web_conn_last(c);
}

/* ---- time ---- */

static void on_late(struct timer *t)
{
    struct web_conn *c = CONTAINER_OF(t, struct web_conn, patience);
    if (c->state == WEB_HELLO)
        transport_close(c->transport, "no TLS in time");
    else if (c->state == WEB_BODY && app_is_full(c))
        web_conn_wait(c, WEB_BODY_NS); /* it is the program that does not go on */
    else if (c->state == WEB_BODY && c->answered)
        transport_close(c->transport, "the visitor's request does not go on");
    else if (c->state == WEB_BODY || buf_len(&c->in) > 0)
        refuse(c, 408, "the request did not come in time");
    else
        transport_close(c->transport, NULL);
}

void web_conn_wait(struct web_conn *c, uint64_t ns)
{
    timer_start_in(&c->service->timers, &c->patience, ns, on_late);
}

/* ---- the answer ---- */

static void put_head(struct web_conn *c, const struct http_head *head,
                     enum http_framing framing, bool close)
{
    CLEANUP_BUF struct buf out = {0};
    struct head_to_visitor to = {
        .head = head, .host = {c->host, strlen(c->host)}, .framing = framing, .close = close};
    if (web_put_answer(&out, &to) < 0) {
        fail_memory(c);
        return;
    }
    put_buf(c, &out);
    hold_back(c); /* a program may send interim answers without an end */
}

static void on_head(void *user, const struct http_head *head)
{
    struct web_conn *c = user;
    if (head->status < 200 && head->status != 101) {
        if (!c->old)
            put_head(c, head, HTTP_EMPTY, false);
        return;
    }
    c->answered = true;
    c->framing = head->framing;
    if (c->framing == HTTP_UNTIL_CLOSE && !c->old)
        c->framing = HTTP_CHUNKED;
    if (c->framing == HTTP_CHUNKED && c->old)
        c->framing = HTTP_UNTIL_CLOSE;
    if (c->state == WEB_BODY) /* nobody waits for the rest of the request */
        c->close = true;
    put_head(c, head, c->framing, c->close && head->status != 101);
    if (head->status != 101)
        return;
    c->state = WEB_RAW;
    c->framing = HTTP_UNTIL_CLOSE;
    web_conn_work(c);
}

static void on_body(void *user, const char *data, size_t n)
{
    struct web_conn *c = user;
    char size[24];
    if (c->framing == HTTP_CHUNKED)
        put(c, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n));
    put(c, data, n);
    if (c->framing == HTTP_CHUNKED)
        put(c, "\r\n", 2);
    hold_back(c);
}

static void on_end(void *user)
{
    struct web_conn *c = user;
    if (c->state == WEB_LAST)
        return;
    if (c->framing == HTTP_CHUNKED)
        put(c, "0\r\n\r\n", 5);
    if (c->close || c->stopping || c->state != WEB_ANSWER) {
        web_conn_last(c);
        return;
    }
    c->state = WEB_HEAD;
    c->answered = false;
    c->to_head = false;
    web_conn_wait(c, buf_len(&c->in) > 0 ? WEB_FIRST_NS : IDLE_NS);
    web_conn_work(c);
}

static void on_fail(void *user, unsigned status, const char *text)
{
    struct web_conn *c = user;
    if (c->answered) /* the visitor must see that this was not all */
        transport_close(c->transport, text);
    else
        refuse(c, status, text);
}

static void on_room(void *user)
{
    web_conn_work(user);
}

const struct exchange_events web_exchange_events = {.on_head = on_head,
                                                    .on_body = on_body,
                                                    .on_end = on_end,
                                                    .on_fail = on_fail,
                                                    .on_room = on_room};

/* ---- a request ---- */

/* "1.2.3.4:5" and "[::1]:5" without the port. */
static void address_of(const struct transport_peer *peer, char ret[static PEER_MAX])
{
    const char *from = peer->text[0] == '[' ? peer->text + 1 : peer->text;
    const char *colon = strrchr(from, ':');
    size_t n = colon != NULL ? (size_t)(colon - from) : strlen(from);
    if (n > 0 && from[n - 1] == ']')
        n--;
    memcpy(ret, from, n);
    ret[n] = '\0';
}

static int forward(struct web_conn *c, const struct site *site, const struct http_head *head,
                   struct err *err)
{
    char address[PEER_MAX];
    CLEANUP_BUF struct buf out = {0};
    address_of(transport_peer(c->transport), address);
    struct head_to_app to = {
        .head = head, .peer = address, .tls = c->tls, .authorized = site->access == SITE_KEY};
    if (web_put_request(&out, &to) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    struct exchange_request r = {.sandbox = site->sandbox,
                                 .port = site->port,
                                 .timeout_ns = site->timeout_ns,
                                 .head = head,
                                 .take_head = &out};
    return exchange_begin(&c->exchange, &r, err);
}

static void after_head(struct web_conn *c, const struct http_head *head)
{
    http_body_init(&c->body, head);
    c->chunked = head->framing == HTTP_CHUNKED;
    c->state = c->body.done ? WEB_ANSWER : WEB_BODY;
    if (c->body.done) {
        exchange_sent(&c->exchange);
        timer_stop(&c->service->timers, &c->patience);
    } else {
        web_conn_wait(c, WEB_BODY_NS);
    }
}

static void begin(struct web_conn *c, const struct http_head *head)
{
    CLEANUP_ERR struct err err = {0};
    const struct site *site = sites_find(&c->service->sites, head->host);
    c->to_head = http_is(head->method, "HEAD");
    c->old = head->minor == 0;
    c->close = head->close || c->old || c->stopping;
    free(c->host);
    c->host = strndup(head->host.data, head->host.n);
    if (c->host == NULL)
        fail_memory(c);
    else if (site == NULL || site->access == SITE_TLS)
        refuse(c, 404, "no service of a sandbox has this address");
    else if (!web_conn_claim(c, site->owner))
        refuse(c, 503, "too many visitors of this owner's sandboxes");
    else if (!site_admits(site, c->service->keys, head))
        refuse(c, 401,
               site->access == SITE_TOKEN ? "this service asks for its share token"
                                          : "this service asks for an API key of its owner");
    else if (forward(c, site, head, &err) < 0)
        refuse(c, exchange_status_of(&err), err_text(&err));
    else
        after_head(c, head);
}

static const char *complaint(int status)
{
    switch (status) {
    case 431:
        return "the request's head is too large";
    case 501:
        return "this kind of request is not forwarded";
    case 505:
        return "only HTTP/1.0 and HTTP/1.1 are spoken here";
    default:
        return "the request is not valid HTTP/1.1";
    }
}

/* False: more bytes are needed, or none are wanted any more. */
static bool work_head(struct web_conn *c)
{
    struct http_head head;
    ssize_t r = http_parse_request((const char *)buf_head(&c->in), buf_len(&c->in), &head);
    if (r < 0)
        refuse(c, (unsigned)-r, complaint((int)-r));
    if (r <= 0)
        return false;
    begin(c, &head);
    if (c->state == WEB_LAST)
        return false;
    buf_consume(&c->in, (size_t)r);
    return true;
}

static int send_part(struct web_conn *c, struct http_text part)
{
    char size[24];
    if (part.n == 0)
        return 0;
    if (!c->chunked)
        return exchange_write(&c->exchange, part.data, part.n);
    int n = snprintf(size, sizeof(size), "%zx\r\n", part.n);
    if (exchange_write(&c->exchange, size, (size_t)n) < 0 ||
        exchange_write(&c->exchange, part.data, part.n) < 0)
        return -ENOMEM;
    return exchange_write(&c->exchange, "\r\n", 2);
}

static bool work_body(struct web_conn *c)
{
    struct http_text part;
    if (buf_len(&c->in) == 0 || app_is_full(c))
        return false;
    ssize_t r =
        http_body_next(&c->body, (const char *)buf_head(&c->in), buf_len(&c->in), &part);
    if (r < 0) {
        if (c->answered)
            transport_close(c->transport, "the visitor's request is not valid");
        else
            refuse(c, 400, "the request's body is not valid HTTP/1.1");
        return false;
    }
    int sent = send_part(c, part);
    if (sent == 0 && c->body.done && c->chunked)
        sent = exchange_write(&c->exchange, "0\r\n\r\n", 5);
    if (sent < 0) {
        fail_memory(c);
        return false;
    }
    buf_consume(&c->in, (size_t)r);
    if (!c->body.done)
        return true;
    c->state = WEB_ANSWER;
    timer_stop(&c->service->timers, &c->patience);
    exchange_sent(&c->exchange);
    return true;
}

static bool work_raw(struct web_conn *c)
{
    if (buf_len(&c->in) == 0 || app_is_full(c))
        return false;
    if (exchange_write(&c->exchange, buf_head(&c->in), buf_len(&c->in)) < 0)
        fail_memory(c);
    buf_clear(&c->in);
    return false;
}

/* ---- TLS ---- */

static void pass_through(struct web_conn *c, const struct site *site)
{
    CLEANUP_ERR struct err err = {0};
    c->answered = true; /* whatever fails, there is no HTTP to tell it by */
    c->framing = HTTP_UNTIL_CLOSE;
    c->state = WEB_RAW;
    timer_stop(&c->service->timers, &c->patience);
    if (!web_conn_claim(c, site->owner))
        transport_close(c->transport, "too many visitors of this owner's sandboxes");
    else if (exchange_begin_raw(&c->exchange, site->sandbox, site->port, &err) < 0)
        transport_close(c->transport, err_text(&err));
    else
        web_conn_work(c);
}

void web_conn_hello(struct web_conn *c)
{
    CLEANUP_ERR struct err err = {0};
    struct http_text name = {"", 0};
    int r = client_hello_name(buf_head(&c->in), buf_len(&c->in), &name);
    if (r == 0)
        return;
    const struct site *site = r > 0 ? sites_find(&c->service->sites, name) : NULL;
    if (site != NULL && site->access == SITE_TLS) {
        pass_through(c, site);
        return;
    }
    c->state = WEB_HEAD;
    if (transport_begin_tls(c->transport, c->service->web_tls, &c->in, &err) < 0)
        transport_close(c->transport, err_text(&err));
}

/* As far as it goes with what has come. */
void web_conn_work(struct web_conn *c)
{
    bool more = true;
    while (more) {
        switch (c->state) {
        case WEB_HEAD:
            more = work_head(c);
            break;
        case WEB_BODY:
            more = work_body(c);
            break;
        case WEB_RAW:
            more = work_raw(c);
            break;
        case WEB_HELLO:
        case WEB_ANSWER: /* what comes now is the next request, and waits */
        case WEB_LAST:
            more = false;
            break;
        }
    }
    if (buf_len(&c->in) == 0)
        buf_done(&c->in); /* an idle connection is small */
    transport_hold(c->transport, buf_len(&c->in) >= WEB_IN_MAX);
    web_conn_charge(c);
}
