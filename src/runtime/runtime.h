/*
 * Sandboxes as objects: the registry, the legal state transitions, the warm pool, processes, files and logs in a sandbox.
 * Knows no RPC and no protobuf; the server puts its own data on a sandbox through `user_data`.
 *
 * Everything here runs on one libuv loop and never blocks it (file contents move on libuv's pool). Callbacks are made
 * from the loop with no lock held; they may call any function here. Functions that start something report a bad argument
 * or state at once through their return value and `err`, everything later through the callback, exactly once.
 *
 * Ownership: a `struct sandbox` is owned by the runtime's registry and refcounted (sandbox_ref/unref); it stays readable
 * after it ended until its retention time is over. What goes on inside one: runtime/io.h.
 */
#ifndef CWS_RUNTIME_RUNTIME_H
#define CWS_RUNTIME_RUNTIME_H

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "privproto/mount.h"
#include "runtime/network.h"
#define DEFAULT_IMAGE "host" /* the machine's own root */
struct image_wait;
struct runtime;
struct runtime_image;
struct sandbox;

struct string_pair {
    const char *key;
    const char *value;
};

struct image_alias {
    const char *pattern; /* fnmatch(3) on the requested image name */
    const char *image;   /* "host" */
};

struct runtime_config {
    int launch_socket; /* to cwsandbox-launch; taken by runtime_new(), unless it says INVALID_ARGUMENT */
    const char *data_dir; /* exists and is ours to write in; logs/ below it. May be relative */
    uint32_t warm_pool;   /* blanks of the default image kept ready; default 4 */
    uint32_t max_sandboxes;   /* alive at once; default 10000 */
    uint64_t root_size_bytes; /* per sandbox; default 1 GiB; what is written costs memory */
    bool root_on_disk, network, network_optional; /* disks; a network must be there, or can */
    uint64_t default_memory_bytes;                /* 0 = no limit */
    uint32_t default_cpu_millis;                  /* 0 = no limit */
    uint32_t pids_max;                            /* default 1024; 0 = no limit */
    uint64_t default_lifetime_ns;                 /* default 24 h */
    uint64_t max_lifetime_ns;                     /* 0 = no cap */
    uint64_t retention_ns; /* ended sandboxes stay readable; default 1 h */
    uint32_t max_retained; /* and at most so many of them; default 10000, oldest go first */
    uint64_t max_retained_bytes; /* and at most so much memory; default 256 MiB */
    /* What the logs of all sandboxes take of the disk; 0: half of what is free there at the start, 64 GiB at most. Above it
     * ended sandboxes go, and logs that still grow keep less. */
    uint64_t max_log_bytes;
    uint64_t log_max_bytes;  /* kept per sandbox; older output is dropped; default 64 MiB */
    uint64_t file_max_bytes; /* unary file cap; default 32 MiB */
    bool accept_unenforced_limits;
    const struct image_alias *image_aliases; /* borrowed for the runtime's life */
    size_t n_image_aliases;
    /* The image @name into @ret, which is empty; on the loop, so it may read a little. The text of its error tells why the
     * sandbox FAILED. 1: it must be brought first; @brought: it was, for this sandbox. NULL: there is none but "host". */
    int (*find_image)(void *user, const char *name, bool brought, struct runtime_image *ret,
                      struct err *err);
    /* Bring the image of @sb. wait->cb follows (runtime/image.h), never inside the call, unless it fails or drop_image() comes
     * before. NULL both: find_image() never says 1. */
    int (*get_image)(void *user, const struct sandbox *sb, struct image_wait *wait,
                     struct err *err);
    void (*drop_image)(void *user, struct image_wait *wait);
    /* Sandboxes of an earlier service come back with what it gave as sandbox_spec.kept; NULL: it means nothing any more, and
     * the sandbox is forgotten. Both NULL: nothing is kept. */
    void *(*restore)(void *user, const uint8_t *kept, size_t n);
    void (*free_restored)(void *user_data);
    /* What went wrong and ends nothing: a damaged or unwritten record. For the log. */
    void (*on_warning)(void *user, const struct err *what);
    void *user;
};
void runtime_config_init(struct runtime_config *config); /* the defaults above */

/** runtime_new() - say HELLO to cwsandbox-launch (blocking, before anybody is served) and learn its features.
 *  ERR_FAILED_PRECONDITION with the missing kernel features and their remedies in the text. */
int runtime_new(uv_loop_t *loop, const struct runtime_config *config, struct runtime **ret,
                struct err *err);
const struct launch_features *runtime_features(const struct runtime *rt);
/** runtime_close() - kill every sandbox, wait for their end and for launch; then @on_closed, after which @rt is gone. */
void runtime_close(struct runtime *rt, void (*on_closed)(void *user), void *user);
/** runtime_on_lost() - cwsandbox-launch died: nothing can be trusted any more; the service should exit. */
void runtime_on_lost(struct runtime *rt, void (*cb)(void *user, const struct err *why),
                     void *user);
/** runtime_on_log_lost() - the disk takes no more of a log: its output is thrown away from here on. Once per outage and log. */
void runtime_on_log_lost(struct runtime *rt,
                         void (*cb)(void *user, const char *sandbox_id, int error), void *user);
size_t runtime_n_active(const struct runtime *rt); /* sandboxes not in a terminal state */
bool runtime_is_full(const struct runtime *rt);    /* max_sandboxes are alive */

