/*
 * When bytes leave: a client starts calls in each phase of the loop, and a bare socket at the
 * other end looks whether they came, without another event that could have woken the loop.
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

#include "transport/testpeer.h"

enum { N_CALLS = 3 };

/* One loop, a client on it, and the socket it talks to, which nobody reads but the test. */
struct probe {
    struct world w; /* its listener is not used */
    int listen_fd, fd;
    uv_timer_t timer;
    uv_idle_t idle;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_async_t async;
    struct reply replies[N_CALLS];
    bool fired;
};

static void probe_begin(struct probe *p)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    *p = (struct probe){0};
    world_begin(&p->w, WORLD_UNIX);
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/test.pem", p->w.dir);
    (void)snprintf(p->w.url, sizeof(p->w.url), "unix:%s", sa.sun_path);
    p->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(p->listen_fd, 1), 0);
    world_connect(&p->w);
    world_run_until(&p->w, &p->w.client.opened);
    p->fd = accept(p->listen_fd, NULL, NULL);
    assert_true(p->fd >= 0);
}

static size_t take_bytes(struct probe *p)
{
    char bytes[4096];
    ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    assert_true(n > 0 || errno == EAGAIN);
    return n > 0 ? (size_t)n : 0;
}

static void fire(struct probe *p)
{
    for (int i = 0; i < N_CALLS && !p->fired; i++)
        reply_start(&p->w, &p->replies[i], "/test/Echo", "x", 1);
    p->fired = true;
}

static void on_timer(uv_timer_t *h)
{
    fire(h->data);
}

static void on_idle(uv_idle_t *h)
{
    fire(h->data);
    (void)uv_idle_stop(h);
}

static void on_prepare(uv_prepare_t *h)
{
    fire(h->data);
    (void)uv_prepare_stop(h);
}

static void on_check(uv_check_t *h)
{
    fire(h->data);
    (void)uv_check_stop(h);
}

static void on_async(uv_async_t *h)
{
    fire(h->data);
}

static void on_timer_closed(uv_handle_t *h)
{
    fire(h->data);
}

/* The loop runs until bytes came. It would block for ever (and the watchdog fails the test) if
 * they waited for an event of their own, because none follows. */
static void expect_bytes_in_pass(struct probe *p, int last)
{
    bool arrived = false;
    size_t n = 0;
    for (int passes = 0; !arrived; passes++) {
        assert_in_range(passes, 0, last - 1);
        world_run_once(&p->w);
        n = take_bytes(p);
        arrived = n > 0;
    }
    /* All calls came at once */
    assert_in_range(n, N_CALLS * 40, sizeof(char[4096]));
    assert_int_equal(take_bytes(p), 0);
}

static void probe_end(struct probe *p, uv_handle_t *handle)
{
    if (handle && !uv_is_closing(handle))
        uv_close(handle, NULL);
    (void)close(p->fd);
    (void)close(p->listen_fd);
    world_end(&p->w);
    for (int i = 0; i < N_CALLS; i++) {
        assert_int_equal(p->replies[i].n_closes, 1);
        reply_done(&p->replies[i]);
    }
}

static void test_from_a_timer(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p); /* preface and SETTINGS */
    (void)uv_timer_init(&p.w.loop, &p.timer);
    p.timer.data = &p;
    (void)uv_timer_start(&p.timer, on_timer, 0, 0);
    expect_bytes_in_pass(&p, 1);
    probe_end(&p, (uv_handle_t *)&p.timer);
}

static void test_from_an_idle_callback(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p);
    (void)uv_idle_init(&p.w.loop, &p.idle);
    p.idle.data = &p;
    (void)uv_idle_start(&p.idle, on_idle);
    expect_bytes_in_pass(&p, 1);
    probe_end(&p, (uv_handle_t *)&p.idle);
}

static void test_from_a_prepare_callback(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p);
    (void)uv_prepare_init(&p.w.loop, &p.prepare);
    p.prepare.data = &p;
    (void)uv_prepare_start(&p.prepare, on_prepare);
    expect_bytes_in_pass(&p, 1);
    probe_end(&p, (uv_handle_t *)&p.prepare);
}

static void test_from_the_poll_phase(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p);
    assert_int_equal(uv_async_init(&p.w.loop, &p.async, on_async), 0);
    p.async.data = &p;
    assert_int_equal(uv_async_send(&p.async), 0);
    expect_bytes_in_pass(&p, 1);
    probe_end(&p, (uv_handle_t *)&p.async);
}

static void test_from_a_check_callback(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p);
    (void)uv_check_init(&p.w.loop, &p.check);
    p.check.data = &p;
    (void)uv_check_start(&p.check, on_check);
    assert_int_equal(uv_async_init(&p.w.loop, &p.async, NULL),
                     0); /* so that polling ends once */
    assert_int_equal(uv_async_send(&p.async), 0);
    expect_bytes_in_pass(&p, 2); /* our check callback may have had its turn already */
    uv_close((uv_handle_t *)&p.async, NULL);
    probe_end(&p, (uv_handle_t *)&p.check);
}

static void test_from_a_close_callback(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p);
    (void)uv_timer_init(&p.w.loop, &p.timer);
    p.timer.data = &p;
    uv_close((uv_handle_t *)&p.timer, on_timer_closed);
    expect_bytes_in_pass(&p, 2); /* closing is the last phase */
    probe_end(&p, NULL);
}

static void test_from_outside_the_loop(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p);
    fire(&p);
    expect_bytes_in_pass(&p, 1);
    probe_end(&p, NULL);
}

/* The loop must sleep again afterwards: an armed idle handle would make it spin. */
static void test_nothing_stays_armed(void **state)
{
    struct probe p;
    probe_begin(&p);
    (void)take_bytes(&p);
    fire(&p);
    expect_bytes_in_pass(&p, 1);
    assert_int_not_equal(uv_backend_timeout(&p.w.loop), 0);
    probe_end(&p, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_a_timer),
        cmocka_unit_test(test_from_an_idle_callback),
        cmocka_unit_test(test_from_a_prepare_callback),
        cmocka_unit_test(test_from_the_poll_phase),
        cmocka_unit_test(test_from_a_check_callback),
        cmocka_unit_test(test_from_a_close_callback),
        cmocka_unit_test(test_from_outside_the_loop),
        cmocka_unit_test(test_nothing_stays_armed),
    };
    return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
