/*
 * Measures the transport room alone: a client and a service in two threads, each with its own
 * loop, over a Unix socket. Prints and judges nothing.
 *
 *   bench-transport [sequential calls (20000)] [stream MiB (512)]
 */
#include <pthread.h>
#include <string.h>

#include "base/util.h"
#include "transport/grpc-session.h"

#define PAYLOAD_BYTES 64u
#define CHUNK_BYTES 65536u
#define PARALLEL 64u

/* ---- the service: echoes, or streams as many bytes as the request says ---- */

struct service {
    uv_loop_t loop;
    uv_pipe_t listener;
    uv_async_t stop;
    struct transport *t;
};

struct served {
    struct buf request;
    uint64_t left;
    bool stream;
};

static void served_on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct served *s = user;
    CHECK(buf_put(&s->request, data, n) == 0);
}

static void stream_more(struct served *s, struct grpc_call *call)
{
    static const uint8_t zeros[CHUNK_BYTES];
    while (s->left > 0 && grpc_call_queued(call) < GRPC_HIGH_WATER) {
        CHECK(grpc_call_send(call, zeros, MIN(s->left, CHUNK_BYTES), NULL) == 0);
        s->left -= MIN(s->left, CHUNK_BYTES);
    }
    if (s->left == 0 && s->stream) {
        s->stream = false;
        CHECK(grpc_call_finish(call, NULL) == 0);
    }
}

static void served_on_half_close(void *user, struct grpc_call *call)
{
    struct served *s = user;
    if (s->stream) {
        CHECK(buf_len(&s->request) == sizeof(s->left));
        memcpy(&s->left, buf_head(&s->request), sizeof(s->left));
        stream_more(s, call);
        return;
    }
    CHECK(grpc_call_send(call, NULL, 0, &s->request) == 0);
    CHECK(grpc_call_finish(call, NULL) == 0);
}

static void served_on_drain(void *user, struct grpc_call *call)
{
    stream_more(user, call);
}

static void served_on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct served *s = user;
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
    struct served *s = calloc(1, sizeof(*s));
    CHECK(s);
    s->stream = strcmp(req->path, "/bench/Stream") == 0;
    grpc_call_bind(call, &served_events, s);
}

static void service_on_closed(void *user, struct transport *t, const struct err *why)
{
    ((struct service *)user)->t = NULL;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct service *service = listener->data;
    struct transport_events events = {.on_closed = service_on_closed};
    struct grpc_conn_events calls = {.on_call = service_on_call};
    CHECK(transport_accept(&service->loop, listener, NULL,
                           grpc_session_new(GRPC_SERVER, NULL, &calls, service), &events,
                           service, &service->t, NULL) == 0);
}

static void on_stop(uv_async_t *async)
{
    struct service *service = async->data;
    uv_close((uv_handle_t *)&service->listener, NULL);
    uv_close((uv_handle_t *)&service->stop, NULL);
    if (service->t)
        transport_close(service->t, NULL);
}

static void *service_thread(void *user)
{
    struct service *service = user;
    CHECK(uv_run(&service->loop, UV_RUN_DEFAULT) == 0);
    CHECK(uv_loop_close(&service->loop) == 0);
    return NULL;
}

static void service_begin(struct service *service, const char *path)
{
    CHECK(uv_loop_init(&service->loop) == 0);
    CHECK(uv_pipe_init(&service->loop, &service->listener, 0) == 0);
    CHECK(uv_async_init(&service->loop, &service->stop, on_stop) == 0);
    service->listener.data = service->stop.data = service;
    CHECK(uv_pipe_bind(&service->listener, path) == 0);
    CHECK(uv_listen((uv_stream_t *)&service->listener, 8, on_connection) == 0);
}

/* ---- the client ---- */

struct client {
    uv_loop_t loop;
    struct transport *t;
    bool open;
    size_t to_start, n_done, n_bytes;
    uint64_t *ret_ns; /* one for each call that is done */
};

struct asked {
    struct client *c;
    uint64_t begin_ns;
};

static void client_on_open(void *user, struct transport *t)
{
    ((struct client *)user)->open = true;
}

static void client_on_closed(void *user, struct transport *t, const struct err *why)
{
    ((struct client *)user)->t = NULL;
}

static void ask(struct client *c, struct asked *a);

static void asked_on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    ((struct asked *)user)->c->n_bytes += n;
}

