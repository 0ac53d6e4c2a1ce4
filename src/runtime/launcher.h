/*
 * The client of cwsandbox-launch: starts the program, sends requests, matches answers by their
 * number, passes events on.
 *
 * States: started (blocking HELLO done) -> attached (asynchronous, on the loop) -> closing (our
 * end is closed; launch kills what it made and exits) -> gone. It is *lost* when launch ends,
 * or says something that is no message, before we close it: every open request is then answered
 * with NULL, later ones too, and on_lost is called once.
 *
 * Owner: struct runtime. Loop thread only. Launch is single-threaded and answers in order, so
 * open requests are a queue.
 */
#ifndef CWS_RUNTIME_LAUNCHER_H
#define CWS_RUNTIME_LAUNCHER_H

#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "privproto/launchproto.h"
#include "runtime/poller.h"

#define LAUNCHER_HELLO_MS \
    20000 /* chosen: launch probes the kernel before it answers; normally 30 ms */
#define LAUNCHER_EXIT_MS \
    5000 /* chosen: then it is killed; normally 1 ms and 0.3 ms a sandbox */
#define LAUNCHER_REAP_MS \
    1000 /* between the end of its connection and its exit: what the loss text waits for */

/* @answer is NULL when launch is gone. @take_fd: -1 or a descriptor that came along. */
typedef void (*launcher_cb)(void *user, const struct launch_message *answer, int take_fd);

struct launcher_args {
    const char *launch_path, *init_path, *state_dir, *service_name;
};

struct launcher {
    struct poller *poller;
    void *user;
    void (*on_exited)(void *user, const struct launch_exited *exited);
    void (*on_lost)(void *user, const struct err *why);
    void (*on_closed)(void *user);

    int pid; /* 0 after it was reaped */
    struct watch socket, pidfd;
    uv_timer_t timer; /* of closing, and of the wait between EOF and exit */
    bool lost, reported, closing;
    struct err why;

    uint32_t seq;
    struct list calls;  /* struct launcher_call, oldest first */
    struct list unsent; /* struct launcher_packet: the socket was full */
};

/** launcher_start() - blocks until launch said HELLO. FAILED_PRECONDITION when it did not. */
int launcher_start(struct launcher *l, const struct launcher_args *args,
                   struct launch_features *ret, struct err *err);
/** launcher_watch() - the part of becoming asynchronous that may fail; the callbacks are set
 * before. */
int launcher_watch(struct launcher *l, struct poller *poller, struct err *err);
/** launcher_attach() - the rest of it. */
void launcher_attach(struct launcher *l, uv_loop_t *loop);
/** launcher_send() - @msg gets its number. @cb (may be NULL) is called once, from the loop. 0,
 * -EPIPE (lost), -ENOMEM. */
int launcher_send(struct launcher *l, struct launch_message *msg, launcher_cb cb, void *user);
/** launcher_close() - let launch end; on_closed after it was reaped. */
void launcher_close(struct launcher *l, void (*on_closed)(void *user));
/** launcher_abort() - blocking end of a launcher that was not attached. */
void launcher_abort(struct launcher *l);

#endif
