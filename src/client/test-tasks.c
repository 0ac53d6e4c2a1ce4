/* What crosses to the loop thread and back: tasks that are posted once, readers whose fullness is
 * a state. Both were wrong together once: a message of many short lines made a reader post its
 * task again while it was queued, which tied the loop's list to itself. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include "base/util.h"
#include "client/reader.h"
#include "client/testpeer.h"

#include <cmocka.h>

#define LONG (30 * NS_PER_SEC)

/* Keeps the loop thread from everything that is posted behind it. */
struct blocker {
    struct task task;
    sem_t may_go;
};

static void on_blocker(struct task *task)
{
    struct blocker *b = CONTAINER_OF(task, struct blocker, task);
    while (sem_wait(&b->may_go) != 0)
        continue;
}

static void block(struct cws_client *client, struct blocker *b)
{
    *b = (struct blocker){.task.run = on_blocker};
    (void)sem_init(&b->may_go, 0, 0);
    assert_int_equal(loop_post(&client->loop, &b->task), 0);
}

static sem_t ran;

static void on_fence(struct task *task)
{
    (void)task;
    (void)sem_post(&ran);
}

/* Returns when everything posted before has run. */
static void drain(struct cws_client *client)
{
    struct task fence = {.run = on_fence};
    (void)sem_init(&ran, 0, 0);
    assert_int_equal(loop_post(&client->loop, &fence), 0);
    while (sem_wait(&ran) != 0)
        continue;
}

/* ---- tasks ---- */

static void post_twice_while_queued(void)
{
    struct cws_client *client = cws_client_new(NULL);
    struct blocker b;
    block(client, &b);
    struct task task = {.run = on_fence};
    (void)loop_post(&client->loop, &task);
    (void)loop_post(&client->loop, &task);
    _exit(0);
}

static void test_a_task_that_is_queued_cannot_be_posted(void **state)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)freopen("/dev/null", "w", stderr);
        post_twice_while_queued();
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

struct again {
    struct task task;
    struct cws_client *client;
    unsigned n;
};

static void on_again(struct task *task)
{
    struct again *a = CONTAINER_OF(task, struct again, task);
    if (++a->n < 3)
        assert_int_equal(loop_post(&a->client->loop, &a->task), 0);
    else
        (void)sem_post(&ran);
}

static void test_a_task_may_be_posted_again_by_its_run(void **state)
{
    struct cws_client *client = cws_client_new(NULL);
    struct again a = {.task.run = on_again, .client = client};
    (void)sem_init(&ran, 0, 0);
    assert_int_equal(loop_post(&client->loop, &a.task), 0);
    while (sem_wait(&ran) != 0)
        continue;
    assert_int_equal(a.n, 3);
    cws_client_unref(client);
}

/* ---- fullness ---- */

static void begin_nothing(struct cws_op *op)
{
    (void)op;
}

static void free_nothing(struct cws_op *op)
{
    op_done_memory(op);
}

static const struct op_class still_class = {
    .begin = begin_nothing, .cancel = begin_nothing, .free = free_nothing};

static _Atomic unsigned n_rooms;

static void on_room(struct cws_reader *r)
{
    (void)r;
    atomic_fetch_add(&n_rooms, 1);
}

static const struct reader_events room_events = {.on_room = on_room, .on_closed = on_room};

struct still {
    struct cws_client *client;
    struct cws_op op;
    struct cws_reader reader;
};

static void still_begin(struct still *s)
{
    *s = (struct still){.client = cws_client_new(NULL)};
    op_init(&s->op, &still_class, s->client);
    reader_init(&s->reader, &s->op, &room_events, 0);
    atomic_store(&n_rooms, 0);
}

static void still_end(struct still *s)
{
    reader_done(&s->reader);
    cws_op_unref(&s->op);
    cws_client_unref(s->client);
}

/* What the last push said. */
static bool push(struct still *s, unsigned n)
{
    bool full = false;
    while (n-- > 0)
        full = reader_push(&s->reader, chunk_new("x\n", 2));
    return full;
}

