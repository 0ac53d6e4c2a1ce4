/*
 * Fails the k-th allocation of a whole exchange, for every k until none is left to fail:
 * nothing may crash, leak (run under ASan) or report an end twice. The linker redirects the
 * allocation functions of our own code; nghttp2 and protobuf-c allocate through functions of
 * ours, so theirs fail too.
 */
#include "wire/proto.h"
#include "wire/status.h"
#include "wire/test-pair.h"

/* -Wl,--wrap=malloc etc. turn our calls into these. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
int __real_vasprintf(char **ret, const char *fmt, va_list ap);
int __real_asprintf(char **ret, const char *fmt, ...);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap);
int __wrap_asprintf(char **ret, const char *fmt, ...);

static size_t g_countdown; /* 0: nothing fails */
static bool g_failed;

static bool fails(void)
{
    if (g_countdown == 0 || --g_countdown > 0)
        return false;
    g_failed = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return fails() ? NULL : __real_strndup(s, n);
}

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
    return fails() ? -1 : __real_vasprintf(ret, fmt, ap);
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
    if (fails())
        return -1;
    va_list ap;
    va_start(ap, fmt);
    int r = __real_vasprintf(ret, fmt, ap);
    va_end(ap);
    return r;
}

/* ---- one exchange that tolerates every failure ---- */

struct side {
    struct grpc_conn *conn;
    unsigned n_open;
    bool ok;
};

static void on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct side *s = user;
    CLEANUP_ERR struct err e = {0};
    CLEANUP_PROTO Pb__GetSandboxRequest *m =
        proto_unpack(&pb__get_sandbox_request__descriptor, data, n, &e);
    s->ok = m != NULL;
}

static void on_half_close(void *user, struct grpc_call *call)
{
    CLEANUP_ERR struct err e = {0};
    struct buf body = {0};
    if (buf_reserve(&body, 5000) == 0) {
        memset(buf_tail(&body), 0, 5000);
        buf_commit(&body, 5000);
    }
    (void)grpc_call_send(call, "\x0a", 1, &body); /* a failure shows as a shorter answer */
    (void)err_set_reason(&e, ERR_NOT_FOUND, "CWSANDBOX_X", "gone");
    err_add_metadata(&e, "k", "v");
    err_add_violation(&e, "f", "v");
    (void)grpc_call_finish(call, &e);
}

static void on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct side *s = user;
    assert_true(s->n_open > 0);
    s->n_open--;
}

static const struct grpc_call_events call_events = {
    .on_message = on_message, .on_half_close = on_half_close, .on_close = on_close};

static void on_call(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    struct side *s = user;
    s->n_open++;
    grpc_call_bind(call, &call_events, s);
}

static bool pump_one(struct side *from, struct side *to)
{
    struct iovec iov[4];
    int n = grpc_conn_pull(from->conn, iov, 4);
    size_t sent = 0;
    for (int i = 0; i < n; i++) {
        (void)grpc_conn_recv(to->conn, iov[i].iov_base,
                             iov[i].iov_len); /* an error ends the pumping by itself */
        sent += iov[i].iov_len;
    }
    grpc_conn_pulled(from->conn, sent);
    return n > 0;
}

static void exchange(void)
{
    const struct grpc_conn_events events = {.on_call = on_call};
    struct side client = {0}, server = {0};
    client.conn = grpc_conn_new(GRPC_CLIENT, NULL, &events, &client);
    server.conn = grpc_conn_new(GRPC_SERVER, NULL, &events, &server);
    if (client.conn && server.conn) {
        const struct grpc_header h = {"x-test", "v"};
        const struct grpc_start start = {
            .path = "/s/M", .headers = &h, .n_headers = 1, .timeout_ns = 1000};
        for (int i = 0; i < 2; i++) {
            struct grpc_call *call = NULL;
            if (grpc_call_start(client.conn, &start, &call_events, &client, &call) < 0)
                continue;
            client.n_open++;
            if (i == 1)
                grpc_call_pause(call);
            (void)grpc_call_send(call, "\x0a\3abc", 5, NULL);
            if (grpc_call_half_close(call) < 0)
                grpc_call_cancel(call, ERR_INTERNAL, "out of memory");
            while (pump_one(&client, &server) | pump_one(&server, &client))
                ;
        }
    }
    grpc_conn_free(client.conn, NULL);
    grpc_conn_free(server.conn, NULL);
    assert_int_equal(client.n_open, 0);
    assert_int_equal(server.n_open, 0);
}

static void test_an_exchange_survives_every_failed_allocation(void **state)
{
    size_t k = 1;
    for (;; k++) {
        g_countdown = k;
        g_failed = false;
        exchange();
        g_countdown = 0;
        if (!g_failed)
            break;
    }
    assert_true(k > 100); /* the hooks do work */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_exchange_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
