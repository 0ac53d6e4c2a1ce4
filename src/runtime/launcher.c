/* The client of cwsandbox-launch; see launcher.h. */
#include "runtime/launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/util.h"

#define LAUNCH_FD 3
#define PACKETS_PER_TURN 64 /* chosen: then other descriptors get their turn */

struct launcher_call {
    struct list link;
    uint32_t seq;
    launcher_cb cb;
    void *user;
};

struct launcher_packet {
    struct list link;
    size_t size;
    uint8_t data[];
};

/* ---- starting ---- */

/* Its own session: a Ctrl-C meant for the service must not reach the process that cleans up
 * after it. */
static int spawn_launch(struct launcher *l, const struct launcher_args *args, int fd)
{
    char fd_text[16];
    (void)snprintf(fd_text, sizeof(fd_text), "%d", LAUNCH_FD);
    char *const argv[] = {(char *)args->launch_path,
                          "--fd",
                          fd_text,
                          "--init",
                          (char *)args->init_path,
                          "--state-dir",
                          (char *)args->state_dir,
                          "--service",
                          (char *)args->service_name,
                          NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attr) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETSID);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    int r = posix_spawn_file_actions_adddup2(&actions, fd, LAUNCH_FD);
    pid_t pid = 0;
    if (r == 0)
        r = posix_spawn(&pid, args->launch_path, &actions, &attr, argv, environ);
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    l->pid = pid;
    return -r;
}

/* Reaps if it has ended (or @block); describes how. */
static bool reap(struct launcher *l, bool block, char *ret_how, size_t size)
{
    int status = 0;
    pid_t r = 0;
    do
        r = waitpid(l->pid, &status, block ? 0 : WNOHANG);
    while (r < 0 && errno == EINTR);
    if (r == 0)
        return false;
    l->pid = 0;
    if (r < 0)
        (void)snprintf(ret_how, size, "was reaped by somebody else");
    else if (WIFSIGNALED(status))
        (void)snprintf(ret_how, size, "was killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else
        (void)snprintf(ret_how, size, "exited with status %d", WEXITSTATUS(status));
    return true;
}

void launcher_abort(struct launcher *l)
{
    char how[128];
    if (l->pid == 0)
        return;
    cleanup_fd(&l->socket.fd);
    (void)kill(l->pid, SIGKILL);
    (void)reap(l, true, how, sizeof(how));
    cleanup_fd(&l->pidfd.fd);
    err_done(&l->why);
}

/* One packet into @msg; the count of bytes, 0 at EOF, -errno. @ret_fd: -1 or a descriptor. */
static ssize_t receive(int fd, struct launch_message *ret_msg, int *ret_fd)
{
    static uint8_t data[LAUNCH_MAX_PACKET]; /* loop thread only, used up before the next call */
    int flags;
    ssize_t n = fd_receive(fd, data, sizeof(data), ret_fd, &flags);
    if (n <= 0)
        return n;
    /* MSG_CTRUNC: no descriptor number was left for what came along; whoever asked for it sees
     * that it is missing. */
    if ((flags & MSG_TRUNC) || launchproto_decode(data, (size_t)n, ret_msg) < 0) {
        cleanup_fd(ret_fd);
        return -EBADMSG;
    }
    return n;
}

/* #1 HELLO, #2 its answer. */
static int say_hello(struct launcher *l, struct launch_features *ret, struct err *err)
{
    struct launch_message msg = {.type = LAUNCH_HELLO, .seq = ++l->seq};
    uint8_t data[256]; /* a HELLO has no fields; the encoder refuses what does not fit */
    ssize_t size = launchproto_encode(&msg, data, sizeof(data));
    CHECK(size > 0);
    ssize_t n = send(l->socket.fd, data, (size_t)size, MSG_NOSIGNAL);
    struct pollfd ready = {.fd = l->socket.fd, .events = POLLIN};
    if (n == size && poll(&ready, 1, LAUNCHER_HELLO_MS) == 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "start cwsandbox-launch: no answer in %d s", LAUNCHER_HELLO_MS / 1000);
    int fd = -1;
    n = n == size ? receive(l->socket.fd, &msg, &fd) : 0;
    cleanup_fd(&fd);
    if (n > 0 && msg.answer && msg.type == LAUNCH_HELLO) {
        *ret = msg.u.features;
        if (ret->uid_count == 0)
            return err_set(err, ERR_FAILED_PRECONDITION, "start cwsandbox-launch: %s",
                           ret->problems);
        return 0;
    }
    if (n > 0 || n == -EBADMSG)
        return err_set(
            err, ERR_FAILED_PRECONDITION,
            "start cwsandbox-launch: it speaks another protocol; is it of another build?");
    char how[128];
    (void)reap(l, true, how, sizeof(how)); /* EOF: it has exited or is about to */
    return err_set(err, ERR_FAILED_PRECONDITION,
                   "start cwsandbox-launch: it %s (its message is on stderr)", how);
}

int launcher_start(struct launcher *l, const struct launcher_args *args,
                   struct launch_features *ret, struct err *err)
{
    int pair[2];
    *l = (struct launcher){.socket.fd = -1, .pidfd.fd = -1};
    list_init(&l->calls);
    list_init(&l->unsent);
    if (access(args->init_path, X_OK) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "find cwsandbox-init at %s",
                             args->init_path);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "create a socket pair");
    l->socket.fd = pair[0];
    CLEANUP_FD int theirs = pair[1];
    int r = spawn_launch(l, args, theirs);
    if (r < 0) {
        cleanup_fd(&l->socket.fd);
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "start %s", args->launch_path);
    }
    cleanup_fd(&theirs); /* else we would never see its EOF */
    if (say_hello(l, ret, err) < 0) {
        launcher_abort(l);
        cleanup_fd(&l->socket.fd);
        return -1;
    }
    return 0;
}

