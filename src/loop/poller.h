/*
 * Many descriptors behind one handle of the loop: an epoll set of our own, watched by one
 * uv_poll_t.
 *
 * Why not a uv_poll_t or uv_pipe_t for each pipe: opening, starting, stopping and closing one
 * costs five system calls (libuv checks the descriptor with an ADD and a DEL, sets it
 * non-blocking, adds it, removes it) and its memory must stay until a close callback. An exec
 * has two or three pipes and lives for half a millisecond. Here a pipe costs one ADD (none if
 * the process ended before its output was looked at), removal takes effect at once, and a
 * wake-up costs one extra epoll_wait for all pipes together.
 *
 * Owner: whoever has the loop. Loop thread only. Linux. A watch is embedded in its owner; it is zeroed
 * before its first use.
 */
#ifndef CWS_LOOP_POLLER_H
#define CWS_LOOP_POLLER_H

#include <sys/epoll.h>
#include <uv.h>

#include "base/macros.h"

#define POLLER_BATCH \
    64 /* chosen: events taken from the kernel at once; the rest comes with the next turn of \
          the loop */

struct fd_watch {
    int fd;
    uint32_t events; /* EPOLLIN | EPOLLOUT as registered; 0 = not registered */
    void (*cb)(struct fd_watch *w, uint32_t events);
};

struct poller {
    int epfd; /* -1: closed */
    uv_poll_t handle;
    struct epoll_event batch[POLLER_BATCH];
    int n_batch,
        at_batch; /* what is left of the batch under way; fd_watch_set(w, 0) strikes its
                              watch out */
};

/** poller_open() - watches may be set from here on. */
int poller_open(struct poller *p);
/** poller_start() - hand events out from here on. */
int poller_start(struct poller *p, uv_loop_t *loop);
/** poller_close() - every watch must be gone; @on_closed releases the memory. */
void poller_close(struct poller *p, uv_close_cb on_closed);
/** fd_watch_set() - register for @events; 0 removes (to be called before the descriptor is
 * closed). 0 or -errno. */
int fd_watch_set(struct poller *p, struct fd_watch *w, uint32_t events);
/** fd_watch_close() - remove and close. @alone: nobody else has the description, so closing removes it from the set. */
void fd_watch_close(struct poller *p, struct fd_watch *w, bool alone);

#endif
