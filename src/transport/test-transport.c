/*
 * A real service and a real client, over every kind of stream, in one loop (testpeer.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"
#include "transport/testcert.h"
#include "transport/testpeer.h"

static void expect_text(const struct err *err, const char *part)
{
    if (!strstr(err_text(err), part))
        fail_msg("got `%s`, expected `%s`", err_text(err), part);
}

static void echo(struct world *w, const void *data, size_t n)
{
    CLEANUP(reply_done) struct reply r = {0};
    reply_start(w, &r, "/test/Echo", data, n);
    world_run_until(w, &r.closed);
    if (r.status.code)
        fail_msg("echo: %s", err_text(&r.status));
    assert_int_equal(buf_len(&r.data), n);
    assert_memory_equal(buf_head(&r.data), data, n);
}

static void check_echo(enum world_kind kind)
{
    CLEANUP_FREE uint8_t *big = malloc(1 << 20);
    struct world w;
    random_bytes(big, 1 << 20);
    world_begin(&w, kind);
    world_open(&w);
    echo(&w, "hello", 5);
    echo(&w, "", 0);
    echo(&w, big, 1 << 20);
    assert_true(w.client.ready);
    assert_int_equal(w.client.n_open, 1);
    assert_int_equal(w.server.n_open, 1);
    world_end(&w);
    assert_int_equal(w.client.n_closed, 1);
    assert_int_equal(w.server.n_closed, 1);
}

static void test_echo_over_unix(void **state)
{
    check_echo(WORLD_UNIX);
}

static void test_echo_over_tcp(void **state)
{
    check_echo(WORLD_TCP);
}

static void test_echo_over_tls(void **state)
{
    check_echo(WORLD_TLS);
}

static void test_calls_may_start_before_the_connection(void **state)
{
    for (int kind = WORLD_UNIX; kind <= WORLD_TLS; kind++) {
        struct world w;
        world_begin(&w, (enum world_kind)kind);
        world_connect(&w);
        echo(&w, "early", 5);
        world_end(&w);
    }
}

static void test_a_name_is_looked_up(void **state)
{
    struct world w;
    world_begin(&w, WORLD_TCP);
    char *port = strrchr(w.url, ':') + 1;
    char url[64];
    (void)snprintf(url, sizeof(url), "http://localhost:%s", port);
    (void)strcpy(w.url, url); /* ::1, if localhost has it, refuses: the next address is tried */
    world_open(&w);
    echo(&w, "x", 1);
    world_end(&w);
}

static void test_peers_are_identified(void **state)
{
    struct world w;
    world_begin(&w, WORLD_UNIX);
    world_open(&w);
    const struct transport_peer *peer = transport_peer(w.server.t);
    assert_true(peer->is_unix);
    assert_int_equal(peer->uid, getuid());
    assert_int_equal(peer->gid, getgid());
    assert_int_equal(peer->pid, getpid());
    assert_non_null(strstr(peer->text, "unix uid="));
    world_end(&w);

    world_begin(&w, WORLD_TCP);
    world_open(&w);
    peer = transport_peer(w.server.t);
    assert_false(peer->is_unix);
    assert_int_equal(strncmp(peer->text, "127.0.0.1:", 10), 0);
    world_end(&w);
}

static void check_hundred_streams(enum world_kind kind)
{
    enum { N = 100 };
    static struct reply replies[N];
    struct world w;
    char text[N][16];
    world_begin(&w, kind);
    world_connect(&w);
    for (int i = 0; i < N; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "call %d", i);
        reply_start(&w, &replies[i], "/test/Echo", text[i], strlen(text[i]));
    }
    for (int i = 0; i < N; i++) {
        world_run_until(&w, &replies[i].closed);
        assert_int_equal(replies[i].status.code, ERR_OK);
        assert_int_equal(replies[i].n_bytes, strlen(text[i]));
        assert_memory_equal(buf_head(&replies[i].data), text[i], strlen(text[i]));
        reply_done(&replies[i]);
    }
    world_end(&w);
}

static void test_hundred_concurrent_streams(void **state)
{
    check_hundred_streams(WORLD_UNIX);
    check_hundred_streams(WORLD_TLS);
}

/* Runs until the world does nothing for a while; a loop pass without progress on loopback means
 * that nothing can come. */
