/* Connections to ports of a sandbox: who listens is a program inside. */
#include "harness.h"

#include <string.h>

#include "runtime/tunnel.h"

struct talk {
    struct tunnel *t;
    struct buf in;
    bool open, eof, ended, some, drained, hold;
    enum err_code code;
    char error[256];
    const char *reason;
};

static void on_open(void *user, struct tunnel *t)
{
    ((struct talk *)user)->open = true;
}

static void on_data(void *user, struct tunnel *t, struct buf *take)
{
    struct talk *k = user;
    assert_int_equal(buf_put(&k->in, buf_head(take), buf_len(take)), 0);
    k->some = true;
    if (k->hold)
        tunnel_pause(t);
}

static void on_eof(void *user, struct tunnel *t)
{
    ((struct talk *)user)->eof = true;
}

static void on_drain(void *user, struct tunnel *t)
{
    ((struct talk *)user)->drained = true;
}

static void on_end(void *user, struct tunnel *t, const struct err *why)
{
    struct talk *k = user;
    assert_false(k->ended);
    k->ended = true;
    if (!why)
        return;
    k->code = why->code;
    k->reason = why->reason;
    (void)snprintf(k->error, sizeof(k->error), "%s", err_text(why));
}

static const struct tunnel_events events = {.on_open = on_open,
                                            .on_data = on_data,
                                            .on_eof = on_eof,
                                            .on_drain = on_drain,
                                            .on_end = on_end};

static void talk_begin_within(struct talk *k, struct sandbox *sb, uint16_t port, uint64_t ns)
{
    struct tunnel_spec spec = {.port = port, .timeout_ns = ns};
    CLEANUP_ERR struct err err = {0};
    if (tunnel_open(sb, &spec, &events, k, &k->t, &err) < 0)
        fail_msg("%s", err_text(&err));
}

static void talk_begin(struct talk *k, struct sandbox *sb, uint16_t port)
{
    talk_begin_within(k, sb, port, 0);
}

static void talk_done(struct talk *k)
{
    tunnel_free(k->t);
    buf_done(&k->in);
}
#define CLEANUP_TALK CLEANUP(talk_done)

static void say(struct talk *k, const char *text)
{
    assert_int_equal(tunnel_write(k->t, (const uint8_t *)text, strlen(text)), 0);
}

/* A Python program in the sandbox, once it printed a line. */
static void serve(struct world *w, struct run *r, struct sandbox *sb, const char *script)
{
    const char *argv[] = {"python3", "-c", script};
    struct process_spec spec = {.argv = argv, .n_argv = 3, .cwd = ""};
    run_start(r, sb, &spec);
    while (buf_len(&r->out) == 0 && !r->ended)
        world_turn(w);
    if (r->ended)
        fail_msg("the server ended: %.*s", (int)buf_len(&r->err), buf_head(&r->err));
}

#define LISTEN \
    "import socket, sys\n" \
    "s = socket.create_server(('127.0.0.1', 7000))\n" \
    "print('on', flush=True)\n"

static void test_bytes_and_both_half_closes_pass(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    serve(w, &r, sb,
          LISTEN "c, _ = s.accept()\n"
                 "c.sendall(c.recv(100).upper())\n"
                 "c.shutdown(socket.SHUT_WR)\n"
                 "rest = b''\n"
                 "while b := c.recv(100): rest += b\n"
                 "print(rest.decode(), flush=True)\n");
    {
        CLEANUP_TALK struct talk k = {0};
        talk_begin(&k, sb, 7000);
        say(&k, "hello"); /* before there is a connection */
        world_wait(w, &k.eof);
        assert_true(k.open);
        assert_buf(&k.in, "HELLO");
        assert_false(k.ended); /* the inside still reads */
        say(&k, "after the end");
        tunnel_close_write(k.t);
        world_wait(w, &k.ended);
        assert_int_equal(k.code, ERR_OK);
    }
    run_wait(w, &r);
    assert_buf(&r.out, "on\nafter the end\n");
    world_close(w);
}

