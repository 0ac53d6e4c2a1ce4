/* Limits of a sandbox and of the service: processes, memory, numbers, retention. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "runtime/process.h"
#include "runtime/usage.h"

static struct sandbox_spec base_spec(void)
{
    return (struct sandbox_spec){
        .owner = "test", .request_id = "", .image = "", .command = "", .working_dir = ""};
}

static struct sandbox *create_sh(struct world *w, const char *script)
{
    return world_create(w, "sh", (const char *const[]){"-c", script, NULL});
}

static bool has_limits(struct world *w)
{
    const struct launch_features *f = runtime_features(w->rt);
    return f->limit_memory && f->limit_pids && f->limit_cpu;
}

static void small_pids(struct runtime_config *config)
{
    config->pids_max = 64;
}

static void test_fork_bomb_is_contained_and_the_sandbox_survives(void **state)
{
    struct world *w = world_open(small_pids);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run bomb = {0};
    CLEANUP_RUN struct run look = {0};
    const char *const argv[] = {"bash", "-c", "echo up; b() { b | b & }; b; sleep 1000"};
    struct process_spec spec = {.argv = argv, .n_argv = 3, .cwd = ""};
    (void)state;
    /* By a cgroup or by RLIMIT_NPROC, but always; without it this test must not go on. */
    assert_true(runtime_features(w->rt)->limit_pids);
    wait_state(w, sb, SANDBOX_RUNNING);
    run_start(&bomb, sb, &spec);
    while (buf_len(&bomb.out) == 0)
        world_turn(w);
    process_kill(bomb.p);
    run_wait(w, &bomb);
    do {
        run_done(&look); /* the bomb's last children are still being reaped */
        run_sh(w, &look, sb, "echo alive");
    } while (look.failed && look.code == ERR_RESOURCE_EXHAUSTED);
    assert_buf(&look.out, "alive\n");
    world_close(w);
}

static void test_memory_hog_is_killed_and_the_sandbox_survives(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox_spec spec = base_spec();
    CLEANUP_RUN struct run hog = {0};
    CLEANUP_RUN struct run look = {0};
    (void)state;
    if (!has_limits(w)) {
        world_close(w);
        skip_because("no cgroup of this user limits memory");
    }
    spec.memory_bytes = 32 << 20;
    struct sandbox *sb = world_create_spec(w, &spec);
    wait_state(w, sb, SANDBOX_RUNNING);
    run_sh(w, &hog, sb, "head -c 200000000 /dev/zero | tail -c 150000000 | wc -c");
    if (buf_len(&hog.out) >= 9)
        assert_memory_not_equal(buf_head(&hog.out), "150000000", 9);
    run_sh(w, &look, sb, "echo alive");
    assert_buf(&look.out, "alive\n");
    world_close(w);
}

static void test_unenforceable_limit_is_refused_with_its_name(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox_spec spec = base_spec();
    struct sandbox *sb = NULL;
    struct err err = {0};
    bool existing;
    (void)state;
    if (runtime_features(w->rt)->limit_memory) {
        world_close(w);
        skip_because("every limit can be enforced here");
    }
    spec.memory_bytes = 32 << 20;
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &sb, &existing, &err), -1);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_non_null(strstr(err_text(&err), "memory"));
    err_done(&err);
    world_close(w);
}

struct usage_wait {
    struct sandbox_usage usage;
    bool done;
};

static void on_usage(void *user, const struct sandbox_usage *u)
{
    struct usage_wait *wait = user;
    wait->done = true;
    wait->usage = *u;
}