/* ---- losing it ---- */

static void answer_all_with_null(struct launcher *l)
{
    for (struct list *it; (it = list_first(&l->calls));) {
        struct launcher_call *call = CONTAINER_OF(it, struct launcher_call, link);
        list_remove(it);
        if (call->cb)
            call->cb(call->user, NULL, -1);
        free(call);
    }
    for (struct list *it; (it = list_first(&l->unsent));) {
        list_remove(it);
        free(CONTAINER_OF(it, struct launcher_packet, link));
    }
}

static void report_loss(struct launcher *l, const char *how)
{
    if (l->reported || l->closing)
        return;
    l->reported = true;
    (void)uv_timer_stop(&l->timer);
    (void)err_set(&l->why, ERR_UNAVAILABLE, "cwsandbox-launch %s; every sandbox ends with it",
                  how);
    answer_all_with_null(l);
    l->on_lost(l->user, &l->why);
}

static void on_reap_timeout(uv_timer_t *timer)
{
    struct launcher *l = CONTAINER_OF(timer, struct launcher, timer);
    report_loss(l, "closed its connection");
}

static void drop_socket(struct launcher *l)
{
    (void)watch_set(l->poller, &l->socket, 0);
    cleanup_fd(&l->socket.fd);
    l->lost = true;
}

/* EOF, or a message that is none. Our end is closed, so launch ends too; its exit status makes
 * the better text. */