/* As when the service was upgraded under it: what its init does not know is refused by name, and it goes on. */
static void test_a_sandbox_with_an_older_init_refuses_and_lives(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_TALK struct talk k = {0};
    CLEANUP_RUN struct run after = {0};
    CLEANUP_ERR struct err err = {0};
    const char *argv[] = {"true"};
    struct process_spec spec = {.argv = argv, .n_argv = 1, .cwd = ""};
    struct process *p;
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    sb->cell->control.init_version = 0;
    talk_begin(&k, sb, 7000);
    world_wait(w, &k.ended);
    assert_int_equal(k.code, ERR_FAILED_PRECONDITION);
    assert_int_equal(process_start(sb, &spec, &(struct process_events){0}, NULL, &p, &err), -1);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_non_null(strstr(err_text(&err), "start the process: "));
    assert_non_null(strstr(err_text(&err), "was started by an older release"));
    sb->cell->control.init_version = INIT_VERSION;
    run_sh(w, &after, sb, "echo lives");
    assert_buf(&after.out, "lives\n");
    world_close(w);
}

static void test_who_listens_on_ipv6_only_is_reached(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    serve(w, &r, sb,
          "import socket\n"
          "s = socket.create_server(('::1', 7000), family=socket.AF_INET6)\n"
          "print('on', flush=True)\n"
          "s.accept()[0].sendall(b'six')\n");
    {
        CLEANUP_TALK struct talk k = {0};
        talk_begin(&k, sb, 7000);
        tunnel_close_write(k.t);
        world_wait(w, &k.ended);
        assert_buf(&k.in, "six");
    }
    run_wait(w, &r);
    world_close(w);
}

