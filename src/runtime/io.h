/*
 * What goes on inside a running sandbox: processes, files, the log of the main process, connections to its ports. The rules of runtime/runtime.h
 * hold here too: one loop, nothing blocks, every callback exactly once.
 *
 * A `struct process`, `struct log_stream` or `struct tunnel` is owned by its starter and released with *_free(), which may be called at any
 * time, also inside its own callbacks; a free before the end kills the process.
 */
#ifndef CWS_RUNTIME_IO_H
#define CWS_RUNTIME_IO_H

#include "runtime/runtime.h"

struct budget;
struct process;
struct log_stream;
struct tunnel;

/* ---- processes ---- */

enum output_stream { OUTPUT_STDOUT = 1, OUTPUT_STDERR = 2 };

struct process_spec { /* borrowed for the call */
    const char *const *argv;
    size_t n_argv;
    const struct string_pair *env; /* on top of the sandbox's */
    size_t n_env;
    const char *cwd; /* "" = the sandbox's working_dir */
    const char
        *user;       /* "NAME|UID[:GROUP|GID]", of the sandbox's own files; NULL or "" = root */
    bool files;      /* no program: init does what argv says of files (base/files-words.h) */
    int stdout_fd;   /* 0: on_output; else a copy of it becomes its stdout */
    bool want_stdin; /* false: stdin is /dev/null-like (a closed pipe: EOF) */
    bool tty;
    uint16_t tty_width, tty_height; /* 0 = 80x24 */
};

/* How a process that ran has ended, beside its exit code; of it and of the children that it waited for. */
struct process_facts {
    int signal;                                   /* what killed it, or 0 */
    enum { OOM_NO, OOM_KILLED, OOM_UNKNOWN } oom; /* the kernel killed it for want of memory */
    uint64_t duration_ns, cpu_ns, peak_memory_bytes;
};

struct process_events {
    void (*on_ready)(void *user, struct process *p);
    /* Output in order per stream; @take is the callee's to empty (buf_take) or leave. At most 64 KiB+, at least 1 byte. */
    void (*on_output)(void *user, struct process *p, enum output_stream s, struct buf *take);
    /* Exactly one of the two, after all output. Exit: 0..255, 128+n for signal n; 127/126 with the shell's wording
     * on stderr ("NAME: command not found", "NAME: Permission denied", "cd: DIR: No such file or directory" -> 1). */
    void (*on_exit)(void *user, struct process *p, int exit_code);
    void (*on_error)(void *user, struct process *p, const struct err *err);
    void (*on_stdin_drain)(
        void *user,
        struct process *p); /* queued stdin fell below 64 KiB after having been above 256 KiB */
};

/** process_start() - a user who is not there is INVALID_ARGUMENT in on_error. FAILED_PRECONDITION when the sandbox is not RUNNING (text says its state), INVALID_ARGUMENT for an empty
 *  command or NUL. A sandbox in PENDING/CREATING queues the start. If the sandbox ends first: on_error UNAVAILABLE. */
int process_start(struct sandbox *sb, const struct process_spec *spec,
                  const struct process_events *events, void *user, struct process **ret,
                  struct err *err);
/** process_write() - queue stdin bytes (copied). After the process closed its stdin they are dropped. */
int process_write(struct process *p, const uint8_t *data, size_t n);
size_t process_stdin_queued(const struct process *p);
/** process_close_stdin() - EOF after what is queued. On a tty: VEOF, the terminal is not hung up. */
void process_close_stdin(struct process *p);
void process_resize(struct process *p, uint16_t width, uint16_t height);
/** process_pause_output() - stop reading its pipes (back-pressure); nests not. */
void process_pause_output(struct process *p);
void process_resume_output(struct process *p);
/** process_facts() - once it has ended; NULL: it never ran, or its end was not seen. Borrowed. */
const struct process_facts *process_facts(const struct process *p);
/** process_kill() - the whole tree it started, now; on_exit follows (137). */
void process_kill(struct process *p);
/** process_free() - kills it if it still runs; no callback after this. Accepts NULL. */
void process_free(struct process *p);

/* ---- files ---- */

/* Both: absolute path required, regular files only. Errors carry CWSANDBOX_FILE_* reasons and metadata "filepath" (and
 * "size_bytes", "max_size_bytes" for FILE_TOO_LARGE). NULL: out of memory, and no callback comes. The file_call ends with its
 * callback. A process of the sandbox moves the bytes: what it writes counts as the sandbox's memory. */
struct file_call;
struct file_call *sandbox_read_file(struct sandbox *sb, const char *path,
                                    void (*cb)(void *user, struct buf *take_content,
                                               const struct err *err),
                                    void *user);
