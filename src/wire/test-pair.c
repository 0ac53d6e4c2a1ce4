#include "wire/test-pair.h"

#include <stdio.h>

#define KEEP_MAX 65536u

static void on_headers(void *user, struct grpc_call *call, const struct grpc_header *h,
                       size_t n)
{
    struct record *r = user;
    const char *v = grpc_header_find(h, n, "x-test");
    r->n_headers++;
    (void)snprintf(r->header, sizeof(r->header), "%s", v ? v : "");
}

static void on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct record *r = user;
    assert_int_equal(r->n_close, 0);
    r->n_messages++;
    r->n_bytes += n;
    if (n <= KEEP_MAX) {
        buf_clear(&r->last);
        (void)!buf_put(&r->last, data, n);
        if (buf_len(&r->all) + n <= KEEP_MAX)
            (void)!buf_put(&r->all, data, n);
    }
    if (r->pause_on_message)
        grpc_call_pause(call);
    if (r->on_message)
        r->on_message(r, data, n);
}

static void on_half_close(void *user, struct grpc_call *call)
{
    struct record *r = user;
    r->n_half_close++;
    if (r->on_half_close)
        r->on_half_close(r);
}

static void on_drain(void *user, struct grpc_call *call)
{
    struct record *r = user;
    r->n_drain++;
}

static void on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct record *r = user;
    r->n_close++;
    r->call = NULL;
    r->refused = how->refused;
    r->by_peer = how->by_peer;
    err_done(&r->status);
    err_copy(&r->status, how->status);
}

const struct grpc_call_events record_events = {on_headers, on_message, on_half_close, on_drain,
                                               on_close};

static void on_call(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    struct pair *p = user;
    assert_true(p->n_served < 256);
    struct record *r = &p->served[p->n_served++];
    r->pair = p;
    r->call = call;
    (void)snprintf(p->path, sizeof(p->path), "%s", req->path);
    const char *x = grpc_header_find(req->headers, req->n_headers, "x-test");
    const char *auth = grpc_header_find(req->headers, req->n_headers, "authorization");
    (void)snprintf(p->x_test, sizeof(p->x_test), "%s", x ? x : "");
    (void)snprintf(p->authorization, sizeof(p->authorization), "%s", auth ? auth : "");
    p->timeout_ns = req->timeout_ns;
    grpc_call_bind(call, &record_events, r);
    if (p->script)
        p->script(r, req);
}

static void on_ready(void *user)
{
    ((struct pair *)user)->n_ready++;
}

static void on_goaway(void *user)
{
    ((struct pair *)user)->n_goaway++;
}

static void on_client_want(void *user)
{
    ((struct pair *)user)->n_client_want++;
}

static void on_server_want(void *user)
{
    ((struct pair *)user)->n_server_want++;
}

void pair_open(struct pair *p, size_t chunk, const struct grpc_limits *client,
               const struct grpc_limits *server)
{
    static const struct grpc_conn_events client_events = {
        .on_want_write = on_client_want, .on_ready = on_ready, .on_goaway = on_goaway};
    static const struct grpc_conn_events server_events = {.on_call = on_call,
                                                          .on_want_write = on_server_want};
    *p = (struct pair){.chunk = chunk};
    p->served = calloc(256, sizeof(*p->served));
    p->client = grpc_conn_new(GRPC_CLIENT, client, &client_events, p);
    p->server = grpc_conn_new(GRPC_SERVER, server, &server_events, p);
}

static size_t pump(struct grpc_conn *from, struct grpc_conn *to, size_t chunk, size_t max,
                   int *ret_error)
{
    size_t total = 0;
    struct iovec iov[8];
    int n;
    while (total < max && (n = grpc_conn_pull(from, iov, 8)) > 0) {
        size_t sent = 0;
        for (int i = 0; i < n && total < max; i++) {
            size_t part = MIN(iov[i].iov_len, max - total);
            for (size_t at = 0; at < part; at += chunk)
                *ret_error =
                    grpc_conn_recv(to, (uint8_t *)iov[i].iov_base + at, MIN(chunk, part - at));
            total += part;
            sent += part;
        }
        grpc_conn_pulled(from, sent);
    }
    return total;
}

size_t pair_pump_to_server(struct pair *p, size_t max)
{
    size_t n = pump(p->client, p->server, p->chunk, max, &p->server_error);
    p->bytes_to_server += n;
    return n;
}

size_t pair_pump_to_client(struct pair *p, size_t max)
{
    size_t n = pump(p->server, p->client, p->chunk, max, &p->client_error);
    p->bytes_to_client += n;
    return n;
}

void pair_pump(struct pair *p)
{
    while (pair_pump_to_server(p, SIZE_MAX) + pair_pump_to_client(p, SIZE_MAX) > 0)
        ;
}

void pair_close(struct pair *p)
{
    grpc_conn_free(p->client, NULL);
    grpc_conn_free(p->server, NULL);
    for (size_t i = 0; i < p->n_served; i++)
        record_done(&p->served[i]);
    free(p->served);
}

void pair_start(struct pair *p, struct record *r, const char *path)
{
    *r = (struct record){.pair = p};
    const struct grpc_header headers[] = {{"x-test", "hello"},
                                          {"authorization", "Bearer secret"}};
    const struct grpc_start start = {.path = path, .headers = headers, .n_headers = 2};
    assert_int_equal(grpc_call_start(p->client, &start, &record_events, r, &r->call), 0);
}

void record_done(struct record *r)
{
    buf_done(&r->last);
    buf_done(&r->all);
    err_done(&r->status);
}

void send_text(struct grpc_call *call, const char *text)
{
    assert_int_equal(grpc_call_send(call, text, strlen(text), NULL), 0);
}

void assert_last(const struct record *r, const char *text)
{
    assert_int_equal(buf_len(&r->last), strlen(text));
    assert_memory_equal(buf_head(&r->last), text, strlen(text));
}

static void echo_message(struct record *r, const uint8_t *data, size_t n)
{
    assert_int_equal(grpc_call_send(r->call, data, n, NULL), 0);
}

static void echo_end(struct record *r)
{
    assert_int_equal(grpc_call_finish(r->call, NULL), 0);
}

void script_echo(struct record *r, const struct grpc_request *req)
{
    r->on_message = echo_message;
    r->on_half_close = echo_end;
}
