/* TCP peers that are gone without a word, and those that are only quiet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/testpeer.h"
#include "transport/transport-internal.h"

static void expect_text(const struct err *err, const char *part)
{
    if (!strstr(err_text(err), part))
        fail_msg("got `%s`, expected `%s`", err_text(err), part);
}

/* A listener that nobody accepts from: the kernel answers for it, as a proxy does for a machine
 * that is gone. */
static int listen_only(char *url, size_t cap)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    (void)snprintf(url, cap, "http://127.0.0.1:%u", ntohs(sa.sin_port));
    return fd;
}

static void test_a_quiet_call_of_a_gone_peer_ends(void **state)
{
    struct world w;
    world_begin(&w, WORLD_TCP);
    int fd = listen_only(w.url, sizeof(w.url));
    world_connect(&w);
    world_run_until(&w, &w.client.opened);
    transport_keepalive(w.client.t, 20, 30);
    CLEANUP(reply_done) struct reply r = {0};
    reply_start(&w, &r, "/test/Echo", "x", 1);
    world_run_until(&w, &w.client.closed);
    expect_text(&w.client.why, "127.0.0.1");
    expect_text(&w.client.why, "no answer to a PING");
    assert_true(r.closed);
    assert_int_equal(r.status.code, ERR_UNAVAILABLE);
    (void)close(fd);
    world_end(&w);
}

static void on_enough(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void test_a_quiet_call_of_a_living_peer_stays(void **state)
{
    struct world w;
    world_begin(&w, WORLD_TCP);
    w.hold = true;
    world_open(&w);
    transport_keepalive(w.client.t, 2, 500);
    transport_keepalive(w.server.t, 2, 500);
    CLEANUP(reply_done) struct reply r = {0};
    reply_start(&w, &r, "/test/Echo", "x", 1);
    bool enough = false;
    uv_timer_t timer;
    (void)uv_timer_init(&w.loop, &timer);
    timer.data = &enough;
    (void)uv_timer_start(&timer, on_enough, 100, 0);
    world_run_until(&w, &enough);
    uv_close((uv_handle_t *)&timer, NULL);
    assert_false(w.client.closed);
    assert_false(w.server.closed);
    assert_false(r.closed);
    world_end(&w);
}

static void test_the_kernel_watches_data_on_its_way(void **state)
{
    struct world w;
    world_begin(&w, WORLD_TCP);
    world_open(&w);
    struct transport *ends[] = {w.client.t, w.server.t};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        uv_os_fd_t fd;
        int value = 0;
        socklen_t len = sizeof(value);
        assert_int_equal(uv_fileno(&ends[i]->stream.handle, &fd), 0);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &len), 0);
        assert_int_equal(value, TRANSPORT_UNANSWERED_MS);
    }
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_quiet_call_of_a_gone_peer_ends),
        cmocka_unit_test(test_a_quiet_call_of_a_living_peer_stays),
        cmocka_unit_test(test_the_kernel_watches_data_on_its_way),
    };
    return cmocka_run_group_tests_name("keepalive", tests, NULL, NULL);
}
