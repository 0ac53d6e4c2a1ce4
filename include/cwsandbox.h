/*
 * libcwsandbox: run code in sandboxes, from C. The only public header.
 *
 *     cws_error *error = NULL;
 *     cws_sandbox *sb = cws_sandbox_run(NULL, NULL, &error);           // local service, started if needed
 *     const char *argv[] = {"echo", "hello"};
 *     cws_process *p = cws_sandbox_exec(sb, argv, 2, NULL, &error);    // does not block
 *     cws_op_wait(cws_process_op(p), CWS_FOREVER);                     // blocks
 *     size_t n; const char *out = cws_process_output(p, CWS_STDOUT, &n);
 *
 * Shape. Whatever talks to the service returns a handle at once and never blocks: a cws_op (or a cws_process / cws_reader,
 * which have one). A handle can be waited for with a time-out, polled, given a callback, turned into a file descriptor, or
 * collected through a cws_queue (one descriptor for many handles; what an asyncio or epoll loop wants).
 *
 * Errors. A function that can fail at once takes `cws_error **error` as its last parameter: on failure it returns
 * NULL (or -1) and, if `error` is not NULL, sets *error, which the caller frees with cws_error_free(). What goes wrong
 * later is in the handle: cws_op_error(), borrowed from the handle. Kinds mirror the Python exceptions (docs/errors.md).
 *
 * Ownership. Every pointer parameter is borrowed for the call unless its name starts with `take_`. Returned objects have
 * one reference that the caller drops with the matching *_unref() / *_free(), all of which accept NULL. Handles keep
 * alive what they need; dropping one never cancels the operation.
 *
 * Threads. All functions may be called from any thread unless a comment says otherwise; none may be called from a signal
 * handler. The library runs one thread per cws_client. Callbacks run on that thread with no lock held; they
 * must not block and must not call cws_op_wait(), cws_reader_read() with a time-out, or cws_client_unref() of their own client.
 *
 * fork(). In the child every handle made before the fork is complete with CWS_E_FORKED and every call on an old
 * client fails with it; cws_client_default() gives the child a fresh client. Nothing hangs. Only descriptors that were
 * taken before (cws_op_fd(), cws_queue_fd()) tell the parent's news in both: do not wait for them in the child.
 *
 * Times are nanoseconds (uint64_t); wall-clock times count from 1970 UTC. Sizes are bytes. Strings are UTF-8.
 *
 * Sources. "The published client" is the Python package that the library follows (docs/compatibility.md).
 */
#ifndef CWSANDBOX_H
#define CWSANDBOX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CWS_API __attribute__((visibility("default")))
#else
#define CWS_API
#endif

#define CWS_FOREVER UINT64_MAX
#define CWS_DEFAULT_TIMEOUT 0u /* in *_timeout_ns options: the client default, 300 s */

typedef struct cws_client cws_client;
typedef struct cws_target cws_target;
typedef struct cws_options cws_options;
typedef struct cws_sandbox cws_sandbox;
typedef struct cws_process cws_process;
typedef struct cws_reader cws_reader;
typedef struct cws_writer cws_writer;
typedef struct cws_op cws_op;
typedef struct cws_queue cws_queue;
typedef struct cws_error cws_error;
typedef struct cws_record cws_record;

/** cws_version() - "1.22.0+self.0.2.0": the version of the published client whose interface this is, then
 * the library's own release; static. */
CWS_API const char *cws_version(void);
/**
 * cws_set_service_dir() - where cwsandboxd and its helpers are, for the embedded service; call before the first client
 * @dir: directory that holds cwsandboxd; copied. The environment variable CWSANDBOX_SERVICE_PATH wins over it. Without
 *       either: beside the library, ../libexec/cwsandbox, ../bin, the installation's libexec directory.
 * Return: 0, or -1 out of memory.
 */
CWS_API int cws_set_service_dir(const char *dir);

/* ------------------------------------------------------------------ errors */

/* One kind per exception class of the Python package; the comment is the class. Values are stable. */
typedef enum cws_error_kind {
    CWS_E_GENERIC = 1,                /* CWSandboxError */
    CWS_E_AUTHENTICATION,             /* CWSandboxAuthenticationError */
    CWS_E_SANDBOX,                    /* SandboxError */
    CWS_E_VALIDATION,                 /* SandboxValidationError: has violations */
    CWS_E_NOT_RUNNING,                /* SandboxNotRunningError */
    CWS_E_UNAVAILABLE,                /* SandboxUnavailableError (also a NotRunning) */
    CWS_E_TIMEOUT,                    /* SandboxTimeoutError */
    CWS_E_REQUEST_TIMEOUT,            /* SandboxRequestTimeoutError */
    CWS_E_COMMAND_TIMEOUT,            /* SandboxCommandTimeoutError */
    CWS_E_TERMINATED,                 /* SandboxTerminatedError */
    CWS_E_FAILED,                     /* SandboxFailedError */
    CWS_E_NOT_FOUND,                  /* SandboxNotFoundError: has sandbox_id */
    CWS_E_EXECUTION,                  /* SandboxExecutionError */
    CWS_E_STREAM_BACKPRESSURE,        /* SandboxStreamBackpressureError */
    CWS_E_STREAM_TRUNCATED,           /* SandboxStreamTruncatedError */
    CWS_E_FILE,                       /* SandboxFileError: has filepath */
    CWS_E_RESOURCE_EXHAUSTED,         /* SandboxResourceExhaustedError */
    CWS_E_TERMINAL_STATE_UNAVAILABLE, /* SandboxTerminalStateUnavailableError */
    CWS_E_SNAPSHOT,                   /* SandboxSnapshotError */
    CWS_E_SNAPSHOT_NOT_FOUND,         /* SnapshotNotFoundError */
    CWS_E_SNAPSHOT_NOT_READY,         /* SnapshotNotReadyError */
    CWS_E_SNAPSHOT_NOT_SUPPORTED,     /* SnapshotNotSupportedError */
    CWS_E_SNAPSHOT_SIZE_EXCEEDED,     /* SnapshotSizeExceededError */
    CWS_E_SNAPSHOT_QUOTA_EXCEEDED,    /* SnapshotQuotaExceededError */
    CWS_E_SNAPSHOT_BUCKET_MISMATCH,   /* SnapshotBucketMismatchError */
    CWS_E_SNAPSHOT_ON_STOP_CONFLICT,  /* SnapshotOnStopConflictError */
    CWS_E_SNAPSHOT_WAIT_TIMEOUT,      /* SnapshotWaitTimeoutError (a Timeout) */
    CWS_E_SNAPSHOT_THROTTLED,         /* SnapshotBackendThrottledError (an Unavailable) */
    CWS_E_DISCOVERY,                  /* DiscoveryError */
    CWS_E_DISCOVERY_VALIDATION,       /* DiscoveryValidationError: has violations */
    CWS_E_RUNNER_NOT_FOUND,           /* RunnerNotFoundError: has runner_id */
    CWS_E_PROTOCOL, /* SandboxProtocolError: the service's answer is no valid message */
    CWS_E_SNAPSHOT_BUCKET_PROVISIONING, /* SnapshotBucketProvisioningError (an Unavailable) */
    CWS_E_VOLUME,                       /* VolumeError: has volume_id, as those below */
    CWS_E_VOLUME_NOT_FOUND,             /* VolumeNotFoundError */
    CWS_E_VOLUME_NOT_READY,             /* VolumeNotReadyError */
    CWS_E_VOLUME_PLACEMENT_CONFLICT,    /* VolumePlacementConflictError */
    CWS_E_VOLUME_TYPE_NOT_SUPPORTED,    /* VolumeTypeNotSupportedError */
    CWS_E_VOLUME_NOT_SNAPSHOTTABLE,     /* VolumeNotSnapshottableError */
    CWS_E_VOLUME_RUNNER_INELIGIBLE,     /* VolumeRunnerIneligibleError */
    CWS_E_VOLUME_BACKEND_NOT_FOUND,     /* VolumeBackendNotFoundError */
    CWS_E_VOLUME_IN_USE,                /* VolumeInUseError */
    CWS_E_VOLUME_QUOTA_EXCEEDED,        /* VolumeQuotaExceededError */
    CWS_E_VOLUME_RUNNER_UNAVAILABLE,    /* VolumeRunnerUnavailableError (an Unavailable) */
    CWS_E_VOLUME_WAIT_TIMEOUT,          /* VolumeWaitTimeoutError (a Timeout) */
    /* local conditions */
    CWS_E_CANCELLED = 64, /* cws_op_cancel(); CancelledError */
    CWS_E_INVALID,        /* bad argument; ValueError */
    CWS_E_CLOSED,         /* the client was closed; RuntimeError */
    CWS_E_FORKED,         /* the handle belongs to the parent process; RuntimeError */
    CWS_E_NOMEM           /* MemoryError */
} cws_error_kind;

