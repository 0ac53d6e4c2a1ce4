/* The control socket against a peer of our own: what a hostile init may try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/list.h"
#include "runtime/control.h"

struct peer {
    uv_loop_t loop;
    struct poller poller;
    struct control control;
    int fd;
    bool closed;
};

struct call {
    struct control_call call;
    struct peer *peer;
    int n_packets, n_lost;
    struct init_packet last;
    bool got_fd;
};

static void on_packet(struct control_call *c, const struct init_packet *packet, int take_fd)
{
    struct call *call = CONTAINER_OF(c, struct call, call);
    call->n_packets++;
    call->last = *packet;
    call->got_fd = take_fd >= 0;
    cleanup_fd(&take_fd);
}

static void on_lost(struct control_call *c)
{
    struct call *call = CONTAINER_OF(c, struct call, call);
    call->n_lost++;
    control_end(&call->peer->control, c);
}

static void on_closed(struct control *c)
{
    CONTAINER_OF(c, struct peer, control)->closed = true;
}

static void peer_open(struct peer *p)
{
    int pair[2];
    *p = (struct peer){0};
    assert_int_equal(uv_loop_init(&p->loop), 0);
    assert_int_equal(poller_open(&p->poller), 0);
    assert_int_equal(poller_start(&p->poller, &p->loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    p->fd = pair[1];
    assert_int_equal(control_open(&p->control, &p->poller, pair[0]), 0);
    p->control.on_closed = on_closed;
}

static void peer_done(struct peer *p)
{
    control_close(&p->control);
    control_done(&p->control);
    cleanup_fd(&p->fd);
    poller_close(&p->poller, NULL);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&p->loop), 0);
}

static void begin(struct peer *p, struct call *call)
{
    *call = (struct call){.call = {.on_packet = on_packet, .on_lost = on_lost}, .peer = p};
    assert_int_equal(control_begin(&p->control, &call->call), 0);
}

static void say(struct peer *p, const void *data, size_t n)
{
    assert_int_equal(send(p->fd, data, n, 0), (ssize_t)n);
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
}

static void say_fds(struct peer *p, const struct init_packet *packet, size_t n_fds)
{
    int fds[4] = {p->fd, p->fd, p->fd, p->fd};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)packet, .iov_len = sizeof(*packet)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    assert_int_equal(sendmsg(p->fd, &msg, 0), (ssize_t)sizeof(*packet));
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_answer_reaches_its_call(void **state)
{
    struct peer p;
    struct call a, b;
    (void)state;
    peer_open(&p);
    begin(&p, &a);
    begin(&p, &b);
    struct init_packet packet = {
        .type = INIT_STARTED, .id = b.call.id, .value = -2, .stage = "execve"};
    say(&p, &packet, sizeof(packet));
    assert_int_equal(a.n_packets, 0);
    assert_int_equal(b.n_packets, 1);
    assert_string_equal(b.last.stage, "execve");
    peer_done(&p);
    assert_int_equal(a.n_lost + b.n_lost, 2);
}

/* An unknown word would end init, and the sandbox. */
static void test_an_older_init_is_not_asked_what_it_does_not_know(void **state)
{
    static const uint32_t refused[] = {INIT_EXEC, INIT_READ, INIT_WRITE, INIT_CONNECT},
                          sent[] = {INIT_SIGNAL, INIT_KILL};
    struct peer p;
    struct init_packet got;
    (void)state;
    peer_open(&p);
    p.control.init_version = 0;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct control_request request = {.head = {.type = refused[i]}};
        assert_int_equal(control_send(&p.control, &request), -EOPNOTSUPP);
    }
    assert_int_equal(recv(p.fd, &got, sizeof(got), MSG_DONTWAIT), -1);
    for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
        struct control_request request = {.head = {.type = sent[i]}};
        assert_int_equal(control_send(&p.control, &request), 0);
        assert_int_equal(recv(p.fd, &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
    }
    p.control.init_version = INIT_VERSION;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct control_request request = {.head = {.type = refused[i]}};
        assert_int_equal(control_send(&p.control, &request), 0);
        assert_int_equal(recv(p.fd, &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
    }
    peer_done(&p);
}

/* The daemon before asked too, with the same id, and died before it read the answer. */
static void test_only_the_answer_to_our_own_sync_counts(void **state)
{
    struct peer p;
    struct call a = {.peer = &p, .call = {.on_packet = on_packet, .on_lost = on_lost}};
    struct init_packet asked, packet = {.type = INIT_SYNCED, .size_bytes = 1};
    (void)state;
    peer_open(&p);
    assert_int_equal(control_sync(&p.control, &a.call), 0);
    assert_int_equal(read(p.fd, &asked, sizeof(asked)), sizeof(asked));
    assert_int_equal(asked.type, INIT_SYNC);
    packet.id = asked.id;
    say(&p, &packet, sizeof(packet));
    assert_int_equal(a.n_packets, 0);
    packet.type = INIT_EXITED; /* of a main process, or of anything */
    say(&p, &packet, sizeof(packet));
    assert_int_equal(a.n_packets, 0);
    assert_false(p.closed);
    packet.type = INIT_SYNCED;
    packet.size_bytes = asked.size_bytes;
    say(&p, &packet, sizeof(packet));
    assert_int_equal(a.n_packets, 1);
    packet.type = INIT_EXITED;
    say(&p, &packet, sizeof(packet));
    assert_int_equal(a.n_packets, 2);
    assert_false(p.closed);
    control_end(&p.control, &a.call);
    peer_done(&p);
}

static void test_everything_unasked_for_ends_the_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        struct peer p;
        struct call a, old;
        uint8_t bytes[sizeof(struct init_packet) + 1] = {0};
        peer_open(&p);
        begin(&p, &old);
        struct init_packet packet = {.type = INIT_EXITED, .id = old.call.id};
        control_end(&p.control, &old.call);
        begin(&p, &a);
        if (i != 0)
            packet.id = i == 1 ? 77 : a.call.id; /* 0: an id that is over */
        if (i == 2)
            packet.type = INIT_EXEC;
        if (i == 3)
            packet.body_size = 1;
        if (i == 4)
            memcpy(packet.stage, "a\nb", 3);
        memcpy(bytes, &packet, sizeof(packet));
        say(&p, bytes,
            i == 5   ? sizeof(packet) - 1
            : i == 6 ? sizeof(packet) + 1
                     : sizeof(packet));
        assert_true(p.closed);
        assert_int_equal(a.n_packets, 0);
        assert_int_equal(a.n_lost, 1);
        struct control_request request = {.head = {.type = INIT_KILL}};
        assert_int_equal(control_send(&p.control, &request), -EPIPE);
        peer_done(&p);
    }
}

