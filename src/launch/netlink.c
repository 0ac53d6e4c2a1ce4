/* Batches of netlink messages; see netlink.h. */
#include "launch/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

#define RECEIVE_BYTES 32768 /* the kernel's dumps come in pieces of at most that */

int netlink_open(int protocol)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    int one = 1;

    if (fd < 0)
        return -errno;
    /* Answers without what was asked: a batch is longer than the socket's buffer of answers. */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
    return fd;
}

void netlink_begin(struct netlink_batch *b)
{
    b->n = 0;
    b->last = NULL;
    b->n_acks = 0;
    b->error = 0;
}

/* Room for @n bytes, padded, of the last message; NULL when the batch is full. */
static void *grow(struct netlink_batch *b, size_t n)
{
    size_t padded = NLMSG_ALIGN(n);
    uint8_t *at = b->bytes + b->n;

    if (b->error || padded > sizeof(b->bytes) - b->n) {
        b->error = -EMSGSIZE;
        return NULL;
    }
    memset(at, 0, padded);
    b->n += padded;
    if (b->last)
        b->last->nlmsg_len = (uint32_t)(b->bytes + b->n - (uint8_t *)b->last);
    return at;
}

void netlink_add(struct netlink_batch *b, uint16_t type, uint16_t flags, const void *head,
                 size_t n_head)
{
    struct nlmsghdr *msg;

    b->last = NULL;
    msg = grow(b, sizeof(*msg));
    if (!msg)
        return;
    *msg = (struct nlmsghdr){.nlmsg_len = sizeof(*msg),
                             .nlmsg_type = type,
                             .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST)};
    b->last = msg;
    b->n_acks += (flags & NLM_F_ACK) != 0;
    netlink_put_head(b, head, n_head);
}

void netlink_put_head(struct netlink_batch *b, const void *data, size_t n)
{
    void *at = grow(b, n);

    if (at)
        memcpy(at, data, n);
}

void netlink_put(struct netlink_batch *b, uint16_t type, const void *data, size_t n)
{
    struct nlattr *attr = grow(b, NLA_HDRLEN + n);

    if (!attr)
        return;
    attr->nla_type = type;
    attr->nla_len = (uint16_t)(NLA_HDRLEN + n);
    memcpy((uint8_t *)attr + NLA_HDRLEN, data, n);
}

void netlink_put_u32(struct netlink_batch *b, uint16_t type, uint32_t value)
{
    netlink_put(b, type, &value, sizeof(value));
}

void netlink_put_text(struct netlink_batch *b, uint16_t type, const char *text)
{
    netlink_put(b, type, text, strlen(text) + 1);
}

size_t netlink_nest(struct netlink_batch *b, uint16_t type)
{
    size_t at = b->n;

    netlink_put(b, type | NLA_F_NESTED, "", 0);
    return at;
}

void netlink_unnest(struct netlink_batch *b, size_t nest)
{
    if (!b->error)
        ((struct nlattr *)(void *)(b->bytes + nest))->nla_len = (uint16_t)(b->n - nest);
}

static int send_all(int fd, const struct netlink_batch *b)
{
    if (b->error)
        return b->error;
    return send(fd, b->bytes, b->n, 0) == (ssize_t)b->n ? 0 : -errno;
}

/* The kernel does what is asked within send(), and the rest of a dump within recv(): what is not there does not come. */
static ssize_t receive(int fd, uint8_t *data)
{
    ssize_t n;

    do
        n = recv(fd, data, RECEIVE_BYTES, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int netlink_send(int fd, struct netlink_batch *b)
{
    _Alignas(struct nlmsghdr) static uint8_t data[RECEIVE_BYTES]; /* single-threaded */
    uint32_t n_answers = 0;
    int error = 0;
    int r = send_all(fd, b);
    ssize_t n;

    if (r < 0)
        return r;
    while ((n = receive(fd, data)) > 0) {
        for (struct nlmsghdr *msg = (void *)data; NLMSG_OK(msg, n); msg = NLMSG_NEXT(msg, n)) {
            const struct nlmsgerr *answer = NLMSG_DATA(msg);

            if (msg->nlmsg_type != NLMSG_ERROR)
                continue;
            if (answer->error < 0 && error == 0)
                error = answer->error;
            n_answers++;
        }
    }
    return error ? error : n_answers < b->n_acks ? -EIO : 0;
}

int netlink_dump(int fd, struct netlink_batch *b,
                 void (*each)(void *user, const struct nlmsghdr *msg), void *user)
{
    _Alignas(struct nlmsghdr) static uint8_t data[RECEIVE_BYTES]; /* single-threaded */
    int r = send_all(fd, b);
    ssize_t n;

    if (r < 0)
        return r;
    while ((n = receive(fd, data)) > 0) {
        for (struct nlmsghdr *msg = (void *)data; NLMSG_OK(msg, n); msg = NLMSG_NEXT(msg, n)) {
            if (msg->nlmsg_type == NLMSG_DONE)
                return 0;
            if (msg->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)NLMSG_DATA(msg))->error;
            each(user, msg);
        }
    }
    return n < 0 ? (int)n : -EIO;
}
