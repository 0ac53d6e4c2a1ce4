/*
 * Who is at the other end of a connected Unix socket. One implementation per kernel, chosen by
 * the build (peer-linux.c, peer-macos.c), so that no caller has an #ifdef. The functions are private to this
 * room.
 */
#ifndef CWS_TRANSPORT_PEER_H
#define CWS_TRANSPORT_PEER_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

struct transport_peer {
    bool is_unix;
    uid_t uid; /* SO_PEERCRED, valid when is_unix */
    gid_t gid;
    pid_t pid;
    char text[64]; /* "127.0.0.1:1234" or "unix uid=0 pid=12" */
};

/** peer_read_credentials() - fill uid, gid, pid as they were when the peer connected; 0 or
 * -errno. pid 0 = unknown. */
int peer_read_credentials(int fd, struct transport_peer *peer);
/** peer_describe() - fill @peer from a connected stream: credentials or remote address, and the
 * text. */
void peer_describe(uv_stream_t *stream, struct transport_peer *peer);

#endif
