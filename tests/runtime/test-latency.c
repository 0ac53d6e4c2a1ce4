/* Prints what creation, exec and a small file cost in this room; asserts only that everything
 * works. */
#include "harness.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define N_ROUNDS 300

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *what, uint64_t *ns, size_t n)
{
    qsort(ns, n, sizeof(*ns), compare);
    print_message("%-40s p50 %7.1f us   p99 %8.1f us   n %zu\n", what, (double)ns[n / 2] / 1e3,
                  (double)ns[n * 99 / 100] / 1e3, n);
}

static double cpu_us(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* What the machine needs for the same program at best: the figure to compare with. */
static uint64_t spawn_bare(void)
{
    char data[64];
    int fds[2];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    char *const argv[] = {"/bin/echo", "hello", NULL};
    uint64_t start = clock_now_ns();
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, argv, environ), 0);
    (void)close(fds[1]);
    while (read(fds[0], data, sizeof(data)) > 0) {
    }
    (void)close(fds[0]);
    (void)waitpid(pid, NULL, 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    return clock_now_ns() - start;
}

static uint64_t g_samples[3][N_ROUNDS];

static void test_latency_of_exec(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    for (size_t i = 0; i < N_ROUNDS; i++)
        g_samples[0][i] = spawn_bare();
    report("bare posix_spawn of /bin/echo, to exit", g_samples[0], N_ROUNDS);
    double cpu = cpu_us();
    for (size_t i = 0; i < N_ROUNDS; i++) {
        CLEANUP_RUN struct run r = {0};
        uint64_t start = clock_now_ns();
        run_argv(w, &r, sb, (const char *const[]){"/bin/echo", "hello", NULL});
        g_samples[0][i] = clock_now_ns() - start;
        assert_buf(&r.out, "hello\n");
        assert_int_equal(r.exit_code, 0);
    }
    report("exec /bin/echo hello, to exit", g_samples[0], N_ROUNDS);
    print_message("%-40s %.1f us each\n", "CPU of this process for that",
                  (cpu_us() - cpu) / N_ROUNDS);
    for (size_t i = 0; i < N_ROUNDS; i++) {
        CLEANUP_BUF struct buf content = {0};
        CLEANUP_ERR struct err err = {0};
        uint64_t start = clock_now_ns();
        write_file(w, sb, "/tmp/f", "0123456789", 10, &err);
        g_samples[1][i] = clock_now_ns() - start;
        start = clock_now_ns();
        read_file(w, sb, "/tmp/f", &content, &err);
        g_samples[2][i] = clock_now_ns() - start;
        assert_buf(&content, "0123456789");
    }
    report("write a file of 10 bytes", g_samples[1], N_ROUNDS);
    report("read a file of 10 bytes", g_samples[2], N_ROUNDS);
    world_close(w);
}

static void four_blanks(struct runtime_config *config)
{
    config->warm_pool = 4;
}

static void no_blanks(struct runtime_config *config)
{
    config->warm_pool = 0;
}

static void measure_life(void (*adjust)(struct runtime_config *config), const char *what)
{
    struct world *w = world_open(adjust);
    char text[64];
    for (size_t i = 0; i < N_ROUNDS; i++) {
        CLEANUP_RUN struct run r = {0};
        uint64_t start = clock_now_ns();
        struct sandbox *sb = world_create(w, "", NULL);
        wait_state(w, sb, SANDBOX_RUNNING);
        g_samples[0][i] = clock_now_ns() - start;
        run_argv(w, &r, sb, (const char *const[]){"/bin/echo", "hello", NULL});
        g_samples[1][i] = clock_now_ns() - start;
        assert_int_equal(r.exit_code, 0);
        sandbox_stop(sb, 0, "done");
        assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
        g_samples[2][i] = clock_now_ns() - start;
    }
    static const char *const steps[] = {"create", "create, exec", "create, exec, stop"};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof(text), "%s: %s", what, steps[i]);
        report(text, g_samples[i], N_ROUNDS);
    }
    world_close(w);
}

static void test_latency_of_a_life_with_the_pool(void **state)
{
    (void)state;
    measure_life(four_blanks, "4 blanks");
}

static void test_latency_of_a_life_without_the_pool(void **state)
{
    (void)state;
    measure_life(no_blanks, "no pool");
}

static size_t g_bytes;

static void on_flood(void *user, struct process *p, enum output_stream s, struct buf *take)
{
    (void)user;
    (void)p;
    (void)s;
    g_bytes += buf_len(take);
}

static void on_flood_exit(void *user, struct process *p, int exit_code)
{
    (void)p;
    assert_int_equal(exit_code, 0);
    *(bool *)user = true;
}

static void test_throughput_of_output(void **state)
{
    static const struct process_events events = {.on_output = on_flood,
                                                 .on_exit = on_flood_exit};
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    const char *const argv[] = {"head", "-c", "1073741824", "/dev/zero"};
    struct process_spec spec = {.argv = argv, .n_argv = 4, .cwd = ""};
    struct process *p = NULL;
    bool done = false;
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    uint64_t start = clock_now_ns();
    assert_int_equal(process_start(sb, &spec, &events, &done, &p, NULL), 0);
    world_wait(w, &done);
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    assert_int_equal(g_bytes, 1073741824);
    print_message("%-40s %.0f MB/s\n", "stdout of head -c 1G", 1073.7 / seconds);
    process_free(p);
    world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_of_exec),
        cmocka_unit_test(test_latency_of_a_life_with_the_pool),
        cmocka_unit_test(test_latency_of_a_life_without_the_pool),
        cmocka_unit_test(test_throughput_of_output),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
