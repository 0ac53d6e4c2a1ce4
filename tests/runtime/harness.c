/* A real runtime for the tests; see harness.h. */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TEST_UID 54321 /* no account needed: the kernel asks for none */

/* Only a hang takes that long; a machine that is translated is slow. */
static int wait_ms(void)
{
    return getenv("CWS_SLOW_MACHINE") ? 10 * WAIT_MS : WAIT_MS;
}

static void on_limit(uv_timer_t *timer)
{
    ((struct world *)timer->data)->timed_out = true;
}

static void on_lost(void *user, const struct err *why)
{
    (void)why;
    ((struct world *)user)->lost = true;
}

/* What the supervisor does: launch on one end of a pair, the runtime gets the other. */
void world_launch(struct world *w)
{
    char state_dir[96], number[16];
    int pair[2];
    (void)snprintf(state_dir, sizeof(state_dir), "%s/launch", w->dir);
    assert_true(mkdir(state_dir, 0700) == 0 || errno == EEXIST);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(number, sizeof(number), "%d", pair[1]);
    w->launch_pid = fork();
    if (w->launch_pid == 0) {
        (void)setsid();
        (void)fcntl(pair[1], F_SETFD, 0);
        (void)execl(getenv("CWS_LAUNCH"), "cwsandbox-launch", "--fd", number, "--init",
                    getenv("CWS_INIT"), "--state-dir", state_dir, "--service", w->service,
                    NULL);
        _exit(126);
    }
    assert_true(w->launch_pid > 0);
    (void)close(pair[1]);
    w->config.launch_socket = pair[0];
}

struct world *world_open(void (*adjust)(struct runtime_config *config))
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->limit), 0);
    w->limit.data = w;
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/cws-runtime-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    static int n_worlds;
    (void)snprintf(w->service, sizeof(w->service), "rt-%d-%d", (int)getpid(), n_worlds++);
    runtime_config_init(&w->config);
    w->config.data_dir = w->dir;
    w->config.warm_pool = 1;
    if (adjust)
        adjust(&w->config);
    world_start(w);
    return w;
}

void world_turn(struct world *w)
{
    w->timed_out = false;
    assert_int_equal(uv_timer_start(&w->limit, on_limit, wait_ms(), 0), 0);
    (void)uv_run(&w->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&w->limit);
    if (w->timed_out)
        fail_msg("nothing happened for %d ms", wait_ms());
}

void world_wait(struct world *w, const bool *flag)
{
    uint64_t end = clock_now_ns() + (uint64_t)wait_ms() * NS_PER_MS;
    while (!*flag) {
        world_turn(w);
        if (clock_now_ns() > end)
            fail_msg("waited %d ms in vain", wait_ms());
    }
}

static void on_closed(void *user)
{
    ((struct world *)user)->closed = true;
}

static const char *g_wanted; /* nftw has no user pointer */
static int n_found;

static int on_path(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    if (strcmp(path + ftw->base, g_wanted) == 0)
        n_found++;
    return 0;
}

/* Control groups are named by the service; mounts would show its directory. */
static void check_nothing_left(struct world *w)
{
    CLEANUP_FREE char *mounts = NULL;
    g_wanted = w->service;
    n_found = 0;
    (void)nftw("/sys/fs/cgroup", on_path, 32, FTW_PHYS);
    if (n_found > 0)
        fail_msg("%d cgroups named %s are left", n_found, w->service);
    assert_int_equal(file_read("/proc/self/mounts", 4 << 20, &mounts, NULL), 0);
    assert_null(strstr(mounts, w->dir));
    assert_int_equal(pid_below((int)getpid(), ""), 0);
}

static int on_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void close_runtime(struct world *w)
{
    w->closed = false;
    runtime_close(w->rt, on_closed, w);
    world_wait(w, &w->closed);
    assert_int_equal(waitpid(w->launch_pid, NULL, 0), w->launch_pid);
}

