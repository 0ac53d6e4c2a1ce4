/* See harness.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "harness.h"

uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool process_alive(pid_t pid)
{
    char path[64], text[512];
    ssize_t n;
    const char *state;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = 0;
    state = strrchr(text, ')');
    return state && state[2] != 'Z' && state[2] != 'X';
}

static const char *need_env(const char *name)
{
    const char *value = getenv(name);

    if (!value)
        fail_msg("%s is not set", name);
    return value;
}

int patience_ms(void)
{
    return getenv("CWS_SLOW_MACHINE") ? 200000 : 20000;
}

static void wait_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&ready, 1, patience_ms()), 1);
}

/* One packet with at most one descriptor; the number of bytes, 0 at EOF. */
static ssize_t receive(int sock, void *data, size_t size, int *ret_fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    wait_readable(sock);
    n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    *ret_fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    return n;
}

uint32_t harness_nofile;
const char *const *harness_args;

void service_start(struct service *s)
{
    static int counter;
    char name[32];

    (void)snprintf(name, sizeof(name), "test%d-%d", getpid(), counter++);
    service_start_named(s, name);
}

/* What a careless parent leaves us: every signal ignored, also those that libc's signal() does not touch. */
static void ignore_signals(void)
{
    static const unsigned long ignore[8] = {
        (unsigned long)SIG_IGN}; /* the kernel's struct sigaction */

    for (int signo = 1; signo < _NSIG; signo++)
        (void)syscall(SYS_rt_sigaction, signo, ignore, NULL, _NSIG / 8);
}

void service_make(struct service *s, const char *name)
{
    memset(s, 0, sizeof(*s));
    (void)snprintf(s->dir, sizeof(s->dir), "/tmp/cwstest-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
}

void service_launch(struct service *s)
{
    struct launch_message hello = {.type = LAUNCH_HELLO, .u.version = LAUNCH_VERSION}, answer;
    const char *launch = need_env("CWS_LAUNCH"), *init = need_env("CWS_INIT");
    int pair[2], fd;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    s->pid = fork();
    if (s->pid == 0) {
        char number[16];

        const struct rlimit files = {harness_nofile, harness_nofile};

        (void)close(pair[0]);
        ignore_signals();
        if (harness_nofile)
            (void)setrlimit(RLIMIT_NOFILE, &files);
        (void)snprintf(number, sizeof(number), "%d", pair[1]);
        const char *argv[24] = {launch,        "--fd", number,      "--init", init,
                                "--state-dir", s->dir, "--service", s->name};

        for (size_t i = 9; harness_args && harness_args[i - 9] && i < ARRAY_SIZE(argv) - 1; i++)
            argv[i] = harness_args[i - 9];
        (void)execv(launch, (char **)(uintptr_t)argv);
        _exit(126);
    }
    (void)close(pair[1]);
    s->sock = pair[0];
    (void)fcntl(s->sock, F_SETFD, FD_CLOEXEC);
    service_call(s, &hello, &answer, &fd);
    s->features = answer.u.features;
}

void service_start_named(struct service *s, const char *name)
{
    service_make(s, name);
    service_launch(s);
}

bool service_receive(struct service *s, struct launch_message *ret, int *ret_fd)
{
    static uint8_t data[LAUNCH_MAX_PACKET];
    ssize_t n = receive(s->sock, data, sizeof(data), ret_fd);

    if (n <= 0)
        return false;
    assert_int_equal(launchproto_decode(data, (size_t)n, ret), 0);
    return true;
}

void service_call(struct service *s, struct launch_message *msg, struct launch_message *ret,
                  int *ret_fd)
{
    static uint8_t data[LAUNCH_MAX_PACKET];
    ssize_t n;

    msg->seq = ++s->seq;
    n = launchproto_encode(msg, data, sizeof(data));
    assert_true(n > 0);
    assert_int_equal(send(s->sock, data, (size_t)n, MSG_NOSIGNAL), n);
    do {
        assert_true(service_receive(s, ret, ret_fd));
    } while (ret->seq != msg->seq);
    assert_true(ret->answer);
}

void service_wait_exited(struct service *s, const char *id, struct launch_exited *ret)
{
    struct launch_message msg;
    int fd;

    do {
        assert_true(service_receive(s, &msg, &fd));
    } while (msg.type != LAUNCH_EVENT_EXITED || strcmp(msg.u.exited.id, id) != 0);
    if (ret)
        *ret = msg.u.exited;
}

void assert_no_cgroup(const struct service *s)
{
    static const char *const tops[] = {"unified", "memory", "cpu", "pids", "."};

    for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
        char path[256];

        (void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/cwsandbox/%s", tops[i], s->name);
        if (access(path, F_OK) == 0)
            fail_msg("%s is left", path);
    }
}

void service_remove_dir(const struct service *s)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/images", s->dir);
    (void)rmdir(path);
    assert_int_equal(rmdir(s->dir), 0);
}