static void lose(struct launcher *l)
{
    drop_socket(l);
    if (!l->closing && l->pid != 0)
        (void)uv_timer_start(&l->timer, on_reap_timeout, LAUNCHER_REAP_MS, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct launcher *l = CONTAINER_OF((uv_timer_t *)handle, struct launcher, timer);
    err_done(&l->why);
    l->on_closed(l->user);
}

static void finish_closing(struct launcher *l)
{
    (void)watch_set(l->poller, &l->pidfd, 0);
    cleanup_fd(&l->pidfd.fd);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void on_pidfd(struct watch *w, uint32_t events)
{
    struct launcher *l = CONTAINER_OF(w, struct launcher, pidfd);
    char how[128];
    (void)events;
    if (l->pid != 0 && !reap(l, false, how, sizeof(how)))
        return;
    (void)watch_set(l->poller, &l->pidfd, 0);
    if (!l->lost)
        drop_socket(l);
    if (l->closing)
        finish_closing(l);
    else
        report_loss(l, how);
}

/* ---- talking ---- */

static void dispatch(struct launcher *l, const struct launch_message *msg, int fd)
{
    if (!msg->answer) {
        cleanup_fd(&fd);
        if (msg->type == LAUNCH_EVENT_EXITED)
            l->on_exited(l->user, &msg->u.exited);
        else
            lose(l); /* a request from launch: nothing it says can be trusted */
        return;
    }
    LIST_FOREACH(it, &l->calls)
    {
        struct launcher_call *call = CONTAINER_OF(it, struct launcher_call, link);
        if (call->seq != msg->seq)
            continue;
        list_remove(it);
        if (call->cb)
            call->cb(call->user, msg, fd);
        else
            cleanup_fd(&fd);
        free(call);
        return;
    }
    cleanup_fd(&fd);
    lose(l);
}

/* 0, or -EAGAIN; other failures are left for the EOF that follows. */
static int send_packet(struct launcher *l, const void *data, size_t size)
{
    if (send(l->socket.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
        (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
        return -EAGAIN;
    return 0;
}

static void send_unsent(struct launcher *l)
{
    for (struct list *it; (it = list_first(&l->unsent));) {
        struct launcher_packet *packet = CONTAINER_OF(it, struct launcher_packet, link);
        if (send_packet(l, packet->data, packet->size) < 0)
            return;
        list_remove(it);
        free(packet);
    }
    (void)watch_set(l->poller, &l->socket, EPOLLIN);
}

static void on_socket(struct watch *w, uint32_t events)
{
    static struct launch_message msg; /* 4 KiB; used up before the next call */
    struct launcher *l = CONTAINER_OF(w, struct launcher, socket);
    if (events & EPOLLOUT)
        send_unsent(l);
    for (int i = 0; i < PACKETS_PER_TURN && l->socket.fd >= 0; i++) {
        int fd = -1;
        ssize_t n = receive(l->socket.fd, &msg, &fd);
        if (n == -EAGAIN || n == -EINTR)
            return;
        if (n <= 0) {
            lose(l);
            return;
        }
        dispatch(l, &msg, fd);
    }
}

int launcher_watch(struct launcher *l, struct poller *poller, struct err *err)
{
    l->pidfd.fd = (int)syscall(SYS_pidfd_open, l->pid, 0); /* CLOEXEC by itself */
    if (l->pidfd.fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno,
                             "pidfd_open (needs Linux 5.3)");
    l->poller = poller;
    l->socket.cb = on_socket;
    l->pidfd.cb = on_pidfd;
    int r = watch_set(poller, &l->socket, EPOLLIN);
    if (r == 0)
        r = watch_set(poller, &l->pidfd, EPOLLIN);
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, -r, "watch cwsandbox-launch");
    return 0;
}

void launcher_attach(struct launcher *l, uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &l->timer); /* cannot fail */
}

static int queue_packet(struct launcher *l, const void *data, size_t size)
{
    struct launcher_packet *packet = malloc(sizeof(*packet) + size);
    if (!packet)
        return -ENOMEM;
    packet->size = size;
    memcpy(packet->data, data, size);
    list_append(&l->unsent, &packet->link);
    (void)watch_set(l->poller, &l->socket, EPOLLIN | EPOLLOUT);
    return 0;
}

int launcher_send(struct launcher *l, struct launch_message *msg, launcher_cb cb, void *user)
{
    static uint8_t data[LAUNCH_MAX_PACKET]; /* loop thread only */
    if (l->lost || l->closing)
        return -EPIPE;
    CLEANUP_FREE struct launcher_call *call = malloc(sizeof(*call));
    if (!call)
        return -ENOMEM;
    if (++l->seq == 0)
        l->seq = 1; /* 0 is for events */
    msg->seq = l->seq;
    ssize_t size = launchproto_encode(msg, data, sizeof(data));
    if (size < 0)
        return (int)size;
    int r = list_empty(&l->unsent) ? send_packet(l, data, (size_t)size) : -EAGAIN;
    if (r == -EAGAIN)
        r = queue_packet(l, data, (size_t)size);
    if (r < 0)
        return r;
    *call = (struct launcher_call){.seq = msg->seq, .cb = cb, .user = user};
    list_append(&l->calls, &TAKE_PTR(call)->link);
    return 0;
}

static void on_exit_timeout(uv_timer_t *timer)
{
    struct launcher *l = CONTAINER_OF(timer, struct launcher, timer);
    if (l->pid != 0)
        (void)kill(l->pid, SIGKILL); /* not reaped yet, so the number is still its own */
}

void launcher_close(struct launcher *l, void (*on_closed)(void *user))
{
    l->closing = true;
    l->on_closed = on_closed;
    answer_all_with_null(l);
    (void)watch_set(l->poller, &l->socket, 0);
    cleanup_fd(&l->socket.fd);
    if (l->pid == 0) {
        finish_closing(l);
        return;
    }
    (void)uv_timer_start(&l->timer, on_exit_timeout, LAUNCHER_EXIT_MS, 0);
}
