/*
 * The objects of cwsandbox-init: one static `struct init` in main.c, handed down. Nothing here
 * allocates; every table is sized by a constant of privproto/initproto.h. Functions return 0 or
 * -errno unless said.
 */
#ifndef CWS_INIT_INIT_H
#define CWS_INIT_INIT_H

#include <poll.h>
#include <sys/types.h>

#include "init/control.h"
#include "init/load-limits.h"
#include "init/meminfo.h"
#include "privproto/initproto.h"

#define CGROUP_FD 4 /* v2 directory of the load; may be absent */
#define VIEW_FD 5   /* what is mounted at /sys/fs/cgroup, to be written */
#define CHILD_STACK_SIZE \
    (256 * 1024) /* chosen: the child's deepest frame holds one PATH_MAX buffer */

/* One cgroup directory e<index> per running exec. A slot whose leader is gone but whose cgroup
 * is populated lingers. */
struct slot {
    int dir_fd;    /* CLONE_INTO_CGROUP */
    int events_fd; /* cgroup.events, reread with pread */
    uint32_t id;   /* of the last exec that was born here */
    bool killed;   /* cgroup.kill was written: to be made anew before the next use */
    struct memory_slot memory;
    uint32_t exit; /* in `retired`: which EXITED told of its end */
};

struct slots {
    bool usable; /* CGROUP_FD exists and a directory could be made */
    uint32_t n;  /* made so far */
    struct slot all[INIT_MAX_EXECS];
    uint16_t free[INIT_MAX_EXECS], lingering[INIT_MAX_EXECS];
    uint32_t n_free, n_lingering;
    uint16_t retired
        [INIT_MAX_EXECS]; /* a ring, oldest first: the daemon may not know yet, and kill them */
    uint32_t first_retired, n_retired;
    uint32_t n_exits; /* EXITED sent */
};

struct exec {
    uint32_t id;
    pid_t pid;     /* leader; 0 = unused row */
    int slot;      /* -1: no cgroups here */
    int status_fd; /* -1, or STARTED is not sent yet: end of file when execve worked, else a struct spawn_failure */
    int master;    /* until STARTED: -1, or its terminal */
    bool failed;   /* told as STARTED; its exit is not reported */
    uint64_t started_ns;
    struct oom_count n_oom;     /* before it */
    struct init_packet end;     /* type 0, or its EXITED: reaped, and not reported yet */
    struct init_packet *copied; /* NULL: no copier */
};

struct execs {
    struct exec rows[INIT_MAX_EXECS];
    uint32_t n_rows; /* rows in use lie below */
    uint32_t n, n_starting;
};

struct main_process {
    bool known;
    pid_t pid; /* 0: ended, with: */
    int wait_status;
};

struct init {
    struct meminfo meminfo;
    struct init_packet *copied; /* shared with the copiers; by row of `execs` */
    struct main_process main;
    int main_output_fd; /* INIT_MAIN: kept until our end */
    struct packet packet;
    struct limits limits;
    struct slots slots;
    struct execs execs;
    struct pollfd ready[3 + INIT_MAX_EXECS];
    char *strings[INIT_MAX_STRINGS +
                  5]; /* argv with one free place in front, NULL, envp with one behind, NULL */
    _Alignas(16) char stack[CHILD_STACK_SIZE];
};

/* What a child needs between clone and execve. */
struct spawn {
    const struct limits *limits;
    const struct memory_slot *memory; /* NULL: no slots here */
    struct meminfo *meminfo;
    const char *cwd;
    char *user;  /* "": root; only for spawn_fork() */
    char **argv; /* argv[-1] is writable: execvp's /bin/sh rule */
    char **envp;
    int stdio[3]; /* [0] -1: /dev/null */
    bool tty;     /* stdio[0] is the slave of a pty */
    bool files;   /* no program: files_main(); only for spawn_fork() */
    int space_fd; /* of `files`: the sandbox's space, with its upper directories; -1: not for this one */
    bool subreaper; /* no cgroup: keep descendants findable */
    int cgroup_fd;  /* -1: none */
    int report_fd; /* where the child reports; -1: in `status` and `stage`, which it shares with the suspended parent */
    int status;    /* 0 or -errno of @stage */
    const char *stage;
};

/* What a child that spawn_fork() made says before it gives up. */
struct spawn_failure {
    int32_t status; /* -errno */
    char stage[sizeof(((struct init_packet *)NULL)->stage)];
};