/* ---- sandboxes ---- */

enum sandbox_state { /* numbers of wire.md State */
                     SANDBOX_CREATING = 1,
                     SANDBOX_RUNNING = 2,
                     SANDBOX_COMPLETED = 3,
                     SANDBOX_FAILED = 4,
                     SANDBOX_TERMINATING = 5,
                     SANDBOX_TERMINATED = 6,
                     SANDBOX_PENDING = 7,
                     SANDBOX_PREPARING = 9, /* its image is being brought */
};
static inline bool sandbox_state_terminal(enum sandbox_state s)
{
    return s == SANDBOX_COMPLETED || s == SANDBOX_FAILED || s == SANDBOX_TERMINATED;
}
bool sandbox_state_starting(enum sandbox_state s); /* on its way to RUNNING */

struct sandbox_file {
    const char *path;
    const uint8_t *content;
    size_t size;
};

struct sandbox_spec {       /* everything borrowed for the call */
    const char *owner;      /* who may see it (API key name, "uid:1000"); never NULL */
    const char *request_id; /* "" = none; same owner + same id => same sandbox */
    const char
        *image; /* "" = the default image; unknown => the sandbox goes FAILED with the reason */
    /* "" = the image's entry point, and with it, when there are no args, the image's. None of all of them: no main process,
     * RUNNING until stopped or its lifetime ends. */
    const char *command;
    const char *const *args;
    size_t n_args;
    const struct string_pair *env;
    size_t n_env;
    const char *working_dir;          /* "" = the image's; of "host" /root */
    const struct sandbox_file *files; /* before the main process; 0444, parents 0755 */
    size_t n_files;
    struct mount_list mounts; /* over what every sandbox has, parents first; mount_op_valid() */
    uint64_t memory_bytes;    /* 0 = service default */
    uint32_t cpu_millis;
    struct sandbox_network network;
    uint64_t lifetime_ns; /* 0 = service default */
    uint32_t n_kept_free; /* of max_sandboxes; places that this owner must leave to others */
    const uint8_t *kept;  /* what runtime_config.restore makes user data of */
    size_t kept_bytes;    /* also what user data is taken to need of memory */
};

/** sandbox_create() - registers and starts. On an idempotent hit *@ret_existing = true and the old one is returned.
 *  @ret borrowed. Errors: INVALID_ARGUMENT (+violations: file paths, command without NUL..), RESOURCE_EXHAUSTED
 *  (max_sandboxes: + CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED and a delay to try again). */
int sandbox_create(struct runtime *rt, const struct sandbox_spec *spec, void *take_user_data,
                   void (*free_user_data)(void *), struct sandbox **ret, bool *ret_existing,
                   struct err *err);
/** sandbox_find() - NOT_FOUND + CWSANDBOX_SANDBOX_NOT_FOUND; @owner must match. Borrowed. */
struct sandbox *sandbox_find(struct runtime *rt, const char *owner, const char *id,
                             struct err *err);
/** sandbox_next() - iterate in creation order; start with NULL. */
struct sandbox *sandbox_next(struct runtime *rt, struct sandbox *after);
/** sandbox_after() - first sandbox created after sequence number @seq; for stable paging. */
struct sandbox *sandbox_after(struct runtime *rt, uint64_t seq);
/** sandbox_before() - last sandbox created before sequence number @seq; 0: the last of all. */
struct sandbox *sandbox_before(struct runtime *rt, uint64_t seq);
struct sandbox *sandbox_ref(struct sandbox *sb);
void sandbox_unref(struct sandbox *sb);

struct sandbox_info { /* strings borrowed while the sandbox lives */
    const char *id;
    const char *owner;
    uint64_t seq;
    enum sandbox_state state;
    const char *state_reason;                            /* "" */
    uint64_t create_wall_ns, start_wall_ns, end_wall_ns; /* 0 = not yet */
    bool has_exit_code;
    int exit_code;                /* 128+n for death by signal n */
    uint64_t lifetime_ns;         /* effective */
    const char *image, *image_id; /* resolved name; runtime_image.id or "" */
    uint64_t memory_bytes;
    uint32_t cpu_millis;
    void *user_data;
};
void sandbox_get_info(const struct sandbox *sb, struct sandbox_info *ret);

/** sandbox_stop() - SIGTERM to the main process, SIGKILL of everything after @grace_ns (0 = at once). Idempotent; a shorter
 *  grace shortens a stop under way. State is TERMINATING when it returns (or already terminal); ends TERMINATED
 *  when stopped by this call, COMPLETED when the main process ended by itself. Without a main process: kill at once. */
void sandbox_stop(struct sandbox *sb, uint64_t grace_ns, const char *reason);

/* Told of each state change, from the loop. Add with the fields zeroed but cb/user. */
struct sandbox_watch {
    struct list link;
    void (*cb)(void *user, struct sandbox *sb);
    void *user;
};
void sandbox_watch_add(struct sandbox *sb, struct sandbox_watch *w);
void sandbox_watch_remove(struct sandbox_watch *w); /* harmless when it is not there */

struct sandbox_usage { /* 0: also what nobody counts here */
    uint64_t cpu_ns, memory_bytes, memory_peak_bytes, n_oom_kills;
    uint32_t
        cpu_millis; /* since the figures before these; of the first since the start; after the end 0 */
};

#endif