/** cws_error_get_kind() - what a program decides by; @e must not be NULL here and in the calls below. */
CWS_API cws_error_kind cws_error_get_kind(const cws_error *e);
/** cws_error_message() - text for people; never NULL. One line, unless the service sent more. */
CWS_API const char *cws_error_message(const cws_error *e);
/** cws_error_reason() - the service's machine-readable reason ("CWSANDBOX_…") or NULL. */
CWS_API const char *cws_error_reason(const cws_error *e);
/** cws_error_status() - gRPC status code, or -1 when the error did not come from a call. */
CWS_API int cws_error_status(const cws_error *e);
CWS_API uint64_t cws_error_retry_delay_ns(const cws_error *e); /* 0 = no hint */
CWS_API const char *cws_error_sandbox_id(const cws_error *e);  /* NULL = not known */
CWS_API const char *cws_error_filepath(const cws_error *e);    /* NULL = not about a file */
CWS_API const char *
cws_error_stream_code(const cws_error *e); /* in-band code of an exec stream, or NULL */
CWS_API size_t cws_error_n_metadata(const cws_error *e);
CWS_API void cws_error_metadata(const cws_error *e, size_t i, const char **ret_key,
                                const char **ret_value);
CWS_API size_t cws_error_n_violations(const cws_error *e);
CWS_API void cws_error_violation(const cws_error *e, size_t i, const char **ret_field,
                                 const char **ret_description);
/** cws_error_cause() - what this error was made from, or NULL; borrowed. */
CWS_API const cws_error *cws_error_cause(const cws_error *e);
/** cws_error_note() - something to tell about how it came to this, or NULL. */
CWS_API const char *cws_error_note(const cws_error *e);
CWS_API const char *cws_error_snapshot_id(const cws_error *e); /* NULL = not about a snapshot */
CWS_API const char *cws_error_runner_id(const cws_error *e);   /* NULL = not about a runner */
CWS_API const char *cws_error_volume_id(const cws_error *e);   /* NULL = not about a volume */
/** cws_error_status_reason() - CWS_E_FAILED: the service's words on why the sandbox failed; NULL = none. */
CWS_API const char *cws_error_status_reason(const cws_error *e);
CWS_API void cws_error_free(cws_error *e);

/* ------------------------------------------------------------------ client */

/**
 * cws_client_default() - the process-wide client, made on first use; borrowed, lives as long as the process
 * Errors: CWS_E_NOMEM, CWS_E_GENERIC (no thread, no descriptors). Thread: any.
 */
CWS_API cws_client *cws_client_default(cws_error **error);
/** cws_client_new() - a client of one's own: one thread, its own connections. */
CWS_API cws_client *cws_client_new(cws_error **error);
/** cws_client_unref() - closes connections, completes open handles with CWS_E_CLOSED, joins the thread. */
CWS_API void cws_client_unref(cws_client *client);
/**
 * cws_client_settle() - done when nothing is being stopped: stops that were begun, and starts that were cancelled
 * For a program that ends after it cancelled a start: the service may just be making that sandbox. @client: NULL = the default one.
 */
CWS_API cws_op *cws_client_settle(cws_client *client, cws_error **error);

typedef struct cws_header {
    const char *name;
    const char *value;
} cws_header;

/**
 * cws_target_new() - where calls go and with which credentials; immutable, refcounted
 * @base_url: "unix:///path", "http://host:port", "https://host[:port]"; NULL or "": CWSANDBOX_BASE_URL, else the hosted
 *            service when CWSANDBOX_API_KEY is set, else the embedded service of this user (started on first use).
 * @headers:  metadata for every call; NULL: "authorization: Bearer $CWSANDBOX_API_KEY" when that is set and not empty.
 * Errors: CWS_E_INVALID ("URL must use http or https scheme", "gRPC does not support URL paths", "URL must have a hostname"),
 *         and a header that cannot be sent, or that is the protocol's own ("te", "content-type", "grpc-...").
 */
CWS_API cws_target *cws_target_new(const char *base_url, const cws_header *headers,
                                   size_t n_headers, cws_error **error);

typedef enum cws_auth {
    CWS_AUTH_DEFAULT = 0, /* CWSANDBOX_API_KEY when it is set, else none */
    CWS_AUTH_COREWEAVE_API_KEY,
    CWS_AUTH_WANDB
} cws_auth;
/**
 * cws_target_new_auth() - cws_target_new() with credentials that are asked for by name
 * CWS_AUTH_COREWEAVE_API_KEY: CWSANDBOX_API_KEY must be set. CWS_AUTH_WANDB: the W&B login of this machine (WANDB_API_KEY, else the
 * netrc file: NETRC, ~/.netrc) with WANDB_ENTITY and WANDB_PROJECT; WANDB_BASE_URL names a W&B server of one's own. Without a URL that
 * is the hosted service, too.
 * Thread: any, but it reads the environment. Reads the netrc file. Errors: as cws_target_new(); CWS_E_AUTHENTICATION: there are none.
 */
CWS_API cws_target *cws_target_new_auth(const char *base_url, cws_auth auth, cws_error **error);
CWS_API cws_target *cws_target_ref(cws_target *target);
CWS_API void cws_target_unref(cws_target *target);
/** cws_target_url() - the URL in use; for the embedded service its unix:// URL. Borrowed. */
CWS_API const char *cws_target_url(const cws_target *target);

/* ----------------------------------------------------------------- handles */

typedef enum cws_wait_result {
    CWS_WAIT_DONE = 0,
    CWS_WAIT_TIMEOUT = 1, /* the operation goes on */
    CWS_WAIT_INTERRUPTED =
        2 /* a signal handler ran in this thread; call again to go on waiting */
} cws_wait_result;

CWS_API cws_op *cws_op_ref(cws_op *op);
CWS_API void cws_op_unref(cws_op *op);
/** cws_op_wait() - block until done, time-out or signal. @timeout_ns 0 polls; CWS_FOREVER waits. */
CWS_API cws_wait_result cws_op_wait(cws_op *op, uint64_t timeout_ns);
CWS_API int cws_op_done(const cws_op *op); /* 1 when complete */
/** cws_op_cancel() - 1 if it was not complete: it is now (CWS_E_CANCELLED) and the remote call is being cancelled. */
CWS_API int cws_op_cancel(cws_op *op);
/** cws_op_error() - NULL: not complete, or succeeded. Borrowed from the handle. */
CWS_API const cws_error *cws_op_error(const cws_op *op);
/** cws_op_data() - bytes of read_file and of cws_op_string results; borrowed; NULL when there are none. */
CWS_API const void *cws_op_data(const cws_op *op, size_t *ret_len);
/** cws_op_int() - integer results: exit code of a process, cws_status of get_status. */
CWS_API int cws_op_int(const cws_op *op);
/** cws_op_n_sandboxes() / cws_op_sandbox() - results of list, from_id (1), wait_* (1). Borrowed. */
CWS_API size_t cws_op_n_sandboxes(const cws_op *op);
CWS_API cws_sandbox *cws_op_sandbox(const cws_op *op, size_t i);
/** cws_op_on_done() - @cb once, on the loop thread; or before this returns, on this thread, when already done. Several allowed. */
CWS_API int cws_op_on_done(cws_op *op, void (*cb)(cws_op *op, void *user), void *user,
                           cws_error **error);
/** cws_op_fd() - a descriptor that becomes readable when done; owned by the handle, do not read or close it. -1 on failure. */
CWS_API int cws_op_fd(cws_op *op, cws_error **error);

/**
 * cws_queue: completions of many handles behind one descriptor.
 * cws_queue_add*(): when the handle completes (or the reader has something), @tag is queued and the descriptor becomes
 * readable. One-shot: one tag per add. cws_queue_next() takes tags in order, NULL when empty (then the descriptor is
 * no longer readable). @tag must not be NULL. Freeing the queue drops what is pending: tags are never delivered after it.
 */
CWS_API cws_queue *cws_queue_new(cws_error **error);
CWS_API int cws_queue_fd(const cws_queue *q);
CWS_API int cws_queue_add(cws_queue *q, cws_op *op, void *tag, cws_error **error);
CWS_API int cws_queue_add_reader(cws_queue *q, cws_reader *r, void *tag, cws_error **error);
CWS_API void *cws_queue_next(cws_queue *q);
CWS_API void cws_queue_free(cws_queue *q);