void service_stop(struct service *s)
{
    int status;

    (void)close(s->sock);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_no_cgroup(s);
    service_remove_dir(s);
}

void create_add_mounts(struct launch_create *create)
{
    static const struct mount_op rows[] = {{MOUNT_DEV, "", "/dev"},
                                           {MOUNT_SPACE, "shm", "/dev/shm"},
                                           {MOUNT_SPACE, "tmp", "/tmp"},
                                           {MOUNT_PROC, "", "/proc"},
                                           {MOUNT_SYS, "", "/sys"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        create->mounts[create->n_mounts++] = rows[i];
}

struct launch_message create_host(const char *id, uint64_t size_bytes, uint64_t inodes)
{
    struct launch_message msg = {
        .type = LAUNCH_CREATE,
        .u.create = {
            .root = {.host = true, .size_bytes = size_bytes, .n_inodes = inodes},
            .n_mounts = 1,
            .mounts = {{MOUNT_HOST, "", ""}},
        }};

    (void)snprintf(msg.u.create.id, sizeof(msg.u.create.id), "%s", id);
    create_add_mounts(&msg.u.create);
    return msg;
}

void box_create_sized(struct service *s, struct box *b, uint64_t size_bytes, uint64_t inodes)
{
    static int counter;
    struct launch_message msg, answer;

    memset(b, 0, sizeof(*b));
    b->service = s;
    (void)snprintf(b->id, sizeof(b->id), "box-%d", counter++);
    msg = create_host(b->id, size_bytes, inodes);
    service_call(s, &msg, &answer, &b->control);
    if (answer.u.created.status != 0)
        fail_msg("create: %s: %s", answer.u.created.stage, strerror(-answer.u.created.status));
    assert_true(b->control >= 0);
    b->pid = answer.u.created.pid;
}

void box_create(struct service *s, struct box *b)
{
    box_create_sized(s, b, 256u << 20, 20000);
}

int box_limit(struct box *b, struct launch_limits limits, char *stage)
{
    struct launch_message msg = {.type = LAUNCH_LIMITS, .u.limits = limits}, answer;
    int fd;

    memcpy(msg.u.limits.id, b->id, sizeof(b->id));
    service_call(b->service, &msg, &answer, &fd);
    if (stage)
        (void)snprintf(stage, 64, "%s", answer.u.status.stage);
    return answer.u.status.status;
}

int box_kill_slot(struct box *b, int32_t slot)
{
    struct launch_message msg = {.type = LAUNCH_KILL_EXEC, .u.kill_exec.slot = (uint32_t)slot},
                          answer;
    int fd;

    memcpy(msg.u.kill_exec.id, b->id, sizeof(b->id));
    service_call(b->service, &msg, &answer, &fd);
    return answer.u.status.status;
}

void box_end(struct box *b, struct launch_exited *ret_exited)
{
    struct launch_message msg = {.type = LAUNCH_KILL}, answer;
    int fd;

    memcpy(msg.u.id, b->id, sizeof(b->id));
    service_call(b->service, &msg, &answer, &fd);
    assert_int_equal(answer.u.status.status, 0);
    service_wait_exited(b->service, b->id, ret_exited);
    (void)close(b->control);
}

static size_t put_string(char *body, size_t at, const char *text)
{
    size_t n = strlen(text) + 1;

    assert_true(at + n <= INIT_MAX_MEMFD_BODY);
    memcpy(body + at, text, n);
    return at + n;
}

static void send_packet(struct box *b, const struct init_packet *head, const void *body,
                        size_t n_body, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(5 * sizeof(int))];
    } control = {0};
    struct iovec iov[2] = {{.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof(*head)},
                           {.iov_base = (void *)(uintptr_t)body, .iov_len = n_body}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (n_fds > 0) {
        struct cmsghdr *c;

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    assert_int_equal(sendmsg(b->control, &msg, MSG_NOSIGNAL), sizeof(*head) + n_body);
}

void control_request(struct box *b, uint32_t type, uint32_t id, int value)
{
    struct init_packet head = {.type = type, .id = id, .value = value};

    send_packet(b, &head, "", 0, NULL, 0);
}

static const char *const default_env[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL};

uint32_t exec_send(struct box *b, const struct exec_spec *spec, const int stdio[3])
{
    static char body[INIT_MAX_MEMFD_BODY];
    struct init_packet head = {.type = INIT_EXEC, .id = ++b->next_id, .n_seen = b->n_seen};
    const char *const *envp = spec->envp ? spec->envp : default_env;
    CLEANUP_FD int memfd = -1;
    int fds[5];
    size_t n_fds = 0, n = put_string(body, 0, spec->cwd ? spec->cwd : "");

    n = put_string(body, n, spec->user ? spec->user : "");

    for (; spec->argv[head.n_args]; head.n_args++)
        n = put_string(body, n, spec->argv[head.n_args]);
    for (; envp[head.n_envs]; head.n_envs++)
        n = put_string(body, n, envp[head.n_envs]);
    head.body_size = (uint32_t)n;
    if (spec->tty) {
        head.flags |= INIT_TTY;
        head.tty_width = spec->width;
        head.tty_height = spec->height;
    } else {
        memcpy(fds, stdio, 3 * sizeof(int));
        n_fds = 3;
    }
    if (spec->main) {
        head.flags |= INIT_MAIN;
        fds[n_fds++] = spec->main_output;
    }
    if (spec->body_in_memfd || n > INIT_MAX_BODY) {
        head.flags |= INIT_BODY_IN_MEMFD;
        memfd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(write(memfd, body, n), n);
        assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW),
                         0);
        fds[n_fds++] = memfd;
        n = 0;
    }
    send_packet(b, &head, body, n, fds, n_fds);
    return head.id;
}

