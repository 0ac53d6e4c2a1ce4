/*
 * Peer credentials on macOS: LOCAL_PEERCRED for the users, LOCAL_PEERPID for the process
 * (unix(4), sys/un.h). Only the client is ever built there.
 */
#include <errno.h>
#include <sys/socket.h>
#include <sys/ucred.h>
#include <sys/un.h>

#include "transport/peer.h"

int peer_read_credentials(int fd, struct transport_peer *peer)
{
    struct xucred cred;
    socklen_t n = sizeof(cred);
    if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERCRED, &cred, &n) < 0)
        return -errno;
    if (cred.cr_version != XUCRED_VERSION || cred.cr_ngroups < 1)
        return -EINVAL;
    pid_t pid = 0;
    n = sizeof(pid);
    (void)getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &n); /* stays 0: unknown */
    peer->uid = cred.cr_uid;
    peer->gid = cred.cr_groups[0];
    peer->pid = pid;
    return 0;
}
