/* Limits, and every way a sandbox or launch can end; the measurement is last. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "harness.h"
#include "tests.h"

static struct run result; /* too large for a stack; each run fills it */

static void test_memory_limit_kills_the_process_and_not_init(void **state)
{
    struct service s;
    struct box b;
    struct launch_exited end;
    const char *argv[] = {"python3", "-c", "x = bytearray(300 << 20)", NULL};

    service_start(&s);
    if (!s.features.limit_memory) {
        service_stop(&s);
        skip_because("no cgroup of this user limits memory");
    }
    box_create(&s, &b);
    assert_int_equal(box_limit(&b, (struct launch_limits){.memory_bytes = 64 << 20}, NULL), 0);
    run_argv(&b, argv, &result);
    assert_int_equal(result.exit_code, 137);
    assert_shell(&b, "echo alive", "alive\n");
    assert_int_equal(box_limit(&b, (struct launch_limits){.memory_bytes = 600 << 20}, NULL), 0);
    run_argv(&b, argv, &result);
    assert_int_equal(result.exit_code, 0);
    box_end(&b, &end);
    assert_true(end.n_oom_kills >= 1);
    assert_true(end.memory_peak_bytes >= 300 << 20);
    assert_true(end.cpu_ns > 0);
    service_stop(&s);
}

static uint32_t wait_oom_flags(struct box *b, uint32_t id)
{
    struct init_packet packet;
    int fd;

    control_wait(b, &packet, &fd);
    assert_int_equal(packet.type, INIT_EXITED);
    assert_int_equal(packet.id, id);
    return packet.flags & (INIT_OOM_KILLED | INIT_OOM_UNKNOWN);
}

static void test_a_kill_for_memory_is_told_of_the_exec_that_it_hit(void **state)
{
    struct service s;
    struct box b;
    uint32_t victim, hog;

    service_start(&s);
    if (!s.features.limit_memory) {
        service_stop(&s);
        skip_because("no cgroup of this user limits memory");
    }
    box_create(&s, &b);
    assert_int_equal(box_limit(&b, (struct launch_limits){.memory_bytes = 64 << 20}, NULL), 0);
    victim = start_script(&b, "echo; exec sleep 60");
    run_shell(&b, "python3 -c 'x = bytearray(300 << 20)'; exit 0", &result);
    assert_int_equal(result.exit_code, 0); /* its child was killed */
    control_request(&b, INIT_SIGNAL, victim, SIGKILL);
    assert_int_equal(wait_oom_flags(&b, victim), 0);
    hog = start_script(&b, "echo; exec python3 -c 'x = bytearray(300 << 20)'");
    assert_int_equal(wait_oom_flags(&b, hog), INIT_OOM_KILLED);
    end_all(&s, &b);
}

static void test_pids_limit_stops_a_fork_bomb(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    assert_true(s.features.limit_pids);
    box_create(&s, &b);
    assert_int_equal(box_limit(&b, (struct launch_limits){.pids = 20}, NULL), 0);
    assert_python(&b,
                  "import os, time\n"
                  "n = 0\n"
                  "try:\n"
                  "    while n < 100:\n"
                  "        if os.fork() == 0: os.close(1); os.close(2); time.sleep(100)\n"
                  "        n += 1\n"
                  "except BlockingIOError: print(n)\n"
                  "os.system('true')\n",
                  "19\n"); /* 20 with python itself */
    assert_int_equal(box_limit(&b, (struct launch_limits){.pids = 0}, NULL), 0);
    assert_shell(&b, "echo again", "again\n");
    end_all(&s, &b);
}

