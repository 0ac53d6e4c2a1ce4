/* Work for the next turn: once, in order, never inside the call that posts it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "loop/deferred.h"

struct job {
    struct deferred deferred;
    struct deferred_queue *queue;
    struct job *next;   /* posted by the callback */
    struct job *victim; /* cancelled by the callback */
    int n_runs, order;
};

static int n_run;

static void on_job(struct deferred *d)
{
    struct job *job = CONTAINER_OF(d, struct job, deferred);
    job->n_runs++;
    job->order = ++n_run;
    if (job->victim)
        deferred_cancel(&job->victim->deferred);
    if (job->next) {
        deferred_post(job->queue, &job->next->deferred);
        assert_int_equal(job->next->n_runs, 0);
    }
}

static uv_loop_t loop;
static struct deferred_queue queue;

static int setup(void **state)
{
    n_run = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    deferred_queue_init(&queue, &loop);
    return 0;
}

static int teardown(void **state)
{
    deferred_queue_close(&queue, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void job_init(struct job *job)
{
    *job = (struct job){.deferred.cb = on_job, .queue = &queue};
}

static void test_what_is_posted_runs_once_in_order_and_later(void **state)
{
    struct job jobs[3];
    for (int i = 0; i < 3; i++) {
        job_init(&jobs[i]);
        deferred_post(&queue, &jobs[i].deferred);
    }
    deferred_post(&queue, &jobs[0].deferred);
    assert_int_equal(n_run, 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].n_runs, 1);
        assert_int_equal(jobs[i].order, i + 1);
    }
}

static void test_what_a_callback_posts_belongs_to_the_next_turn(void **state)
{
    struct job first, second;
    job_init(&first);
    job_init(&second);
    first.next = &second;
    deferred_post(&queue, &first.deferred);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(first.n_runs, 1);
    assert_int_equal(second.n_runs, 0);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(second.n_runs, 1);
}

static void test_what_is_cancelled_does_not_run(void **state)
{
    struct job first, second, never;
    job_init(&first);
    job_init(&second);
    job_init(&never);
    first.victim = &second; /* of the same turn */
    deferred_cancel(&never.deferred);
    deferred_post(&queue, &first.deferred);
    deferred_post(&queue, &second.deferred);
    deferred_post(&queue, &never.deferred);
    deferred_cancel(&never.deferred);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(n_run, 1);
    assert_int_equal(first.n_runs, 1);
}

static void test_the_last_words_are_all_said(void **state)
{
    struct job first, second;
    job_init(&first);
    job_init(&second);
    first.next = &second;
    deferred_post(&queue, &first.deferred);
    deferred_queue_run(&queue);
    assert_int_equal(n_run, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_posted_runs_once_in_order_and_later, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_a_callback_posts_belongs_to_the_next_turn,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_cancelled_does_not_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_words_are_all_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