/**
 * cws_wait() - block until @num_returns of @ops are done (0 = all), the time-out, or a signal
 * @ret_done: n flags, 1 = done. Return as cws_op_wait(). The same operation may appear twice.
 */
CWS_API cws_wait_result cws_wait(cws_op *const *ops, size_t n, size_t num_returns,
                                 uint64_t timeout_ns, unsigned char *ret_done);

/* ----------------------------------------------------------------- records */

/*
 * A record is one message of the wire (SandboxSpec, Container, ...) as named values, with the names of the .proto files. What a
 * sandbox can be made of and what the service says about it are read and written this way, where there is no function for it.
 * Maps are lists of records with `key` and `value`. Records inside of a record belong to it. Not thread-safe while it is written.
 */
typedef enum cws_value {
    CWS_VALUE_INT,
    CWS_VALUE_BOOL,
    CWS_VALUE_ENUM,
    CWS_VALUE_TEXT,
    CWS_VALUE_BYTES,
    CWS_VALUE_RECORD
} cws_value;
typedef struct cws_field {
    const char *name; /* lives as long as the library */
    cws_value kind;
    int repeated; /* a list */
    size_t n;     /* how many values it has; 0 = not set, or a zero, "" or no bytes */
} cws_field;
/** cws_record_set_text() / _int() / _bytes() - set a field, or append to a list; copies. _text() sets an enum by the name of its
 *  value, _int() also flags and enums. CWS_E_INVALID: no such field, another kind, out of range, not UTF-8; CWS_E_NOMEM. */
CWS_API int cws_record_set_text(cws_record *r, const char *field, const char *value,
                                cws_error **error);
CWS_API int cws_record_set_int(cws_record *r, const char *field, int64_t value,
                               cws_error **error);
CWS_API int cws_record_set_bytes(cws_record *r, const char *field, const void *data,
                                 size_t size, cws_error **error);
/** cws_record_add() - the record in a field, made if needed, or a new one at the end of a list; borrowed from @r. */
CWS_API cws_record *cws_record_add(cws_record *r, const char *field, cws_error **error);
/** cws_record_field() - the @i-th field that this kind of record has; 0: there are no more. */
CWS_API int cws_record_field(const cws_record *r, size_t i, cws_field *ret);
CWS_API size_t cws_record_count(const cws_record *r, const char *field);
/** cws_record_text() / _int() / _bytes() / _record() - the @i-th value; "", 0 or NULL when there is none. @r may be NULL. */
CWS_API const char *cws_record_text(const cws_record *r, const char *field, size_t i);
CWS_API int64_t cws_record_int(const cws_record *r, const char *field, size_t i);
CWS_API const void *cws_record_bytes(const cws_record *r, const char *field, size_t i,
                                     size_t *ret_size);
CWS_API const cws_record *cws_record_record(const cws_record *r, const char *field, size_t i);
/** cws_record_free() - of one that a function gave away; NULL is fine. */
CWS_API void cws_record_free(cws_record *r);

/* ------------------------------------------------------- options of a sandbox */

/* All setters copy; return 0, or -1 with *error (CWS_E_INVALID, CWS_E_NOMEM). Not thread-safe until used. */
CWS_API cws_options *cws_options_new(cws_error **error);
CWS_API void cws_options_free(cws_options *o);
CWS_API int cws_options_set_image(cws_options *o, const char *image,
                                  cws_error **error); /* "" / never: the service's default */
/** cws_options_set_command() - the main process; never set: none, the sandbox runs until stopped. */
CWS_API int cws_options_set_command(cws_options *o, const char *command,
                                    const char *const *args, size_t n_args, cws_error **error);
CWS_API int cws_options_add_env(cws_options *o, const char *name, const char *value,
                                cws_error **error);
CWS_API int cws_options_add_tag(cws_options *o, const char *tag, cws_error **error);
CWS_API int cws_options_add_annotation(cws_options *o, const char *key, const char *value,
                                       cws_error **error);
CWS_API int cws_options_add_runner_id(cws_options *o, const char *runner_id, cws_error **error);
/** cws_options_add_file() - a read-only file present before the main process starts. @path absolute. */
CWS_API int cws_options_add_file(cws_options *o, const char *path, const void *content,
                                 size_t size, cws_error **error);
/** cws_options_set_resources() - quantity strings such as "500m", "1", "512Mi"; NULL or "" = unset. */
CWS_API int cws_options_set_resources(cws_options *o, const char *request_cpu,
                                      const char *request_memory, const char *limit_cpu,
                                      const char *limit_memory, cws_error **error);
/** cws_options_set_network() - -1 = unset, 0, 1. With cws_options_add_egress(), @deny_egress 1 is refused by cws_sandbox_new(). */
CWS_API void cws_options_set_network(cws_options *o, int deny_egress, int deny_ingress);
CWS_API void cws_options_set_max_lifetime(cws_options *o, int32_t seconds); /* 0 = unset */
/** cws_options_set_mode() - placement mode on the wire: 0 unspecified, 1 serverless, 2 cks; checked by cws_sandbox_new(). */
CWS_API void cws_options_set_mode(cws_options *o, int mode);
CWS_API void cws_options_set_request_timeout(cws_options *o,
                                             uint64_t timeout_ns); /* default 300 s */
CWS_API void cws_options_set_poll(cws_options *o, uint64_t retry_budget_ns,
                                  uint64_t rpc_timeout_ns); /* 30 s, 15 s */
/** cws_options_set_create_retry() - how long a create that finds a place full is repeated there; 0 (the default): not at all. */
CWS_API void cws_options_set_create_retry(cws_options *o, uint64_t budget_ns);

/**
 * cws_options_set_gpu() - GPUs, for requests and limits alike
 * @count: 0 = the service's default number. @type and @memory_gb pick a model, at most one of them; NULL / 0 = any.
 *         All unset: no GPU.
 */
CWS_API int cws_options_set_gpu(cws_options *o, int64_t count, const char *type,
                                int64_t memory_gb, cws_error **error);
/** cws_options_add_egress() - allow connections to a name: "api.example.org", or "*.example.com" for all below it. Lower case. */
CWS_API int cws_options_add_egress(cws_options *o, const char *dns_name, cws_error **error);

/* Numbers of the wire's enums. */
typedef enum cws_protocol {
    CWS_PROTOCOL_UNSPECIFIED = 0,
    CWS_PROTOCOL_TCP,
    CWS_PROTOCOL_UDP,
    CWS_PROTOCOL_SCTP
} cws_protocol;
typedef enum cws_visibility {
    CWS_VISIBILITY_UNSPECIFIED = 0,
    CWS_VISIBILITY_PUBLIC,
    CWS_VISIBILITY_PRIVATE,
    CWS_VISIBILITY_CUSTOM
} cws_visibility;
typedef enum cws_endpoint_kind {
    CWS_ENDPOINT_NONE = 0,
    CWS_ENDPOINT_HTTPS = 1,
    CWS_ENDPOINT_TLS_PASSTHROUGH = 2
} cws_endpoint_kind;
typedef enum cws_endpoint_auth {
    CWS_ENDPOINT_AUTH_UNSPECIFIED = 0,
    CWS_ENDPOINT_AUTH_OPEN,
    CWS_ENDPOINT_AUTH_SHARE_TOKEN
} cws_endpoint_auth;

typedef struct cws_service_options { /* zero it */
    int32_t port;                    /* 1-65535 */
    const char *name;                /* NULL = none */
    cws_protocol protocol;
    cws_visibility visibility;
    cws_endpoint_kind endpoint_kind; /* needs CWS_VISIBILITY_PUBLIC and TCP or no protocol */
    cws_endpoint_auth endpoint_auth; /* HTTPS needs one, TLS_PASSTHROUGH has none */
    /* HTTPS: after it a request is answered 504; 0: the service's default */
    int32_t request_timeout_seconds;
} cws_service_options;
/** cws_options_add_service() - a port of the sandbox that others may reach. */
CWS_API int cws_options_add_service(cws_options *o, const cws_service_options *service,
                                    cws_error **error);

/**
 * cws_options_add_secret() - an environment variable whose value the service fetches from a secret store
 * @field: part of the secret, NULL = all of it. @env_var: NULL = @name.
 * The same secret twice is one; another one for the same variable is CWS_E_INVALID.
 */
CWS_API int cws_options_add_secret(cws_options *o, const char *store, const char *name,
                                   const char *field, const char *env_var, cws_error **error);
