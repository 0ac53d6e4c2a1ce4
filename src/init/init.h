/*
 * The objects of cwsandbox-init: one static `struct init` in main.c, handed down. Nothing here
 * allocates; every table is sized by a constant of privproto/initproto.h. Functions return 0 or
 * -errno unless said.
 */
#ifndef CWS_INIT_INIT_H
#define CWS_INIT_INIT_H

#include <sys/types.h>

#include "base/macros.h"
#include "privproto/initproto.h"

#define CONTROL_FD 3 /* placed by launch */
#define CGROUP_FD 4  /* v2 directory of the sandbox, O_PATH; may be absent */
#define MAX_FDS 5    /* stdin, stdout, stderr, main's output, memfd: initproto.h */
#define CHILD_STACK_SIZE \
    (256 * 1024) /* chosen: the child's deepest frame holds one PATH_MAX buffer */

/* One cgroup directory e<index> per running exec. A slot whose leader is gone but whose cgroup
 * is populated lingers. */
struct slot {
    int dir_fd;    /* CLONE_INTO_CGROUP */
    int events_fd; /* cgroup.events, reread with pread */
    uint32_t id;   /* of the last exec that was born here */
    bool killed;   /* cgroup.kill was written: to be made anew before the next use */
};

struct slots {
    bool usable; /* CGROUP_FD exists and a directory could be made */
    uint32_t n;  /* made so far */
    struct slot all[INIT_MAX_EXECS];
    uint16_t free[INIT_MAX_EXECS], lingering[INIT_MAX_EXECS];
    uint32_t n_free, n_lingering;
};

struct exec {
    uint32_t id;
    pid_t pid; /* leader; 0 = unused row */
    int slot;  /* -1: no cgroups here */
};

struct execs {
    struct exec rows[INIT_MAX_EXECS];
    uint32_t n_rows; /* rows in use lie below */
    uint32_t n;
};

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

struct init {
    int main_output_fd; /* INIT_MAIN: kept until our end */
    struct packet packet;
    struct slots slots;
    struct execs execs;
    char *
        strings[INIT_MAX_STRINGS + 4]; /* argv with one free place in front, NULL, envp, NULL */
    _Alignas(16) char stack[CHILD_STACK_SIZE];
};

/* What a child needs between clone and execve. The parent is suspended (CLONE_VFORK): `status`
 * and `stage` are shared. */
struct spawn {
    const char *cwd;
    char **argv; /* argv[-1] is writable: execvp's /bin/sh rule */
    char **envp;
    int stdio[3];   /* [0] -1: /dev/null */
    bool tty;       /* stdio[0] is the slave of a pty */
    bool subreaper; /* no cgroup: keep descendants findable */
    int cgroup_fd;  /* -1: none */
    int status;     /* 0 or -errno of @stage */
    const char *stage;
};

/* control.c */
/** control_receive() - one packet; 0, -EPIPE at EOF, -EAGAIN, -EPROTO on a malformed one. */
int control_receive(struct packet *p);
/** control_send() - blocks while the daemon is slow; ends init when the daemon is gone. @fd -1:
 * none. -ETOOMANYREFS: the kernel refuses @fd, and nothing was sent. */
int control_send(const struct init_packet *head, int fd);
void packet_done(struct packet *p);

/* slots.c */
void slots_init(struct slots *s);
/** slots_take() - index of an empty slot, or -errno. */
int slots_take(struct slots *s);
/** slots_give() - the leader of the slot is gone. */
void slots_give(struct slots *s, int index);
int slots_kill(struct slots *s, int index);
/** slots_kill_lingering() - what the finished exec @id left behind. */
void slots_kill_lingering(struct slots *s, uint32_t id);

/* spawn.c */
/** spawn_run() - pid, or -errno with @s->stage set; the failed child is already reaped. */
pid_t spawn_run(struct spawn *s, char *stack, size_t stack_size);

/* exec.c */
void exec_start(struct init *in);
void exec_reap(struct init *in);
void exec_signal(struct init *in, uint32_t id, int signo);
void exec_kill(struct init *in, uint32_t id);

/* pty.c */
int pty_open(uint32_t width, uint32_t height, int *ret_master, int *ret_slave);

/* tree.c */
/** tree_kill() - @leader and its descendants; @leader is a child subreaper that is not reaped
 * yet. */
void tree_kill(pid_t leader);

/* file.c */
void file_open(struct packet *p);

/* privilege.c */
/** privilege_start() - signal dispositions, dumpable, descriptors, resource limits. */
void privilege_start(void);
/** privilege_child_filter() - the second seccomp filter of every exec'd process. */
int privilege_child_filter(void);

#endif