static void take(struct still *s, unsigned n)
{
    while (n-- > 0) {
        cws_chunk c;
        assert_int_equal(cws_reader_read(&s->reader, 0, &c, NULL), CWS_READ_DATA);
        cws_chunk_release(&c);
    }
}

static void test_a_full_reader_stays_full_until_it_is_half_empty(void **state)
{
    struct still s;
    still_begin(&s);
    assert_false(push(&s, READER_MAX_CHUNKS - 1));
    assert_true(push(&s, 1));
    take(&s, 10);
    assert_true(push(&s, 1)); /* below the bound again, but told to pause and not to go on */
    take(&s, READER_MAX_CHUNKS / 2 - 10);
    drain(s.client);
    assert_int_equal(atomic_load(&n_rooms), 0);
    take(&s, 1);
    drain(s.client);
    assert_int_equal(atomic_load(&n_rooms), 1);
    assert_false(push(&s, 1));
    still_end(&s);
}

static void test_room_is_told_once_and_only_when_there_is_some(void **state)
{
    struct still s;
    struct blocker b;
    still_begin(&s);
    block(s.client, &b);
    for (int i = 0; i < 4; i++) { /* the loop is busy: one message of many lines does that */
        assert_true(push(&s, READER_MAX_CHUNKS));
        take(&s, READER_MAX_CHUNKS);
    }
    assert_true(push(&s, READER_MAX_CHUNKS));
    (void)sem_post(&b.may_go);
    drain(s.client);
    assert_int_equal(atomic_load(&n_rooms), 0); /* it is full again */
    take(&s, READER_MAX_CHUNKS);
    drain(s.client);
    assert_int_equal(atomic_load(&n_rooms), 1);
    still_end(&s);
}

/* ---- the whole way: a log of short lines ---- */

#define MESSAGE_LINES 65536u /* 128 KiB of two bytes each: far more than a reader's bound */
#define N_MESSAGES 6u

static void short_lines_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!peer_is(c, "StreamLogs")) {
        if (c->n == 1 && !c->half_closed)
            peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
        return;
    }
    if (!data)
        return;
    static uint8_t text[2 * MESSAGE_LINES];
    for (unsigned i = 0; i < MESSAGE_LINES; i++)
        memcpy(text + 2 * i, "x\n", 2);
    for (unsigned i = 0; i < N_MESSAGES; i++) {
        Pb__LogEntry entry = PB__LOG_ENTRY__INIT;
        entry.data = (ProtobufCBinaryData){sizeof(text), text};
        peer_send(c, &entry);
    }
    peer_finish(c);
}

static void test_a_log_of_short_lines_arrives_whole(void **state)
{
    struct peer peer = {0};
    peer_begin(&peer, true, short_lines_handler, NULL);
    struct cws_client *client = cws_client_new(NULL);
    cws_target *target = cws_target_new(peer.url, NULL, 0, NULL);
    cws_sandbox *sb = cws_sandbox_new(client, target, NULL, NULL);
    for (int round = 0; round < 2; round++) {
        cws_reader *r = cws_sandbox_logs(sb, &(cws_log_options){.follow = round % 2}, NULL);
        unsigned n = 0;
        cws_chunk c;
        cws_read_result result;
        while ((result = cws_reader_read(r, LONG, &c, NULL)) == CWS_READ_DATA) {
            n++;
            cws_chunk_release(&c);
        }
        assert_int_equal(result, CWS_READ_END);
        assert_int_equal(n, N_MESSAGES * MESSAGE_LINES);
        cws_reader_unref(r);
    }
    cws_sandbox_unref(sb);
    cws_target_unref(target);
    cws_client_unref(client);
    peer_end(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_that_is_queued_cannot_be_posted), /* forks: first */
        cmocka_unit_test(test_a_task_may_be_posted_again_by_its_run),
        cmocka_unit_test(test_a_full_reader_stays_full_until_it_is_half_empty),
        cmocka_unit_test(test_room_is_told_once_and_only_when_there_is_some),
        cmocka_unit_test(test_a_log_of_short_lines_arrives_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