static void asked_on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct asked *a = user;
    struct client *c = a->c;
    if (how->status->code)
        check_failed(err_text(how->status), __FILE__, __LINE__);
    c->ret_ns[c->n_done++] = clock_now_ns() - a->begin_ns;
    if (c->to_start > 0)
        ask(c, a);
}

static const struct grpc_call_events asked_events = {.on_message = asked_on_message,
                                                     .on_close = asked_on_close};

static void ask_for(struct asked *a, const char *path, const void *data, size_t n)
{
    struct grpc_start start = {
        .path = path, .authority = "localhost", .scheme = "http", .user_agent = "bench"};
    struct grpc_call *call;
    a->begin_ns = clock_now_ns();
    CHECK(grpc_call_start(transport_grpc(a->c->t), &start, &asked_events, a, &call) == 0);
    CHECK(grpc_call_send(call, data, n, NULL) == 0);
    CHECK(grpc_call_half_close(call) == 0);
}

static void ask(struct client *c, struct asked *a)
{
    static const uint8_t payload[PAYLOAD_BYTES];
    c->to_start--;
    ask_for(a, "/bench/Echo", payload, sizeof(payload));
}

static int compare_ns(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void bench_unary(struct client *c, size_t n, size_t parallel)
{
    struct asked asked[PARALLEL];
    CLEANUP_FREE uint64_t *ns = calloc(n, sizeof(*ns));
    CHECK(ns && parallel <= MIN(n, PARALLEL));
    c->to_start = n;
    c->n_done = 0;
    c->ret_ns = ns;
    uint64_t begin = clock_now_ns();
    for (size_t i = 0; i < parallel; i++) {
        asked[i] = (struct asked){.c = c};
        ask(c, &asked[i]);
    }
    while (c->n_done < n)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    double seconds = (double)(clock_now_ns() - begin) / NS_PER_SEC;
    qsort(ns, n, sizeof(*ns), compare_ns);
    printf("unary in_flight=%zu calls=%zu per_second=%.0f p50_us=%.1f p99_us=%.1f\n", parallel,
           n, (double)n / seconds, (double)ns[n / 2] / 1e3, (double)ns[n * 99 / 100] / 1e3);
}

static void bench_stream(struct client *c, uint64_t n_bytes)
{
    uint64_t ns;
    struct asked a = {.c = c};
    c->ret_ns = &ns;
    c->to_start = c->n_done = c->n_bytes = 0;
    ask_for(&a, "/bench/Stream", &n_bytes, sizeof(n_bytes));
    while (c->n_done == 0)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    CHECK(c->n_bytes == n_bytes);
    printf("stream bytes=%zu mib_per_second=%.0f\n", c->n_bytes,
           (double)n_bytes / (1 << 20) / ((double)ns / NS_PER_SEC));
}

static void client_open(struct client *c, const char *path)
{
    struct transport_events events = {.on_open = client_on_open, .on_closed = client_on_closed};
    struct grpc_conn_events no_calls = {0};
    struct address addr = {.kind = ADDRESS_UNIX, .path = (char *)path};
    CHECK(uv_loop_init(&c->loop) == 0);
    CHECK(transport_connect(&c->loop, &addr, NULL,
                            grpc_session_new(GRPC_CLIENT, NULL, &no_calls, c), &events, c,
                            &c->t, NULL) == 0);
    while (!c->open)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
}

int main(int argc, char **argv)
{
    uint64_t n_calls = 20000, mib = 512;
    char dir[] = "/tmp/cws-bench-XXXXXX", path[64];
    struct service service = {0};
    struct client client = {0};
    pthread_t thread;
    if ((argc > 1 && (parse_u64(argv[1], 10000000, &n_calls) < 0 || n_calls < PARALLEL)) ||
        (argc > 2 && parse_u64(argv[2], 1 << 20, &mib) < 0)) {
        (void)fprintf(stderr, "usage: bench-transport [calls >= %u] [MiB]\n", PARALLEL);
        return 2;
    }
    CHECK(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    service_begin(&service, path);
    CHECK(pthread_create(&thread, NULL, service_thread, &service) == 0);
    client_open(&client, path);
    bench_unary(&client, n_calls / 10 + PARALLEL,
                1); /* warm up; printed, for whoever wonders */
    bench_unary(&client, n_calls, 1);
    bench_unary(&client, n_calls, PARALLEL);
    if (mib > 0)
        bench_stream(&client, mib << 20);
    transport_close(client.t, NULL);
    (void)uv_run(&client.loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&client.loop) == 0);
    CHECK(uv_async_send(&service.stop) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    (void)rmdir(dir); /* libuv removed the socket */
    return 0;
}
