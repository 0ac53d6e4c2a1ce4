/*
 * cws_error: what the program sees when something failed. Immutable after creation and
 * refcounted, because one failure may end many handles. Making one never fails: without memory
 * it is the static out-of-memory error.
 *
 * errors.c holds the one table from the service's reasons and status codes to the kinds.
 */
#ifndef CWS_CLIENT_ERROR_H
#define CWS_CLIENT_ERROR_H

#include <stdatomic.h>

#include "base/err.h"
#include "cwsandbox.h"

struct cws_error {
    _Atomic uint32_t refs;
    bool immortal; /* static objects */
    cws_error_kind kind;
    int status;        /* gRPC status, -1 = did not come from a call */
    struct err detail; /* message, reason, metadata, violations, retry delay */
    char *sandbox_id;
    char *filepath;
    char *stream_code;
    char *snapshot_id;
    char *runner_id;
    char *volume_id;
    char *status_reason;
    const char *note; /* static */
    struct cws_error *cause;
};

extern struct cws_error error_nomem; /* static; error_unref() ignores them */
extern struct cws_error error_forked;

/** error_new() - never NULL. */
struct cws_error *error_new(cws_error_kind kind, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** error_ref() - returns @e; accepts NULL. */
struct cws_error *error_ref(struct cws_error *e);
void error_unref(struct cws_error *e);
static inline void error_cleanup(struct cws_error **e)
{
    error_unref(*e);
}
#define CLEANUP_CWS_ERROR CLEANUP(error_cleanup)
/** error_set() - for public functions: fill *@ret (may be NULL); returns -1. */
int error_set(cws_error **ret, cws_error_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** error_give() - the same with an existing error; takes @take. */
int error_give(cws_error **ret, struct cws_error *take);
/** error_add_*() - only before the error is shared; text is dropped when out of memory. */
void error_add_reason(struct cws_error *e, const char *static_reason);
void error_add_metadata(struct cws_error *e, const char *key, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void error_add_filepath(struct cws_error *e, const char *filepath);
void error_add_sandbox_id(struct cws_error *e, const char *sandbox_id);
void error_add_stream_code(struct cws_error *e, const char *code);
void error_add_snapshot_id(struct cws_error *e, const char *snapshot_id);
void error_add_runner_id(struct cws_error *e, const char *runner_id);
void error_add_volume_id(struct cws_error *e, const char *volume_id);
void error_add_status_reason(struct cws_error *e, const char *reason);
void error_add_note(struct cws_error *e, const char *static_note);
void error_add_cause(struct cws_error *e, struct cws_error *cause);

/* What was being done when a call failed. */
struct error_site {
    const char *label;       /* "Execute command" */
    const char *sandbox_id;  /* may be NULL */
    const char *filepath;    /* may be NULL */
    const char *snapshot_id; /* may be NULL; set: what may be missing is the snapshot */
    const char *runner_id;   /* the same for a runner */
    const char *volume_id;   /* the same for a volume */
    bool is_discovery;       /* the family of CWS_E_DISCOVERY */
    bool is_exec;            /* a bare DEADLINE_EXCEEDED is CWS_E_TIMEOUT */
};
/** error_from_status() - translate a failed call. */
struct cws_error *error_from_status(const struct err *status, const struct error_site *site);
/** error_mark_unreadable() - after proto_unpack() of an answer: bytes that are no message are the
 * service's fault, CWS_E_PROTOCOL. */
void error_mark_unreadable(struct err *err);
/** error_from_local() - a struct err that our own code made (addresses, embedded service). */
struct cws_error *error_from_local(const struct err *err);
/** error_is_not_found() - by status, or by trusted reason whatever the
 * status. */
bool error_is_not_found(const struct cws_error *e);
/** error_is_transient() - may be retried by a poll. */
bool error_is_transient(const struct cws_error *e);
/** error_reason_is() - a trusted reason equals @reason. */
bool error_reason_is(const struct cws_error *e, const char *reason);

#endif