static void test_usage_is_known_alive_and_after_the_end(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb =
        create_sh(w, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 1000");
    struct usage_wait alive = {0}, ended = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    assert_true(sandbox_usage_is_stale(sb));
    assert_int_equal(sandbox_usage(sb, on_usage, &alive), 0);
    assert_false(alive.done);
    world_wait(w, &alive.done);
    sandbox_stop(sb, 0, "test");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    assert_false(sandbox_usage_is_stale(sb));
    assert_int_equal(sandbox_usage(sb, on_usage, &ended), 0);
    world_wait(w, &ended.done);
    assert_true(ended.usage.cpu_ns >= alive.usage.cpu_ns);
    world_close(w);
}

static void few_allowed(struct runtime_config *config)
{
    config->max_sandboxes = 2;
}

static void test_too_many_sandboxes_are_refused(void **state)
{
    struct world *w = world_open(few_allowed);
    struct sandbox_spec spec = base_spec();
    struct sandbox *a = world_create(w, "", NULL), *b = world_create(w, "", NULL), *c = NULL;
    struct err err = {0};
    bool existing;
    (void)state;
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &c, &existing, &err), -1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    err_done(&err);
    wait_state(w, b, SANDBOX_RUNNING);
    sandbox_stop(a, 0, "test");
    assert_int_equal(wait_terminal(w, a), SANDBOX_TERMINATED);
    c = world_create(w, "", NULL);
    wait_state(w, c, SANDBOX_RUNNING);
    world_close(w);
}

/* ---- retention ---- */

static void keep_two(struct runtime_config *config)
{
    config->max_retained = 2;
}

static void test_ended_sandboxes_are_kept_by_number_oldest_go_first(void **state)
{
    struct world *w = world_open(keep_two);
    char ids[4][64];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct sandbox *sb = world_create(w, "true", NULL);
        (void)snprintf(ids[i], sizeof(ids[i]), "%s", info_of(sb).id);
        (void)sandbox_ref(sb);
        (void)wait_terminal(w, sb);
        sandbox_unref(sb);
    }
    /* One whose cell still dies is passed over, so the younger may go first of these two. */
    while (sandbox_find(w->rt, "test", ids[0], NULL) ||
           sandbox_find(w->rt, "test", ids[1], NULL))
        world_turn(w);
    assert_non_null(sandbox_find(w->rt, "test", ids[2], NULL));
    assert_non_null(sandbox_find(w->rt, "test", ids[3], NULL));
    world_close(w);
}

/* Ended sandboxes of another owner, by an image that is not there. */
static void world_fail_some(struct world *w, const char *owner, size_t n)
{
    static const uint8_t big[1 << 20];
    for (size_t i = 0; i < n; i++) {
        struct sandbox_spec spec = base_spec();
        struct sandbox *sb;
        struct err err = {0};
        bool existing;
        spec.owner = owner;
        spec.image = "not-there";
        spec.kept = big;
        spec.kept_bytes = sizeof(big);
        assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &sb, &existing, &err), 0);
    }
    world_turn(w);
}

static size_t n_of_owner(struct world *w, const char *owner)
{
    size_t n = 0;
    for (struct sandbox *sb = NULL; (sb = sandbox_next(w->rt, sb));)
        n += strcmp(info_of(sb).owner, owner) == 0;
    return n;
}

static void keep_twenty(struct runtime_config *config)
{
    config->max_retained = 20;
}

static void test_ended_sandboxes_of_one_owner_do_not_push_out_those_of_another(void **state)
{
    struct world *w = world_open(keep_twenty);
    (void)state;
    world_fail_some(w, "quiet", 9);
    world_fail_some(w, "loud", 11);
    assert_int_equal(n_of_owner(w, "loud"), 11); /* at the cap */
    world_fail_some(w, "loud", 1);
    assert_int_equal(n_of_owner(w, "loud"), 10); /* one more: a sixteenth goes too */
    world_fail_some(w, "loud", 100);
    assert_int_equal(n_of_owner(w, "quiet"), 9);
    assert_in_range(n_of_owner(w, "loud"), 10, 11);
    world_close(w);
}

static void keep_megabytes(struct runtime_config *config)
{
    config->max_retained_bytes = 16 << 20;
}

static void test_ended_sandboxes_are_kept_by_memory(void **state)
{
    struct world *w = world_open(keep_megabytes);
    (void)state;
    world_fail_some(w, "quiet", 5);
    world_fail_some(w, "loud", 100);
    assert_int_equal(n_of_owner(w, "quiet"), 5);
    assert_in_range(n_of_owner(w, "loud"), 9, 10);
    world_close(w);
}

static void keep_four_megabytes_of_logs(struct runtime_config *config)
{
    config->max_log_bytes = 4 << 20;
}