/* The least of several spells: a machine that is itself kept from running charges that to whoever ran. */
static void test_cpu_limit_holds(void **state)
{
    struct service s;
    struct box b;
    const char *argv[] = {"python3", "-c",
                          "import time\n"
                          "def share():\n"
                          "    t, c = time.time(), time.process_time()\n"
                          "    while time.time() - t < 1: pass\n"
                          "    return (time.process_time() - c) / (time.time() - t)\n"
                          "for i in range(10):\n"
                          "    least = min(share(), least) if i else share()\n"
                          "    if least < 0.4: break\n"
                          "print(least)",
                          NULL};

    service_start(&s);
    if (!s.features.limit_cpu) {
        service_stop(&s);
        skip_because("no cgroup of this user limits CPU time");
    }
    box_create(&s, &b);
    assert_int_equal(box_limit(&b, (struct launch_limits){.cpu_millis = 200}, NULL), 0);
    run_argv(&b, argv, &result);
    assert_int_equal(result.exit_code, 0);
    if (strtod(result.out, NULL) > 0.4)
        fail_msg("used %s of a core at 0.2 cores", result.out);
    end_all(&s, &b);
}

/* Processes that fork and spin, more than the load's share of time can carry. */
#define CROWD \
    "i=0; while [ $i -lt 60 ]; do (while :; do (:); done) & i=$((i+1)); done; echo; wait"

/* An EXEC of nothing, which init itself refuses. */
static void wait_for_a_word_of_init(struct box *b)
{
    struct init_packet packet;
    uint32_t id = ++b->next_id;
    int fd;

    control_request(b, INIT_EXEC, id, 0);
    do
        control_wait(b, &packet, &fd); /* the execs say something, too */
    while (packet.id != id);
    assert_int_equal(packet.type, INIT_STARTED);
    assert_int_equal(packet.value, -E2BIG);
}

/* init lives beside the limits of the load: a load that has used up its time does not keep it from answering, not even in
 * the middle of a start. */
static void test_a_starved_load_does_not_stop_init(void **state)
{
    struct launch_limits limits = {.memory_bytes = 256 << 20, .cpu_millis = 2000, .pids = 500};
    const char *argv[] = {"/bin/true", NULL};
    struct exec_spec spec = {.argv = argv};
    struct service s;
    struct box b;
    uint64_t start;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int stdio[3] = {null, null, null};

    if (getenv("CWS_SLOW_MACHINE"))
        skip_because("a starved crowd takes a translated machine minutes");
    service_start(&s);
    if (!s.features.limit_cpu || !s.features.limit_memory) {
        service_stop(&s);
        skip_because("no cgroup of this user limits memory and CPU time");
    }
    box_create(&s, &b);
    assert_int_equal(box_limit(&b, limits, NULL), 0);
    (void)start_script(&b, CROWD);
    limits.cpu_millis = 20; /* not before: it has to come up */
    assert_int_equal(box_limit(&b, limits, NULL), 0);
    for (int i = 0; i < 5; i++) { /* these need seconds */
        (void)exec_send(&b, &spec, stdio);
        start = now_us();
        wait_for_a_word_of_init(&b);
        assert_in_range(now_us() - start, 0, 200000);
    }
    (void)close(null);
    end_all(&s, &b);
}

static void test_a_full_sandbox_refuses_the_next_exec_by_name(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_int_equal(box_limit(&b, (struct launch_limits){.pids = 3}, NULL), 0);
    (void)start_script(&b, "sleep 300 & sleep 300 & echo; wait");
    run_shell(&b, "true", &result);
    assert_int_equal(result.status, -EAGAIN);
    assert_int_equal(box_limit(&b, (struct launch_limits){.pids = 0}, NULL), 0);
    if (s.features.root || s.features.cgroup_kill) /* RLIMIT_NPROC cannot be lifted again */
        assert_shell(&b, "echo again", "again\n");
    end_all(&s, &b);
}

