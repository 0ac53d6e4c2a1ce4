/* A second daemon on the control socket: what SYNC tells it and what it ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "harness.h"
#include "tests.h"

#define NEW_ID 0x7000001u /* as another daemon might choose it */

static struct run result;

struct main_run {
    int pipe_fd; /* where the daemon before read its output */
    uint32_t id;
};

/* The main process, as the daemon before started it. */
static struct main_run start_main(struct box *b, const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    int pipe_fds[2], fd;
    CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct init_packet packet;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    struct exec_spec spec = {.argv = argv, .main = true, .main_output = pipe_fds[0]};
    int stdio[3] = {null, pipe_fds[1], pipe_fds[1]};
    struct main_run m = {.pipe_fd = pipe_fds[0], .id = exec_send(b, &spec, stdio)};
    (void)close(pipe_fds[1]);
    control_wait(b, &packet, &fd);
    assert_int_equal(packet.type, INIT_STARTED);
    assert_int_equal(packet.value, 0);
    return m;
}

/* Says SYNC and drops what comes before its answer; *@ret_fd: the pipe. */
static void say_sync(struct box *b, struct init_packet *ret, int *ret_fd, int *ret_n_stale)
{
    *ret_n_stale = 0;
    control_request(b, INIT_SYNC, NEW_ID, 0);
    for (;;) {
        control_wait(b, ret, ret_fd);
        if (ret->type == INIT_SYNCED)
            break;
        (*ret_n_stale)++;
        if (*ret_fd >= 0)
            (void)close(*ret_fd);
    }
    assert_int_equal(ret->id, NEW_ID);
}

static void test_sync_of_a_blank_says_that_there_is_no_main_process(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    int fd, n_stale;

    service_start(&s);
    box_create(&s, &b);
    say_sync(&b, &packet, &fd, &n_stale);
    assert_int_equal(packet.flags, 0);
    assert_int_equal(fd, -1);
    assert_int_equal(n_stale, 0);
    assert_shell(&b, "echo usable", "usable\n");
    end_all(&s, &b);
}

/* The new daemon counts ends from 0: init must not wait for those that the one before has heard of. */
static void test_slots_are_used_again_after_sync(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    int fd, n_stale, first;

    service_start(&s);
    box_create(&s, &b);
    for (int i = 0; i < 10; i++)
        assert_shell(&b, "true", "");
    say_sync(&b, &packet, &fd, &n_stale);
    assert_shell(&b, "true", "");
    first = b.slot;
    for (int i = 0; i < 5; i++)
        assert_shell(&b, "true", "");
    assert_true(b.slot <= MAX(first, 1)); /* not one more for each */
    end_all(&s, &b);
}

static void test_running_main_process_goes_on_under_the_new_id(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    int fd, n_stale;
    char text[64] = "";

    service_start(&s);
    box_create(&s, &b);
    struct main_run m = start_main(
        &b, "trap 'echo asked; exit 7' TERM; echo one; while :; do sleep 0.01; done");
    assert_int_equal(read(m.pipe_fd, text, sizeof(text)), 4);
    (void)close(m.pipe_fd); /* the daemon is gone */
    say_sync(&b, &packet, &fd, &n_stale);
    assert_int_equal(packet.flags, INIT_MAIN);
    assert_true(packet.aux > 1);
    assert_true(fd >= 0);
    control_request(&b, INIT_SIGNAL, NEW_ID, SIGTERM);
    int other;
    control_wait(&b, &packet, &other);
    assert_int_equal(packet.type, INIT_EXITED);
    assert_int_equal(packet.id, NEW_ID);
    assert_int_equal(WEXITSTATUS(packet.value), 7);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = 0;
    assert_non_null(strstr(text, "asked\n")); /* a shell may say "Terminated" of its sleep */
    (void)close(fd);
    end_all(&s, &b);
}

static void test_main_process_that_ended_unheard_is_told_with_all_it_wrote(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    int fd, n_stale;
    char text[64] = "";

    service_start(&s);
    box_create(&s, &b);
    struct main_run m = start_main(&b, "echo last words; exit 42");
    (void)close(m.pipe_fd);
    struct pollfd told = {.fd = b.control, .events = POLLIN};
    assert_int_equal(poll(&told, 1, patience_ms()), 1); /* its EXITED, which nobody reads */
    for (int round = 0; round < 2; round++) { /* for ever: the second daemon may die too */
        say_sync(&b, &packet, &fd, &n_stale);
        assert_int_equal(n_stale, round == 0);
        assert_int_equal(packet.flags, INIT_MAIN);
        assert_int_equal(packet.aux, 0);
        assert_true(WIFEXITED(packet.value));
        assert_int_equal(WEXITSTATUS(packet.value), 42);
        if (round == 0)
            (void)close(fd);
    }
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n == 11 && memcmp(text, "last words\n", 11) == 0);
    (void)close(fd);
    end_all(&s, &b);
}

static void test_execs_of_the_daemon_before_are_killed_unheard(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    int fd, n_stale;

    service_start(&s);
    box_create(&s, &b);
    struct main_run m = start_main(&b, "exec sleep 1000");
    (void)close(m.pipe_fd);
    (void)start_script(&b, "echo; setsid sleep 2001 & exec sleep 2002");
    (void)start_script(&b, "echo; exec sleep 2003");
    run_shell(&b, "(setsid sleep 3001 >/dev/null 2>&1 &)",
              &result); /* left behind on purpose */
    say_sync(&b, &packet, &fd, &n_stale);
    (void)close(fd);
    b.next_id = 0; /* the new daemon counts anew: the ids of the dead ones come again */
    for (int i = 0; i < 200; i++) {
        run_shell(&b,
                  "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep "
                  "[0-9][0-9]*' | sort -u | tr '\\n' ' '",
                  &result);
        if (!strstr(result.out, "sleep 200"))
            break;
    }
    assert_string_equal(result.out, "sleep 1000 sleep 3001 ");
    control_request(&b, INIT_KILL, 2, 0); /* an id that an old exec had: nobody answers */
    assert_shell(&b, "echo quiet", "quiet\n");
    end_all(&s, &b);
}

int run_sync_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync_of_a_blank_says_that_there_is_no_main_process),
        cmocka_unit_test(test_slots_are_used_again_after_sync),
        cmocka_unit_test(test_running_main_process_goes_on_under_the_new_id),
        cmocka_unit_test(test_main_process_that_ended_unheard_is_told_with_all_it_wrote),
        cmocka_unit_test(test_execs_of_the_daemon_before_are_killed_unheard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
