/*
 * The client of cwsandbox-launch: sends requests over a socket that was handed to us, matches answers by their number,
 * passes events on.
 *
 * States: started (blocking HELLO done) -> attached (asynchronous, on the loop) -> closing (our end is closed) -> gone.
 * It is *lost* when launch ends, or says something that is no message, before we close it: every open request is then
 * answered with NULL, later ones too, and on_lost is called once.
 *
 * Owner: struct runtime. Loop thread only. Launch is single-threaded and answers in order, so
 * open requests are a queue.
 */
#ifndef CWS_RUNTIME_LAUNCHER_H
#define CWS_RUNTIME_LAUNCHER_H

#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "loop/poller.h"
#include "privproto/launchproto.h"

#define LAUNCHER_HELLO_MS \
    20000 /* chosen: launch probes the kernel before it answers; normally 30 ms */
#define LAUNCHER_EXIT_MS \
    5000 /* chosen: how long the end of the last sandbox is waited for; normally 1 ms and 0.3 ms a sandbox */

/* @answer is NULL when launch is gone. @take_fd: -1 or a descriptor that came along. */
typedef void (*launcher_cb)(void *user, const struct launch_message *answer, int take_fd);

struct launcher {
    struct poller *poller;
    void *user;
    void (*on_exited)(void *user, const struct launch_exited *exited);
    void (*on_lost)(void *user, const struct err *why);
    void (*on_closed)(void *user);

    struct fd_watch socket;
    uv_timer_t handle; /* closing is asynchronous: with this one, which never runs */
    bool lost, closing;
    struct err why;

    uint32_t seq;
    struct list calls;  /* struct launcher_call, oldest first */
    struct list unsent; /* struct launcher_packet: the socket was full */
};

/** launcher_start() - blocks until launch said HELLO. FAILED_PRECONDITION when it did not. */
int launcher_start(struct launcher *l, int take_socket, struct launch_features *ret,
                   struct err *err);
/** launcher_send_blocking(), launcher_receive_blocking() - while there is no loop yet (adopt.c): one small message; 0, -EPIPE,
 * -ETIMEDOUT, -EBADMSG. */
int launcher_send_blocking(struct launcher *l, struct launch_message *msg);
int launcher_receive_blocking(struct launcher *l, struct launch_message *ret, int *ret_fd);
/** launcher_watch() - the part of becoming asynchronous that may fail; the callbacks are set
 * before. */
int launcher_watch(struct launcher *l, struct poller *poller, struct err *err);
/** launcher_attach() - the rest of it. */
void launcher_attach(struct launcher *l, uv_loop_t *loop);
/** launcher_send() - @msg gets its number. @cb (may be NULL) is called once, from the loop. 0,
 * -EPIPE (lost), -ENOMEM. */
int launcher_send(struct launcher *l, struct launch_message *msg, launcher_cb cb, void *user);
/** launcher_close() - close our end; on_closed comes from the loop. */
void launcher_close(struct launcher *l, void (*on_closed)(void *user));
/** launcher_abort() - blocking end of a launcher that was not attached. */
void launcher_abort(struct launcher *l);

#endif
