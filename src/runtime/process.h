/*
 * struct process: one exec in a sandbox, as runtime.h shows it.
 *
 *   queued (sandbox not running yet, or too many are starting in it) -> sent (EXEC is under way) -> started -> verdict known ->
 * ended (told, detached)
 *
 * The verdict (exit code or error) waits until the output that was in the pipes has been handed
 * out, which a paused receiver may hold up for ever; a child that keeps a pipe open does not.
 * process_free() before the end detaches the user: the object then stays until init reported
 * the exit, because its id is taken until then.
 */
#ifndef CWS_RUNTIME_PROCESS_H
#define CWS_RUNTIME_PROCESS_H

#include "runtime/sandbox.h"

#define PROCESS_READ_SIZE \
    65536 /* Linux's default pipe capacity: a full read means that there may be more */
#define PROCESS_BIG_PIPE (1024 * 1024) /* /proc/sys/fs/pipe-max-size's default */
#define PROCESS_BIG_READ 262144        /* chosen: one message of the server */
#define PROCESS_COPY_MAX \
    16384 /* chosen: smaller outputs are copied out of the shared read buffer */
/* After the exit so much of each stream is still read: what the pipe can hold. More comes from
 * children that live on. */
#define PROCESS_DRAIN_MAX (PROCESS_BIG_PIPE + PROCESS_READ_SIZE)
/* Chosen: init starts one after the other, so more at once only hold descriptors (three each) while they wait. */
#define PROCESS_MAX_STARTING 64
#define STDIN_HIGH 262144
#define STDIN_LOW 65536

/*
 * How far killing has come. ASKED: init was told. It does it alone where it has no slots, and its EXITED says that nothing is
 * left. SENT: launch was told too, by the number of the slot, which STARTED brings; its answer says that nothing is left, and
 * no verdict is handed out before.
 */
enum kill_state { KILL_NONE, KILL_ASKED, KILL_SENT, KILL_CONFIRMED };

enum verdict { VERDICT_NONE, VERDICT_EXIT, VERDICT_ERROR };

struct process_output {
    struct fd_watch watch; /* fd -1: end of file, or closed */
    struct process *p;
    enum output_stream stream;
    bool big;       /* F_SETPIPE_SZ was tried */
    size_t drained; /* since the verdict */
};

struct process_input {
    struct fd_watch watch; /* fd -1: none, or closed */
    struct buf queue;
    bool close;    /* when the queue is empty */
    bool high;     /* above STDIN_HIGH; tells when it is below STDIN_LOW */
    bool mid_line; /* the last byte written was no newline: see queue_tty_eof() */
};

struct process {
    struct list link;   /* sandbox.processes, until ended */
    struct sandbox *sb; /* a reference, until ended */
    struct process_events events;
    void *user;
    struct sandbox_waiter waiter;
    struct list start_link; /* sandbox.starts: waits for its turn; alone otherwise */
    bool starting;          /* one of sandbox.n_starting */
    struct control_call call;
    struct deferred later; /* hand out the verdict */
    struct exec_body body; /* until STARTED */
    int stdout_fd;         /* a copy of process_spec.stdout_fd, until it is sent; -1: none */
    bool want_stdin, tty, files, paused, started, ended, user_gone;
    enum kill_state killing;
    int32_t slot;             /* of init's; -1: none */
    struct control_hold hold; /* while KILL_SENT */
    unsigned n_busy;          /* callbacks under way: memory stays */
    uint16_t tty_width, tty_height;
    struct process_output out[2];
    struct process_input in;
    enum verdict verdict;
    int exit_code;
    bool seen_end; /* `facts` are there */
    struct process_facts facts;
    struct err err;
};

/** process_reap() - frees it if the user is gone, it ended, and no callback is under way. */
void process_reap(struct process *p);
/** processes_end_now() - at the close of the runtime: verdicts are handed out, read or not. */
void processes_end_now(struct sandbox *sb);

/* process-io.c */
struct child_stdio {
    int fds[3]; /* what the process gets; [0] -1: a /dev/null of the sandbox */
};
void process_io_init(struct process *p);
/** process_io_open() - pipes; 0 or -errno. */
int process_io_open(struct process *p, struct child_stdio *ret);
void child_stdio_done(struct child_stdio *stdio);
/** process_io_set_tty() - @take_fd must be the master of a pty; 0 or -errno. */
int process_io_set_tty(struct process *p, int take_fd);
void process_io_close(struct process *p);
/** process_io_begin() - the process runs: read its output, send what is queued. */
void process_io_begin(struct process *p);
void process_io_update(struct process *p);
/** process_io_drain() - read what is there; 1 when nothing is left to wait for, 0 while paused, -ENOMEM: the rest is lost. */
int process_io_drain(struct process *p);
/** process_emit() - @data is emptied. */
void process_emit(struct process *p, enum output_stream stream, struct buf *data);

#endif