static uint64_t bytes_of_logs(struct world *w)
{
    char path[160];
    uint64_t n = 0;
    struct dirent *entry;
    (void)snprintf(path, sizeof(path), "%s/logs", w->dir);
    DIR *d = opendir(path);
    while ((entry = readdir(d))) {
        struct stat st;
        if (fstatat(dirfd(d), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            n += (uint64_t)st.st_blocks * 512;
    }
    (void)closedir(d);
    return n;
}

static void test_the_logs_of_all_have_a_cap_on_the_disk(void **state)
{
    struct world *w = world_open(keep_four_megabytes_of_logs);
    char small[64];
    (void)state;
    struct sandbox_spec spec = base_spec();
    spec.owner = "quiet";
    spec.command = "true";
    struct sandbox *sb = world_create_spec(w, &spec);
    (void)snprintf(small, sizeof(small), "%s", info_of(sb).id);
    (void)wait_terminal(w, sb);
    for (int i = 0; i < 8; i++) {
        sb = sandbox_ref(
            world_create(w, "head", (const char *const[]){"-c", "1500000", "/dev/zero", NULL}));
        assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
        sandbox_unref(sb);
    }
    while (bytes_of_logs(w) > 4 << 20)
        world_turn(w);
    assert_non_null(sandbox_find(w->rt, "quiet", small, NULL));
    assert_in_range(n_of_owner(w, "test"), 1,
                    7); /* those that grow late keep less, so more of them fit */
    world_close(w);
}

static void keep_briefly(struct runtime_config *config)
{
    config->retention_ns = 50 * NS_PER_MS;
}

static void test_ended_sandboxes_and_their_logs_go_after_the_retention_time(void **state)
{
    struct world *w = world_open(keep_briefly);
    struct sandbox *sb = world_create(w, "true", NULL);
    char id[64], path[160];
    struct stat st;
    (void)state;
    (void)snprintf(id, sizeof(id), "%s", info_of(sb).id);
    (void)snprintf(path, sizeof(path), "%s/logs/%s.log", w->dir, id);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    assert_non_null(sandbox_find(w->rt, "test", id, NULL));
    assert_int_equal(stat(path, &st), 0);
    while (sandbox_find(w->rt, "test", id, NULL))
        world_turn(w);
    while (stat(path, &st) == 0)
        world_turn(w);
    assert_int_equal(errno, ENOENT);
    world_close(w);
}

static void test_service_without_free_descriptors_refuses_and_recovers(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_ERR struct err err = {0};
    CLEANUP_BUF struct buf content = {0};
    struct rlimit limit, tight;
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = fcntl(0, F_DUPFD_CLOEXEC, 0);
    (void)close(next);
    tight = limit;
    tight.rlim_cur = (rlim_t)next; /* not one more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    struct sandbox *refused[3];
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        refused[i] = world_create(w, "", NULL); /* the first may get the blank that was ready */
    (void)sandbox_ref(refused[2]);
    while (info_of(refused[2]).state != SANDBOX_FAILED)
        world_turn(w);
    assert_non_null(strstr(info_of(refused[2]).state_reason, "too many open files"));
    sandbox_unref(refused[2]);
    read_file(w, sb, "/etc/passwd", &content, &err);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    const char *const argv[] = {"true"};
    struct process_spec spec = {.argv = argv, .n_argv = 1, .cwd = ""};
    static const struct process_events events;
    struct process *p = NULL;
    assert_int_equal(process_start(sb, &spec, &events, NULL, &p, &err), -1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct sandbox *fine = world_create(w, "", NULL);
    (void)sandbox_ref(fine);
    while (info_of(fine).state ==
           SANDBOX_PENDING) /* maybe the last one that was asked for too early */
        world_turn(w);
    sandbox_unref(fine);
    fine = world_create(w, "", NULL);
    wait_state(w, fine, SANDBOX_RUNNING);
    assert_false(w->lost);
    world_close(w);
}

/* Room for @n_free descriptors more; the limit that was. */
static struct rlimit squeeze_descriptors(int n_free)
{
    struct rlimit limit, tight;
    int next = fcntl(0, F_DUPFD_CLOEXEC, 0);

    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)(next + n_free);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    return limit;
}

/* None: the terminal does not arrive. One: it does, but cannot be doubled. */
static void test_terminal_without_a_free_descriptor_ends_that_exec_only(void **state)
{
    const char *const argv[] = {"sh", "-c", "sleep 301 & sleep 302"};
    struct process_spec spec = {.argv = argv, .n_argv = 3, .cwd = "", .tty = true};
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run look = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    for (int n_free = 0; n_free < 2; n_free++) {
        CLEANUP_RUN struct run r = {0};
        struct rlimit limit = squeeze_descriptors(n_free);

        run_start(&r, sb, &spec);
        run_wait(w, &r);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_true(r.failed);
        assert_int_equal(r.code, ERR_RESOURCE_EXHAUSTED);
    }
    run_sh(w, &look, sb, "grep -l '(sleep) [^Z]' /proc/[0-9]*/stat | wc -l");
    assert_buf(&look.out, "0\n"); /* what nobody can hear was killed */
    world_close(w);
}

static void set_memory_limit(rlim_t n)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

/* What this process has mapped now: the first number of statm, in pages. */
static rlim_t mapped_bytes(void)
{
    CLEANUP_FREE char *text = NULL;
    assert_int_equal(file_read("/proc/self/statm", 256, &text, NULL), 0);
    return (rlim_t)strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void on_nothing(void *user, const struct err *err)
{
    (void)user;
    assert_null(err);
}

static void test_output_that_there_is_no_memory_for_is_no_clean_exit(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    skip_because("the address sanitizer has memory in store");
#endif
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {.hold = true};
    const char *const argv[] = {"sh", "-c",
                                "head -c 20000 /dev/zero; until test -e /tmp/go; do :; done; "
                                "head -c 20000 /dev/zero",
                                NULL};
    struct process_spec spec = {.argv = argv, .n_argv = 3, .cwd = ""};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    assert_int_equal(mallopt(M_MMAP_THRESHOLD, 65536), 1); /* what is large is new memory */
    run_start(&r, sb, &spec);
    while (r.n_outputs == 0)
        world_turn(w);
    sandbox_write_file(sb, "/tmp/go", &(struct buf){0}, on_nothing, NULL);
    while (r.p->verdict == VERDICT_NONE) /* it ended, and half of its output is in the pipe */
        world_turn(w);
    r.hold = false;
    buf_done(&w->rt->scratch);
    set_memory_limit(mapped_bytes());
    void *hog[1024];
    size_t n_hogs = 0;
    while (n_hogs < ARRAY_SIZE(hog) &&
           (hog[n_hogs] = malloc(65536))) /* what the heap has left */
        n_hogs++;
    process_resume_output(r.p);
    world_wait(w, &r.ended);
    set_memory_limit(RLIM_INFINITY);
    while (n_hogs > 0)
        free(hog[--n_hogs]);
    assert_true(r.failed);
    assert_int_equal(r.code, ERR_RESOURCE_EXHAUSTED);
    world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_that_there_is_no_memory_for_is_no_clean_exit),
        cmocka_unit_test(test_service_without_free_descriptors_refuses_and_recovers),
        cmocka_unit_test(test_terminal_without_a_free_descriptor_ends_that_exec_only),
        cmocka_unit_test(test_fork_bomb_is_contained_and_the_sandbox_survives),
        cmocka_unit_test(test_memory_hog_is_killed_and_the_sandbox_survives),
        cmocka_unit_test(test_unenforceable_limit_is_refused_with_its_name),
        cmocka_unit_test(test_usage_is_known_alive_and_after_the_end),
        cmocka_unit_test(test_too_many_sandboxes_are_refused),
        cmocka_unit_test(test_ended_sandboxes_are_kept_by_number_oldest_go_first),
        cmocka_unit_test(test_ended_sandboxes_of_one_owner_do_not_push_out_those_of_another),
        cmocka_unit_test(test_ended_sandboxes_are_kept_by_memory),
        cmocka_unit_test(test_the_logs_of_all_have_a_cap_on_the_disk),
        cmocka_unit_test(test_ended_sandboxes_and_their_logs_go_after_the_retention_time),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