/** cws_options_set_pull_credentials() - the secret for pulling the image from @registry. */
CWS_API int cws_options_set_pull_credentials(cws_options *o, const char *registry,
                                             const char *store, const char *name,
                                             const char *field, cws_error **error);
/**
 * cws_options_add_scratch_volume() - an empty directory of its own, which can be snapshotted
 * @mount_path: absolute, below "/". @size: a quantity, NULL = the service's default.
 * @restore_from_snapshot_id: begin with the files of a snapshot, NULL = empty.
 */
CWS_API int cws_options_add_scratch_volume(cws_options *o, const char *name,
                                           const char *mount_path, const char *size,
                                           const char *restore_from_snapshot_id,
                                           cws_error **error);
/** cws_options_add_volume() - an existing volume. @mount_path NULL: not mounted in the main container. */
CWS_API int cws_options_add_volume(cws_options *o, const char *name, const char *volume_id,
                                   const char *mount_path, cws_error **error);
/**
 * cws_options_add_host_directory() - a directory of the machine that the service runs on, read-only at @mount_path
 * Both paths are absolute, without empty, "." and ".." parts. One's own embedded service shows what its user may read; started
 * as root, what every user of the machine may. Another shows what its operator listed (`--host-directories`), and refuses the
 * rest by name when the sandbox starts; services that are not cwsandbox's refuse all. Errors: CWS_E_INVALID, CWS_E_NOMEM.
 */
CWS_API int cws_options_add_host_directory(cws_options *o, const char *path,
                                           const char *mount_path, cws_error **error);
/**
 * cws_options_set_template() - create from a template; what is set in @o overrides it, the rest is the template's
 * Options of the container (command, args, env, files, volumes, secrets, resources, credentials) need an image, or a list of containers.
 * These rules are checked by cws_sandbox_new(). NULL or "": no template.
 */
CWS_API int cws_options_set_template(cws_options *o, const char *template_id,
                                     cws_error **error);

typedef enum cws_spillover {
    CWS_SPILLOVER_STRICT = 0, /* the placement mode, and nothing else */
    CWS_SPILLOVER_CKS_THEN_SERVERLESS,
    CWS_SPILLOVER_SERVERLESS_THEN_CKS
} cws_spillover;
/**
 * cws_options_set_spillover() - when the first place has no room, try the other one once
 * A start that failed in both is the second failure, with the first as cws_error_cause() and a cws_error_note().
 * What cannot be combined with it (templates, runner ids, the other mode) is checked by cws_sandbox_new().
 * Source: the published client.
 */
CWS_API void cws_options_set_spillover(cws_options *o, cws_spillover spillover);

/**
 * cws_options_spec() - everything that a sandbox can have: the wire's SandboxSpec, merged behind the other options
 * Lists are appended to those of the other functions, values replace them. `containers`: all containers of the sandbox; then what
 * describes the one container here (image, command, env, files, secrets, resources, credentials, cws_options_container()) is
 * refused by cws_sandbox_new(). Of several containers one has `primary`, and each a name of its own. Mounts of volumes that were
 * added by the functions above go to the primary one.
 * cws_options_container() - the wire's Container, merged behind what the other functions say about the one container.
 * cws_options_from_file() - create from a file of services: the wire's CreateSandboxFromFileRequest (type, contents,
 * primary_service, control, image_overrides, default_resources, image_pull_credentials); tags, network, annotations, runner ids,
 * mode, lifetime and object_storage_access are those of @o, and whatever else is set there is refused by cws_sandbox_new().
 * Borrowed from @o. NULL: CWS_E_NOMEM.
 */
CWS_API cws_record *cws_options_spec(cws_options *o, cws_error **error);
CWS_API cws_record *cws_options_container(cws_options *o, cws_error **error);
CWS_API cws_record *cws_options_from_file(cws_options *o, cws_error **error);

/* --------------------------------------------------------------- sandboxes */

/* Numbers of the wire's State. */
typedef enum cws_status {
    CWS_STATUS_UNSPECIFIED = 0,
    CWS_STATUS_CREATING = 1,
    CWS_STATUS_RUNNING = 2,
    CWS_STATUS_COMPLETED = 3,
    CWS_STATUS_FAILED = 4,
    CWS_STATUS_TERMINATING = 5,
    CWS_STATUS_TERMINATED = 6,
    CWS_STATUS_PENDING = 7,
    CWS_STATUS_PAUSED = 8,
    CWS_STATUS_PREPARING = 9 /* accepted; what it needs is being fetched */
} cws_status;

/**
 * cws_sandbox_new() - a sandbox that is not started yet; no network
 * @client: NULL = the default client. @target: NULL = cws_target_new(NULL, NULL, 0). @options: NULL = defaults; copied.
 */
CWS_API cws_sandbox *cws_sandbox_new(cws_client *client, cws_target *target,
                                     const cws_options *options, cws_error **error);
/** cws_sandbox_run() - new + start + wait for acceptance. BLOCKS. NULL with *error when the service refused. */
CWS_API cws_sandbox *cws_sandbox_run(cws_target *target, const cws_options *options,
                                     cws_error **error);
CWS_API cws_sandbox *cws_sandbox_ref(cws_sandbox *sb);
/** cws_sandbox_unref() - never stops the sandbox. */
CWS_API void cws_sandbox_unref(cws_sandbox *sb);

/**
 * cws_sandbox_start() - done when the service accepted it (an id is known). Idempotent; concurrent calls share one create
 * When it is cancelled under way, and nobody else waits for the sandbox until the service answers, what came of it is stopped.
 */
CWS_API cws_op *cws_sandbox_start(cws_sandbox *sb, cws_error **error);
/** cws_sandbox_wait_running() - starts if needed; done at RUNNING (COMPLETED counts). Result: the sandbox.
 *  FAILED -> CWS_E_FAILED, TERMINATED -> CWS_E_TERMINATED, time-out -> CWS_E_TIMEOUT. Waiters share one poll. */
CWS_API cws_op *cws_sandbox_wait_running(cws_sandbox *sb, uint64_t timeout_ns,
                                         cws_error **error);
/** cws_sandbox_wait_complete() - done at a terminal state. @raise_on_termination 0: TERMINATED is a success. */
CWS_API cws_op *cws_sandbox_wait_complete(cws_sandbox *sb, uint64_t timeout_ns,
                                          int raise_on_termination, cws_error **error);
/** cws_sandbox_get_status() - ask the service (cached once terminal). Result: cws_op_int() is a cws_status.
 *  Unstarted -> CWS_E_NOT_RUNNING in the handle. */
CWS_API cws_op *cws_sandbox_get_status(cws_sandbox *sb, cws_error **error);
/**
 * cws_sandbox_stop() - end it: SIGTERM, @grace_ns, SIGKILL; done when it reached a terminal state
 * Never started: no call is made and the sandbox can no longer be started. Concurrent stops share one.
 * @missing_ok: a sandbox that is gone is a success; else CWS_E_NOT_FOUND.
 */
CWS_API cws_op *cws_sandbox_stop(cws_sandbox *sb, uint64_t grace_ns, int missing_ok,
                                 cws_error **error);
#define CWS_DEFAULT_GRACE_NS UINT64_C(10000000000) /* as the published client */

/* What is known without asking. Strings are copied into heap memory: free() them; NULL = not known. */
CWS_API char *cws_sandbox_id(const cws_sandbox *sb);
CWS_API int cws_sandbox_status(const cws_sandbox *sb,
                               cws_status *ret); /* 0 = not started (untouched), 1 = set */
CWS_API uint64_t
cws_sandbox_status_updated_ns(const cws_sandbox *sb); /* wall clock; 0 = never */
CWS_API uint64_t
cws_sandbox_started_ns(const cws_sandbox *sb); /* service's start_time; 0 = not known */
CWS_API int cws_sandbox_returncode(const cws_sandbox *sb, int *ret); /* 1 = known */
/** cws_sandbox_status_reason() - the service's words on the status, as last heard; NULL = none. The caller frees it. */
CWS_API char *cws_sandbox_status_reason(const cws_sandbox *sb);
CWS_API char *cws_sandbox_runner_id(const cws_sandbox *sb);
CWS_API char *cws_sandbox_runner_group_id(const cws_sandbox *sb);
/** cws_sandbox_resource() - @which: "requests.cpu", "requests.memory", "limits.cpu", "limits.memory". */
CWS_API char *cws_sandbox_resource(const cws_sandbox *sb, const char *which);
typedef struct cws_exec_stats {
    uint64_t count, completed_ok, completed_nonzero, failures;
} cws_exec_stats;
CWS_API void cws_sandbox_exec_stats(const cws_sandbox *sb, cws_exec_stats *ret);
/** cws_sandbox_startup_ns() - from the create request until this client saw it running; 0 = not running yet, or
 * created by another client. */