static void test_a_port_without_listener_is_named(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_TALK struct talk k = {0}, zero = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    talk_begin(&k, sb, 7001); /* also of one that is not running yet */
    world_wait(w, &k.ended);
    assert_int_equal(k.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(k.reason, TUNNEL_REFUSED);
    assert_non_null(strstr(k.error, "nothing listens on port 7001 of sandbox"));
    assert_int_equal(
        tunnel_open(sb, &(struct tunnel_spec){.port = 0}, &events, &zero, &zero.t, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    world_close(w);
}

/* Its queue of connections is full and nobody takes them: others are served meanwhile, and the number is bounded. */
static void test_who_never_accepts_holds_nobody_up(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL), *other = world_create(w, "", NULL);
    static struct talk many[TUNNEL_MAX];
    struct talk over = {0};
    size_t n_late = 0;
    CLEANUP_ERR struct err err = {0};
    CLEANUP_RUN struct run r = {0}, beside = {0}, again = {0};
    (void)state;
    memset(many, 0, sizeof(many));
    wait_state(w, sb, SANDBOX_RUNNING);
    wait_state(w, other, SANDBOX_RUNNING);
    serve(w, &r, sb,
          "import socket, time\n"
          "s = socket.socket(); s.bind(('127.0.0.1', 7000)); s.listen(0)\n"
          "print('on', flush=True)\n"
          "time.sleep(1000)\n");
    for (size_t i = 0; i < TUNNEL_MAX; i++)
        talk_begin_within(&many[i], sb, 7000, NS_PER_SEC / 2);
    assert_int_equal(
        tunnel_open(sb, &(struct tunnel_spec){.port = 7000}, &events, &over, &over.t, &err),
        -1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "CWSANDBOX_RUNNER_OVERLOADED");
    run_sh(w, &beside, other, "echo fine");
    assert_buf(&beside.out, "fine\n");
    run_sh(w, &again, sb, "echo here too");
    assert_buf(&again.out, "here too\n");
    for (size_t i = 0; i < TUNNEL_MAX; i++)
        while (!many[i].open && !many[i].ended)
            world_turn(w);
    for (size_t i = 0; i < TUNNEL_MAX; i++)
        if (many[i].ended) { /* but for one or two that the queue took */
            assert_int_equal(many[i].code, ERR_DEADLINE_EXCEEDED);
            assert_non_null(strstr(many[i].error, "port 7000"));
            n_late++;
        }
    assert_in_range(n_late, 1, TUNNEL_MAX);
    for (size_t i = 0; i < TUNNEL_MAX; i++)
        talk_done(&many[i]);
    {
        CLEANUP_TALK struct talk k = {0}; /* there is room again */
        talk_begin(&k, sb, 7001);
        world_wait(w, &k.ended);
    }
    world_close(w);
}

static void test_a_receiver_that_pauses_holds_the_inside_back(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    serve(w, &r, sb,
          LISTEN "c, _ = s.accept()\n"
                 "c.setblocking(False)\n"
                 "sent = 0\n"
                 "import select\n"
                 "while select.select([], [c], [], 1)[1]: sent += c.send(b'x' * 65536)\n"
                 "c.setblocking(True)\n"
                 "print(sent, flush=True)\n"
                 "c.close()\n");
    {
        CLEANUP_TALK struct talk k = {.hold = true};
        buf_clear(&r.out);
        talk_begin(&k, sb, 7000);
        tunnel_close_write(k.t);
        while (buf_len(&r.out) == 0) /* it can send no more */
            world_turn(w);
        assert_in_range(buf_len(&k.in), 1, TUNNEL_READ_SIZE);
        k.hold = false;
        tunnel_resume(k.t);
        world_wait(w, &k.ended);
        assert_int_equal(buf_put(&r.out, "", 1), 0);
        assert_int_equal(buf_len(&k.in), atoll((const char *)buf_head(&r.out)));
    }
    run_wait(w, &r);
    world_close(w);
}

static void test_a_reader_that_is_slow_is_told_of_by_the_queue(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_FREE uint8_t *data = calloc(1, 8 << 20);
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    serve(w, &r, sb,
          LISTEN "c, _ = s.accept()\n"
                 "n = 0\n"
                 "while b := c.recv(1 << 20): n += len(b)\n"
                 "c.sendall(str(n).encode())\n");
    {
        CLEANUP_TALK struct talk k = {0};
        talk_begin(&k, sb, 7000);
        assert_int_equal(tunnel_write(k.t, data, 8 << 20), 0);
        assert_true(tunnel_queued(k.t) > TUNNEL_HIGH);
        tunnel_close_write(k.t);
        world_wait(w, &k.ended);
        assert_true(k.drained);
        assert_buf(&k.in, "8388608");
    }
    run_wait(w, &r);
    world_close(w);
}

static void test_the_end_of_the_sandbox_ends_its_connections(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_TALK struct talk open = {0}, asked = {0}, freed = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    serve(w, &r, sb, LISTEN "c, _ = s.accept()\nc.sendall(b'hi')\nc.recv(1)\n");
    talk_begin(&open, sb, 7000);
    world_wait(w, &open.some);
    talk_begin(&freed, sb, 7000);
    tunnel_free(TAKE_PTR(freed.t)); /* while init is asked */
    talk_begin(&asked, sb, 7000);
    sandbox_stop(sb, 0, "");
    (void)wait_terminal(w, sb);
    world_wait(w, &open.ended);
    world_wait(w, &asked.ended);
    assert_buf(&open.in, "hi");
    run_wait(w, &r);
    world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_and_both_half_closes_pass),
        cmocka_unit_test(test_a_sandbox_with_an_older_init_refuses_and_lives),
        cmocka_unit_test(test_who_listens_on_ipv6_only_is_reached),
        cmocka_unit_test(test_a_port_without_listener_is_named),
        cmocka_unit_test(test_who_never_accepts_holds_nobody_up),
        cmocka_unit_test(test_a_receiver_that_pauses_holds_the_inside_back),
        cmocka_unit_test(test_a_reader_that_is_slow_is_told_of_by_the_queue),
        cmocka_unit_test(test_the_end_of_the_sandbox_ends_its_connections),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