void world_close(struct world *w)
{
    close_runtime(w);
    uv_close((uv_handle_t *)&w->limit, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    check_nothing_left(w);
    (void)nftw(w->dir, on_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(w);
}

void world_stop(struct world *w)
{
    close_runtime(w);
    w->rt = NULL;
}

void world_start(struct world *w)
{
    struct err err = {0};
    world_launch(w);
    if (runtime_new(&w->loop, &w->config, &w->rt, &err) < 0)
        fail_msg("runtime_new: %s", err_text(&err));
    runtime_on_lost(w->rt, on_lost, w);
}

void world_restart(struct world *w)
{
    world_stop(w);
    world_start(w);
}

void world_close_lost(struct world *w)
{
    world_restart(w);
    world_close(w);
}

/* ---- sandboxes ---- */

struct sandbox *world_create_spec(struct world *w, const struct sandbox_spec *spec)
{
    struct sandbox *sb = NULL;
    struct err err = {0};
    bool existing = false;
    if (sandbox_create(w->rt, spec, NULL, NULL, &sb, &existing, &err) < 0)
        fail_msg("sandbox_create: %s", err_text(&err));
    return sb;
}

struct sandbox *world_create(struct world *w, const char *command, const char *const *args)
{
    struct sandbox_spec spec = {.owner = "test",
                                .request_id = "",
                                .image = "",
                                .command = command,
                                .args = args,
                                .working_dir = ""};
    while (args && args[spec.n_args])
        spec.n_args++;
    return world_create_spec(w, &spec);
}

struct sandbox_info info_of(struct sandbox *sb)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    return info;
}

struct state_wait {
    struct sandbox_watch watch;
    enum sandbox_state state;
    bool terminal, done;
};

static void on_state(void *user, struct sandbox *sb)
{
    struct state_wait *wait = user;
    enum sandbox_state state = info_of(sb).state;
    wait->done = wait->terminal ? sandbox_state_terminal(state) : state == wait->state;
    if (!wait->done && sandbox_state_terminal(state))
        fail_msg("the sandbox ended in state %d: %s", (int)state, info_of(sb).state_reason);
}

static void wait_for(struct world *w, struct sandbox *sb, struct state_wait *wait)
{
    wait->watch = (struct sandbox_watch){.cb = on_state, .user = wait};
    (void)sandbox_ref(sb);
    sandbox_watch_add(sb, &wait->watch);
    on_state(wait, sb);
    world_wait(w, &wait->done);
    sandbox_watch_remove(&wait->watch);
    sandbox_unref(sb);
}

void wait_state(struct world *w, struct sandbox *sb, enum sandbox_state state)
{
    struct state_wait wait = {.state = state};
    wait_for(w, sb, &wait);
}

enum sandbox_state wait_terminal(struct world *w, struct sandbox *sb)
{
    struct state_wait wait = {.terminal = true};
    wait_for(w, sb, &wait);
    return info_of(sb).state;
}

/* ---- processes ---- */

static void on_ready(void *user, struct process *p)
{
    (void)p;
    assert_false(((struct run *)user)->ready);
    ((struct run *)user)->ready = true;
}

static void on_output(void *user, struct process *p, enum output_stream s, struct buf *take)
{
    struct run *r = user;
    struct buf *to = s == OUTPUT_STDOUT ? &r->out : &r->err;
    assert_true(r->ready);
    assert_false(r->ended);
    assert_true(buf_len(take) > 0);
    assert_int_equal(buf_put(to, buf_head(take), buf_len(take)), 0);
    r->n_outputs++;
    if (r->hold)
        process_pause_output(p);
    if (r->free_on_output) {
        process_free(p);
        r->p = NULL;
        r->ended = true;
    }
}

static void on_exit_code(void *user, struct process *p, int exit_code)
{
    struct run *r = user;
    (void)p;
    assert_false(r->ended);
    r->ended = true;
    r->exit_code = exit_code;
}

static void on_error(void *user, struct process *p, const struct err *err)
{
    struct run *r = user;
    (void)p;
    assert_false(r->ended);
    r->ended = r->failed = true;
    r->code = err->code;
    (void)snprintf(r->error, sizeof(r->error), "%s", err_text(err));
}

void run_start(struct run *r, struct sandbox *sb, const struct process_spec *spec)
{
    static const struct process_events events = {.on_ready = on_ready,
                                                 .on_output = on_output,
                                                 .on_exit = on_exit_code,
                                                 .on_error = on_error};
    struct err err = {0};
    if (process_start(sb, spec, &events, r, &r->p, &err) < 0)
        fail_msg("process_start: %s", err_text(&err));
}

void run_wait(struct world *w, struct run *r)
{
    world_wait(w, &r->ended);
}

void run_argv(struct world *w, struct run *r, struct sandbox *sb, const char *const *argv)
{
    struct process_spec spec = {.argv = argv, .cwd = ""};
    while (argv[spec.n_argv])
        spec.n_argv++;
    run_start(r, sb, &spec);
    run_wait(w, r);
}

void run_sh(struct world *w, struct run *r, struct sandbox *sb, const char *script)
{
    run_argv(w, r, sb, (const char *const[]){"sh", "-c", script, NULL});
}

void run_done(struct run *r)
{
    process_free(r->p);
    buf_done(&r->out);
    buf_done(&r->err);
    *r = (struct run){0};
}

void assert_buf(const struct buf *b, const char *text)
{
    if (buf_len(b) != strlen(text) || memcmp(buf_head(b), text, strlen(text)) != 0)
        fail_msg("got %.*s, expected %s", (int)buf_len(b),
                 b->data ? (const char *)buf_head(b) : "", text);
}

/* ---- logs and files ---- */

struct log_read {
    struct buf *out;
    bool ended;
};

static void on_log_data(void *user, struct log_stream *l, struct buf *take, uint64_t wall_ns,
                        uint64_t next_offset)
{
    struct log_read *read = user;
    (void)l;
    assert_true(wall_ns > 0);
    assert_int_equal(buf_put(read->out, buf_head(take), buf_len(take)), 0);
    assert_int_equal(next_offset, buf_len(read->out));
}

static void on_log_end(void *user, struct log_stream *l, const char *error_code,
                       const char *message)
{
    (void)l;
    (void)message;
    assert_null(error_code);
    ((struct log_read *)user)->ended = true;
}

void read_log(struct world *w, struct sandbox *sb, const struct log_spec *spec, struct buf *ret)
{
    static const struct log_events events = {.on_data = on_log_data, .on_end = on_log_end};
    struct log_read read = {.out = ret};
    struct log_stream *l = NULL;
    assert_int_equal(log_stream_open(sb, spec, &events, &read, &l, NULL), 0);
    world_wait(w, &read.ended);
    log_stream_free(l);
}

struct file_wait {
    struct buf *content;
    struct err *err;
    bool done;
};

static void on_read(void *user, struct buf *take_content, const struct err *err)
{
    struct file_wait *wait = user;
    wait->done = true;
    if (err) {
        err_copy(wait->err, err);
        return;
    }
    *wait->content = *take_content;
    *take_content = (struct buf){0};
}

static void on_written(void *user, const struct err *err)
{
    struct file_wait *wait = user;
    wait->done = true;
    if (err)
        err_copy(wait->err, err);
}

void read_file(struct world *w, struct sandbox *sb, const char *path, struct buf *ret,
               struct err *ret_err)
{
    struct file_wait wait = {.content = ret, .err = ret_err};
    sandbox_read_file(sb, path, on_read, &wait);
    world_wait(w, &wait.done);
}

void write_file(struct world *w, struct sandbox *sb, const char *path, const void *data,
                size_t n, struct err *ret_err)
{
    struct file_wait wait = {.err = ret_err};
    struct buf content = {0};
    assert_int_equal(buf_put(&content, data, n), 0);
    sandbox_write_file(sb, path, &content, on_written, &wait);
    assert_int_equal(buf_len(&content), 0);
    world_wait(w, &wait.done);
}

/* ---- the machine ---- */

int become(int argc, char **argv)
{
    cmocka_set_skip_filter(getenv("CWS_TEST_SKIP"));
    if (argc < 2 || strcmp(argv[1], "user") != 0)
        return is_root() ? 0 : -1;
    if (!is_root())
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(TEST_UID, TEST_UID, TEST_UID) < 0 ||
        setresuid(TEST_UID, TEST_UID, TEST_UID) < 0)
        return -1;
    return prctl(PR_SET_DUMPABLE, 1); /* or /proc/self would belong to root */
}

bool is_root(void)
{
    return geteuid() == 0;
}

int pid_below(int parent, const char *name)
{
    char path[64];
    CLEANUP_FREE char *text = NULL;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
    if (file_read(path, 65536, &text, NULL) < 0)
        return 0;
    char *rest = text;
    for (char *word; (word = strsep(&rest, " "));) {
        CLEANUP_FREE char *comm = NULL;
        int pid = atoi(word);
        (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        if (pid > 0 && file_read(path, 64, &comm, NULL) == 0 &&
            strncmp(comm, name, strlen(name)) == 0)
            return pid;
    }
    return 0;
}
