#include "transport/testpeer.h"

#include <string.h>

#include "transport/testcert.h"

/* Only a hang takes that long, even with sanitizers on a busy machine. */
#define WATCHDOG_MS 20000

/* ---- the service ---- */

struct served {
    struct world *w;
    struct buf request;
    size_t left; /* Flood: bytes to send */
    bool flood;
};

static void flood_more(struct served *s, struct grpc_call *call)
{
    static const uint8_t zeros[FLOOD_CHUNK_BYTES];
    while (s->left > 0 && grpc_call_queued(call) < GRPC_HIGH_WATER) {
        size_t n = MIN(s->left, sizeof(zeros));
        CHECK(grpc_call_send(call, zeros, n, NULL) == 0);
        s->left -= n;
        s->w->flood_max_queued = MAX(s->w->flood_max_queued, grpc_call_queued(call));
    }
    if (s->left == 0 && s->flood) {
        s->flood = false;
        CHECK(grpc_call_finish(call, NULL) == 0);
    }
}

static void served_on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct served *s = user;
    CHECK(buf_put(&s->request, data, n) == 0);
}

static void served_on_half_close(void *user, struct grpc_call *call)
{
    struct served *s = user;
    if (s->flood) {
        flood_more(s, call);
    } else if (!s->w->hold) {
        CHECK(grpc_call_send(call, NULL, 0, &s->request) == 0);
        CHECK(grpc_call_finish(call, NULL) == 0);
    }
}

static void served_on_drain(void *user, struct grpc_call *call)
{
    flood_more(user, call);
}

static void served_on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct served *s = user;
    s->w->n_server_calls--;
    if (s->w->flood == call)
        s->w->flood = NULL;
    buf_done(&s->request);
    free(s);
}

static const struct grpc_call_events served_events = {
    .on_message = served_on_message,
    .on_half_close = served_on_half_close,
    .on_drain = served_on_drain,
    .on_close = served_on_close,
};

static void service_on_call(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    struct side *side = user;
    struct served *s = calloc(1, sizeof(*s));
    CHECK(s);
    s->w = side->w;
    s->w->n_server_calls++;
    if (strcmp(req->path, "/test/Flood") == 0) {
        s->flood = true;
        s->left = s->w->flood_bytes;
        s->w->flood = call;
    }
    grpc_call_bind(call, &served_events, s);
}

/* ---- both sides ---- */

static void side_on_open(void *user, struct transport *t)
{
    struct side *side = user;
    CHECK(side->t == t && !side->closed);
    side->opened = true;
    side->n_open++;
}

static void side_on_closed(void *user, struct transport *t, const struct err *why)
{
    struct side *side = user;
    CHECK(side->t == t);
    side->t = NULL;
    side->closed = true;
    side->n_closed++;
    err_done(&side->why);
    err_copy(&side->why, why);
}

static void side_on_ready(void *user)
{
    ((struct side *)user)->ready = true;
}

static void side_on_goaway(void *user)
{
    ((struct side *)user)->goaway = true;
}

static const struct transport_events side_events = {
    .on_open = side_on_open,
    .on_closed = side_on_closed,
};

static const struct grpc_conn_events side_grpc_events = {
    .on_call = service_on_call,
    .on_ready = side_on_ready,
    .on_goaway = side_on_goaway,
};

static void side_reset(struct side *side, struct world *w)
{
    err_done(&side->why);
    *side = (struct side){.w = w};
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct world *w = listener->data;
    CLEANUP_ERR struct err err = {0};
    CHECK(status == 0);
    side_reset(&w->server, w);
    if (transport_accept(&w->loop, listener, w->server_tls,
                         grpc_session_new(GRPC_SERVER, NULL, &side_grpc_events, &w->server),
                         &side_events, &w->server, &w->server.t, &err) < 0)
        check_failed(err_text(&err), __FILE__, __LINE__);
}

/* ---- the world ---- */

static void on_watchdog(uv_timer_t *timer)
{
    check_failed("the world hangs", __FILE__, __LINE__);
}

static void make_tls(struct world *w)
{
    char a[96], b[96];
    struct err err = {0};
    testcert_make(w->dir, "test", "DNS:localhost,IP:127.0.0.1");
    (void)snprintf(a, sizeof(a), "%s/test.pem", w->dir);
    (void)snprintf(b, sizeof(b), "%s/test.key", w->dir);
    w->server_tls = tls_server_new(a, b, &err);
    (void)snprintf(a, sizeof(a), "%s/test-ca.pem", w->dir);
    w->client_tls = tls_client_new(a, &err);
    CHECK(w->server_tls && w->client_tls);
}

static void listen_unix(struct world *w)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/socket", w->dir);
    (void)snprintf(w->url, sizeof(w->url), "unix://%s", path);
    CHECK(uv_pipe_init(&w->loop, &w->listener.pipe, 0) == 0);
    CHECK(uv_pipe_bind(&w->listener.pipe, path) == 0);
}