/* On any host: what is read does not say who enforces it. */
static void test_limits_are_what_programs_see_of_their_machine(void **state)
{
    struct launch_limits limits = {
        .memory_bytes = 256 << 20, .cpu_millis = 700, .pids = 60, .accept_unenforced = true};
    struct service s;
    struct box b;

    (void)state;
    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "ls -A /sys/fs/cgroup", "");
    assert_int_equal(box_limit(&b, limits, NULL), 0);
    for (int i = 0; i < 2; i++) { /* of another exec, another cgroup */
        assert_shell(&b,
                     "cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup) && cat memory.max "
                     "cpu.max pids.max cgroup.controllers",
                     "268435456\n70000 100000\n60\ncpuset cpu memory pids\n");
        if (s.features.limit_cpu)
            assert_shell(&b, "nproc; getconf _NPROCESSORS_ONLN", "1\n1\n");
        run_shell(&b, "sleep 100 > /dev/null 2>&1 &", &result); /* its slot stays taken */
    }
    assert_shell(&b, "mount | grep -c ' /sys/fs/cgroup type cgroup2 (ro,'", "1\n");
    run_shell(&b,
              "cd /sys/fs/cgroup; rm -f cpu.max; chmod 644 cpu.max; echo max > cpu.max; "
              "mkdir x; cat cpu.max",
              &result);
    assert_non_null(strstr(result.out, "Read-only file system"));
    assert_non_null(strstr(result.out, "70000 100000\n"));
    assert_int_equal(box_limit(&b, (struct launch_limits){.accept_unenforced = true}, NULL), 0);
    assert_shell(&b, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max",
                 "max\nmax 100000\n");
    run_shell(&b, "nproc", &result);
    assert_int_equal(strtol(result.out, NULL, 10), sysconf(_SC_NPROCESSORS_ONLN));
    end_all(&s, &b);
}

static void test_limits_that_cannot_be_enforced_are_named(void **state)
{
    struct service s;
    struct box b;
    char stage[64];

    service_start(&s);
    box_create(&s, &b);
    if (!s.features.limit_memory) {
        assert_int_equal(box_limit(&b, (struct launch_limits){.memory_bytes = 1 << 30}, stage),
                         -ENOTSUP);
        assert_string_equal(stage, "memory");
    }
    assert_int_equal(
        box_limit(&b,
                  (struct launch_limits){.memory_bytes = 1 << 30, .accept_unenforced = true},
                  stage),
        0);
    assert_int_equal(box_limit(&b, (struct launch_limits){0}, stage), 0);
    end_all(&s, &b);
}

static void test_root_size_and_inodes_are_limited(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create_sized(&s, &b, 4 << 20, 200);
    run_shell(&b, "head -c 8388608 /dev/zero > /root/big", &result);
    assert_int_not_equal(result.exit_code, 0);
    run_shell(&b,
              "rm -f /root/big; i=0; while [ $i -lt 300 ]; do : > /tmp/$i || exit 9; "
              "i=$((i+1)); done",
              &result);
    assert_int_not_equal(result.exit_code, 0);
    assert_shell(&b, "rm -f /tmp/*; echo room > /tmp/file; cat /tmp/file", "room\n");
    end_all(&s, &b);
}

/* launch holds the daemon's end too: a daemon that dies takes no sandbox along. */
static void test_closing_the_control_socket_leaves_the_sandbox(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    (void)start_script(&b, "echo; sleep 300");
    (void)close(b.control);
    b.control = -1;
    assert_int_equal(box_limit(&b, (struct launch_limits){.pids = 100}, NULL), 0);
    assert_true(process_alive(b.pid));
    end_all(&s, &b);
    assert_false(process_alive(b.pid));
}

/* What runs after @after, as a daemon asks that was started anew. */
static struct launch_listed list_after(struct service *s, const char *after, int *ret_control)
{
    struct launch_message msg = {.type = LAUNCH_LIST}, answer;

    (void)snprintf(msg.u.after, sizeof(msg.u.after), "%s", after);
    service_call(s, &msg, &answer, ret_control);
    assert_int_equal(answer.type, LAUNCH_LIST);
    return answer.u.listed;
}

