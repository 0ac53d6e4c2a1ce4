/*
 * A supervisor that puts another daemon, and another cwsandbox-launch, into the place of those that serve: the steps of renew.h and
 * upgrade.h as what the supervisor's loop (supervise.c) hears.
 */
#ifndef CWS_LAUNCH_RELOAD_H
#define CWS_LAUNCH_RELOAD_H

#include "launch/secrets.h"
#include "launch/upgrade.h"

struct supervisor {
    const struct options *options;
    int (*engine)(const struct options *options);
    int signal_fd;
    pid_t engine_pid, daemon_pid; /* 0: none */
    int engine_fd;                /* daemons' sockets go there; its end ends the engine */
    int daemon_fd;                /* words */
    struct secrets secrets;
    bool served;   /* a daemon was ready once */
    bool stopping; /* no other daemon shall follow */
    bool over;
    uint64_t born_ns, next_ns; /* of the daemon; when another one is due */
    uint64_t kill_ns;          /* when the daemon is killed; 0: not */
    uint32_t delay_ms;
    int status;
    struct fetches fetches;
    struct renewal renewal;
    struct program program; /* the daemon's, when it was started, */
    int program_fd;         /* and itself: a daemon that dies is followed by the same program */
    bool reload, reload_programs; /* asked for while a renewal was under way */
};

/* supervise.c */
/** supervisor_send_word() - 0 or -errno. */
int supervisor_send_word(int fd, uint8_t word, uint8_t value, const int *fds, size_t n_fds);
/** supervisor_plan_restart() - another daemon is due at s->next_ns. */
void supervisor_plan_restart(struct supervisor *s);

/* reload.c */
/** reload_secrets() - keys and certificates alone. */
void reload_secrets(struct supervisor *s);
/** reload_begin() - @programs: new ones in any case; while one is under way: after it. */
void reload_begin(struct supervisor *s, bool programs);
/** reload_fail() - what was there stays. */
void reload_fail(struct supervisor *s, const char *why);
/** reload_on_front() and so on - what the renewal waits for: its front's socket, its daemon's, the engine's; the end of the program
 * that was asked, and of the daemon that was to leave. */
void reload_on_front(struct supervisor *s);
void reload_on_next_word(struct supervisor *s);
void reload_on_engine_word(struct supervisor *s);
void reload_on_checked(struct supervisor *s, int wait_status);
void reload_on_left(struct supervisor *s);
/** reload_commit() - the new daemon serves. */
void reload_commit(struct supervisor *s);
/** reload_resume() - in the place of the supervisor that has just renewed the service. 0 or -errno. */
int reload_resume(struct supervisor *s);

#endif
