/* What runs out: descriptors, descriptors in flight, queued signals. Less is done then, and afterwards everything again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "harness.h"
#include "tests.h"

static struct run result; /* too large for a stack; each run fills it */

static struct rlimit limit_files(pid_t pid, rlim_t n)
{
    struct rlimit limit, few;

    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    few = limit;
    few.rlim_cur = n;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &few, NULL), 0);
    return limit;
}

/* Network namespaces that @pid holds: its own one and the pool. */
static int count_netns(pid_t pid)
{
    char path[64], link[64];
    const struct dirent *entry;
    DIR *dir;
    int n = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        ssize_t size = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link));

        n += size > 5 && memcmp(link, "net:[", 5) == 0;
    }
    (void)closedir(dir);
    return n;
}

static void test_the_network_pool_recovers_from_a_failed_refill(void **state)
{
    struct service s;
    struct rlimit limit;
    int n;

    service_start(&s);
    limit =
        limit_files(s.pid, 8); /* none more: all of these are open, and what is open stays */
    n = count_netns(s.pid);
    assert_true(n >= 2);
    for (int i = 0; i < 40 && count_netns(s.pid) == n; i++)
        (void)poll(NULL, 0, 5); /* several refills fail in this time */
    assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    for (int i = 0; i < 1000 && count_netns(s.pid) < 9; i++)
        (void)poll(NULL, 0, 5);
    assert_int_equal(count_netns(s.pid), 9);
    service_stop(&s);
}

/* A descriptor of the file table of the kernel that is counted as under way: sent, and not received. */
static void fill_flight(int pair[2], int n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 100)];
    } control = {0};
    struct iovec iov = {.iov_base = "", .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * 100); /* all 0: standard input, 100 times */
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    for (int i = 0; i < n; i += 100)
        assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
}

static void test_a_create_whose_socket_cannot_be_sent_is_answered(void **state)
{
    struct launch_message msg = create_host("refused", 1 << 20, 1 << 20), answer;
    struct service s;
    struct rlimit limit;
    struct box b;
    int pair[2], fd;

    if (geteuid() == 0)
        skip_because("root's share of descriptors under way has no limit");
    service_start(&s);
    fill_flight(pair, 500);
    limit = limit_files(s.pid, 100);
    service_call(&s, &msg, &answer, &fd);
    assert_int_equal(answer.u.created.status, -ETOOMANYREFS);
    assert_string_equal(answer.u.created.stage, "send the control socket");
    assert_int_equal(fd, -1);
    (void)close(pair[0]);
    (void)close(pair[1]);
    assert_int_equal(prlimit(s.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    box_create(&s, &b);
    assert_shell(&b, "echo fine", "fine\n");
    end_all(&s, &b);
}

enum { MOST = 100 };

static void exhaust_init(uint32_t n_files)
{
    const char *argv[] = {"/bin/sleep", "300", NULL};
    struct exec_spec spec = {.argv = argv};
    CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int stdio[3] = {null, null, null};
    struct init_packet packet;
    struct service s;
    struct box b;
    uint32_t n = 0, ids[MOST];
    int fd;

    harness_nofile = n_files;
    service_start(&s);
    harness_nofile = 0;
    box_create(&s, &b);
    if (!s.features.cgroup_kill) {
        end_all(&s, &b);
        skip_because("without cgroups a running exec takes no descriptor of init's");
    }
    do {
        assert_in_range(n, 0, MOST - 1);
        ids[n] = exec_send(&b, &spec, stdio);
        control_wait(&b, &packet, &fd);
        assert_int_equal(packet.type, INIT_STARTED);
    } while (packet.value == 0 && ++n);
    assert_int_equal(packet.value, -EMFILE);
    assert_in_range(n, 20, n_files / 2);
    for (int i = 0; i < 10; i++) {
        spec.body_in_memfd =
            i % 2; /* brings one more: some have no number left for what they bring */
        run_spec(&b, &spec, &result);
        assert_int_equal(result.status, -EMFILE);
    }
    for (uint32_t i = 0; i < n; i++) {
        control_request(&b, INIT_KILL, ids[i], 0);
        control_wait(&b, &packet, &fd);
        assert_int_equal(packet.type, INIT_EXITED);
    }
    assert_shell(&b, "echo again", "again\n");
    end_all(&s, &b);
}

/* An exec takes two for its slot: with an odd number and with an even one. */
static void test_init_without_descriptors_refuses_execs_and_lives(void **state)
{
    exhaust_init(80);
    exhaust_init(81);
}

static void test_init_without_descriptors_refuses_a_copy_and_lives(void **state)
{
    struct service s;
    struct box b;
    struct rlimit limit;
    char text[64];

    if (geteuid() == 0)
        skip_because("the limits of another user's process are not root's to set");
    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "true", "");  /* init raises its own limit when it starts */
    limit = limit_files(b.pid, 3); /* whatever comes is one too many */
    assert_int_equal(read_path(&b, "/etc/hostname", text, sizeof(text)), -EMFILE);
    assert_int_equal(prlimit(b.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    assert_int_equal(read_path(&b, "/etc/hostname", text, sizeof(text)), 8);
    end_all(&s, &b);
}

/* Queued signals are counted for the user of the machine whom all sandboxes of an ordinary user's service are. */
static void test_a_sandbox_leaves_queued_signals_to_its_user(void **state)
{
    struct service s;
    struct box b;
    sigset_t set;

    service_start(&s);
    box_create(&s, &b);
    (void)start_script(&b, "exec python3 -c 'import ctypes, os, signal, time\n"
                           "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])\n"
                           "c = ctypes.CDLL(None)\n"
                           "n = 0\n"
                           "while c.sigqueue(os.getpid(), signal.SIGRTMIN, 0) == 0: n += 1\n"
                           "print(n, flush=True); time.sleep(300)'");
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGRTMIN);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    assert_int_equal(sigqueue(getpid(), SIGRTMIN, (union sigval){0}), 0);
    assert_int_equal(sigwaitinfo(&set, NULL), SIGRTMIN);
    end_all(&s, &b);
}

int run_shortage_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_network_pool_recovers_from_a_failed_refill),
        cmocka_unit_test(test_a_create_whose_socket_cannot_be_sent_is_answered),
        cmocka_unit_test(test_init_without_descriptors_refuses_execs_and_lives),
        cmocka_unit_test(test_init_without_descriptors_refuses_a_copy_and_lives),
        cmocka_unit_test(test_a_sandbox_leaves_queued_signals_to_its_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