static void test_a_lost_control_socket_is_had_again(void **state)
{
    struct service s;
    struct box boxes[3];
    struct run run;
    struct launch_listed got;
    char after[LAUNCH_MAX_ID] = "";
    int fd;

    service_start(&s);
    for (size_t i = 0; i < ARRAY_SIZE(boxes); i++)
        box_create(&s, &boxes[i]);
    assert_int_equal(box_limit(&boxes[1],
                               (struct launch_limits){.pids = 77, .accept_unenforced = true},
                               NULL),
                     0);
    for (size_t i = 0; i < ARRAY_SIZE(boxes); i++) {
        (void)close(boxes[i].control);
        got = list_after(&s, after, &boxes[i].control);
        assert_int_equal(got.status, 0);
        assert_string_equal(got.id, boxes[i].id);
        assert_int_equal(got.pid, boxes[i].pid);
        assert_int_equal(got.pids, i == 1 ? 77 : 0);
        memcpy(after, got.id, sizeof(after));
        run_shell(&boxes[i], "echo here", &run);
        assert_string_equal(run.out, "here\n");
    }
    got = list_after(&s, after, &fd);
    assert_string_equal(got.id, "");
    assert_int_equal(fd, -1);
    assert_int_equal(list_after(&s, "nobody", &fd).status, -ENOENT);
    box_end(&boxes[1], NULL);
    got = list_after(&s, boxes[0].id, &fd);
    assert_string_equal(got.id, boxes[2].id);
    (void)close(fd);
    for (size_t i = 0; i < ARRAY_SIZE(boxes); i += 2)
        (void)close(boxes[i].control);
    service_stop(&s);
}

static void test_end_of_the_socket_leaves_nothing(void **state)
{
    struct service s;
    struct box boxes[5];

    service_start(&s);
    for (size_t i = 0; i < ARRAY_SIZE(boxes); i++) {
        box_create(&s, &boxes[i]);
        (void)start_script(&boxes[i], "setsid sleep 300 & echo; sleep 300");
    }
    service_stop(&s); /* asserts exit 0 and that the cgroups are gone */
    for (size_t i = 0; i < ARRAY_SIZE(boxes); i++) {
        assert_false(process_alive(boxes[i].pid));
        (void)close(boxes[i].control);
    }
}

static void test_sigterm_leaves_nothing(void **state)
{
    struct service s;
    struct box b;
    char byte;

    service_start(&s);
    box_create(&s, &b);
    assert_int_equal(kill(s.pid, SIGTERM), 0);
    /* The end, and no word of sandboxes that were killed: that would be written down as the reason of theirs. */
    assert_int_equal(recv(s.sock, &byte, 1, 0), 0);
    service_stop(&s);
    assert_false(process_alive(b.pid));
    (void)close(b.control);
}

static void test_killed_launch_leaves_no_process_and_the_next_one_cleans_up(void **state)
{
    struct service s, next;
    struct box b;
    int status;

    service_start(&s);
    box_create(&s, &b);
    (void)start_script(&b, "echo; sleep 300");
    assert_int_equal(kill(s.pid, SIGKILL), 0);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    for (int i = 0; i < 100 && process_alive(b.pid); i++)
        (void)poll(NULL, 0, 10);
    assert_false(process_alive(b.pid));
    (void)close(b.control);
    service_start_named(&next, s.name);
    box_create(&next, &b);
    assert_shell(&b, "echo works", "works\n");
    box_end(&b, NULL);
    service_stop(&next);
    (void)close(s.sock);
    service_remove_dir(&s);
}

/* The end of a process takes time when it has memory to give back. */
static void test_next_launch_waits_for_what_is_still_dying(void **state)
{
    struct service s, next;
    struct box b;
    int status;

    service_start(&s);
    box_create(&s, &b);
    (void)start_script(
        &b,
        "exec python3 -c 'import time; a = bytearray(b\"x\" * (200 << 20)); print(flush=True); "
        "time.sleep(300)'");
    assert_int_equal(kill(s.pid, SIGKILL), 0);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    service_start_named(&next, s.name);
    service_stop(&next); /* asserts that the cgroups are gone */
    (void)close(b.control);
    (void)close(s.sock);
    service_remove_dir(&s);
}

static void test_a_start_that_fails_says_why_and_leaves_no_cgroup(void **state)
{
    struct service s;
    char path[128];
    int status;

    service_make(&s, "fails");
    (void)snprintf(path, sizeof(path), "%s/images", s.dir);
    (void)close(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600)); /* where a directory must be */
    service_launch(&s);
    assert_int_equal(s.features.uid_count, 0);
    assert_string_not_equal(s.features.problems, "");
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_no_cgroup(&s);
    (void)close(s.sock);
    assert_int_equal(unlink(path), 0);
    service_remove_dir(&s);
}

