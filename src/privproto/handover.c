#include "privproto/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(HANDOVER_MAX_FDS * sizeof(int))];
};

int handover_send(int socket, const uint8_t packet[2], const int *fds, size_t n_fds)
{
    union control control = {0};
    struct iovec iov = {.iov_base = (void *)packet, .iov_len = 2};
    struct msghdr out = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > HANDOVER_MAX_FDS)
        return -EINVAL;
    if (n_fds > 0) {
        out.msg_control = &control;
        out.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&out);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    return sendmsg(socket, &out, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

ssize_t handover_receive(int socket, uint8_t ret_packet[2], int ret_fds[HANDOVER_MAX_FDS],
                         size_t *ret_n)
{
    union control control = {0};
    struct iovec iov = {.iov_base = ret_packet, .iov_len = 2};
    struct msghdr in = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control.bytes)};

    *ret_n = 0;
    ssize_t n = recvmsg(socket, &in, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&in);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        *ret_n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(ret_fds, CMSG_DATA(c), *ret_n * sizeof(int));
    }
    return n;
}
