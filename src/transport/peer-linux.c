/*
 * Peer credentials on Linux: SO_PEERCRED, fixed by the kernel at connect(2) (unix(7)).
 */
#include <errno.h>
#include <sys/socket.h>

#include "transport/peer.h"

int peer_read_credentials(int fd, struct transport_peer *peer)
{
    struct ucred cred;
    socklen_t n = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
        return -errno;
    peer->uid = cred.uid;
    peer->gid = cred.gid;
    peer->pid = cred.pid;
    return 0;
}
