/* Connections to ports of a sandbox; see tunnel.h. */
#include "runtime/tunnel.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

/* ---- the end ---- */

static void reap(struct tunnel *t)
{
    if (!t->user_gone || !t->ended || t->n_busy > 0)
        return;
    deferred_cancel(&t->later);
    err_done(&t->err);
    free(t);
}

/* Nothing of the sandbox is held any more; only the memory stays, for the user. */
static void detach(struct tunnel *t)
{
    struct runtime *rt = t->sb->rt;

    t->ended = true;
    sandbox_waiter_cancel(&t->waiter);
    deferred_cancel(&t->later);
    timer_stop(&rt->timers, &t->timer);
    fd_watch_close(&rt->poller, &t->watch, false);
    buf_done(&t->queue);
    if (t->call.id != 0)
        control_end(&t->sb->cell->control, &t->call);
    list_remove(&t->link);
    t->sb->n_tunnels--;
    sandbox_unref(TAKE_PTR(t->sb));
}

static void tell(struct tunnel *t)
{
    t->n_busy++;
    if (!t->user_gone && t->events.on_end)
        t->events.on_end(t->user, t, t->err.code == ERR_OK ? NULL : &t->err);
    t->n_busy--;
}

static void tell_end(struct tunnel *t)
{
    detach(t);
    tell(t);
    reap(t);
}

static void on_later(struct deferred *d)
{
    struct tunnel *t = CONTAINER_OF(d, struct tunnel, later);

    if (t->lost && !t->open && t->err.code == ERR_OK)
        sandbox_gone_error(t->sb, &t->err);
    if (!t->asked) {
        tell_end(t);
        return;
    }
    tell(t); /* the rest when init has answered: the call's id is taken until then */
    t->events = (struct tunnel_events){0};
}

/* From now on only the end is still to come. */
static void end_later(struct tunnel *t)
{
    struct runtime *rt = t->sb->rt;

    timer_stop(&rt->timers, &t->timer);
    fd_watch_close(&rt->poller, &t->watch, false);
    deferred_post(&rt->deferred, &t->later);
}

void tunnels_end_now(struct sandbox *sb)
{
    for (struct list *it; (it = list_first(&sb->tunnels));) {
        struct tunnel *t = CONTAINER_OF(it, struct tunnel, link);

        if (t->err.code == ERR_OK)
            sandbox_gone_error(sb, &t->err);
        tell_end(t);
    }
}

static void fail_connect(struct tunnel *t, int error)
{
    if (error == ECONNREFUSED)
        (void)err_set_reason(&t->err, ERR_FAILED_PRECONDITION, TUNNEL_REFUSED,
                             "nothing listens on port %u of sandbox %s", t->port, t->sb->id);
    else if (error == ETIMEDOUT)
        (void)err_set_reason(
            &t->err, ERR_DEADLINE_EXCEEDED, TUNNEL_REFUSED,
            "port %u of sandbox %s takes no connection: who listens there does "
            "not accept them",
            t->port, t->sb->id);
    else
        (void)err_set_errno(&t->err, ERR_RESOURCE_EXHAUSTED, error,
                            "connect to port %u of sandbox %s", t->port, t->sb->id);
    end_later(t);
}

static void on_timer(struct timer *timer)
{
    struct tunnel *t = CONTAINER_OF(timer, struct tunnel, timer);

    if (!t->lost) {
        fail_connect(t, ETIMEDOUT);
        return;
    }
    sandbox_gone_error(t->sb, &t->err); /* a clean end would say that this was all */
    end_later(t);
}

/* ---- the bytes ---- */

/* A socket that nothing is wanted of is taken out altogether: an epoll set reports a hang-up whether it was asked for or not. */
static void update(struct tunnel *t)
{
    uint32_t events = 0;

    if (t->watch.fd < 0)
        return;
    if (!t->open || buf_len(&t->queue) > 0)
        events |= EPOLLOUT;
    if (t->open && !t->paused && !t->eof)
        events |= EPOLLIN;
    (void)fd_watch_set(&t->sb->rt->poller, &t->watch, events);
}

static void check_end(struct tunnel *t)
{
    if (t->eof && (t->closed || t->lost))
        end_later(t);
}

/* The inside takes no more, or we have no more. */
static void stop_sending(struct tunnel *t)
{
    t->closed = true;
    buf_done(&t->queue);
}

static void flush(struct tunnel *t)
{
    while (buf_len(&t->queue) > 0) {
        ssize_t n = send(t->watch.fd, buf_head(&t->queue), buf_len(&t->queue),
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            stop_sending(t); /* the next read tells whether that is all */
            return;
        }
        buf_consume(&t->queue, (size_t)n);
    }
    if (t->close && !t->closed) {
        (void)shutdown(t->watch.fd, SHUT_WR); /* fails when the inside is gone */
        stop_sending(t);
    }
}

