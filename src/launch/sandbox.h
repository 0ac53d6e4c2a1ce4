/*
 * One sandbox as launch sees it, from CREATE until its cgroups are removed, and the daemon's
 * requests about it. Owner: engine.sandboxes; freed by sandbox.c alone.
 */
#ifndef CWS_LAUNCH_SANDBOX_H
#define CWS_LAUNCH_SANDBOX_H

#include "launch/launch.h"

enum sandbox_state {
    SANDBOX_STARTING, /* child sets itself up; status pipe open */
    SANDBOX_RUNNING,  /* answered; init has been executed */
    SANDBOX_FAILED,   /* setup failed; answered when reaped and cleaned */
    SANDBOX_DEAD,     /* init reaped, cgroups not removable yet */
};

struct sandbox {
    struct list node; /* engine.sandboxes */
    char id[LAUNCH_MAX_ID];
    char pid_key[16]; /* pid as text: key of by_pid */
    enum sandbox_state state;
    uint32_t create_seq;
    pid_t pid;
    uid_t owner;    /* of its user namespace: userns_owner() */
    int status_fd;  /* STARTING: EOF = success (closed by execveat), struct child_failure =
                       failure */
    int control_fd; /* daemon's end, until it is sent */
    int wait_status;
    struct launch_created created; /* what will be answered */
};

/* sandbox.c: the life of one sandbox */
void sandbox_create(struct engine *e, const struct launch_message *request);
struct sandbox *sandbox_find(struct engine *e, const char *id);
/** sandbox_on_status() - the status pipe is readable. */
void sandbox_on_status(struct engine *e, struct sandbox *sb);
void sandbox_kill(struct engine *e, struct sandbox *sb);
/** sandboxes_reap() - after SIGCHLD. */
void sandboxes_reap(struct engine *e);
/** sandboxes_retry_dead() - remove cgroups that were busy. Returns how many still are. */
uint32_t sandboxes_retry_dead(struct engine *e);
/** sandboxes_end() - kill, reap and remove all; blocks. */
void sandboxes_end(struct engine *e);

/* requests.c */
/** requests_handle() - one packet; -EPIPE when the daemon is gone, -EBADMSG when it must not be
 * believed. */
int requests_handle(struct engine *e);
/** requests_answer_hello() - one packet, and only a HELLO: for an engine that did not start, or is over. */
void requests_answer_hello(struct engine *e);
/** answer_send() - to the daemon, with a descriptor unless @fd is -1. A dead daemon shows as
 * EOF in the loop. */
void answer_send(struct engine *e, const struct launch_message *msg, int fd);

#endif