static void run_until_quiet(struct world *w, const struct reply *r)
{
    size_t before;
    do {
        before = r->n_bytes + grpc_call_queued(w->flood);
        for (int i = 0; i < 200; i++)
            (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    } while (before != r->n_bytes + grpc_call_queued(w->flood));
}

static void check_flood(enum world_kind kind, size_t n_bytes)
{
    struct world w;
    CLEANUP(reply_done) struct reply r = {.discard = true, .pause_at_first = true};
    world_begin(&w, kind);
    w.flood_bytes = n_bytes;
    world_open(&w);
    reply_start(&w, &r, "/test/Flood", "", 0);
    world_run_until(&w, &r.got_message);
    run_until_quiet(&w, &r);
    /* Window, queue and nothing else: the service noticed that nobody reads */
    assert_in_range(r.n_bytes, FLOOD_CHUNK_BYTES, 2 << 20);
    assert_in_range(grpc_call_queued(w.flood), 1, GRPC_HIGH_WATER + 2 * FLOOD_CHUNK_BYTES);
    echo(&w, "others are not held up", 22);
    grpc_call_resume(r.call);
    world_run_until(&w, &r.closed);
    assert_int_equal(r.status.code, ERR_OK);
    assert_int_equal(r.n_bytes, n_bytes);
    assert_in_range(w.flood_max_queued, 1, GRPC_HIGH_WATER + 2 * FLOOD_CHUNK_BYTES);
    world_end(&w);
}

static void test_a_paused_reader_bounds_the_writer(void **state)
{
    check_flood(WORLD_UNIX, 64u << 20);
    check_flood(WORLD_TCP, 16u << 20);
    check_flood(WORLD_TLS, 16u << 20);
}

static void test_big_messages_both_ways_at_once(void **state)
{
    enum { N = 4, SIZE = 8 << 20 };
    for (int kind = WORLD_UNIX; kind <= WORLD_TLS; kind++) {
        struct reply replies[N] = {0};
        CLEANUP_FREE uint8_t *data = malloc(SIZE);
        struct world w;
        random_bytes(data, SIZE);
        world_begin(&w, (enum world_kind)kind);
        world_connect(&w);
        for (int i = 0; i < N; i++)
            reply_start(&w, &replies[i], "/test/Echo", data, SIZE);
        for (int i = 0; i < N; i++) {
            world_run_until(&w, &replies[i].closed);
            assert_int_equal(replies[i].status.code, ERR_OK);
            assert_int_equal(buf_len(&replies[i].data), SIZE);
            assert_memory_equal(buf_head(&replies[i].data), data, SIZE);
            reply_done(&replies[i]);
        }
        world_end(&w);
    }
}

static void test_cancel_while_its_bytes_are_in_flight(void **state)
{
    struct world w;
    CLEANUP(reply_done) struct reply r = {.discard = true};
    CLEANUP_FREE uint8_t *data = calloc(1, 8 << 20);
    world_begin(&w, WORLD_UNIX);
    world_open(&w);
    reply_start(&w, &r, "/test/Echo", data, 8 << 20);
    (void)uv_run(&w.loop, UV_RUN_NOWAIT); /* the socket is full now */
    grpc_call_cancel(r.call, ERR_CANCELLED, "enough");
    world_run_until(&w, &r.closed);
    assert_int_equal(r.status.code, ERR_CANCELLED);
    echo(&w, "the connection lives on", 23);
    world_end(&w);
}

static void check_lost(struct world *w, struct side *dies, struct side *stays)
{
    CLEANUP(reply_done) struct reply r = {0};
    w->hold = true;
    world_open(w);
    reply_start(w, &r, "/test/Echo", "x", 1);
    while (w->n_server_calls == 0)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    transport_close(dies->t, "it is dead");
    assert_int_equal(r.n_closes + dies->n_closed, 0); /* closing is asynchronous */
    world_run_until(w, &stays->closed);
    world_run_until(w, &dies->closed);
    assert_int_equal(r.n_closes, 1);
    assert_int_equal(r.status.code, ERR_UNAVAILABLE);
    assert_int_equal(w->n_server_calls, 0);
    assert_int_equal(dies->why.code, ERR_UNAVAILABLE);
    assert_string_equal(err_text(&dies->why), "it is dead");
    assert_int_equal(stays->why.code, ERR_UNAVAILABLE);
    if (dies == &w->client)
        expect_text(&r.status, "it is dead");
}

static void test_a_vanished_peer_ends_the_calls(void **state)
{
    for (int kind = WORLD_UNIX; kind <= WORLD_TLS; kind++) {
        struct world w;
        world_begin(&w, (enum world_kind)kind);
        check_lost(&w, &w.server, &w.client);
        world_end(&w);
        world_begin(&w, (enum world_kind)kind);
        check_lost(&w, &w.client, &w.server);
        world_end(&w);
    }
}

static void test_a_peer_that_vanishes_while_we_write_is_no_signal(void **state)
{
    struct world w;
    CLEANUP(reply_done) struct reply r = {.discard = true};
    world_begin(&w, WORLD_UNIX);
    w.flood_bytes = 64u << 20;
    world_open(&w);
    reply_start(&w, &r, "/test/Flood", "", 0);
    world_run_until(&w, &r.got_message);
    transport_close(w.client.t, NULL);
    world_run_until(&w, &w.server.closed);
    assert_int_equal(w.server.why.code, ERR_UNAVAILABLE);
    world_end(&w);
}

static void expect_connect_error(struct world *w, const char *url, const char *address,
                                 const char *reason)
{
    CLEANUP(reply_done) struct reply r = {0};
    (void)snprintf(w->url, sizeof(w->url), "%s", url);
    world_connect(w);
    reply_start(w, &r, "/test/Echo", "x", 1);
    world_run_until(w, &w->client.closed);
    assert_int_equal(w->client.n_open, 0);
    assert_int_equal(w->client.why.code, ERR_UNAVAILABLE);
    expect_text(&w->client.why, address);
    expect_text(&w->client.why, reason);
    assert_int_equal(r.n_closes, 1);
    assert_int_equal(r.status.code, ERR_UNAVAILABLE);
    expect_text(&r.status, reason);
}

static void test_connect_errors_name_address_and_reason(void **state)
{
    struct world w;
    world_begin(&w, WORLD_TCP);
    char url[128];
    (void)strcpy(url, w.url);
    world_stop_listening(&w);
    expect_connect_error(&w, url, url, strerror(ECONNREFUSED));
    assert_int_equal(w.client.why.sys_errno, ECONNREFUSED);
    expect_connect_error(&w, "unix:///nonexistent/s", "unix:/nonexistent/s", strerror(ENOENT));
    assert_int_equal(w.client.why.sys_errno, ENOENT);
    expect_connect_error(&w, "http://[::1]:1", "[::1]:1", "");
    world_end(&w);
}

static void test_a_socket_file_nobody_listens_on_is_refused(void **state)
{
    struct world w;
    char url[128];
    world_begin(&w, WORLD_UNIX);
    (void)strcpy(url, w.url);
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/test.pem",
                   w.dir); /* world_end removes it */
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    (void)snprintf(url, sizeof(url), "unix://%s", sa.sun_path);
    expect_connect_error(&w, url, sa.sun_path, strerror(ECONNREFUSED));
    world_end(&w);
}