static void send_more(struct tunnel *t)
{
    flush(t);
    if (t->high && buf_len(&t->queue) < TUNNEL_LOW) {
        t->high = false;
        if (!t->user_gone && t->events.on_drain)
            t->events.on_drain(t->user, t);
    }
}

static void emit(struct tunnel *t, size_t n)
{
    struct buf *scratch = &t->sb->rt->scratch;
    struct buf data = {0};

    buf_commit(scratch, n);
    /* Little is copied, so that the scratch stays; out of memory it goes along instead. */
    if (n > TUNNEL_COPY_MAX || buf_put(&data, buf_head(scratch), n) < 0) {
        data = *scratch;
        *scratch = (struct buf){0};
    }
    if (!t->user_gone && t->events.on_data)
        t->events.on_data(t->user, t, &data);
    buf_done(&data);
}

static void receive(struct tunnel *t)
{
    struct buf *scratch = &t->sb->rt->scratch;

    buf_clear(scratch);
    if (buf_reserve(scratch, TUNNEL_READ_SIZE) < 0)
        return; /* level-triggered events bring us back */
    ssize_t n = recv(t->watch.fd, buf_tail(scratch), TUNNEL_READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        /* A program that writes a head and then a body waits with the body for our acknowledgement (Nagle), which the kernel
         * would make in 40 ms. */
        (void)setsockopt(t->watch.fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
        emit(t, (size_t)n);
        return;
    }
    if (n < 0) {
        (void)err_set_errno(&t->err, ERR_ABORTED, errno,
                            "the connection to port %u of sandbox %s", t->port, t->sb->id);
        end_later(t);
        return;
    }
    t->eof = true;
    if (!t->user_gone && t->events.on_eof)
        t->events.on_eof(t->user, t);
}

/* ---- the connection ---- */

static int ask(struct tunnel *t)
{
    struct control *control = t->sb->cell ? &t->sb->cell->control : NULL;
    struct control_request request = {
        .head = {.type = INIT_CONNECT,
                 .value = t->port,
                 .aux = t->ipv6 ? INIT_CONNECT_IPV6 : INIT_CONNECT_IPV4}};
    int r = control ? 0 : -EPIPE;

    if (r == 0 && t->call.id == 0)
        r = control_begin(control, &t->call);
    if (r < 0)
        return r;
    request.head.id = t->call.id;
    r = control_send(control, &request);
    t->asked = r == 0;
    return r;
}

/* Refused by one loopback: the other one may have it ("localhost" is ::1 for some). */
static void on_connect_failed(struct tunnel *t, int error)
{
    fd_watch_close(&t->sb->rt->poller, &t->watch, false);
    if (t->ipv6) {
        fail_connect(t, ECONNREFUSED); /* or there is no IPv6 here */
        return;
    }
    t->ipv6 = true;
    if (error != ECONNREFUSED || ask(t) < 0)
        fail_connect(t, error);
}

static void on_connected(struct tunnel *t)
{
    int error = 0;
    socklen_t n = sizeof(error);

    if (getsockopt(t->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (error != 0) {
        on_connect_failed(t, error);
        return;
    }
    t->open = true;
    timer_stop(&t->sb->rt->timers, &t->timer);
    if (!t->user_gone && t->events.on_open)
        t->events.on_open(t->user, t);
}

static void on_socket(struct fd_watch *w, uint32_t events)
{
    struct tunnel *t = CONTAINER_OF(w, struct tunnel, watch);

    t->n_busy++;
    if (!t->open)
        on_connected(t);
    else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !t->paused && !t->eof)
        receive(t);
    if (!t->ended && t->open && t->watch.fd >= 0)
        send_more(t);
    if (!t->ended && t->watch.fd >= 0) {
        update(t);
        check_end(t);
    }
    t->n_busy--;
    reap(t);
}

static bool is_tcp(int fd)
{
    int domain, protocol;
    socklen_t n = sizeof(domain), m = sizeof(protocol);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 &&
           (domain == AF_INET || domain == AF_INET6) &&
           getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &m) == 0 &&
           protocol == IPPROTO_TCP;
}

static void on_socket_came(struct tunnel *t, int take_fd)
{
    CLEANUP_FD int fd = take_fd;

    if (fd < 0) { /* it was one too many for us */
        fail_connect(t, EMFILE);
    } else if (!is_tcp(fd)) {
        (void)err_set(&t->err, ERR_INTERNAL, "the sandbox's init broke its protocol");
        end_later(t);
    } else {
        t->watch.fd = TAKE_FD(fd);
        update(t);
    }
}

static void on_packet(struct control_call *call, const struct init_packet *packet, int take_fd)
{
    struct tunnel *t = CONTAINER_OF(call, struct tunnel, call);
    CLEANUP_FD int fd = take_fd;
    bool expected = packet->type == INIT_CONNECTED && t->asked;

    t->asked = false;
    if (t->user_gone || t->err.code != ERR_OK) { /* given up meanwhile */
        deferred_post(&t->sb->rt->deferred, &t->later);
    } else if (!expected) {
        (void)err_set(&t->err, ERR_INTERNAL, "the sandbox's init broke its protocol");
        end_later(t);
    } else if (packet->value < 0) {
        on_connect_failed(t, -packet->value);
    } else {
        on_socket_came(t, TAKE_FD(fd));
    }
}

static void on_lost(struct control_call *call)
{
    struct tunnel *t = CONTAINER_OF(call, struct tunnel, call);

    control_end(&t->sb->cell->control, call);
    t->asked = false;
    t->lost = true;
    if (!t->open) {
        end_later(t); /* the text needs the sandbox's last state, known in a moment */
        return;
    }
    timer_start_in(&t->sb->rt->timers, &t->timer, TUNNEL_LOST_NS, on_timer);
    check_end(t);
}

static void begin(struct tunnel *t)
{
    int r = ask(t);
    char what[32];

    if (r == 0)
        return;
    (void)snprintf(what, sizeof(what), "connect to port %u", t->port);
    sandbox_ask_error(t->sb, r, what, &t->err);
    end_later(t);
}

static void on_waited(struct sandbox_waiter *waiter, bool running)
{
    struct tunnel *t = CONTAINER_OF(waiter, struct tunnel, waiter);

    if (running) {
        begin(t);
        return;
    }
    t->lost = true;
    end_later(t);
}

static struct tunnel *tunnel_new(struct sandbox *sb, uint16_t port,
                                 const struct tunnel_events *events, void *user)
{
    struct tunnel *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    list_append(&sb->tunnels, &t->link);
    sb->n_tunnels++;
    t->sb = sandbox_ref(sb);
    t->events = *events;
    t->user = user;
    t->port = port;
    t->waiter.cb = on_waited;
    t->later.cb = on_later;
    t->call.on_packet = on_packet;
    t->call.on_lost = on_lost;
    t->watch = (struct fd_watch){.fd = -1, .cb = on_socket};
    return t;
}

int tunnel_open(struct sandbox *sb, const struct tunnel_spec *spec,
                const struct tunnel_events *events, void *user, struct tunnel **ret,
                struct err *err)
{
    if (spec->port == 0) {
        (void)err_set(err, ERR_INVALID_ARGUMENT, "port: must be 1 to 65535");
        err_add_violation(err, "port", "must be 1 to 65535");
        return -1;
    }
    if (sb->n_tunnels >= TUNNEL_MAX) {
        (void)err_set_reason(err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_RUNNER_OVERLOADED",
                             "sandbox %s has %d connections to its ports, which is the most",
                             sb->id, TUNNEL_MAX);
        err->retry_delay_ns = NS_PER_SEC;
        return -1;
    }
    struct tunnel *t = tunnel_new(sb, spec->port, events, user);
    if (!t)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "connect to port %u: out of memory",
                       spec->port);
    int r = sandbox_wait(sb, &t->waiter, err);
    if (r < 0) {
        tunnel_free(t);
        return -1;
    }
    timer_start_in(&sb->rt->timers, &t->timer,
                   spec->timeout_ns ? spec->timeout_ns : TUNNEL_CONNECT_NS, on_timer);
    if (r == 1)
        begin(t);
    *ret = t;
    return 0;
}

