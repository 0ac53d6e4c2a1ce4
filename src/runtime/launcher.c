/* The client of cwsandbox-launch; see launcher.h. */
#include "runtime/launcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/util.h"

#define PACKETS_PER_TURN 64 /* chosen: then other descriptors get their turn */

/* Launch is single-threaded and answers in order, so open requests are a queue. */
struct launcher_call {
    struct list link;
    uint32_t seq;
    enum launch_type type; /* says which of these it is: */
    union {
        cell_created_cb created; /* CREATE */
        cell_status_cb status;   /* LIMITS, NETWORK, KILL_EXEC */
        cell_usage_cb usage;     /* USAGE */
    } cb;                        /* KILL has none */
    void *user;
};

struct launcher_packet {
    struct list link;
    size_t size;
    uint8_t data[];
};

struct launcher {
    struct cell_driver driver;
    struct poller *poller;
    void (*on_closed)(void *user);

    struct fd_watch socket;
    uv_timer_t handle; /* closing is asynchronous: with this one, which never runs */
    bool lost;
    struct err why;

    uint32_t seq;
    struct list calls;  /* struct launcher_call, oldest first */
    struct list unsent; /* struct launcher_packet: the socket was full */
};

static struct launcher *of(struct cell_driver *d)
{
    return CONTAINER_OF(d, struct launcher, driver);
}

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

/* While there is no loop yet: one small message; 0, -EPIPE, -ETIMEDOUT, -EBADMSG. */
static int send_blocking(struct launcher *l, struct launch_message *msg)
{
    uint8_t data[256]; /* an id at most; the encoder refuses what does not fit */
    msg->seq = ++l->seq;
    ssize_t size = launchproto_encode(msg, data, sizeof(data));
    CHECK(size > 0);
    return send(l->socket.fd, data, (size_t)size, MSG_NOSIGNAL) == size ? 0 : -EPIPE;
}