void control_wait(struct box *b, struct init_packet *ret, int *ret_fd)
{
    ssize_t n = receive(b->control, ret, sizeof(*ret), ret_fd);

    assert_int_equal(n, sizeof(*ret));
    if (ret->type == INIT_EXITED)
        b->n_seen++;
    if (ret->type == INIT_SYNCED)
        b->n_seen = 0;
    if (ret->type == INIT_STARTED && ret->value == 0)
        b->slot = ret->slot;
}

size_t read_to_end(int fd, char *to, size_t max)
{
    size_t n = 0;

    while (n < max) {
        ssize_t got;

        wait_readable(fd);
        got = read(fd, to + n, max - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    return n;
}

void run_spec(struct box *b, const struct exec_spec *spec, struct run *ret)
{
    struct init_packet packet;
    CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int pipe_fds[2], fd, stdio[3];
    uint32_t id;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    stdio[0] = null;
    stdio[1] = stdio[2] = pipe_fds[1];
    id = exec_send(b, spec, stdio);
    (void)close(pipe_fds[1]);
    control_wait(b, &packet, &fd);
    assert_int_equal(packet.type, INIT_STARTED);
    assert_int_equal(packet.id, id);
    ret->status = packet.value;
    ret->pid = (pid_t)packet.aux;
    memcpy(ret->stage, packet.stage, sizeof(ret->stage));
    ret->n_out = packet.value < 0 ? 0 : read_to_end(pipe_fds[0], ret->out, MAX_OUTPUT - 1);
    ret->out[ret->n_out] = 0;
    ret->exit_code = -1;
    (void)close(pipe_fds[0]);
    if (packet.value < 0)
        return;
    control_wait(b, &packet, &fd);
    assert_int_equal(packet.type, INIT_EXITED);
    assert_int_equal(packet.id, id);
    ret->exit_code =
        WIFSIGNALED(packet.value) ? 128 + WTERMSIG(packet.value) : WEXITSTATUS(packet.value);
}

void run_argv(struct box *b, const char *const *argv, struct run *ret)
{
    struct exec_spec spec = {.argv = argv};

    run_spec(b, &spec, ret);
}

void run_shell(struct box *b, const char *script, struct run *ret)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};

    run_argv(b, argv, ret);
}

