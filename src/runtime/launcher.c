/* The client of cwsandbox-launch; see launcher.h. */
#include "runtime/launcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

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

int launcher_send_blocking(struct launcher *l, struct launch_message *msg)
{
    uint8_t data[256]; /* an id at most; the encoder refuses what does not fit */
    msg->seq = ++l->seq;
    ssize_t size = launchproto_encode(msg, data, sizeof(data));
    CHECK(size > 0);
    return send(l->socket.fd, data, (size_t)size, MSG_NOSIGNAL) == size ? 0 : -EPIPE;
}

int launcher_receive_blocking(struct launcher *l, struct launch_message *ret, int *ret_fd)
{
    for (;;) {
        struct pollfd ready = {.fd = l->socket.fd, .events = POLLIN};
        int r = poll(&ready, 1, LAUNCHER_HELLO_MS);
        ssize_t n = r > 0 ? receive(l->socket.fd, ret, ret_fd) : -EAGAIN;
        if (r == 0)
            return -ETIMEDOUT;
        if (n != -EAGAIN && n != -EINTR)
            return n > 0 ? 0 : n == 0 ? -EPIPE : (int)n;
    }
}

/* #1 HELLO, #2 its answer. Ends of what an earlier daemon had may be told before. */
static int say_hello(struct launcher *l, struct launch_features *ret, struct err *err)
{
    struct launch_message msg = {.type = LAUNCH_HELLO};
    int r = launcher_send_blocking(l, &msg);
    do {
        int fd = -1;
        if (r == 0)
            r = launcher_receive_blocking(l, &msg, &fd);
        cleanup_fd(&fd);
    } while (r == 0 && msg.type == LAUNCH_EVENT_EXITED);
    if (r == -ETIMEDOUT)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "start cwsandbox-launch: no answer in %d s", LAUNCHER_HELLO_MS / 1000);
    if (r == 0 && msg.answer && msg.type == LAUNCH_HELLO) {
        *ret = msg.u.features;
        if (ret->uid_count == 0)
            return err_set(err, ERR_FAILED_PRECONDITION, "start cwsandbox-launch: %s",
                           ret->problems);
        return 0;
    }
    if (r == 0 || r == -EBADMSG)
        return err_set(
            err, ERR_FAILED_PRECONDITION,
            "start cwsandbox-launch: it speaks another protocol; is it of another build?");
    return err_set(err, ERR_FAILED_PRECONDITION,
                   "start cwsandbox-launch: it ended (its message is on stderr)");
}

int launcher_start(struct launcher *l, int take_socket, struct launch_features *ret,
                   struct err *err)
{
    *l = (struct launcher){.socket.fd = take_socket};
    list_init(&l->calls);
    list_init(&l->unsent);
    if (say_hello(l, ret, err) < 0) {
        launcher_abort(l);
        return -1;
    }
    return 0;
}

void launcher_abort(struct launcher *l)
{
    cleanup_fd(&l->socket.fd);
    err_done(&l->why);
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

/* EOF, or a message that is none. */
static void lose(struct launcher *l)
{
    (void)fd_watch_set(l->poller, &l->socket, 0);
    cleanup_fd(&l->socket.fd);
    if (l->lost || l->closing)
        return;
    l->lost = true;
    (void)err_set(&l->why, ERR_UNAVAILABLE,
                  "cwsandbox-launch closed its connection; every sandbox ends with it");
    answer_all_with_null(l);
    l->on_lost(l->user, &l->why);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct launcher *l = CONTAINER_OF((uv_timer_t *)handle, struct launcher, handle);
    err_done(&l->why);
    l->on_closed(l->user);
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
    (void)fd_watch_set(l->poller, &l->socket, EPOLLIN);
}

static void on_socket(struct fd_watch *w, uint32_t events)
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
    l->poller = poller;
    l->socket.cb = on_socket;
    int r = fd_watch_set(poller, &l->socket, EPOLLIN);
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, -r, "watch cwsandbox-launch");
    return 0;
}

void launcher_attach(struct launcher *l, uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &l->handle); /* cannot fail */
}

static int queue_packet(struct launcher *l, const void *data, size_t size)
{
    struct launcher_packet *packet = malloc(sizeof(*packet) + size);
    if (!packet)
        return -ENOMEM;
    packet->size = size;
    memcpy(packet->data, data, size);
    list_append(&l->unsent, &packet->link);
    (void)fd_watch_set(l->poller, &l->socket, EPOLLIN | EPOLLOUT);
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

void launcher_close(struct launcher *l, void (*on_closed)(void *user))
{
    l->closing = true;
    l->on_closed = on_closed;
    answer_all_with_null(l);
    (void)fd_watch_set(l->poller, &l->socket, 0);
    cleanup_fd(&l->socket.fd);
    uv_close((uv_handle_t *)&l->handle, on_handle_closed);
}
