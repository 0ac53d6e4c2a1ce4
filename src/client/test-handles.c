/* Handles: waiting, signals, callbacks, descriptors, queues, cancelling, closing. The op under
 * test is a list call to a peer that answers when it is told to. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/op.h"
#include "client/testpeer.h"

#include <cmocka.h>

#define LONG (30 * NS_PER_SEC)

static struct peer peer;
static struct cws_client *client;
static cws_target *target;

/* A list call with a tag is left open; one without is answered. */
static void handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    struct err err = {0};
    Pb__ListSandboxesRequest *r =
        proto_unpack(&pb__list_sandboxes_request__descriptor, data, n, &err);
    bool hold = r->n_tags > 0;
    proto_free(r);
    Pb__ListSandboxesResponse reply = PB__LIST_SANDBOXES_RESPONSE__INIT;
    if (!hold)
        peer_reply(c, &reply);
}

static cws_op *quick(void)
{
    cws_op *op = cws_list(client, target, NULL, NULL);
    assert_non_null(op);
    return op;
}

static cws_op *never(void)
{
    const char *tag = "hold";
    cws_op *op = cws_list(client, target, &(cws_list_options){.tags = &tag, .n_tags = 1}, NULL);
    assert_non_null(op);
    return op;
}

static int begin(void **state)
{
    peer_begin(&peer, true, handler, NULL);
    client = cws_client_new(NULL);
    target = cws_target_new(peer.url, NULL, 0, NULL);
    return 0;
}

static int end(void **state)
{
    cws_target_unref(target);
    cws_client_unref(client);
    peer_end(&peer);
    return 0;
}

static void test_a_wait_ends_by_time_out_or_completion(void **state)
{
    cws_op *op = never();
    assert_int_equal(cws_op_wait(op, 0), CWS_WAIT_TIMEOUT);
    uint64_t before_ns = clock_now_ns();
    assert_int_equal(cws_op_wait(op, 20 * NS_PER_MS), CWS_WAIT_TIMEOUT);
    assert_true(clock_now_ns() - before_ns >= 20 * NS_PER_MS);
    assert_null(cws_op_error(op));
    assert_int_equal(cws_op_cancel(op), 1);
    assert_int_equal(cws_op_wait(op, 0), CWS_WAIT_DONE);
    assert_int_equal(cws_error_get_kind(cws_op_error(op)), CWS_E_CANCELLED);
    cws_op_unref(op);
    op = quick();
    assert_int_equal(cws_op_wait(op, CWS_FOREVER), CWS_WAIT_DONE);
    assert_int_equal(cws_op_cancel(op), 0);
    assert_null(cws_op_error(op));
    cws_op_unref(op);
}

static void on_signal(int signal)
{
    (void)signal;
}

static void *send_signal(void *arg)
{
    /* Only a thread that sleeps in the futex can be interrupted there; look until it does. */
    pthread_t *to = arg;
    (void)pthread_kill(*to, SIGUSR1);
    return NULL;
}

static void test_a_signal_handler_interrupts_a_wait(void **state)
{
    struct sigaction action = {.sa_handler = on_signal}, old; /* no SA_RESTART */
    (void)sigaction(SIGUSR1, &action, &old);
    cws_op *op = never();
    cws_wait_result result;
    do { /* the signal may come before the sleep; then this round times out */
        pthread_t self = pthread_self(), sender;
        assert_int_equal(pthread_create(&sender, NULL, send_signal, &self), 0);
        result = cws_op_wait(op, 100 * NS_PER_MS);
        (void)pthread_join(sender, NULL);
    } while (result == CWS_WAIT_TIMEOUT);
    assert_int_equal(result, CWS_WAIT_INTERRUPTED);
    assert_int_equal(cws_op_done(op), 0);
    (void)cws_op_cancel(op);
    cws_op_unref(op);
    (void)sigaction(SIGUSR1, &old, NULL);
}

static _Atomic int n_called;

static void on_done(cws_op *op, void *user)
{
    assert_int_equal(cws_op_done(op), 1);
    assert_ptr_equal(user, &n_called);
    atomic_fetch_add(&n_called, 1);
}