CWS_API uint64_t cws_sandbox_startup_ns(const cws_sandbox *sb);

/* What few sandboxes have. Zeroed fields = none. */
typedef struct cws_service_address {
    int32_t port;
    const char *name; /* "" = none */
    const char *url;  /* "" = none */
} cws_service_address;
typedef struct cws_sandbox_details {
    const cws_service_address *urls; /* services that can be reached by URL, as last heard */
    size_t n_urls;
    const cws_service_address *ports; /* services that are visible to somebody */
    size_t n_ports;
    int has_ports; /* 0: the service never named any */
    /* "host:port" (in `url`) of TLS passthrough endpoints; kept while it is created or runs, as long as the service is listed */
    const cws_service_address *tls_addresses;
    size_t n_tls_addresses;
    const char *const *dns_names; /* it may connect to these */
    size_t n_dns_names;
    int64_t gpu_count, gpu_memory_gb;
    const char *gpu_type; /* or NULL */
} cws_sandbox_details;
/** cws_sandbox_get_details() - as known now, immutable; NULL = nothing of all that. Drop it with _unref(), which accepts NULL. */
CWS_API const cws_sandbox_details *cws_sandbox_get_details(const cws_sandbox *sb);
CWS_API void cws_sandbox_details_unref(const cws_sandbox_details *details);
/** cws_sandbox_describe() - the wire's Sandbox as last heard (spec, status, control, ...): the caller's, to be freed with
 *  cws_record_free(). NULL: nothing was heard yet, or no memory. */
CWS_API cws_record *cws_sandbox_describe(const cws_sandbox *sb);
/** cws_sandbox_snapshot_id() - the @i-th snapshot that its stop has captured; copied; NULL past the last. */
CWS_API char *cws_sandbox_snapshot_id(const cws_sandbox *sb, size_t i);
/** cws_sandbox_share_token() - the secret for its share-token endpoints, of the create's answer only; copied; NULL = none. When
 *  that answer came without it, cws_sandbox_start() sends the same request up to 3 times more (15 s at most) before it is done;
 *  another start then does so again. */
CWS_API char *cws_sandbox_share_token(const cws_sandbox *sb);
/** cws_sandbox_spilled() - 1: it was created in the second place of cws_options_set_spillover(). */
CWS_API int cws_sandbox_spilled(const cws_sandbox *sb);

typedef struct cws_list_options {
    const char *const *tags; /* all must match */
    size_t n_tags;
    const char *const *runner_ids;
    size_t n_runner_ids;
    int status; /* a cws_status, 0 = any active */
    int show_terminated;
    uint64_t timeout_ns;           /* CWS_DEFAULT_TIMEOUT */
    size_t limit;                  /* the first so many; 0 = all */
    const char *const *volume_ids; /* registered volumes that it uses, any of them */
    size_t n_volume_ids;
} cws_list_options;
/** cws_list() - all pages. Result: cws_op_n_sandboxes() / cws_op_sandbox(). @client, @target, @options may be NULL. */
CWS_API cws_op *cws_list(cws_client *client, cws_target *target,
                         const cws_list_options *options, cws_error **error);
/** cws_from_id() - attach to a running or ended sandbox. Result: cws_op_sandbox(op, 0). CWS_E_NOT_FOUND. */
CWS_API cws_op *cws_from_id(cws_client *client, cws_target *target, const char *sandbox_id,
                            uint64_t timeout_ns, cws_error **error);
/**
 * cws_sandbox_set_times() - for a sandbox that was listed or found by id; the options have them for a new one
 * All in nanoseconds, CWS_DEFAULT_TIMEOUT keeps what it is; @retry_budget_ns is always taken. Before its first operation.
 */
CWS_API void cws_sandbox_set_times(cws_sandbox *sb, uint64_t request_timeout_ns,
                                   uint64_t retry_budget_ns, uint64_t poll_timeout_ns);

/* How commands, terminals, logs and files reach a sandbox; everything else always goes through the API. */
typedef enum cws_data_plane {
    CWS_DATA_PLANE_AUTO = 0, /* directly where that is possible, else through the API */
    CWS_DATA_PLANE_GATEWAY,  /* through the API */
    CWS_DATA_PLANE_DIRECT    /* directly or not at all */
} cws_data_plane;
/**
 * cws_sandbox_set_data_plane() - for any sandbox, before its first operation
 * AUTO asks the service for a direct way before the first operation and takes at most a second for it; what is not possible
 * is tried again after 30 s. A service on a local socket is not asked, nor cwsandboxd. With DIRECT what is not possible is
 * CWS_E_UNAVAILABLE, after 10 s of trying at most. No header of the target goes the direct way.
 */
CWS_API void cws_sandbox_set_data_plane(cws_sandbox *sb, cws_data_plane mode);
/** cws_delete() - kill at once and forget; does not wait for the end. */
CWS_API cws_op *cws_delete(cws_client *client, cws_target *target, const char *sandbox_id,
                           int missing_ok, uint64_t timeout_ns, cws_error **error);

/* --------------------------------------------------------------- snapshots */

/* Numbers of the wire's SnapshotState, SnapshotTrigger and FileSystemSnapshotBucketMode. */
typedef enum cws_snapshot_status {
    CWS_SNAPSHOT_UNSPECIFIED = 0,
    CWS_SNAPSHOT_CREATING = 1,
    CWS_SNAPSHOT_READY = 2,
    CWS_SNAPSHOT_FAILED = 3,
    CWS_SNAPSHOT_DELETING = 4
} cws_snapshot_status;
typedef enum cws_snapshot_trigger {
    CWS_SNAPSHOT_TRIGGER_UNSPECIFIED = 0,
    CWS_SNAPSHOT_TRIGGER_MANUAL = 1,
    CWS_SNAPSHOT_TRIGGER_ON_DELETE = 2
} cws_snapshot_trigger;
typedef enum cws_bucket_mode {
    CWS_BUCKET_UNSPECIFIED = 0,
    CWS_BUCKET_MANAGED = 1,
    CWS_BUCKET_OWN = 2
} cws_bucket_mode;

typedef struct cws_snapshot { /* texts are "" when unknown, times 0 (wall clock) */
    const char *id;
    cws_snapshot_status status;
    const char *status_reason;
    int64_t size_bytes;
    const char *source_sandbox_id;
    const char *source_volume_name;
    cws_snapshot_trigger trigger;
    const char *request_id;
    const char *object_bucket;
    uint64_t created_ns, updated_ns, completed_ns;
} cws_snapshot;
typedef struct cws_bucket_config {
    cws_bucket_mode mode;
    const char *bucket_name, *region, *effective_bucket_name;
} cws_bucket_config;

/**
 * cws_sandbox_snapshot() - keep the files of the sandbox's one scratch volume; starts it and waits for RUNNING if needed
 * @wait_ready: done when the snapshot is READY (600 s at most), else when it was accepted.
 * @request_id: makes the call repeatable; NULL = a random one.
 * Result: cws_op_data() is the id (not NUL-terminated). Errors: CWS_E_SNAPSHOT ("multiple scratch volumes", or it FAILED),
 * CWS_E_SNAPSHOT_WAIT_TIMEOUT and the other kinds of snapshots. What may pass is retried for 30 s.
 */
CWS_API cws_op *cws_sandbox_snapshot(cws_sandbox *sb, int wait_ready, const char *request_id,
                                     cws_error **error);

typedef struct cws_snapshot_options { /* zero it */
    int no_wait_ready;                /* 1: done when it was accepted */
    const char *request_id;           /* NULL = a random one */
    int has_retry_budget;             /* 1: the next one counts; else 30 s */
    uint64_t
        retry_budget_ns; /* how long a request that fails for now is repeated; 0 = not at all */
} cws_snapshot_options;
/** cws_sandbox_snapshot_with() - cws_sandbox_snapshot() with everything it can do. */
CWS_API cws_op *cws_sandbox_snapshot_with(cws_sandbox *sb, const cws_snapshot_options *options,
                                          cws_error **error);

