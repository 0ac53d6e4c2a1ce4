/*
 * exec: one StreamExec call, from "needs a running sandbox" to its exit. The engine under
 * processes and under everything that works by running a command in the sandbox (streamed
 * files).
 *
 *   waiting (sandbox is started, reaches RUNNING; its way is chosen) -> calling (init sent,
 * ready, output...) -> closed
 *
 * A call straight to the sandbox that failed before it could do anything is made once more, on a way chosen anew,
 * within the same deadline.
 *
 * Our own service tells more of the end in the trailers, which follow the exit at once: on_done waits for them. A foreign
 * one's exit is the end.
 *
 * on_done comes once unless exec_cancel() came first; it may come inside exec_start().
 * on_closed is the last callback: after it nothing on the loop refers to the exec. Thread: the
 * loop's.
 */
#ifndef CWS_CLIENT_EXEC_H
#define CWS_CLIENT_EXEC_H

#include "client/plane.h"
#include "client/ready.h"
#include "client/writer.h"
#include "wire/exec-facts.h"

struct exec;

struct exec_events {
    /* Bytes are borrowed. 0 or -ENOMEM (ends the exec). */
    int (*on_output)(struct exec *x, cws_stream stream, const uint8_t *data, size_t n);
    void (*on_done)(struct exec *x, int exit_code, struct cws_error *take_error);
    void (*on_closed)(struct exec *x);
};

struct exec_spec {
    char **argv;
    size_t n_argv;
    char **env; /* each "NAME\0value" */
    size_t n_env;
    /* A service that does not take the directory gets a shell that changes it; one that does not take the user gets nothing. */
    char *cwd, *cwd_base64; /* or NULL, both */
    char *user;             /* or NULL */
    bool files; /* argv is of base/files-words.h; the caller has seen conn->exec_files */
    bool tty;
    uint32_t width, height;
    uint64_t timeout_ns;   /* of the command; UINT64_MAX = none */
    const char *label;     /* for error texts */
    const char *filepath;  /* for error objects, or NULL */
    const char *container; /* NULL = the primary one */
};

struct exec {
    const struct exec_events *events; /* [const] */
    struct exec_spec spec;            /* [const] */
    struct cws_sandbox *sb;           /* [const] the owner's reference */
    struct cws_writer *in;            /* [const] stdin, or NULL: closed from the start */

    struct rpc rpc;
    struct sb_ready way;
    struct plane_way plane;
    uint64_t deadline_ns; /* from the first call on; 0 = none was made */
    struct timer timer;   /* for `ready`, for the trailers, or for the second call */
    bool started, calling;
    bool replayed; /* the call is made a second time */
    bool heard;    /* output came */
    bool ready;    /* the service said so */
    bool opened;   /* anything came from the service */
    bool done;     /* on_done came, or must not come any more */
    bool closed;   /* on_closed came */
    bool exited;   /* the exit is there: `exit_code`, and soon the trailers */
    int exit_code;
    struct exec_facts facts; /* [loop] until on_done */
    bool eof_sent;
    bool resize_wanted;
    uint32_t new_width, new_height;
};

/* Chosen: a little more than what the service gives to killing a command (server/call.c, EXPIRE_NS). */
#define EXEC_KILL_PATIENCE_NS (2500ULL * 1000000ULL)
#define EXEC_READY_TIMEOUT_NS (5ULL * 1000000000ULL) /* as the published client */
#define EXEC_TTY_NO_EXIT (-1) /* as the published client: a terminal without an exit frame */
#define EXEC_TRAILERS_TIMEOUT_NS \
    (1ULL * 1000000000ULL) /* chosen: they follow the exit frame at once */

void exec_start(struct exec *x);
/** exec_cancel() - no on_done any more; the call is reset; on_closed follows, possibly at once.
 */
void exec_cancel(struct exec *x);
/** exec_pump() - the writer may have something, or there is room again. */
void exec_pump(struct exec *x);
void exec_resize(struct exec *x, uint32_t width, uint32_t height);
/** user_check() - @user is "NAME|UID[:GROUP|GID]": fits into a header and can be a name. -1 with *@error (CWS_E_INVALID). */
int user_check(const char *user, cws_error **error);

#endif
