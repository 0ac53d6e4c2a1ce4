/*
 * Another daemon, with the configuration read anew, in the place of one that serves. Until it serves nothing is lost: the old
 * one goes on, or is started again.
 *
 *   OPENING    a child is cwsandboxd's front: reads the configuration, takes over or makes listening sockets; says OPENED
 *   PREPARING  the same process is a daemon: reads keys and certificates, says PREPARED, waits for the engine
 *   PREPARED   the old daemon was told to LEAVE: it answers what is short and exits. The engine gets the new one's socket
 *   REPLACING  (only with another cwsandbox-launch) the engine becomes that; after PREPARED and before it gets the socket
 *   TAKEN      the new one takes the sandboxes over; READY makes its configuration the service's
 *
 * Owner: the supervisor. What the front says is trusted (it is the operator's program with the privilege of the service's
 * starter); its socket is closed before it becomes a daemon, whose words are two bytes.
 */
#ifndef CWS_LAUNCH_RENEW_H
#define CWS_LAUNCH_RENEW_H

#include "launch/arguments.h"
#include "launch/launch.h"
#include "privproto/handover.h"

#define RENEW_MS 30000 /* chosen: host names may have to be looked up; then it has failed */

enum renew_state {
    RENEW_NONE,
    RENEW_OPENING,
    RENEW_PREPARING,
    RENEW_PREPARED,
    RENEW_REPLACING,
    RENEW_TAKEN
};

struct renewal {
    enum renew_state state;
    bool forced;     /* also when nothing has changed */
    bool upgrade;    /* cwsandbox-launch is replaced too (upgrade.h) */
    pid_t check_pid; /* the new one is being asked whether it can; 0: no more */
    pid_t pid;
    int front_fd, words_fd;
    int engine_fd;   /* the engine's end of its socket, until it is wanted */
    uint64_t due_ns; /* it has failed by then */
    /* What the front handed over: */
    struct arguments arguments; /* @options borrows from them */
    struct options options;
    int fds[HANDOVER_END - HANDOVER_KEYS]; /* for the numbers from HANDOVER_KEYS on; -1: none */
};

void renew_init(struct renewal *r);
/** renew_begin() - start the front. 0 or -errno. */
int renew_begin(struct renewal *r, const struct options *options, bool forced);
/** renew_on_front() - its socket is readable: 0 it has not spoken yet, 1 OPENED, -errno. */
int renew_on_front(struct renewal *r, const struct options *current);
/** renew_same() - the line is that of @current. */
bool renew_same(const struct renewal *r, const struct options *current);
/** renew_drop() - it is over: kills what was started (not once TAKEN), removes the socket files that only it has. */
void renew_drop(struct renewal *r, const struct options *current);
/**
 * renew_commit() - what it opened goes to its numbers, socket files that are no longer wanted go
 * Returns the options, which live as long as the program does.
 */
const struct options *renew_commit(struct renewal *r, const struct options *current);

#endif