typedef struct cws_stop_options { /* zero it */
    uint64_t grace_ns;
    int missing_ok;
    int snapshot;           /* 1: keep the files of all scratch volumes first */
    int no_wait_ready;      /* 1: do not wait until the snapshots are READY */
    const char *request_id; /* of a stop with snapshots, or NULL */
} cws_stop_options;
/**
 * cws_sandbox_stop_with() - cws_sandbox_stop() with everything it can do
 * With a snapshot: the ids are cws_sandbox_snapshot_id(). CWS_E_SNAPSHOT when no scratch volume is known (nothing is sent);
 * CWS_E_SNAPSHOT_ON_STOP_CONFLICT when it ends or ended without a snapshot, or is gone. Source: the published client.
 */
CWS_API cws_op *cws_sandbox_stop_with(cws_sandbox *sb, const cws_stop_options *options,
                                      cws_error **error);

/* @client and @target may be NULL, @timeout_ns CWS_DEFAULT_TIMEOUT. What may pass is retried for 30 s. */
/** cws_snapshot_get() - result: cws_op_snapshot(op, 0). CWS_E_SNAPSHOT_NOT_FOUND. */
CWS_API cws_op *cws_snapshot_get(cws_client *client, cws_target *target, const char *id,
                                 uint64_t timeout_ns, cws_error **error);
/** cws_snapshot_list() - all pages. @source_sandbox_id: NULL = of all. @status: 0 = any. Result: cws_op_snapshot(). */
CWS_API cws_op *cws_snapshot_list(cws_client *client, cws_target *target,
                                  const char *source_sandbox_id, cws_snapshot_status status,
                                  uint64_t timeout_ns, cws_error **error);
CWS_API cws_op *cws_snapshot_delete(cws_client *client, cws_target *target, const char *id,
                                    int missing_ok, uint64_t timeout_ns, cws_error **error);
/** cws_bucket_config_get() / _set() - where snapshots are kept. Result: cws_op_bucket_config(). @bucket_name "": the
 *  service's own. */
CWS_API cws_op *cws_bucket_config_get(cws_client *client, cws_target *target,
                                      uint64_t timeout_ns, cws_error **error);
CWS_API cws_op *cws_bucket_config_set(cws_client *client, cws_target *target,
                                      const char *bucket_name, const char *region,
                                      uint64_t timeout_ns, cws_error **error);
/* Results; borrowed from the handle; 0 / NULL when it has none. */
CWS_API size_t cws_op_n_snapshots(const cws_op *op);
CWS_API const cws_snapshot *cws_op_snapshot(const cws_op *op, size_t i);
CWS_API const cws_bucket_config *cws_op_bucket_config(const cws_op *op);

/* --------------------------------------------------------------- discovery */

typedef struct cws_runner { /* texts are "" when unknown */
    const char *runner_id, *organization_id, *runner_group_id;
    const char *const *tags;
    size_t n_tags;
    int healthy, is_shared;
    uint64_t connected_ns; /* wall clock; 0 = not known */
    int64_t max_cpu_millicores, max_memory_bytes, max_gpu_count;
    const char *const *gpu_types;
    size_t n_gpu_types;
    const char *const *architectures;
    size_t n_architectures;
    int supports_privileged;
    const char *const *storage_classes;
    size_t n_storage_classes;
    const cws_visibility *visibilities; /* what its services can have */
    size_t n_visibilities;
    int has_resources; /* 0: the figures below were not asked for */
    int64_t available_cpu_millicores, available_memory_bytes, available_gpu_count;
    int32_t running_sandboxes;
} cws_runner;
typedef struct cws_runner_filter { /* zero it; NULL and 0 = any */
    const char *runner_group_id, *gpu_type, *architecture;
    int healthy_only;
    cws_visibility visibility;
    int with_resources;
    uint64_t timeout_ns; /* 0 = 30 s, for all pages */
} cws_runner_filter;
/** cws_list_runners() - machines that sandboxes can run on. Result: cws_op_runner(). CWS_E_DISCOVERY, _VALIDATION. */
CWS_API cws_op *cws_list_runners(cws_client *client, cws_target *target,
                                 const cws_runner_filter *filter, cws_error **error);
/** cws_get_runner() - with its resources. CWS_E_RUNNER_NOT_FOUND. @timeout_ns 0 = 30 s. */
CWS_API cws_op *cws_get_runner(cws_client *client, cws_target *target, const char *runner_id,
                               const char *organization_id, uint64_t timeout_ns,
                               cws_error **error);
CWS_API size_t cws_op_n_runners(const cws_op *op);
CWS_API const cws_runner *cws_op_runner(const cws_op *op, size_t i);

/* --------------------------------------------------------------- processes */

typedef enum cws_stream { CWS_STDOUT = 1, CWS_STDERR = 2 } cws_stream;

typedef struct cws_exec_options {
    const char *cwd; /* absolute, or NULL */
    uint64_t
        timeout_ns; /* of the command; CWS_DEFAULT_TIMEOUT. A foreign service's call ends 5 s later */
    int want_stdin; /* 1: cws_process_stdin() is not NULL */
    int check;      /* 1: a non-zero exit completes the handle with CWS_E_EXECUTION */
    int tty; /* 1: a terminal: one merged raw output stream (CWS_STDOUT), bounded; stdin always; no deadline */
    uint32_t tty_width, tty_height;
    /* 1: output is handed to the readers and not kept: cws_process_output() stays empty, and memory is bounded. Read
     * (or close) both streams at the same time: while either is full, the command and its exit code are held back. */
    int discard_output;
    /* So many bytes of each stream are kept for cws_process_output(); 0: CWS_MAX_OUTPUT_VARIABLE or
     * CWS_DEFAULT_MAX_OUTPUT_BYTES, SIZE_MAX: no bound. The rest is read and dropped, unless the stream was asked for
     * (cws_process_stdout(), ..._stderr()): that delivers everything, and beyond this size holds the command back while it is
     * not read, as with discard_output. */
    size_t max_output_bytes;
    /* name of a container of the sandbox; NULL, "" and blanks: the primary one */
    const char *container;
    const char *const
        *env; /* "NAME=value", over the variables of the sandbox; borrowed for the call */
    size_t n_env;
    /* "NAME", "UID", "NAME:GROUP" or "UID:GID" of the sandbox's own /etc/passwd and /etc/group; NULL: root. Its home is HOME
     * unless that is set. A service that is not ours: CWS_E_SANDBOX, and nothing runs. A sandbox of a service that an ordinary user
     * runs has only root, and a user who is not there is CWS_E_VALIDATION. */
    const char *user;
} cws_exec_options;
#define CWS_DEFAULT_MAX_OUTPUT_BYTES ((size_t)256 << 20)
#define CWS_MAX_OUTPUT_VARIABLE \
    "CWSANDBOX_MAX_OUTPUT_BYTES" /* of the environment; 0 = no bound */

/**
 * cws_sandbox_exec() - run a command; starts the sandbox and waits for RUNNING if needed
 * Errors at once: CWS_E_INVALID ("Command cannot be empty", "cwd cannot be empty string", "cwd must be an absolute path",
 * a variable without a name; a word, or a variable with its name and value, of more than 131071 bytes, a cwd of more than 4095: what
 * no program can be given; "user must be a name or a number, or USER:GROUP").
 * The handle: cws_op_int() is the exit code. A stream that ends without an exit is an error, never exit 0.
 */
CWS_API cws_process *cws_sandbox_exec(cws_sandbox *sb, const char *const *argv, size_t n_argv,
                                      const cws_exec_options *options, cws_error **error);
CWS_API cws_process *cws_process_ref(cws_process *p);
/** cws_process_unref() - when the last reference to the process and its readers is gone, a terminal ends; a command goes on and
 *  what it still writes is dropped. */
CWS_API void cws_process_unref(cws_process *p);
CWS_API cws_op *cws_process_op(cws_process *p);         /* borrowed */
CWS_API cws_reader *cws_process_stdout(cws_process *p); /* borrowed; the tty's output */
CWS_API cws_reader *cws_process_stderr(cws_process *p); /* borrowed; NULL on a tty */
CWS_API cws_writer *cws_process_stdin(cws_process *p);  /* borrowed; NULL without want_stdin */
CWS_API int cws_process_returncode(const cws_process *p, int *ret); /* 1 = known */
/* What happened to a command, beside its exit code. Only our own service tells the last five; of the process itself and of
 * the children that it waited for. */
