/* The control socket of one cwsandbox-init; see control.h. */
#include "runtime/control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

#define PACKETS_PER_TURN 32 /* chosen: then other sandboxes get their turn */
#define SINCE_EVER 0

/* Which init knows what, by its number. What it does not know would end it, and the sandbox (privproto/initproto.h). */
static const struct word {
    uint32_t type, flags, since;
} words[] = {
    {INIT_EXEC, 0, 1},          {INIT_EXEC, INIT_FILES, 1}, {INIT_SIGNAL, 0, SINCE_EVER},
    {INIT_KILL, 0, SINCE_EVER}, {INIT_READ, 0, 1},          {INIT_WRITE, 0, 1},
    {INIT_SYNC, 0, SINCE_EVER}, {INIT_CONNECT, 0, 1},
};

#define FIRST_SLOTS 4 /* chosen: an idle sandbox costs 64 bytes here; grows by doubling */

struct control_packet {
    struct list link;
    int fds[CONTROL_MAX_FDS];
    size_t n_fds;
    size_t size;
    uint8_t data[];
};

static void packet_free(struct control_packet *packet)
{
    for (size_t i = 0; i < packet->n_fds; i++)
        cleanup_fd(&packet->fds[i]);
    free(packet);
}

/* ---- calls ---- */

static int grow_slots(struct control *c)
{
    uint32_t n = c->n_slots ? c->n_slots * 2 : FIRST_SLOTS;
    if (c->n_slots == CONTROL_MAX_CALLS)
        return -EAGAIN;
    struct control_slot *slots = realloc(c->slots, n * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = c->n_slots; i < n; i++) {
        slots[i] = (struct control_slot){.generation = 1, .next_free = (uint16_t)c->first_free};
        c->first_free = i + 1;
    }
    c->slots = slots;
    c->n_slots = n;
    return 0;
}

int control_begin(struct control *c, struct control_call *call)
{
    if (c->first_free == 0) {
        int r = grow_slots(c);
        if (r < 0)
            return r;
    }
    uint32_t index = c->first_free - 1;
    struct control_slot *slot = &c->slots[index];
    c->first_free = slot->next_free;
    slot->call = call;
    c->n_calls++;
    call->id = (uint32_t)slot->generation << 16 | index;
    return 0;
}

void control_end(struct control *c, struct control_call *call)
{
    if (call->id == 0)
        return;
    uint32_t index = call->id & 0xffff;
    CHECK(index < c->n_slots && c->slots[index].call == call);
    struct control_slot *slot = &c->slots[index];
    slot->call = NULL;
    if (++slot->generation == 0)
        slot->generation = 1; /* an id is never 0 */
    slot->next_free = (uint16_t)c->first_free;
    c->first_free = index + 1;
    c->n_calls--;
    call->id = 0;
}

static struct control_call *find_call(const struct control *c, uint32_t id)
{
    uint32_t index = id & 0xffff;
    if (index >= c->n_slots || c->slots[index].generation != id >> 16)
        return NULL;
    return c->slots[index].call;
}

/* ---- which ends we know of ---- */

void control_hold(struct control *c, struct control_hold *hold)
{
    hold->n_exited = c->n_exited;
    list_append(&c->holds, &hold->link);
}

void control_hold_end(struct control_hold *hold)
{
    if (hold->link.next)
        list_remove(&hold->link);
    hold->link = (struct list){0};
}

/* Of these init may use the slots again. */
static uint32_t count_seen(struct control *c)
{
    if (list_empty(&c->holds))
        return c->n_exited;
    return CONTAINER_OF(list_first(&c->holds), struct control_hold, link)->n_exited;
}

/* ---- closing ---- */

void control_close(struct control *c)
{
    if (!c->poller || c->watch.fd < 0)
        return;
    (void)fd_watch_set(c->poller, &c->watch, 0);
    cleanup_fd(&c->watch.fd);
    for (struct list *it; (it = list_first(&c->unsent));) {
        list_remove(it);
        packet_free(CONTAINER_OF(it, struct control_packet, link));
    }
    /* By index: a callback may begin no call (control_send fails), but it may end others. */
    for (uint32_t i = 0; i < c->n_slots; i++)
        if (c->slots[i].call)
            c->slots[i].call->on_lost(c->slots[i].call);
}

void control_done(struct control *c)
{
    CHECK(c->n_calls == 0);
    while (c->poller && !list_empty(&c->holds))
        control_hold_end(CONTAINER_OF(list_first(&c->holds), struct control_hold, link));
    free(c->slots);
    *c = (struct control){.watch.fd = -1};
}

static void peer_gone(struct control *c)
{
    control_close(c);
    c->on_closed(c);
}

/* ---- receiving ---- */

int control_check_packet(const void *data, size_t n, struct init_packet *ret)
{
    if (n != sizeof(*ret))
        return -EBADMSG;
    memcpy(ret, data, sizeof(*ret));
    ret->stage[sizeof(ret->stage) - 1] = '\0';
    for (char *s = ret->stage; *s; s++)
        if (*s < ' ' || *s > '~')
            return -EBADMSG; /* it goes into error texts */
    if (ret->type < INIT_STARTED || ret->type >= INIT_TYPE_MAX)
        return -EBADMSG;
    return ret->body_size == 0 ? 0 : -EBADMSG;
}

/* One packet; 1, 0 at EOF, -errno. */
static int receive(int socket, struct init_packet *ret, int *ret_fd)
{
    uint8_t data[sizeof(struct init_packet) + 1]; /* one more, so that a longer packet shows */
    int flags;
    ssize_t n = fd_receive(socket, data, sizeof(data), ret_fd, &flags);
    if (n <= 0)
        return (int)n;
    /* Cut with a descriptor taken: it sent several. Cut without: we have no number left, which
     * its call will see. */
    bool too_many = (flags & MSG_CTRUNC) && *ret_fd >= 0;
    if (too_many || control_check_packet(data, (size_t)n, ret) < 0) {
        cleanup_fd(ret_fd);
        return -EBADMSG;
    }
    return 1;
}