static void test_callbacks_run_once_each_also_when_late(void **state)
{
    atomic_store(&n_called, 0);
    cws_op *op = never();
    for (int i = 0; i < 3; i++)
        assert_int_equal(cws_op_on_done(op, on_done, &n_called, NULL), 0);
    assert_int_equal(atomic_load(&n_called), 0);
    (void)cws_op_cancel(op);
    assert_int_equal(atomic_load(&n_called), 3);
    assert_int_equal(cws_op_on_done(op, on_done, &n_called, NULL), 0);
    assert_int_equal(atomic_load(&n_called), 4);
    cws_op_unref(op);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void test_a_descriptor_becomes_readable(void **state)
{
    cws_op *op = quick();
    int fd = cws_op_fd(op, NULL);
    assert_true(fd >= 0);
    assert_int_equal(cws_op_fd(op, NULL), fd);
    assert_true(readable(fd, 30000));
    assert_int_equal(cws_op_done(op), 1);
    cws_op_unref(op);
    op = quick();
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    assert_true(readable(cws_op_fd(op, NULL), 0)); /* asked for late */
    cws_op_unref(op);
}

static void test_a_queue_delivers_each_tag_once_and_clears_its_descriptor(void **state)
{
    enum { N = 50 };
    cws_queue *q = cws_queue_new(NULL);
    cws_op *ops[N];
    static char tags[N];
    for (int i = 0; i < N; i++) {
        ops[i] = quick();
        assert_int_equal(cws_queue_add(q, ops[i], &tags[i], NULL), 0);
    }
    for (int left = N; left > 0;) {
        assert_true(readable(cws_queue_fd(q), 30000));
        char *tag;
        while ((tag = cws_queue_next(q))) {
            assert_int_equal(*tag, 0);
            *tag = 1;
            left--;
        }
    }
    assert_false(readable(cws_queue_fd(q), 0));
    assert_null(cws_queue_next(q));
    assert_int_equal(cws_queue_add(q, ops[0], &tags[0], NULL), 0); /* done already: at once */
    assert_true(readable(cws_queue_fd(q), 0));
    assert_ptr_equal(cws_queue_next(q), &tags[0]);
    assert_int_equal(cws_queue_add(q, ops[0], NULL, NULL), -1);
    cws_queue_free(q);
    for (int i = 0; i < N; i++)
        cws_op_unref(ops[i]);
}

static void test_freeing_a_queue_forgets_what_is_pending(void **state)
{
    for (int i = 0; i < 200; i++) {
        cws_queue *q = cws_queue_new(NULL);
        cws_op *slow = never(), *fast = quick();
        int tag = 1;
        assert_int_equal(cws_queue_add(q, slow, &tag, NULL), 0);
        assert_int_equal(cws_queue_add(q, fast, &tag, NULL), 0);
        assert_int_equal(cws_queue_add(q, fast, &tag, NULL), 0);
        cws_queue_free(q); /* races with the loop thread that completes `fast` */
        (void)cws_op_cancel(slow);
        assert_int_equal(cws_op_wait(fast, LONG), CWS_WAIT_DONE);
        cws_op_unref(slow);
        cws_op_unref(fast);
    }
}

static void test_waiting_for_some_of_many(void **state)
{
    cws_op *ops[4] = {never(), quick(), never(), quick()};
    unsigned char done[4];
    assert_int_equal(cws_wait(ops, 4, 2, LONG, done), CWS_WAIT_DONE);
    assert_int_equal(done[0] + done[2], 0);
    assert_int_equal(done[1] + done[3], 2);
    assert_int_equal(cws_wait(ops, 4, 0, 20 * NS_PER_MS, done), CWS_WAIT_TIMEOUT);
    assert_int_equal(cws_wait(ops, 0, 0, 0, done), CWS_WAIT_DONE);
    cws_op *twice[2] = {ops[0], ops[0]};
    (void)cws_op_cancel(ops[0]);
    assert_int_equal(cws_wait(twice, 2, 0, LONG, done), CWS_WAIT_DONE);
    (void)cws_op_cancel(ops[2]);
    for (int i = 0; i < 4; i++)
        cws_op_unref(ops[i]);
}

static void *many_lists(void *arg)
{
    for (int i = 0; i < 50; i++) {
        cws_op *op = quick();
        if (i % 5 == 0)
            (void)cws_op_cancel(op);
        assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
        cws_op_unref(op);
    }
    return arg;
}

static void test_many_threads_share_a_client(void **state)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_lists, NULL), 0);
    for (int i = 0; i < 8; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&peer.n_connections), 1);
}

static void test_closing_a_client_ends_what_is_open(void **state)
{
    struct cws_client *other = cws_client_new(NULL);
    const char *tag = "hold";
    cws_list_options held = {.tags = &tag, .n_tags = 1};
    cws_op *open = cws_list(other, target, &held, NULL);
    assert_int_equal(cws_op_wait(open, 20 * NS_PER_MS), CWS_WAIT_TIMEOUT);
    cws_op *fresh = cws_list(other, target, &held, NULL);
    cws_sandbox *sb = cws_sandbox_new(other, target, NULL, NULL);
    cws_op *start = cws_sandbox_start(sb, NULL);
    cws_client_unref(other);
    assert_int_equal(cws_error_get_kind(cws_op_error(open)), CWS_E_CLOSED);
    assert_int_equal(cws_error_get_kind(cws_op_error(fresh)), CWS_E_CLOSED);
    assert_int_equal(cws_error_get_kind(cws_op_error(start)), CWS_E_CLOSED);
    cws_error *e = NULL;
    assert_null(cws_sandbox_start(sb, &e)); /* refused at once */
    assert_int_equal(cws_error_get_kind(e), CWS_E_CLOSED);
    cws_error_free(e);
    cws_op_unref(open);
    cws_op_unref(fresh);
    cws_op_unref(start);
    cws_sandbox_unref(sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wait_ends_by_time_out_or_completion),
        cmocka_unit_test(test_a_signal_handler_interrupts_a_wait),
        cmocka_unit_test(test_callbacks_run_once_each_also_when_late),
        cmocka_unit_test(test_a_descriptor_becomes_readable),
        cmocka_unit_test(test_a_queue_delivers_each_tag_once_and_clears_its_descriptor),
        cmocka_unit_test(test_freeing_a_queue_forgets_what_is_pending),
        cmocka_unit_test(test_waiting_for_some_of_many),
        cmocka_unit_test(test_many_threads_share_a_client),
        cmocka_unit_test(test_closing_a_client_ends_what_is_open),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