typedef struct cws_process_facts {
    int timed_out; /* 1: its time-out ended it */
    /* 1: the kernel killed it because memory had run out; 0: not; -1: not known, which without a memory limit is so when somebody
     * on the machine was killed for memory meanwhile. */
    int oom_killed;
    int signal;                   /* what killed it; 0: nothing did; -1: not known */
    uint64_t duration_ns, cpu_ns; /* CWS_NOT_KNOWN; CPU time in user and kernel mode */
    uint64_t peak_memory_bytes;   /* CWS_NOT_KNOWN; of its largest process, resident */
} cws_process_facts;
#define CWS_NOT_KNOWN UINT64_MAX
/** cws_process_get_facts() - 1 and *@ret when the command has ended, by whatever, else 0 and *@ret untouched. */
CWS_API int cws_process_get_facts(const cws_process *p, cws_process_facts *ret);
/** cws_process_output() - all bytes of a stream so far, joined; borrowed until the next call or unref. Not on a tty,
 *  not with discard_output. */
CWS_API const char *cws_process_output(cws_process *p, cws_stream s, size_t *ret_len);
/** cws_process_output_truncated() - 1 when the stream was longer than max_output_bytes. */
CWS_API int cws_process_output_truncated(const cws_process *p, cws_stream s);
/** cws_process_output_size() / cws_process_copy_output() - the same without the joined copy. Copies min(size, cap) bytes. */
CWS_API size_t cws_process_output_size(const cws_process *p, cws_stream s);
CWS_API size_t cws_process_copy_output(const cws_process *p, cws_stream s, void *out,
                                       size_t cap);
/** cws_process_resize() - tty only; CWS_E_EXECUTION when the session has ended. */
CWS_API int cws_process_resize(cws_process *p, uint32_t width, uint32_t height,
                               cws_error **error);

/* ------------------------------------------------------------------- ports */

typedef struct cws_forward_options { /* zero it; NULL = zeroed */
    uint16_t local_port;             /* on 127.0.0.1; 0: any that is free */
    /* Each connection that could not be made or broke, NULL: not told. On the client's thread: must not block. @error is
     * borrowed. May come until the forward is closed, so what @user points to must live as long. */
    void (*on_error)(void *user, const cws_error *error);
    void *user;
} cws_forward_options;

/**
 * cws_sandbox_forward() - a port of a sandbox as a port of this machine's loopback; starts the sandbox and waits for RUNNING if needed
 * @port: of the sandbox's loopback, TCP, 1 to 65535
 *
 * The sandbox needs no network for it. Every connection to the local port is one to the sandbox's, made anew; either side may end
 * its direction first. One that nobody takes inside is reset.
 * The handle: done when connections are taken; cws_op_int() is the local port. It goes on until cws_forward_close(), or the client's
 * end; dropping the handle does not end it.
 * Errors at once: CWS_E_INVALID (port 0). In the handle: CWS_E_GENERIC (the local port is taken), CWS_E_SANDBOX (a service that is not
 * ours and forwards no ports), and those of every operation in a sandbox.
 */
CWS_API cws_op *cws_sandbox_forward(cws_sandbox *sb, uint16_t port,
                                    const cws_forward_options *options, cws_error **error);
/** cws_forward_close() - stop listening, reset the connections. Any thread; does not wait; again does no harm. Only for a handle
 *  of cws_sandbox_forward(). */
CWS_API void cws_forward_close(cws_op *op);

/* ------------------------------------------------------------------ images */

typedef struct cws_commit_options { /* zero it; NULL = zeroed */
    const char *const *env;         /* "NAME=value": added to the environment of the image */
    size_t n_env;
    const char *working_dir; /* absolute; NULL: as it was */
    uint64_t timeout_ns;     /* until it is there; 0 = none */
} cws_commit_options;

/**
 * cws_sandbox_commit() - what a sandbox has written as an image of the service; starts the sandbox and waits for RUNNING if needed
 * @reference: the image's name, as Docker writes it; what it meant before is replaced. Copied, as are the options
 *
 * The image has the layers of the sandbox's own, one more, and its words (environment, entry point and so on). Of `host` it is what
 * was written, upon the machine's own files. /tmp, /dev/shm and running processes are not part of it. Files that change meanwhile are
 * in it as they were at some moment, or fail it.
 * Result: cws_op_data() is its id, "sha256:" and 64 digits (not NUL-terminated). A failed or cancelled one leaves nothing.
 * Errors at once: CWS_E_INVALID. In the handle: CWS_E_SANDBOX (a service that commits none: one that is not ours, or whose operator does
 * not allow it; something that cannot be in an image), and those of every operation in a sandbox.
 * Thread: any. Blocks: never.
 */
CWS_API cws_op *cws_sandbox_commit(cws_sandbox *sb, const char *reference,
                                   const cws_commit_options *options, cws_error **error);

/* ----------------------------------------------------------------- streams */

typedef enum cws_read_result {
    CWS_READ_DATA = 0,
    CWS_READ_END = 1,     /* also for every later call */
    CWS_READ_ERROR = 2,   /* *ret_error borrowed from the reader; once, then CWS_READ_END */
    CWS_READ_TIMEOUT = 3, /* nothing yet */
    CWS_READ_INTERRUPTED = 4
} cws_read_result;

typedef struct cws_chunk { /* free with cws_chunk_release(); zero it to be safe */
    const uint8_t *data;
    size_t size;
    void *owner;
} cws_chunk;
CWS_API void cws_chunk_release(cws_chunk *chunk);

CWS_API cws_reader *cws_reader_ref(cws_reader *r);
CWS_API void cws_reader_unref(cws_reader *r);
/** cws_reader_read() - the next chunk as it arrived. Several readers of one stream each get different chunks, all get the end. */
CWS_API cws_read_result cws_reader_read(cws_reader *r, uint64_t timeout_ns, cws_chunk *ret,
                                        const cws_error **ret_error);
/** cws_reader_close() - drop what is left, wake every reader with CWS_READ_END; cancels the producer of file and log readers
 *  and of a tty. The streams of an exec go on without it; with discard_output what still comes is dropped. */
CWS_API void cws_reader_close(cws_reader *r);

CWS_API cws_writer *cws_writer_ref(cws_writer *w);
CWS_API void cws_writer_unref(cws_writer *w); /* never closes it */
/** cws_writer_write() - done when queued (at most 16 writes are, as in the published client): back-pressure is the pending handle.
 *  At once: CWS_E_EXECUTION "stream is closed" / "stream has failed". Data is copied. */
CWS_API cws_op *cws_writer_write(cws_writer *w, const void *data, size_t size,
                                 cws_error **error);
/** cws_writer_close() - EOF behind what is queued. Idempotent. */
CWS_API cws_op *cws_writer_close(cws_writer *w, cws_error **error);
CWS_API int cws_writer_closed(const cws_writer *w);

/* ----------------------------------------------------------- files and logs */

typedef struct cws_file_options { /* zero it; NULL = zeroed */
    uint64_t timeout_ns;          /* CWS_DEFAULT_TIMEOUT */
    /* name of a container of the sandbox; NULL, "" and blanks: the primary one */
    const char *container;
    /* who does it, "NAME|UID[:GROUP|GID]" of the sandbox's own files; NULL: root. CWS_E_SANDBOX from a service that cannot */
    const char *user;
} cws_file_options;
/** cws_sandbox_read_file() - result: cws_op_data(). Above the service's unary cap it streams by itself, up to 256 MiB.
 * @path: absolute; here and below any bytes but NUL. A name that is not UTF-8 goes through a command (/bin/sh) of the sandbox. */
CWS_API cws_op *cws_sandbox_read_file(cws_sandbox *sb, const char *path,
                                      const cws_file_options *options, cws_error **error);
/** cws_sandbox_write_file() - creates (0644, what is missing above it 0755), or overwrites, which keeps owner and mode. @content is
 *  copied. Same limits. There is room for all of it before the first byte is touched: a full disk leaves what was there. */
CWS_API cws_op *cws_sandbox_write_file(cws_sandbox *sb, const char *path, const void *content,
                                       size_t size, const cws_file_options *options,
                                       cws_error **error);
/** cws_sandbox_read_file_stream() - chunks of any size of file. Errors arrive as CWS_READ_ERROR. */
CWS_API cws_reader *cws_sandbox_read_file_stream(cws_sandbox *sb, const char *path,
                                                 const cws_file_options *options,
                                                 cws_error **error);
/** cws_sandbox_write_file_stream() - *@ret_writer (new reference) takes the content; the handle is done after its close. */
CWS_API cws_op *cws_sandbox_write_file_stream(cws_sandbox *sb, const char *path,
                                              const cws_file_options *options,
                                              cws_writer **ret_writer, cws_error **error);

