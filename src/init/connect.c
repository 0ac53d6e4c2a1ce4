/*
 * CONNECT: a socket of the sandbox's network for the daemon, which has no way into it. Only init can make one: it is in the
 * namespace. Nothing here waits, and nothing is kept.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "init/init.h"

/* Chosen: what a connection can hold of the machine's memory, each way; the kernel doubles it for its own needs. The socket
 * is ours, so no limit of the sandbox counts it. */
#define SOCKET_BUFFER_BYTES (128 * 1024)

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static socklen_t fill(union address *to, const struct init_packet *request)
{
    uint16_t port = htons((uint16_t)request->value);

    if (request->aux == INIT_CONNECT_IPV6) {
        to->ipv6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        return sizeof(to->ipv6);
    }
    to->ipv4 = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return sizeof(to->ipv4);
}

/* A descriptor, or -errno. */
static int begin(const struct init_packet *request)
{
    static const int size = SOCKET_BUFFER_BYTES;
    union address to;
    socklen_t n = fill(&to, request);
    CLEANUP_FD int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    /* Before the connection, so that the window is scaled for it; they cannot fail. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (connect(fd, &to.any, n) < 0 && errno != EINPROGRESS)
        return -errno;
    return TAKE_FD(fd);
}

void connect_answer(const struct init_packet *request)
{
    struct init_packet answer = {.type = INIT_CONNECTED, .id = request->id};
    CLEANUP_FD int fd = begin(request);

    answer.value = fd < 0 ? fd : 0;
    if (control_send(&answer, fd) < 0) { /* others of our outside user have filled its share */
        answer.value = -ETOOMANYREFS;
        (void)control_send(&answer, -1);
    }
}