static void test_tls_needs_a_configuration(void **state)
{
    struct world w;
    CLEANUP(address_done) struct address addr = {0};
    CLEANUP_ERR struct err err = {0};
    struct transport *t = NULL;
    struct transport_events events = {0};
    struct grpc_conn_events no_events = {0};
    world_begin(&w, WORLD_UNIX);
    assert_int_equal(address_parse("https://h", &addr, &err), 0);
    assert_int_equal(transport_connect(&w.loop, &addr, NULL,
                                       grpc_session_new(GRPC_CLIENT, NULL, &no_events, NULL),
                                       &events, NULL, &t, &err),
                     -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_null(t);
    world_end(&w);
}

static void check_close_at(enum world_kind kind, const char *url, int passes)
{
    struct world w;
    CLEANUP(reply_done) struct reply r = {0};
    world_begin(&w, kind);
    if (url)
        (void)strcpy(w.url, url);
    world_connect(&w);
    reply_start(&w, &r, "/test/Echo", "x", 1);
    for (int i = 0; i < passes; i++)
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    if (w.client.t)
        transport_close(w.client.t, "changed my mind");
    if (w.client.t)
        transport_close(w.client.t, "twice is harmless");
    world_run_until(&w, &w.client.closed);
    assert_int_equal(w.client.n_closed, 1);
    assert_int_equal(r.n_closes, 1);
    world_end(&w);
}

static void test_close_while_connecting(void **state)
{
    for (int passes = 0; passes < 8; passes++) {
        check_close_at(WORLD_UNIX, NULL, passes);
        check_close_at(WORLD_TCP, NULL, passes);
        check_close_at(WORLD_TLS, NULL, passes);
        check_close_at(WORLD_TCP, "http://localhost:1",
                       passes); /* name lookup on the thread pool */
        check_close_at(WORLD_TCP, "http://127.0.0.1:1", passes);
        check_close_at(WORLD_UNIX, "unix:///nonexistent/s", passes);
    }
}

static void check_graceful(enum world_kind kind, bool by_server)
{
    struct world w;
    CLEANUP(reply_done) struct reply r = {.discard = true};
    world_begin(&w, kind);
    w.flood_bytes = 4u << 20;
    world_open(&w);
    reply_start(&w, &r, "/test/Flood", "", 0);
    world_run_until(&w, &r.got_message);
    transport_shutdown(by_server ? w.server.t : w.client.t);
    world_run_until(&w, &r.closed);
    assert_int_equal(r.status.code, ERR_OK); /* the open call was finished */
    assert_int_equal(r.n_bytes, w.flood_bytes);
    world_run_until(&w, &w.client.closed);
    world_run_until(&w, &w.server.closed);
    assert_true(by_server ? w.client.goaway : true);
    assert_int_equal(w.client.why.code, ERR_OK);
    assert_int_equal(w.server.why.code, ERR_OK);
    world_end(&w);
}

static void test_graceful_shutdown_finishes_open_calls(void **state)
{
    uint64_t begin = clock_now_ns();
    for (int kind = WORLD_UNIX; kind <= WORLD_TLS; kind++) {
        check_graceful((enum world_kind)kind, true);
        check_graceful((enum world_kind)kind, false);
    }
    assert_in_range(clock_now_ns() - begin, 0,
                    900 * NS_PER_MS); /* nobody waited for the linger time */
}

static void test_idle_shutdown_is_prompt_and_orderly(void **state)
{
    for (int kind = WORLD_UNIX; kind <= WORLD_TLS; kind++) {
        struct world w;
        world_begin(&w, (enum world_kind)kind);
        world_open(&w);
        transport_shutdown(w.client.t);
        world_run_until(&w, &w.client.closed);
        world_run_until(&w, &w.server.closed);
        assert_int_equal(w.client.why.code, ERR_OK);
        assert_int_equal(w.server.why.code, ERR_OK);
        world_end(&w);
    }
}

static void test_shutdown_before_connected_closes(void **state)
{
    struct world w;
    world_begin(&w, WORLD_TCP);
    world_connect(&w);
    transport_shutdown(w.client.t);
    world_run_until(&w, &w.client.closed);
    assert_int_equal(w.client.why.code, ERR_OK);
    world_end(&w);
}

/* A raw socket to the service of @w: what a stranger can do. */
static int raw_connect(struct world *w)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", w->dir);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    world_run_until(w, &w->server.opened);
    return fd;
}