static void send_unsent(struct control *c);

static void on_socket(struct fd_watch *w, uint32_t events)
{
    struct control *c = CONTAINER_OF(w, struct control, watch);
    if (events & EPOLLOUT)
        send_unsent(c);
    for (int i = 0; i < PACKETS_PER_TURN && c->watch.fd >= 0; i++) {
        struct init_packet packet;
        int fd;
        int r = receive(c->watch.fd, &packet, &fd);
        if (r == -EAGAIN || r == -EINTR)
            return;
        if (r > 0 && c->syncing &&
            (packet.type != INIT_SYNCED || packet.size_bytes != c->nonce)) {
            cleanup_fd(&fd); /* said to the daemon before us */
            continue;
        }
        c->syncing = false;
        struct control_call *call = r > 0 ? find_call(c, packet.id) : NULL;
        if (!call) {
            cleanup_fd(&fd);
            peer_gone(c);
            return;
        }
        if (packet.type == INIT_EXITED)
            c->n_exited++;
        call->on_packet(call, &packet, fd);
        /* With at most one call open hardly anything more is there: the loop asks for us, which
         * is cheaper than EAGAIN. */
        if (c->n_calls <= 1)
            return;
    }
}

int control_open(struct control *c, struct poller *poller, int take_fd)
{
    c->poller = poller;
    c->watch = (struct fd_watch){.fd = take_fd, .cb = on_socket};
    list_init(&c->unsent);
    list_init(&c->holds);
    c->n_exited = 0;
    c->init_version = INIT_VERSION;
    int r = fd_watch_set(poller, &c->watch, EPOLLIN);
    if (r < 0)
        cleanup_fd(&c->watch.fd);
    return r;
}

/* ---- sending ---- */

static int send_packet(struct control *c, const struct iovec *iov, size_t n_iov, const int *fds,
                       size_t n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * CONTROL_MAX_FDS)];
    } control;
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n_iov};

    if (n_fds > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
    }
    if (sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return 0;
    if (errno == ENOBUFS || errno == EINTR)
        return -EAGAIN;
    return -errno;
}

static void send_unsent(struct control *c)
{
    for (struct list *it; (it = list_first(&c->unsent));) {
        struct control_packet *packet = CONTAINER_OF(it, struct control_packet, link);
        struct iovec iov = {.iov_base = packet->data, .iov_len = packet->size};
        if (send_packet(c, &iov, 1, packet->fds, packet->n_fds) == -EAGAIN)
            return;
        /* Any other failure is followed by EOF, which ends the calls. */
        list_remove(it);
        packet_free(packet);
    }
    (void)fd_watch_set(c->poller, &c->watch, EPOLLIN);
}

static int queue_packet(struct control *c, const struct iovec *iov, const int *fds,
                        size_t n_fds)
{
    struct control_packet *packet = malloc(sizeof(*packet) + iov[0].iov_len + iov[1].iov_len);
    if (!packet)
        return -ENOMEM;
    packet->size = iov[0].iov_len + iov[1].iov_len;
    memcpy(packet->data, iov[0].iov_base, iov[0].iov_len);
    if (iov[1].iov_len > 0)
        memcpy(packet->data + iov[0].iov_len, iov[1].iov_base, iov[1].iov_len);
    for (packet->n_fds = 0; packet->n_fds < n_fds; packet->n_fds++) {
        int fd = fcntl(fds[packet->n_fds], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            int r = -errno;
            packet_free(packet);
            return r;
        }
        packet->fds[packet->n_fds] = fd;
    }
    list_append(&c->unsent, &packet->link);
    (void)fd_watch_set(c->poller, &c->watch, EPOLLIN | EPOLLOUT);
    return 0;
}

static bool is_known(uint32_t version, const struct init_packet *head)
{
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        const struct word *w = &words[i];
        if (w->type != head->type || (w->flags & head->flags) != w->flags)
            continue;
        if (version < w->since)
            return false;
        known = true;
    }
    return known;
}

int control_send(struct control *c, const struct control_request *r)
{
    if (!c->poller || c->watch.fd < 0)
        return -EPIPE;
    CHECK(r->n_fds <= CONTROL_MAX_FDS);
    if (!is_known(c->init_version, &r->head))
        return -EOPNOTSUPP;
    struct init_packet head = r->head;
    if (!(head.flags & INIT_BODY_IN_MEMFD))
        head.body_size = (uint32_t)r->body_size;
    if (head.type == INIT_EXEC || head.type == INIT_READ || head.type == INIT_WRITE)
        head.n_seen = count_seen(c);
    struct iovec iov[2] = {{.iov_base = &head, .iov_len = sizeof(head)},
                           {.iov_base = (void *)r->body, .iov_len = r->body_size}};
    int result = list_empty(&c->unsent) ? send_packet(c, iov, 2, r->fds, r->n_fds) : -EAGAIN;
    if (result == -EAGAIN)
        result = queue_packet(c, iov, r->fds, r->n_fds);
    return result;
}

int control_sync(struct control *c, struct control_call *call)
{
    int r = control_begin(c, call);
    if (r < 0)
        return r;
    random_bytes(&c->nonce, sizeof(c->nonce));
    struct control_request request = {
        .head = {.type = INIT_SYNC, .id = call->id, .size_bytes = c->nonce}};
    c->syncing = true;
    r = control_send(c, &request);
    if (r < 0)
        control_end(c, call);
    return r;
}
