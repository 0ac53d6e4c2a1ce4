/*
 * Describes the other end of a connected stream, for log lines and for the service's rules
 * about Unix users.
 */
#include "transport/peer.h"

#include <arpa/inet.h>
#include <string.h>

static void describe_unix(uv_stream_t *stream, struct transport_peer *peer)
{
    uv_os_fd_t fd;
    peer->is_unix =
        uv_fileno((uv_handle_t *)stream, &fd) == 0 && peer_read_credentials(fd, peer) == 0;
    /* Without credentials is_unix stays false: nobody may then be trusted for being local */
    if (peer->is_unix)
        (void)snprintf(peer->text, sizeof(peer->text), "unix uid=%u pid=%d",
                       (unsigned)peer->uid, (int)peer->pid);
    else
        (void)snprintf(peer->text, sizeof(peer->text), "unix");
}

static void describe_tcp(uv_stream_t *stream, struct transport_peer *peer)
{
    struct sockaddr_storage name;
    int n = sizeof(name);
    char ip[INET6_ADDRSTRLEN];
    (void)snprintf(peer->text, sizeof(peer->text),
                   "tcp"); /* a peer that is gone already has no name */
    if (uv_tcp_getpeername((uv_tcp_t *)stream, (struct sockaddr *)&name, &n) < 0 ||
        uv_ip_name((struct sockaddr *)&name, ip, sizeof(ip)) < 0)
        return;
    if (name.ss_family == AF_INET6)
        (void)snprintf(peer->text, sizeof(peer->text), "[%s]:%u", ip,
                       ntohs(((struct sockaddr_in6 *)&name)->sin6_port));
    else
        (void)snprintf(peer->text, sizeof(peer->text), "%s:%u", ip,
                       ntohs(((struct sockaddr_in *)&name)->sin_port));
}

void peer_describe(uv_stream_t *stream, struct transport_peer *peer)
{
    *peer = (struct transport_peer){0};
    if (stream->type == UV_NAMED_PIPE)
        describe_unix(stream, peer);
    else
        describe_tcp(stream, peer);
}