static void
test_one_descriptor_is_taken_and_more_end_the_connection_without_a_leak(void **state)
{
    struct peer p;
    struct call a;
    (void)state;
    peer_open(&p);
    begin(&p, &a);
    struct init_packet packet = {.type = INIT_STARTED, .id = a.call.id};
    int before = count_fds();
    say_fds(&p, &packet, 1);
    assert_true(a.got_fd);
    assert_int_equal(count_fds(), before);
    say_fds(&p, &packet, 2);
    assert_true(p.closed);
    assert_int_equal(count_fds(), before - 1); /* the socket itself */
    peer_done(&p);
}

static void test_requests_wait_for_a_slow_reader_with_their_descriptors(void **state)
{
    struct peer p;
    char body[1000] = {0};
    size_t n_read = 0, n_sent = 2000;
    (void)state;
    peer_open(&p);
    for (size_t i = 0; i < n_sent; i++) {
        int fd = p.fd;
        struct control_request request = {.head = {.type = INIT_WRITE, .id = (uint32_t)i},
                                          .body = body,
                                          .body_size = sizeof(body),
                                          .fds = &fd,
                                          .n_fds = i % 100 == 0};
        assert_int_equal(control_send(&p.control, &request), 0);
    }
    assert_false(list_empty(&p.control.unsent));
    while (n_read < n_sent) {
        struct init_packet packet;
        ssize_t n = recv(p.fd, &packet, sizeof(packet), MSG_DONTWAIT);
        if (n < 0)
            (void)uv_run(&p.loop, UV_RUN_ONCE);
        else
            assert_int_equal(packet.id, n_read++);
    }
    peer_done(&p);
}

static void test_ids_are_not_reused_soon(void **state)
{
    struct peer p;
    struct call a;
    uint32_t last = 0;
    (void)state;
    peer_open(&p);
    for (int i = 0; i < 70000; i++) {
        begin(&p, &a);
        assert_int_not_equal(a.call.id, 0);
        assert_int_not_equal(a.call.id, last);
        last = a.call.id;
        control_end(&p.control, &a.call);
    }
    peer_done(&p);
}

static void test_number_of_calls_is_bounded(void **state)
{
    struct peer p;
    struct call *calls = calloc(CONTROL_MAX_CALLS + 1, sizeof(*calls));
    (void)state;
    peer_open(&p);
    for (size_t i = 0; i < CONTROL_MAX_CALLS; i++)
        begin(&p, &calls[i]);
    assert_int_equal(control_begin(&p.control, &calls[CONTROL_MAX_CALLS].call), -EAGAIN);
    control_end(&p.control, &calls[7].call);
    begin(&p, &calls[7]);
    peer_done(&p);
    free(calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_reaches_its_call),
        cmocka_unit_test(test_only_the_answer_to_our_own_sync_counts),
        cmocka_unit_test(test_an_older_init_is_not_asked_what_it_does_not_know),
        cmocka_unit_test(test_everything_unasked_for_ends_the_connection),
        cmocka_unit_test(
            test_one_descriptor_is_taken_and_more_end_the_connection_without_a_leak),
        cmocka_unit_test(test_requests_wait_for_a_slow_reader_with_their_descriptors),
        cmocka_unit_test(test_ids_are_not_reused_soon),
        cmocka_unit_test(test_number_of_calls_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
