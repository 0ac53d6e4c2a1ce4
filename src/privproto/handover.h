/*
 * What passes by exec and fork along the line of a service's three programs, as numbers of descriptors:
 *
 *   cwsandboxd (front)  --exec-->  cwsandbox-launch (supervisor)  --fork, exec-->  cwsandboxd --inherited
 *
 * The front opens everything while it has the privilege of who started the service; the supervisor keeps it and hands
 * copies to each daemon. A number that is closed was not needed. And the words between supervisor and daemon, two bytes a
 * packet over a SOCK_SEQPACKET pair.
 */
#ifndef CWS_PRIVPROTO_HANDOVER_H
#define CWS_PRIVPROTO_HANDOVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum handover_fd {
    HANDOVER_SUPER =
        3, /* supervisor and daemon: their words. Engine: where daemons' sockets come from */
    HANDOVER_LAUNCH, /* daemon: requests to the engine. Engine: the other end */
    HANDOVER_DATA,   /* the data directory */
    HANDOVER_DATA_LOCK,
    HANDOVER_HOME_LOCK, /* of the embedded service's runtime directory */
    HANDOVER_READY, /* --ready-fd; the first daemon's alone. A front that renews: where it says what it opened */
    HANDOVER_KEYS, /* these three: copies in memory, so that a restart does not need the files */
    HANDOVER_CERT,
    HANDOVER_CERT_KEY,
    HANDOVER_LISTEN = 16, /* listening sockets, in the order of the options */
};
#define HANDOVER_MAX_LISTENERS 16
#define HANDOVER_END (HANDOVER_LISTEN + HANDOVER_MAX_LISTENERS)
#define HANDOVER_ABOVE 64 /* where whoever arranges the numbers puts its own first */
/* Who a daemon of root's is: the first uid (and gid) behind those that sandboxes have (launch's DEFAULT_UID_BASE and
 * UID_COUNT), so that nobody else has it, inside or outside. No account is needed: the kernel asks for none. */
#define HANDOVER_DAEMON_ID 0x70010000u
#define HANDOVER_N_SECRETS 3
#define HANDOVER_MAX_SECRET_BYTES \
    (1u << 20) /* chosen: a certificate chain has a few KiB, 1,000 API keys 60 */

/* One packet: the word, and a byte that says which secrets (bit i: HANDOVER_KEYS + i) where the word speaks of them. */
enum handover_word {
    HANDOVER_WORD_READY = 'R',    /* daemon: serving */
    HANDOVER_WORD_STOPPING = 'S', /* daemon: an orderly end has begun; socket files may go */
    HANDOVER_WORD_UNLINKED =
        'U', /* supervisor: they are gone, and so are its copies of the listening sockets */
    HANDOVER_WORD_RELOAD = 'L', /* supervisor: these secrets are new, one descriptor each */
    HANDOVER_WORD_ACCEPTED =
        'A', /* daemon: these of the last RELOAD are in use; of the others the old ones */
    HANDOVER_WORD_FETCH =
        'F', /* daemon: start cwsandbox-image to bring an image; descriptors: its input, its output (image/fetch.h) */
    HANDOVER_WORD_DAEMON = 'D', /* supervisor to engine: the socket of the next daemon */
    HANDOVER_WORD_REPLACE =
        'X', /* supervisor to engine: a mount namespace, the arguments of the program to become */
    HANDOVER_WORD_REPLACED =
        'E', /* engine: the byte is 1: it is that program; 0: it could not be, and is the old one */

    /* A new daemon in the place of one that serves (launch/renew.h); the first is a front's, not a daemon's. */
    HANDOVER_WORD_OPENED =
        'O', /* front: the arguments of cwsandbox-launch (memory, each ends with a NUL), secrets, listening sockets */
    HANDOVER_WORD_PREPARED = 'P', /* daemon: started so far as it can be without the engine */
    HANDOVER_WORD_LEAVE = 'Q',    /* supervisor: answer what is short, exit, end no sandbox */
};
#define HANDOVER_MAX_FDS (1 + HANDOVER_N_SECRETS + HANDOVER_MAX_LISTENERS)
#define HANDOVER_MAX_FETCHES \
    8 /* chosen: at once; the daemon, whom nobody believes, asks for half */
#define HANDOVER_MAX_ARGV_BYTES (1u << 20) /* chosen: options are a few hundred bytes */

/** handover_send() - one packet with descriptors (at most HANDOVER_MAX_FDS); never waits. 0 or -errno. */
int handover_send(int socket, const uint8_t packet[2], const int *fds, size_t n_fds);
/**
 * handover_receive() - one packet; never waits
 * @ret_fds: *ret_n of them, close-on-exec, the caller's. Returns the packet's bytes, 0 at EOF, -errno.
 */
ssize_t handover_receive(int socket, uint8_t ret_packet[2], int ret_fds[HANDOVER_MAX_FDS],
                         size_t *ret_n);

#endif