/* READ or WRITE to its end. COPIED's status. */
static int copy_path(struct box *b, struct init_packet *head, const char *path, int pipe_end)
{
    struct init_packet answer, copied = {.value = -ECANCELED};
    int fd;

    head->id = ++b->next_id;
    head->body_size = (uint32_t)strlen(path) + 1;
    send_packet(b, head, path, head->body_size, &pipe_end, 1);
    (void)close(pipe_end);
    do {
        control_wait(b, &answer, &fd); /* execs that start or end meanwhile are no answer */
        if (answer.type == INIT_COPIED)
            copied = answer;
        if (answer.type == INIT_STARTED && answer.id == head->id)
            return answer.value; /* there is no child */
    } while (answer.type != INIT_EXITED || answer.id != head->id);
    assert_int_equal(copied.id, head->id);
    *head = copied;
    return copied.value;
}

int read_path(struct box *b, const char *path, char *ret, size_t size)
{
    struct init_packet head = {.type = INIT_READ, .size_bytes = size - 1};
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    int status = copy_path(b, &head, path, fds[1]);
    size_t n = status < 0 ? 0 : read_to_end(fds[0], ret, size - 1);
    ret[n] = 0;
    (void)close(fds[0]);
    return status < 0 ? status : (int)n;
}

int write_path(struct box *b, const char *path, const char *text)
{
    struct init_packet head = {.type = INIT_WRITE, .aux = 0644, .size_bytes = strlen(text)};
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    (void)close(fds[1]);
    return copy_path(b, &head, path, fds[0]);
}

void assert_python(struct box *b, const char *script, const char *expected)
{
    static struct run result;
    const char *argv[] = {"python3", "-c", script, NULL};

    run_argv(b, argv, &result);
    assert_string_equal(result.out, expected);
}

void assert_shell_at(struct box *b, const char *script, const char *expected, const char *file,
                     int line)
{
    static struct run result;

    run_shell(b, script, &result);
    if (result.exit_code != 0 || strcmp(result.out, expected) != 0) {
        print_message("%s: exit %d, output: %s\nexpected: %s\n", script, result.exit_code,
                      result.out, expected);
        _fail(file, line);
    }
}

void end_all(struct service *s, struct box *b)
{
    box_end(b, NULL);
    service_stop(s);
}

uint32_t start_script(struct box *b, const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct exec_spec spec = {.argv = argv};
    struct init_packet packet;
    int pipe_fds[2], fd, stdio[3];
    CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char byte;
    uint32_t id;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    stdio[0] = stdio[2] = null;
    stdio[1] = pipe_fds[1];
    id = exec_send(b, &spec, stdio);
    (void)close(pipe_fds[1]);
    control_wait(b, &packet, &fd);
    assert_int_equal(packet.value, 0);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    (void)close(pipe_fds[0]);
    return id;
}
