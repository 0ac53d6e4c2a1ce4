/*
 * A cell: one sandbox as launch sees it, from CREATE until its cgroups are removed, and the daemon's
 * requests about it. Owner: engine.cells; freed by cell.c alone.
 */
#ifndef CWS_LAUNCH_CELL_H
#define CWS_LAUNCH_CELL_H

#include "launch/launch.h"

enum cell_state {
    CELL_STARTING, /* child sets itself up; status pipe open */
    CELL_RUNNING,  /* answered; init has been executed */
    CELL_FAILED,   /* setup failed; answered when reaped and cleaned */
    CELL_DEAD,     /* init reaped, cgroups not removable yet */
};

/* A layer of the store that sandboxes stand on (layers.c). */
struct layer {
    char name[LAUNCH_LAYER_DIGITS + 1];
    uint32_t n_cells;
    int fd;
};

struct cell {
    struct list node; /* engine.cells */
    char id[LAUNCH_MAX_ID];
    char pid_key[16]; /* pid as text: key of by_pid */
    enum cell_state state;
    uint32_t create_seq;
    pid_t pid;
    uint32_t init_version; /* its init's words: privproto/initproto.h */
    uid_t owner;           /* of its user namespace: userns_owner() */
    int status_fd;  /* STARTING: EOF = success (closed by execveat), struct child_failure =
                       failure */
    int control_fd; /* a duplicate of the daemon's end: init sees no EOF while we live; LIST gives it to the next daemon; what
                       launch itself has to tell init goes this way, too */
    int32_t loop;   /* struct disk; -1: it writes to memory */
    bool reaped;    /* its pid is no longer its own */
    bool has_meminfo;    /* meminfo_show() was asked */
    bool ending;         /* cell_kill(): its CPU time stays unlimited */
    uint32_t n_kills;    /* kills.c: under way */
    uint32_t cpu_millis; /* what LIMITS said last */
    cpu_set_t cpus;      /* cpus_take() */
    int wait_status;
    struct launch_created created; /* what will be answered */
    uint32_t limits_seq;           /* 0, or of a LIMITS that waits for init */
    struct launch_limits limits;
    uint32_t address; /* of its device; 0: it has none */
    struct launch_grant
        *grants; /* NETWORK said so; NULL with n_grants 0: nothing may be reached */
    uint32_t n_grants;
    bool ruled;            /* NETWORK was asked */
    struct layer **layers; /* layers.c: what its root stands on */
    uint32_t n_layers;
};

/* meminfo.c */
int meminfo_open_device(void);
/** meminfo_show() - mounts it in @cell, once; *ret_server: for init. -errno: the machine's stays. */
int meminfo_show(const struct engine *e, struct cell *cell, int *ret_server);

/* cell.c: the life of one sandbox */
/** cell_new() - nothing of it is open; NULL: no memory. */
struct cell *cell_new(void);
/** cell_take_again() - one that another engine had (carry.h); @cell is ours in any case. */
int cell_take_again(struct engine *e, struct cell *cell);
void cell_create(struct engine *e, const struct launch_message *request);
/** cell_next_running() - in the order of creation; @after "": the first. It has been answered, and is not dead. */
struct cell *cell_next_running(struct engine *e, const char *after);
struct cell *cell_find(struct engine *e, const char *id);
/** cell_on_status() - the status pipe is readable. */
void cell_on_status(struct engine *e, struct cell *cell);
void cell_kill(struct engine *e, struct cell *cell);
/** cell_rule() - what its network may reach; once. */
int cell_rule(struct engine *e, struct cell *cell, const struct launch_rules *rules);
/** cell_park() - a duplicate of @fd, close-on-exec, where it costs a creation the least. -1 with too many open. */
int cell_park(int fd);
/** cells_reap() - after SIGCHLD. */
void cells_reap(struct engine *e);
/** cells_retry_dead() - remove cgroups that were busy. Returns how many still are. */
uint32_t cells_retry_dead(struct engine *e);
/** cells_guard_disks() - nobody gets more of a machine's disk that is nearly full. */
void cells_guard_disks(struct engine *e);
/** cells_end() - kill, reap and remove all; blocks. */
void cells_end(struct engine *e);

/* layers.c */
/** layers_hold() - the layers of @root stay in the store until layers_release(), which is due after a failure, too.
 * -ENOENT: one is not there, or is being removed. */
int layers_hold(struct engine *e, struct cell *cell, const struct rootfs *root);
void layers_release(struct engine *e, struct cell *cell);
/** layers_take_again() - the next one of @cell, with the lock that it has; @layer->fd is that of every cell with this layer. */
int layers_take_again(struct engine *e, struct cell *cell, const struct layer *layer);

/* limits.c */
/** limits_set() - does and answers LIMITS number @seq, maybe later. */
void limits_set(struct engine *e, struct cell *cell, uint32_t seq,
                const struct launch_limits *limits);
/** limits_set_waiting() - the LIMITS that waited for @cell to leave STARTING. */
void limits_set_waiting(struct engine *e, struct cell *cell);

/* kills.c */
int kills_init(struct engine *e);
/** kills_add() - does KILL_EXEC number @seq and answers it when nothing of the exec lives, maybe later. */
void kills_add(struct engine *e, uint32_t seq, const struct launch_kill_exec *request);
/** kills_check() - engine.kills_fd is readable. */
void kills_check(struct engine *e);
/** kills_expire() - gives up what is overdue; ms until the next one is, -1 without any. */
int kills_expire(struct engine *e);
/** kills_forget_asker() - its daemon is gone: what is under way goes on, and is answered to nobody. */
void kills_forget_asker(struct engine *e);
/** kills_end() - nothing of @cell lives: answers all of its. */
void kills_end(struct engine *e, const struct cell *cell);

/* requests.c */
/** answer_status() - of a request that has nothing else to say. @stage counts only with a failure. */
void answer_status(struct engine *e, const struct launch_message *request, int status,
                   const char *stage);
/** requests_handle() - one packet; -EPIPE when the daemon is gone, -EBADMSG when it must not be
 * believed. */
int requests_handle(struct engine *e);
/** requests_answer_hello() - one packet, and only a HELLO: for an engine that did not start, or is over. */
void requests_answer_hello(struct engine *e);
/**
 * answer_send() - to the daemon, with a descriptor unless @fd is -1
 * A dead daemon shows as EOF in the loop. -ETOOMANYREFS: the kernel refuses @fd for now (unix(7)), and nothing was sent.
 */
int answer_send(struct engine *e, const struct launch_message *msg, int fd);

#endif