static int receive_blocking(struct launcher *l, struct launch_message *ret, int *ret_fd)
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
    struct launch_message msg = {.type = LAUNCH_HELLO, .u.version = LAUNCH_VERSION};
    int r = send_blocking(l, &msg);
    do {
        int fd = -1;
        if (r == 0)
            r = receive_blocking(l, &msg, &fd);
        cleanup_fd(&fd);
    } while (r == 0 && msg.type == LAUNCH_EVENT_EXITED);
    if (r == -ETIMEDOUT)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "start cwsandbox-launch: no answer in %d s", LAUNCHER_HELLO_MS / 1000);
    if (r == 0 && msg.answer && msg.type == LAUNCH_HELLO) {
        *ret = msg.u.features;
        if (ret->version != LAUNCH_VERSION)
            return err_set(
                err, ERR_FAILED_PRECONDITION,
                "start cwsandbox-launch: it is of another release (protocol %u, ours is %u): "
                "start the service anew",
                ret->version, LAUNCH_VERSION);
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

static void launcher_free(struct launcher *l)
{
    cleanup_fd(&l->socket.fd);
    err_done(&l->why);
    free(l);
}

static void driver_free(struct cell_driver *d)
{
    launcher_free(of(d));
}

/* ---- what runs already ---- */

static int add(struct found_list *list, const struct launch_listed *listed, int take_fd)
{
    CLEANUP_FD int fd = take_fd;
    if ((list->n_items & (list->n_items - 1)) == 0) { /* full at each power of two */
        size_t cap = MAX(list->n_items * 2, (size_t)1);
        struct found *items = realloc(list->items, cap * sizeof(*items));
        if (!items)
            return -ENOMEM;
        list->items = items;
    }
    struct found *f = &list->items[list->n_items++];
    *f = (struct found){
        .pid = listed->pid, .init_version = listed->init_version, .control_fd = TAKE_FD(fd)};
    memcpy(f->id, listed->id, sizeof(f->id));
    memcpy(f->limits.id, listed->id, sizeof(f->limits.id));
    f->limits.memory_bytes = listed->memory_bytes;
    f->limits.cpu_millis = listed->cpu_millis;
    f->limits.pids = listed->pids;
    return 0;
}

static void note_end(struct found_list *list, const struct launch_exited *end)
{
    for (size_t i = 0; i < list->n_items; i++) {
        if (strcmp(list->items[i].id, end->id) == 0) {
            list->items[i].exited = true;
            list->items[i].end = *end;
        }
    }
}

/* The answer to LIST; ends that are told meanwhile are noted. */
static int ask(struct launcher *l, struct found_list *list, struct launch_message *msg,
               int *ret_fd)
{
    int r = send_blocking(l, msg);
    while (r == 0) {
        r = receive_blocking(l, msg, ret_fd);
        if (r < 0 || (msg->answer && msg->type == LAUNCH_LIST))
            return r;
        cleanup_fd(ret_fd);
        if (msg->type != LAUNCH_EVENT_EXITED)
            return -EBADMSG;
        note_end(list, &msg->u.exited);
    }
    return r;
}

static int driver_list(struct cell_driver *d, struct found_list *ret, struct err *err)
{
    struct launcher *l = of(d);
    CLEANUP(found_list_done) struct found_list list = {0};
    char after[LAUNCH_MAX_ID] = "";
    for (;;) {
        struct launch_message msg = {.type = LAUNCH_LIST};
        CLEANUP_FD int fd = -1;
        memcpy(msg.u.after, after, sizeof(after));
        int r = ask(l, &list, &msg, &fd);
        if (r == 0 && msg.u.listed.status != -ENOENT)
            r = msg.u.listed.status;
        if (r == 0 && msg.u.listed.status < 0) {
            /* The last one ended meanwhile. What was before it is known by now: from the beginning, without those. */
            found_list_done(&list);
            after[0] = '\0';
            continue;
        }
        if (r == 0 && msg.u.listed.id[0] != '\0') {
            r = add(&list, &msg.u.listed, TAKE_FD(fd));
            memcpy(after, msg.u.listed.id, sizeof(after));
        } else if (r == 0) {
            *ret = list;
            list = (struct found_list){0};
            return 0;
        }
        if (r < 0)
            return err_set_errno(err, ERR_UNAVAILABLE, -r, "ask cwsandbox-launch what runs");
    }
}

/* ---- losing it ---- */

/* @answer: NULL when launch is gone. */
static void deliver(const struct launcher_call *call, const struct launch_message *answer,
                    int take_fd)
{
    CLEANUP_FD int fd = take_fd;
    if (call->type == LAUNCH_CREATE)
        call->cb.created(call->user, answer ? &answer->u.created : NULL, TAKE_FD(fd));
    else if (call->type == LAUNCH_USAGE)
        call->cb.usage(call->user, answer ? &answer->u.usage : NULL);
    else if (call->cb.status)
        call->cb.status(call->user, answer ? &answer->u.status : NULL);
}

static void answer_all_with_null(struct launcher *l)
{
    for (struct list *it; (it = list_first(&l->calls));) {
        struct launcher_call *call = CONTAINER_OF(it, struct launcher_call, link);
        list_remove(it);
        deliver(call, NULL, -1);
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
    if (l->lost || l->driver.closing)
        return;
    l->lost = true;
    (void)err_set(&l->why, ERR_UNAVAILABLE,
                  "cwsandbox-launch closed its connection; every sandbox ends with it");
    answer_all_with_null(l);
    l->driver.on_lost(l->driver.user, &l->why);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct launcher *l = CONTAINER_OF((uv_timer_t *)handle, struct launcher, handle);
    l->on_closed(l->driver.user);
}

/* ---- talking ---- */

static void dispatch(struct launcher *l, const struct launch_message *msg, int fd)
{
    if (!msg->answer) {
        cleanup_fd(&fd);
        if (msg->type == LAUNCH_EVENT_EXITED)
            l->driver.on_exited(l->driver.user, &msg->u.exited);
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
        deliver(call, msg, fd);
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

static int driver_watch(struct cell_driver *d, struct poller *poller, struct err *err)
{
    struct launcher *l = of(d);
    l->poller = poller;
    l->socket.cb = on_socket;
    int r = fd_watch_set(poller, &l->socket, EPOLLIN);
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, -r, "watch cwsandbox-launch");
    return 0;
}

static void driver_attach(struct cell_driver *d, uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &of(d)->handle); /* cannot fail */
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

/* @msg gets its number; @like: who is to hear of the answer. */
static int send_request(struct launcher *l, struct launch_message *msg,
                        const struct launcher_call *like)
{
    static uint8_t data[LAUNCH_MAX_PACKET]; /* loop thread only */
    if (l->lost || l->driver.closing)
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
    *call = *like;
    call->seq = msg->seq;
    call->type = msg->type;
    list_append(&l->calls, &TAKE_PTR(call)->link);
    return 0;
}

static int driver_create(struct cell_driver *d, const struct launch_create *what,
                         cell_created_cb cb, void *user)
{
    struct launch_message msg = {.type = LAUNCH_CREATE, .u.create = *what};
    struct launcher_call call = {.cb.created = cb, .user = user};
    return send_request(of(d), &msg, &call);
}

static int driver_limits(struct cell_driver *d, const struct launch_limits *limits,
                         cell_status_cb cb, void *user)
{
    struct launch_message msg = {.type = LAUNCH_LIMITS, .u.limits = *limits};
    struct launcher_call call = {.cb.status = cb, .user = user};
    return send_request(of(d), &msg, &call);
}

static int driver_rules(struct cell_driver *d, const struct launch_rules *rules,
                        cell_status_cb cb, void *user)
{
    struct launch_message msg = {.type = LAUNCH_NETWORK, .u.rules = *rules};
    struct launcher_call call = {.cb.status = cb, .user = user};
    return send_request(of(d), &msg, &call);
}

static int driver_usage(struct cell_driver *d, const char *id, cell_usage_cb cb, void *user)
{
    struct launch_message msg = {.type = LAUNCH_USAGE};
    struct launcher_call call = {.cb.usage = cb, .user = user};
    (void)snprintf(msg.u.id, sizeof(msg.u.id), "%s", id);
    return send_request(of(d), &msg, &call);
}

/* -ENOENT would be no news: init had ended by itself. */
static int driver_kill(struct cell_driver *d, const char *id)
{
    struct launch_message msg = {.type = LAUNCH_KILL};
    struct launcher_call call = {0};
    (void)snprintf(msg.u.id, sizeof(msg.u.id), "%s", id);
    return send_request(of(d), &msg, &call);
}

static int driver_kill_exec(struct cell_driver *d, const struct launch_kill_exec *exec,
                            cell_status_cb cb, void *user)
{
    struct launch_message msg = {.type = LAUNCH_KILL_EXEC, .u.kill_exec = *exec};
    struct launcher_call call = {.cb.status = cb, .user = user};
    return send_request(of(d), &msg, &call);
}

static void driver_close(struct cell_driver *d, void (*on_closed)(void *user))
{
    struct launcher *l = of(d);
    d->closing = true;
    l->on_closed = on_closed;
    answer_all_with_null(l);
    (void)fd_watch_set(l->poller, &l->socket, 0);
    cleanup_fd(&l->socket.fd);
    uv_close((uv_handle_t *)&l->handle, on_handle_closed);
}

static const struct cell_driver_ops launcher_ops = {
    .list = driver_list,
    .watch = driver_watch,
    .attach = driver_attach,
    .create = driver_create,
    .limits = driver_limits,
    .rules = driver_rules,
    .usage = driver_usage,
    .kill = driver_kill,
    .kill_exec = driver_kill_exec,
    .close = driver_close,
    .free = driver_free,
};

int launcher_open(int take_socket, struct launch_features *ret_features,
                  struct cell_driver **ret, struct err *err)
{
    CLEANUP_FD int fd = take_socket;
    struct launcher *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "start cwsandbox-launch: out of memory");
    l->driver.ops = &launcher_ops;
    l->socket.fd = TAKE_FD(fd);
    list_init(&l->calls);
    list_init(&l->unsent);
    if (say_hello(l, ret_features, err) < 0) {
        launcher_free(l);
        return -1;
    }
    *ret = &l->driver;
    return 0;
}
