/*
 * The control socket: one packet of privproto/initproto.h in or out at a time, with its descriptors.
 */
#ifndef CWS_INIT_CONTROL_H
#define CWS_INIT_CONTROL_H

#include "base/macros.h"
#include "privproto/initproto.h"

#define CONTROL_FD 3 /* placed by launch */
#define MAX_FDS 5    /* stdin, stdout, stderr, main's output, memfd: initproto.h */

/* A received packet with its descriptors. `body` points into `buffer` or a mapping; both end
 * with packet_done(). */
struct packet {
    struct init_packet head;
    int fds[MAX_FDS];
    uint32_t n_fds;
    char *body;
    void *mapping; /* of a body in a memfd, or NULL */
    size_t mapping_size;
    char buffer[INIT_MAX_BODY + 1];
};

/** control_receive() - one packet; 0, -EPIPE at EOF, -EAGAIN, -EPROTO on a malformed one; -EMFILE when its descriptors did not
 * all fit, with the head alone to answer to. */
int control_receive(struct packet *p);
/** control_send() - blocks while the daemon is slow; ends init when the daemon is gone. @fd -1:
 * none. -ETOOMANYREFS: the kernel refuses @fd, and nothing was sent. */
int control_send(const struct init_packet *head, int fd);
void packet_done(struct packet *p);

#endif