/* Creates parents (0755) and the file (0644), truncates an existing one. @take_content is emptied. */
struct file_call *sandbox_write_file(struct sandbox *sb, const char *path,
                                     struct buf *take_content,
                                     void (*cb)(void *user, const struct err *err), void *user);
/** file_call_charge() - right after sandbox_read_file(): who pays for the bytes until they are handed over; outlives the call. */
void file_call_charge(struct file_call *call, struct budget *budget);
/** file_call_cancel() - no callback comes; its process is killed. Of a file that is being written the content may be cut. */
void file_call_cancel(struct file_call *call);

/* ---- ports ---- */

#define TUNNEL_REFUSED \
    "CWSANDBOX_PORT_NOT_LISTENING" /* reason: nobody accepted the connection */

struct tunnel_spec {
    uint16_t port;
    uint64_t timeout_ns; /* for the connection, from now on; 0: 10 s */
};

struct tunnel_events {
    void (*on_open)(void *user, struct tunnel *t);
    /* @take is the callee's to empty (buf_take) or leave. At most 64 KiB, at least 1 byte. */
    void (*on_data)(void *user, struct tunnel *t, struct buf *take);
    void (*on_eof)(void *user,
                   struct tunnel *t); /* the inside has sent all; it may still read */
    void (*on_drain)(
        void *user,
        struct tunnel
            *t); /* what is queued fell below 64 KiB after having been above 256 KiB */
    /* Exactly once. NULL: both sides have sent all, or the sandbox ended after it had. FAILED_PRECONDITION + TUNNEL_REFUSED: nothing
     * listens there; DEADLINE_EXCEEDED + TUNNEL_REFUSED: nobody accepted in time; ABORTED: the inside broke it off; UNAVAILABLE:
     * the sandbox ended before there was a connection; RESOURCE_EXHAUSTED. */
    void (*on_end)(void *user, struct tunnel *t, const struct err *why);
};

/** tunnel_open() - a TCP connection to a port of the sandbox's loopback: 127.0.0.1, and [::1] when that refuses. Works without
 *  any network of the sandbox. Errors: INVALID_ARGUMENT (port 0), FAILED_PRECONDITION when the sandbox is not RUNNING (one in
 *  PENDING/CREATING queues it), RESOURCE_EXHAUSTED + CWSANDBOX_RUNNER_OVERLOADED above 256 at once in a sandbox. */
int tunnel_open(struct sandbox *sb, const struct tunnel_spec *spec,
                const struct tunnel_events *events, void *user, struct tunnel **ret,
                struct err *err);
/** tunnel_write() - queue bytes (copied), also before on_open. What the inside does not take any more is dropped. 0 or -ENOMEM. */
int tunnel_write(struct tunnel *t, const uint8_t *data, size_t n);
size_t tunnel_queued(const struct tunnel *t);
/** tunnel_close_write() - end of file for the inside, behind what is queued. */
void tunnel_close_write(struct tunnel *t);
/** tunnel_pause() - stop reading (back-pressure); nests not. */
void tunnel_pause(struct tunnel *t);
void tunnel_resume(struct tunnel *t);
/** tunnel_free() - closes it; no callback after this. Accepts NULL. */
void tunnel_free(struct tunnel *t);

/* ---- logs of the main process ---- */

struct log_spec {
    bool follow;
    uint64_t tail_lines; /* 0 = all that is kept */
    uint64_t
        since_wall_ns; /* 0 = unset; drops lines that arrived earlier (arrival is known per read of the log) */
    bool timestamps;            /* each line is prefixed "2026-11-23T18:00:00.123456789Z " */
    const char *resume_session; /* NULL/"" = fresh */
    uint64_t resume_offset;
};
struct log_events {
    void (*on_data)(void *user, struct log_stream *l, struct buf *take, uint64_t wall_ns,
                    uint64_t next_offset);
    /* In-band error codes that clients of the hosted service know: "SESSION_NOT_FOUND", "REPLAY_GAP", "INVALID_RESUME_OFFSET" */
    void (*on_end)(void *user, struct log_stream *l, const char *error_code /* NULL = clean */,
                   const char *message);
};
int log_stream_open(struct sandbox *sb, const struct log_spec *spec,
                    const struct log_events *events, void *user, struct log_stream **ret,
                    struct err *err);
const char *log_stream_session(const struct log_stream *l);
void log_stream_pause(struct log_stream *l);
void log_stream_resume(struct log_stream *l);
void log_stream_free(struct log_stream *l);

#endif