/*
 * Names and trees. Paths in the sandbox are absolute, and bytes like the names found there. A service that is not ours offers none
 * of these: CWS_E_SANDBOX. Nothing of the sandbox is executed for them, so any image will do. Failures are CWS_E_FILE with a
 * reason (CWSANDBOX_FILE_NOT_FOUND, _IS_DIRECTORY, _PERMISSION_DENIED, _IO_FAILED).
 */
typedef enum cws_file_kind {
    CWS_FILE_REGULAR = 0,
    CWS_FILE_DIRECTORY = 1,
    CWS_FILE_LINK = 2,
    CWS_FILE_FIFO = 3,
    CWS_FILE_SOCKET = 4,
    CWS_FILE_CHARACTER_DEVICE = 5,
    CWS_FILE_BLOCK_DEVICE = 6
} cws_file_kind;

typedef struct cws_file_info { /* borrowed from the handle */
    const char *name; /* bytes; list_dir: within the directory, stat_file: the path as given */
    const char *target; /* of a link, bytes; else NULL */
    cws_file_kind kind;
    uint32_t mode_bits; /* 07777 */
    uint32_t uid, gid;  /* inside */
    uint64_t size_bytes;
    int64_t mtime_s; /* since 1970 */
    uint32_t mtime_ns;
} cws_file_info;
/** cws_op_files() - results of list_dir (in no order) and stat_file (one). Borrowed; NULL when there are none. */
CWS_API const cws_file_info *cws_op_files(const cws_op *op, size_t *ret_n);
/** cws_sandbox_list_dir() - what is in a directory, without "." and "..". Links are told as links. At most 256 MiB of names. */
CWS_API cws_op *cws_sandbox_list_dir(cws_sandbox *sb, const char *path,
                                     const cws_file_options *options, cws_error **error);
/** cws_sandbox_stat_file() - what @path names; a link is told as a link, unless a slash ends the path. */
CWS_API cws_op *cws_sandbox_stat_file(cws_sandbox *sb, const char *path,
                                      const cws_file_options *options, cws_error **error);
/** cws_sandbox_make_dir() - with @mode_bits; what is missing above it is made (0755). A directory that is there is left as it is. */
CWS_API cws_op *cws_sandbox_make_dir(cws_sandbox *sb, const char *path, uint32_t mode_bits,
                                     const cws_file_options *options, cws_error **error);
/** cws_sandbox_remove_file() - a file, a link, an empty directory; with @recursive also a directory with what is in it. */
CWS_API cws_op *cws_sandbox_remove_file(cws_sandbox *sb, const char *path, int recursive,
                                        const cws_file_options *options, cws_error **error);
/** cws_sandbox_rename_file() - rename(2): in one step, and a file of the new name is gone. */
CWS_API cws_op *cws_sandbox_rename_file(cws_sandbox *sb, const char *path, const char *new_path,
                                        const cws_file_options *options, cws_error **error);
/**
 * cws_sandbox_upload_dir() - what is in the directory @local into the directory @remote, which is made if it is missing
 * cws_sandbox_download_dir() - the same the other way
 *
 * A stream, never whole in memory; a thread of the handle's own reads or writes @local. Times and modes come along (no set-id bits; what is
 * downloaded is under the umask), owners do not: files belong to who wrote them. A file that is there is overwritten
 * and keeps owner and mode, a link in its place is replaced, other files stay. Links are copied as links and followed on neither
 * side; a download with a link that leads out of the tree is refused. Sockets, FIFOs and devices are left out; hard links
 * become files. At most 128 directories within each other. timeout_ns is for all of it. On a failure what came before it stays.
 */
CWS_API cws_op *cws_sandbox_upload_dir(cws_sandbox *sb, const char *local, const char *remote,
                                       const cws_file_options *options, cws_error **error);
CWS_API cws_op *cws_sandbox_download_dir(cws_sandbox *sb, const char *remote, const char *local,
                                         const cws_file_options *options, cws_error **error);

typedef struct cws_log_options {
    int follow;
    uint32_t tail_lines; /* 0 = all */
    uint64_t since_ns;   /* wall clock; 0 = unset */
    int timestamps;
    uint64_t timeout_ns; /* ignored with follow */
    /* name of a container of the sandbox; NULL, "" and blanks: the primary one */
    const char *container;
} cws_log_options;
/** cws_sandbox_logs() - output of the main process; each chunk is one line with its newline. Resumes by itself. */
CWS_API cws_reader *cws_sandbox_logs(cws_sandbox *sb, const cws_log_options *options,
                                     cws_error **error);

/* ----------------------------------------------------------------- volumes */

/* Numbers of the wire's enums. */
typedef enum cws_volume_state {
    CWS_VOLUME_UNSPECIFIED = 0,
    CWS_VOLUME_VALIDATING,
    CWS_VOLUME_READY,
    CWS_VOLUME_ERROR,
    CWS_VOLUME_DELETING
} cws_volume_state;
typedef enum cws_volume_locality {
    CWS_VOLUME_LOCALITY_UNSPECIFIED = 0,
    CWS_VOLUME_CLUSTER_LOCAL,
    CWS_VOLUME_GLOBAL
} cws_volume_locality;

/* A claim of a cluster. Texts are never NULL in a result. */
typedef struct cws_pvc_source {
    const char *runner_id, *namespace_name, *claim_name;
    const char *sub_path; /* "" or NULL = all of it */
} cws_pvc_source;

/* A registered volume as the service describes it; borrowed from its handle. Numbers that this version does not know may appear. */
typedef struct cws_volume {
    const char *id;
    int has_pvc; /* 1: `pvc` says what it stands for */
    cws_pvc_source pvc;
    int read_only;
    const char *description;
    cws_volume_state state;
    const char *state_reason; /* "" = none */
    cws_volume_locality locality;
    const char *const *access_modes;
    size_t n_access_modes;
    const char *capacity;
    int32_t attached_sandbox_count;
    uint64_t created_ns, updated_ns, validated_ns; /* 0 = not known */
} cws_volume;

typedef struct cws_volume_create_options { /* zero it */
    cws_pvc_source pvc;
    int read_only;
    const char *description; /* NULL = "" */
    const char *request_id;  /* NULL = a random one */
} cws_volume_create_options;

typedef struct cws_volume_list_options { /* zero it */
    const cws_volume_state *states;      /* any of them; none = all */
    size_t n_states;
    const char *const *runner_ids; /* any of them; none = all */
    size_t n_runner_ids;
} cws_volume_list_options;

/*
 * @client and @target may be NULL, @timeout_ns CWS_DEFAULT_TIMEOUT. What may pass is retried for 30 s. Results: cws_op_volume().
 * Errors: CWS_E_VOLUME_*, and those of every call. Our own service has no volumes: CWS_E_VOLUME_TYPE_NOT_SUPPORTED, _NOT_FOUND.
 */
CWS_API cws_op *cws_volume_create(cws_client *client, cws_target *target, const char *id,
                                  const cws_volume_create_options *o, uint64_t timeout_ns,
                                  cws_error **error);
CWS_API cws_op *cws_volume_get(cws_client *client, cws_target *target, const char *id,
                               uint64_t timeout_ns, cws_error **error);
/** cws_volume_list() - all pages. */
CWS_API cws_op *cws_volume_list(cws_client *client, cws_target *target,
                                const cws_volume_list_options *o, uint64_t timeout_ns,
                                cws_error **error);
CWS_API cws_op *cws_volume_update(cws_client *client, cws_target *target, const char *id,
                                  const char *description, uint64_t timeout_ns,
                                  cws_error **error);
/** cws_volume_delete() - forget the volume; what it stands for stays. No result when it was missing: with @allow_missing, or
 * when an attempt before may have deleted it. */
CWS_API cws_op *cws_volume_delete(cws_client *client, cws_target *target, const char *id,
                                  int allow_missing, int force, uint64_t timeout_ns,
                                  cws_error **error);
CWS_API cws_op *cws_volume_validate(cws_client *client, cws_target *target, const char *id,
                                    uint64_t timeout_ns, cws_error **error);
/** cws_volume_wait() - until it is READY, for @wait_ns; @timeout_ns of one question (15 s). CWS_E_VOLUME when it has an error or is
 * being deleted, CWS_E_VOLUME_WAIT_TIMEOUT. */
CWS_API cws_op *cws_volume_wait(cws_client *client, cws_target *target, const char *id,
                                uint64_t wait_ns, uint64_t timeout_ns, cws_error **error);
CWS_API size_t cws_op_n_volumes(const cws_op *op);
CWS_API const cws_volume *cws_op_volume(const cws_op *op, size_t i);

#ifdef __cplusplus
}
#endif
#endif
