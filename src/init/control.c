/* The control socket: packets in, packets out, descriptors beside them. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "init/control.h"

void packet_done(struct packet *p)
{
    for (uint32_t i = 0; i < p->n_fds; i++)
        cleanup_fd(&p->fds[i]);
    p->n_fds = 0;
    if (p->mapping)
        (void)munmap(p->mapping, p->mapping_size);
    p->mapping = NULL;
}

static void take_fds(struct packet *p, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        p->n_fds = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(p->fds, CMSG_DATA(c), p->n_fds * sizeof(int));
    }
}

/* The memfd is sealed by the daemon, so its size cannot change under the mapping. */
static int map_body(struct packet *p)
{
    CLEANUP_FD int fd = -1;
    struct stat st;

    if (p->n_fds == 0)
        return -EPROTO;
    fd = p->fds[--p->n_fds];
    if (p->head.body_size == 0 || p->head.body_size > INIT_MAX_MEMFD_BODY)
        return -EPROTO;
    if (fstat(fd, &st) < 0 || st.st_size != (off_t)p->head.body_size)
        return -EPROTO;
    p->mapping = mmap(NULL, p->head.body_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (p->mapping == MAP_FAILED) {
        p->mapping = NULL;
        return -ENOMEM;
    }
    p->mapping_size = p->head.body_size;
    p->body = p->mapping;
    return p->body[p->head.body_size - 1] == 0 ? 0 : -EPROTO;
}

int control_receive(struct packet *p)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    } control;
    struct iovec iov[2] = {
        {.iov_base = &p->head, .iov_len = sizeof(p->head)},
        {.iov_base = p->buffer, .iov_len = INIT_MAX_BODY},
    };
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = 2,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(CONTROL_FD, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    p->n_fds = 0;
    p->mapping = NULL;
    p->body = p->buffer;
    if (n == 0)
        return -EPIPE;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
    take_fds(p, &msg);
    if ((size_t)n < sizeof(p->head) || (msg.msg_flags & MSG_TRUNC))
        return -EPROTO;
    if (msg.msg_flags & MSG_CTRUNC)
        return -EMFILE; /* we have no numbers left */
    if (p->head.flags & INIT_BODY_IN_MEMFD)
        return map_body(p);
    if ((size_t)n - sizeof(p->head) != p->head.body_size)
        return -EPROTO;
    p->buffer[p->head.body_size] = 0;
    return 0;
}

int control_send(const struct init_packet *head, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof(*head)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    while (sendmsg(CONTROL_FD, &msg, MSG_NOSIGNAL) < 0) {
        struct pollfd ready = {.fd = CONTROL_FD, .events = POLLOUT};

        if (errno == EAGAIN || errno == ENOBUFS)
            (void)poll(&ready, 1, -1);
        else if (errno == ETOOMANYREFS && fd >= 0)
            return -ETOOMANYREFS; /* others of our outside user have filled its share: spawn.c */
        else if (errno != EINTR)
            _exit(0); /* the daemon is gone, and with us the namespace */
    }
    return 0;
}