static void test_bad_requests(void **state)
{
    struct service s;
    struct box b;
    struct launch_message msg = {.type = LAUNCH_CREATE}, answer;
    int fd, status;

    service_start(&s);
    box_create(&s, &b);
    memcpy(msg.u.create.id, b.id, sizeof(b.id)); /* a second one of that id */
    msg.u.create.root.host = true;
    msg.u.create.root.size_bytes = msg.u.create.root.n_inodes = 1 << 20;
    service_call(&s, &msg, &answer, &fd);
    assert_int_equal(answer.u.created.status, -EEXIST);
    msg = (struct launch_message){.type = LAUNCH_KILL, .u.id = "unknown"};
    service_call(&s, &msg, &answer, &fd);
    assert_int_equal(answer.u.status.status, -ENOENT);
    assert_shell(&b, "echo unharmed", "unharmed\n");
    (void)close(b.control);
    assert_int_equal(send(s.sock, "nonsense", 8, 0), 8); /* ends everything */
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_false(process_alive(b.pid));
    (void)close(s.sock);
    service_remove_dir(&s);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void print_times(const char *what, uint64_t *us, size_t n)
{
    qsort(us, n, sizeof(*us), compare_u64);
    print_message("%s: p50 %.2f ms, p99 %.2f ms (n=%zu)\n", what, (double)us[n / 2] / 1000,
                  (double)us[n * 99 / 100] / 1000, n);
}

/* Prints, never asserts on time. */
static void test_measure(void **state)
{
    enum { N = 300 };
    static uint64_t create[N], first[N], exec[N], end[N];
    const char *argv[] = {"/bin/echo", "hello", NULL};
    struct service s;
    uint64_t start;
    struct box b;

    service_start(&s);
    start = now_us();
    for (int i = 0; i < N; i++) {
        uint64_t t = now_us();

        box_create(&s, &b);
        create[i] = now_us() - t;
        run_argv(&b, argv, &result);
        first[i] = now_us() - t;
        t = now_us();
        box_end(&b, NULL);
        end[i] = now_us() - t;
    }
    print_message("sustained create+exec+end: %.0f/s\n", N * 1e6 / (double)(now_us() - start));
    print_times("create", create, N);
    print_times("create to first exec's exit", first, N);
    print_times("end", end, N);
    box_create(&s, &b);
    for (int i = 0; i < N; i++) {
        uint64_t t = now_us();

        run_argv(&b, argv, &result);
        exec[i] = now_us() - t;
    }
    print_times("exec /bin/echo", exec, N);
    end_all(&s, &b);
}

int run_life_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_limit_kills_the_process_and_not_init),
        cmocka_unit_test(test_a_kill_for_memory_is_told_of_the_exec_that_it_hit),
        cmocka_unit_test(test_pids_limit_stops_a_fork_bomb),
        cmocka_unit_test(test_cpu_limit_holds),
        cmocka_unit_test(test_a_starved_load_does_not_stop_init),
        cmocka_unit_test(test_a_full_sandbox_refuses_the_next_exec_by_name),
        cmocka_unit_test(test_limits_are_what_programs_see_of_their_machine),
        cmocka_unit_test(test_limits_that_cannot_be_enforced_are_named),
        cmocka_unit_test(test_root_size_and_inodes_are_limited),
        cmocka_unit_test(test_closing_the_control_socket_leaves_the_sandbox),
        cmocka_unit_test(test_a_lost_control_socket_is_had_again),
        cmocka_unit_test(test_end_of_the_socket_leaves_nothing),
        cmocka_unit_test(test_sigterm_leaves_nothing),
        cmocka_unit_test(test_killed_launch_leaves_no_process_and_the_next_one_cleans_up),
        cmocka_unit_test(test_next_launch_waits_for_what_is_still_dying),
        cmocka_unit_test(test_a_start_that_fails_says_why_and_leaves_no_cgroup),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_measure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