static void listen_tcp(struct world *w, const char *scheme)
{
    struct sockaddr_in sa;
    int n = sizeof(sa);
    CHECK(uv_ip4_addr("127.0.0.1", 0, &sa) == 0);
    CHECK(uv_tcp_init(&w->loop, &w->listener.tcp) == 0);
    CHECK(uv_tcp_bind(&w->listener.tcp, (struct sockaddr *)&sa, 0) == 0);
    CHECK(uv_tcp_getsockname(&w->listener.tcp, (struct sockaddr *)&sa, &n) == 0);
    (void)snprintf(w->url, sizeof(w->url), "%s://127.0.0.1:%u", scheme, ntohs(sa.sin_port));
}

void world_begin(struct world *w, enum world_kind kind)
{
    *w = (struct world){0};
    w->client.w = w->server.w = w;
    (void)strcpy(w->dir, "/tmp/cws-test-transport-XXXXXX");
    CHECK(mkdtemp(w->dir));
    CHECK(uv_loop_init(&w->loop) == 0);
    CHECK(uv_timer_init(&w->loop, &w->watchdog) == 0);
    uv_unref((uv_handle_t *)&w->watchdog);
    if (kind == WORLD_TLS)
        make_tls(w);
    if (kind == WORLD_UNIX)
        listen_unix(w);
    else
        listen_tcp(w, kind == WORLD_TLS ? "https" : "http");
    w->listener.handle.data = w;
    CHECK(uv_listen(&w->listener.base, 128, on_connection) == 0);
    w->listening = true;
}

void world_connect(struct world *w)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP(address_done) struct address addr = {0};
    side_reset(&w->client, w);
    if (address_parse(w->url, &addr, &err) < 0 ||
        transport_connect(&w->loop, &addr, w->client_tls,
                          grpc_session_new(GRPC_CLIENT, NULL, &side_grpc_events, &w->client),
                          &side_events, &w->client, &w->client.t, &err) < 0)
        check_failed(err_text(&err), __FILE__, __LINE__);
}

void world_open(struct world *w)
{
    world_connect(w);
    world_run_until(w, &w->client.opened);
    world_run_until(w, &w->server.opened);
}

void world_run_once(struct world *w)
{
    CHECK(uv_timer_start(&w->watchdog, on_watchdog, WATCHDOG_MS, 0) == 0);
    (void)uv_run(&w->loop, UV_RUN_ONCE);
    CHECK(uv_timer_stop(&w->watchdog) == 0);
}

void world_run_until(struct world *w, const bool *flag)
{
    while (!*flag)
        world_run_once(w);
}

void world_stop_listening(struct world *w)
{
    if (w->listening)
        uv_close(&w->listener.handle, NULL);
    w->listening = false;
}

static void remove_file(struct world *w, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    (void)unlink(path);
}

void world_end(struct world *w)
{
    static const char *const names[] = {"socket", "test.pem", "test.key", "test-ca.pem"};
    if (w->client.t)
        transport_close(w->client.t, NULL);
    if (w->server.t)
        transport_close(w->server.t, NULL);
    world_stop_listening(w);
    CHECK(uv_timer_start(&w->watchdog, on_watchdog, WATCHDOG_MS, 0) == 0);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT); /* ends when nothing but the watchdog is left */
    uv_close((uv_handle_t *)&w->watchdog, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&w->loop) == 0);
    CHECK(w->n_server_calls == 0 && !w->client.t && !w->server.t);
    tls_config_unref(w->server_tls);
    tls_config_unref(w->client_tls);
    err_done(&w->client.why);
    err_done(&w->server.why);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        remove_file(w, names[i]);
    CHECK(rmdir(w->dir) == 0);
}

/* ---- client calls ---- */

static void reply_on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct reply *r = user;
    if (r->pause_at_first && !r->got_message)
        grpc_call_pause(call);
    r->got_message = true;
    r->n_bytes += n;
    if (!r->discard)
        CHECK(buf_put(&r->data, data, n) == 0);
}

static void reply_on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct reply *r = user;
    r->call = NULL;
    r->closed = true;
    r->n_closes++;
    err_copy(&r->status, how->status);
}

static const struct grpc_call_events reply_events = {
    .on_message = reply_on_message,
    .on_close = reply_on_close,
};

void reply_start(struct world *w, struct reply *r, const char *path, const void *data, size_t n)
{
    struct grpc_start start = {.path = path,
                               .authority = "test",
                               .scheme = w->client_tls ? "https" : "http",
                               .user_agent = "test"};
    struct grpc_conn *conn = transport_grpc(w->client.t);
    CHECK(grpc_call_start(conn, &start, &reply_events, r, &r->call) == 0);
    CHECK(grpc_call_send(r->call, data, n, NULL) == 0);
    CHECK(grpc_call_half_close(r->call) == 0);
}

void reply_done(struct reply *r)
{
    buf_done(&r->data);
    err_done(&r->status);
    *r = (struct reply){0};
}