/* ---- the user's hand on it ---- */

int tunnel_write(struct tunnel *t, const uint8_t *data, size_t n)
{
    if (t->ended || t->close || t->closed || n == 0)
        return 0;
    bool was_empty = buf_len(&t->queue) == 0;
    int r = buf_put(&t->queue, data, n);
    if (r < 0)
        return r;
    if (t->open && was_empty && t->watch.fd >= 0) {
        flush(t);
        update(t);
    }
    if (buf_len(&t->queue) > TUNNEL_HIGH)
        t->high = true;
    return 0;
}

size_t tunnel_queued(const struct tunnel *t)
{
    return buf_len(&t->queue);
}

void tunnel_close_write(struct tunnel *t)
{
    if (t->ended || t->close)
        return;
    t->close = true;
    if (!t->open || t->watch.fd < 0)
        return;
    flush(t);
    update(t);
    check_end(t);
}

void tunnel_pause(struct tunnel *t)
{
    t->paused = true;
    if (!t->ended)
        update(t);
}

void tunnel_resume(struct tunnel *t)
{
    t->paused = false;
    if (!t->ended)
        update(t);
}

void tunnel_free(struct tunnel *t)
{
    if (!t)
        return;
    t->user_gone = true;
    if (!t->ended && t->asked)
        end_later(t); /* closes; init's answer detaches it */
    else if (!t->ended)
        detach(t);
    reap(t);
}
