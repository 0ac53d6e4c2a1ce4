/* The heap of deadlines: order, removal from anywhere, and freeing inside a callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "loop/timers.h"

#define N 500

struct item {
    struct timer timer;
    struct timers *timers;
    uint64_t when_ns;
    bool fired;
};

static uint64_t last_fired_ns;

static void on_item(struct timer *t)
{
    struct item *item = CONTAINER_OF(t, struct item, timer);
    assert_false(item->fired);
    assert_true(item->when_ns >= last_fired_ns);
    last_fired_ns = item->when_ns;
    item->fired = true;
}

/* xorshift: the same sequence each run. */
static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void test_timers_fire_in_order_and_removed_ones_do_not(void **state)
{
    uv_loop_t loop;
    struct timers timers;
    static struct item items[N];
    uint32_t seed = 2463534242u;
    uint64_t base_ns = clock_now_ns() - NS_PER_SEC; /* all due: the test waits for nothing */
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(timers_init(&timers, &loop), 0);
    last_fired_ns = 0;
    for (size_t i = 0; i < N; i++) {
        items[i].when_ns = base_ns + next_random(&seed) % 1000;
        timer_start(&timers, &items[i].timer, items[i].when_ns, on_item);
    }
    for (size_t i = 0; i < N; i += 3)
        timer_stop(&timers, &items[i].timer);
    for (size_t i = 1; i < N; i += 3) { /* set again: replaces the earlier time */
        items[i].when_ns = base_ns + next_random(&seed) % 1000;
        timer_start(&timers, &items[i].timer, items[i].when_ns, on_item);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* ends when no timer is left */
    for (size_t i = 0; i < N; i++)
        assert_int_equal(items[i].fired, i % 3 != 0);
    timers_close(&timers, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void on_free(struct timer *t)
{
    last_fired_ns++;
    free(CONTAINER_OF(t, struct item, timer));
}

static void on_set_another(struct timer *t)
{
    struct item *item = CONTAINER_OF(t, struct item, timer);
    struct item *other = calloc(1, sizeof(*other));
    assert_non_null(other);
    timer_start(item->timers, &other->timer, clock_now_ns() + NS_PER_MS, on_free);
    free(item);
}

static void test_callbacks_may_free_and_set_timers(void **state)
{
    uv_loop_t loop;
    struct timers timers;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(timers_init(&timers, &loop), 0);
    last_fired_ns = 0;
    for (size_t i = 0; i < 10; i++) {
        struct item *item = calloc(1, sizeof(*item));
        assert_non_null(item);
        item->timers = &timers;
        timer_start(&timers, &item->timer, 1, on_set_another);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(last_fired_ns, 10);
    timers_close(&timers, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

struct alarm {
    struct timer timer;
    unsigned order, *next;
};

static void on_alarm(struct timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
    a->order = ++*a->next;
}

static void test_timers_that_are_not_due_yet_fire_in_order_later(void **state)
{
    static struct alarm alarms[N];
    unsigned fired = 0;
    uv_loop_t loop;
    struct timers ts;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(timers_init(&ts, &loop), 0);
    uint64_t base_ns = clock_now_ns();
    uint32_t seed = 1;
    for (int i = 0; i < N; i++) {
        alarms[i].next = &fired;
        timer_start(&ts, &alarms[i].timer, base_ns + next_random(&seed) % (5 * NS_PER_MS),
                    on_alarm);
    }
    for (int i = 0; i < N; i += 3)
        timer_stop(&ts, &alarms[i].timer);
    for (int i = 1; i < N; i += 6) /* moved to the end */
        timer_start(&ts, &alarms[i].timer, base_ns + 6 * NS_PER_MS + (uint64_t)i, on_alarm);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_null(ts.root);
    for (int i = 0; i < N; i++) {
        assert_int_equal(alarms[i].order != 0, i % 3 != 0);
        for (int k = 0; k < N; k++)
            if (alarms[i].order && alarms[k].order &&
                alarms[i].timer.deadline_ns < alarms[k].timer.deadline_ns)
                assert_true(alarms[i].order < alarms[k].order);
    }
    timers_close(&ts, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_nothing_fires_after_the_close(void **state)
{
    struct alarm alarms[3] = {0};
    unsigned fired = 0;
    uv_loop_t loop;
    struct timers ts;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(timers_init(&ts, &loop), 0);
    for (int i = 0; i < 3; i++) {
        alarms[i].next = &fired;
        timer_start(&ts, &alarms[i].timer, 1, on_alarm);
    }
    timers_close(&ts, NULL);
    for (int i = 0; i < 3; i++)
        assert_false(timer_armed(&alarms[i].timer));
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fired, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_fire_in_order_and_removed_ones_do_not),
        cmocka_unit_test(test_callbacks_may_free_and_set_timers),
        cmocka_unit_test(test_timers_that_are_not_due_yet_fire_in_order_later),
        cmocka_unit_test(test_nothing_fires_after_the_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