static void test_garbage_closes_with_a_reason(void **state)
{
    struct world w;
    world_begin(&w, WORLD_UNIX);
    CLEANUP_FD int fd = raw_connect(&w);
    assert_int_equal(fd_write_all(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 0);
    world_run_until(&w, &w.server.closed);
    assert_int_equal(w.server.why.code, ERR_UNAVAILABLE);
    expect_text(&w.server.why, "not valid HTTP/2");
    world_end(&w);
}

static void test_half_closed_peer_ends_the_connection(void **state)
{
    struct world w;
    world_begin(&w, WORLD_UNIX);
    CLEANUP_FD int fd = raw_connect(&w);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    world_run_until(&w, &w.server.closed);
    assert_int_equal(w.server.why.code, ERR_OK); /* nobody waited for anything */
    world_end(&w);
}

static void test_a_peer_that_ignores_the_shutdown_is_left(void **state)
{
    struct world w;
    world_begin(&w, WORLD_UNIX);
    CLEANUP_FD int fd = raw_connect(&w);
    transport_shutdown(w.server.t);
    world_run_until(&w, &w.server.closed);
    assert_int_equal(w.server.why.code, ERR_OK);
    world_end(&w);
}

static void test_a_peer_that_says_goodbye_but_never_closes_is_left(void **state)
{
    /* RFC 9113 3.4 preface, empty SETTINGS, GOAWAY(0, NO_ERROR) */
    static const char bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0"
                                "\0\0\10\7\0\0\0\0\0\0\0\0\0\0\0\0\0";
    char got[512];
    struct world w;
    world_begin(&w, WORLD_UNIX);
    CLEANUP_FD int fd = raw_connect(&w);
    assert_int_equal(fd_write_all(fd, bytes, sizeof(bytes) - 1), 0);
    world_run_until(&w, &w.server.goaway);
    ssize_t n;
    while ((n = recv(fd, got, sizeof(got), MSG_DONTWAIT)) !=
           0) { /* until the end of its stream */
        assert_true(n > 0 || errno == EAGAIN);
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    }
    assert_false(w.server.closed);
    world_run_until(&w, &w.server.closed);
    assert_int_equal(w.server.why.code, ERR_OK);
    world_end(&w);
}

static void test_tls_failures_close_with_a_reason(void **state)
{
    struct world w;
    char path[96];
    struct err err = {0};
    world_begin(&w, WORLD_TLS);
    tls_config_unref(w.client_tls);
    testcert_make(w.dir, "test", "DNS:elsewhere"); /* another CA than the service has loaded */
    (void)snprintf(path, sizeof(path), "%s/test-ca.pem", w.dir);
    w.client_tls = tls_client_new(path, &err);
    world_connect(&w);
    world_run_until(&w, &w.client.closed);
    world_run_until(&w, &w.server.closed);
    expect_text(&w.client.why, "certificate verify failed");
    expect_text(&w.client.why, w.url);
    expect_text(&w.server.why, "alert");
    assert_int_equal(w.client.n_open + w.server.n_open, 0);
    world_end(&w);
}

static void test_plain_client_of_a_tls_service_is_refused(void **state)
{
    struct world w;
    world_begin(&w, WORLD_TLS);
    memmove(w.url + 4, w.url + 5, strlen(w.url + 5) + 1); /* http:// */
    world_connect(&w);
    world_run_until(&w, &w.server.closed);
    expect_text(&w.server.why, "TLS handshake");
    world_run_until(&w, &w.client.closed);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_over_unix),
        cmocka_unit_test(test_echo_over_tcp),
        cmocka_unit_test(test_echo_over_tls),
        cmocka_unit_test(test_calls_may_start_before_the_connection),
        cmocka_unit_test(test_a_name_is_looked_up),
        cmocka_unit_test(test_peers_are_identified),
        cmocka_unit_test(test_hundred_concurrent_streams),
        cmocka_unit_test(test_a_paused_reader_bounds_the_writer),
        cmocka_unit_test(test_big_messages_both_ways_at_once),
        cmocka_unit_test(test_cancel_while_its_bytes_are_in_flight),
        cmocka_unit_test(test_a_vanished_peer_ends_the_calls),
        cmocka_unit_test(test_a_peer_that_vanishes_while_we_write_is_no_signal),
        cmocka_unit_test(test_connect_errors_name_address_and_reason),
        cmocka_unit_test(test_a_socket_file_nobody_listens_on_is_refused),
        cmocka_unit_test(test_tls_needs_a_configuration),
        cmocka_unit_test(test_close_while_connecting),
        cmocka_unit_test(test_graceful_shutdown_finishes_open_calls),
        cmocka_unit_test(test_idle_shutdown_is_prompt_and_orderly),
        cmocka_unit_test(test_shutdown_before_connected_closes),
        cmocka_unit_test(test_garbage_closes_with_a_reason),
        cmocka_unit_test(test_half_closed_peer_ends_the_connection),
        cmocka_unit_test(test_a_peer_that_ignores_the_shutdown_is_left),
        cmocka_unit_test(test_a_peer_that_says_goodbye_but_never_closes_is_left),
        cmocka_unit_test(test_tls_failures_close_with_a_reason),
        cmocka_unit_test(test_plain_client_of_a_tls_service_is_refused),
    };
    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