/* slots.c */
void slots_init(struct slots *s);
/** slots_take() - index of an empty slot, or -errno. */
int slots_take(struct slots *s);
/** slots_give() - nobody was told of what was in the slot; or everybody knows that it is gone. */
void slots_give(struct slots *s, int index);
/** slots_retire() - an EXITED was sent of what was in the slot (-1: of what had none). */
void slots_retire(struct slots *s, int index);
/** slots_release() - the daemon knows of the first @n_seen EXITED. */
void slots_release(struct slots *s, uint32_t n_seen);
/** slots_restart() - a new daemon, which has no kill under way, counts from 0. */
void slots_restart(struct slots *s);
int slots_kill(struct slots *s, int index);
/** slots_kill_ended() - what the finished exec @id left behind. */
void slots_kill_ended(struct slots *s, uint32_t id);

/* view.c */
/** view_write() - what is seen of limits inside, from now on. Nothing while there never was one of memory or CPU. */
void view_write(const struct limits *l, uint32_t n_slots);
/** view_add_slot() - a process in slot @index sees them, too. */
void view_add_slot(uint32_t index);

/* spawn.c */
/** spawn_run() - pid, or -errno with @s->stage set; the failed child is already reaped. Waits for the execve. */
pid_t spawn_run(struct spawn *s, char *stack, size_t stack_size);
/** spawn_fork() - does not wait: pid, and in *ret_status_fd what becomes of it (struct exec). -errno as spawn_run(). */
pid_t spawn_fork(struct spawn *s, int *ret_status_fd);

/* exec.c */
void exec_spawn(struct init *in);
/** exec_refuse() - the EXEC, READ or WRITE in @in->packet fails with -errno at @stage. */
void exec_refuse(struct init *in, int error, const char *stage);
/** exec_copy() - as exec_spawn(), for a READ or a WRITE. STARTED comes only when there is no child. */
void exec_copy(struct init *in);
/** exec_watch() - the status_fd of all that are starting, from @fds on; their number. */
uint32_t exec_watch(struct init *in, struct pollfd *fds);
/** exec_check_starting() - tells what has become of those whose status_fd is ready. */
void exec_check_starting(struct init *in);
void exec_reap(struct init *in);
void exec_signal(struct init *in, uint32_t id, int signo);
void exec_kill(struct init *in, uint32_t id);

/* user.c */
/** user_become() - [child of spawn_fork()] what @s->user says, for good; -errno of @s->stage, where -EPERM of "setuid" is: there is
 * only root. */
int user_become(struct spawn *s);

/* sync.c */
void sync_main_started(struct init *in, pid_t pid);
/** sync_main_ended() - @pid was reaped; it may be any process. */
void sync_main_ended(struct init *in, pid_t pid, int wait_status);
/** sync_answer() - to a SYNC. */
void sync_answer(struct init *in);

/* pty.c */
int pty_open(uint32_t width, uint32_t height, int *ret_master, int *ret_slave);

/* tree.c */
uint64_t now_ns(void);
/** tree_kill() - @leader and its descendants, who are dead when it returns; @leader is a child subreaper that is not reaped
 * yet, and killed last. */
void tree_kill(pid_t leader);

/* copy.c */
/** make_parents() - the directories in front of the last component, 0755; what exists is left alone, errors show in the open. */
void make_parents(char *path);
/** copy_main() - [child] the READ or WRITE that is in->packet, in @memory (limits_enter()); *@ret, in shared memory, says what became of it. */
__attribute__((noreturn)) void copy_main(struct init *in, const struct memory_slot *memory,
                                         struct init_packet *ret);

/* connect.c */
/** connect_answer() - to a CONNECT. */
void connect_answer(const struct init_packet *request);

/* files.c */
/** files_main() - [child of spawn_fork()] what @s->argv says (base/files-words.h), instead of a program. */
__attribute__((noreturn)) void files_main(struct spawn *s);

/* changes.c */
struct tree_sender;
/** changes_send() - what the sandbox whose space is @space_fd has written, as a layer, into @s->sink. 0, or -1 with @s->fault. @s: zeroed. */
int changes_send(struct tree_sender *s, int space_fd);

/* privilege.c */
/** privilege_start() - signal dispositions, dumpable, descriptors, resource limits. */
void privilege_start(void);
/** privilege_child_filter() - the second seccomp filter of every exec'd process. */
int privilege_child_filter(void);

#endif
