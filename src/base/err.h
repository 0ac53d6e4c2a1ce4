/*
 * The error object of runtime/, server/ and client/: what went wrong, in one place, once.
 *
 * A `struct err` starts zeroed (`struct err err = {0};`), is set at most once by err_set*(), may get context by
 * err_wrap(), and is emptied by err_done(). Codes have the numbers of gRPC status codes so that no table is needed
 * between them. `reason` is a static string of the CWSANDBOX_* vocabulary (docs/errors.md) or NULL. A foreign peer's
 * reason is copied (reason_owned). An allocation failure while filling an error degrades its text, never its code.
 *
 * Thread: an object belongs to one thread at a time. No logging here.
 */
#ifndef CWS_BASE_ERR_H
#define CWS_BASE_ERR_H

#include <stdarg.h>

#include "base/macros.h"

/* Source: grpc/doc/statuscodes.md; numbers are the wire's. */
enum err_code {
    ERR_OK = 0,
    ERR_CANCELLED = 1,
    ERR_UNKNOWN = 2,
    ERR_INVALID_ARGUMENT = 3,
    ERR_DEADLINE_EXCEEDED = 4,
    ERR_NOT_FOUND = 5,
    ERR_ALREADY_EXISTS = 6,
    ERR_PERMISSION_DENIED = 7,
    ERR_RESOURCE_EXHAUSTED = 8,
    ERR_FAILED_PRECONDITION = 9,
    ERR_ABORTED = 10,
    ERR_OUT_OF_RANGE = 11,
    ERR_UNIMPLEMENTED = 12,
    ERR_INTERNAL = 13,
    ERR_UNAVAILABLE = 14,
    ERR_DATA_LOSS = 15,
    ERR_UNAUTHENTICATED = 16,
    ERR_CODE_MAX,
};

struct err_pair {
    char *key;
    char *value;
};

struct err {
    enum err_code code;
    int sys_errno; /* errno of the failing call, 0 if none; its text is already in `message` */
    const char *reason; /* CWSANDBOX_* or NULL */
    const char
        *domain; /* NULL = ours ("cwsandbox.com"); set only on errors that came from a peer */
    bool reason_owned; /* `reason` and `domain` are heap copies */
    char *message;     /* heap; NULL only after an allocation failure */
    struct err_pair *metadata;
    size_t n_metadata;
    struct err_pair *violations; /* key = field, value = description */
    size_t n_violations;
    uint64_t retry_delay_ns; /* 0 = none, or at once: */
    bool has_retry_delay;    /* a peer named one */
    bool unreadable;         /* what a peer sent was no message: its words are not its own */
};

/**
 * err_set() - record what failed; `fmt` is verb + object, no "failed to", no newline
 * Return: always -1, so that `return err_set(err, ...)` reads well. @err may be NULL (nothing is recorded).
 * An error already set is replaced.
 */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** err_set_reason() - as err_set(), with a static CWSANDBOX_* reason. */
int err_set_reason(struct err *err, enum err_code code, const char *reason, const char *fmt,
                   ...) PRINTF_LIKE(4, 5);
/** err_set_errno() - as err_set(), appends ": <strerror>"; @sys_errno positive. */
int err_set_errno(struct err *err, enum err_code code, int sys_errno, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/** err_wrap() - prepend "<context>: " to the message; returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** err_add_metadata() - copies both strings; silently drops the pair when out of memory. */
void err_add_metadata(struct err *err, const char *key, const char *value);
/** err_add_violation() - one BadRequest field violation; copies both. */
void err_add_violation(struct err *err, const char *field, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/** err_metadata() - value for @key, borrowed, or NULL. */
const char *err_metadata(const struct err *err, const char *key);
/** err_set_peer_reason() - copy a reason and its domain as received from a peer. */
void err_set_peer_reason(struct err *err, const char *reason, const char *domain);
/** err_copy() - deep copy into an empty @dst. */
void err_copy(struct err *dst, const struct err *src);
/** err_move() - *dst = *src, *src emptied. */
void err_move(struct err *dst, struct err *src);
void err_done(struct err *err);
/** err_text() - never NULL. */
const char *err_text(const struct err *err);
/** err_code_name() - "NOT_FOUND" etc.; never NULL. */
const char *err_code_name(enum err_code code);

#define CLEANUP_ERR CLEANUP(err_done)

#endif
