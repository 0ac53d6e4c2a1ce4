#include "client/error.h"

#include <string.h>

struct cws_error error_nomem = {
    .immortal = true,
    .kind = CWS_E_NOMEM,
    .status = -1,
    .detail = {.code = ERR_RESOURCE_EXHAUSTED, .message = (char *)"out of memory"},
};
struct cws_error error_forked = {
    .immortal = true,
    .kind = CWS_E_FORKED,
    .status = -1,
    .detail =
        {.code = ERR_FAILED_PRECONDITION,
         .message =
             (char
                  *)"this handle belongs to the parent process: it does not work after fork()"},
};

static struct cws_error *error_new_va(cws_error_kind kind, const char *fmt, va_list ap)
{
    struct cws_error *e = calloc(1, sizeof(*e));
    char *text = NULL;
    if (!e || vasprintf(&text, fmt, ap) < 0) {
        free(e);
        return &error_nomem;
    }
    e->refs = 1;
    e->kind = kind;
    e->status = -1;
    e->detail.code = ERR_UNKNOWN;
    e->detail.message = text;
    return e;
}

struct cws_error *error_new(cws_error_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct cws_error *e = error_new_va(kind, fmt, ap);
    va_end(ap);
    return e;
}

struct cws_error *error_ref(struct cws_error *e)
{
    if (e && !e->immortal)
        atomic_fetch_add(&e->refs, 1);
    return e;
}

void error_unref(struct cws_error *e)
{
    /* A chain of causes is at most a few long: recursion is bounded by how errors are made. */
    if (!e || e->immortal || atomic_fetch_sub(&e->refs, 1) != 1)
        return;
    err_done(&e->detail);
    free(e->sandbox_id);
    free(e->filepath);
    free(e->stream_code);
    free(e->snapshot_id);
    free(e->runner_id);
    free(e->volume_id);
    free(e->status_reason);
    error_unref(e->cause);
    free(e);
}

int error_give(cws_error **ret, struct cws_error *take)
{
    if (ret)
        *ret = take;
    else
        error_unref(take);
    return -1;
}

int error_set(cws_error **ret, cws_error_kind kind, const char *fmt, ...)
{
    if (!ret)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    *ret = error_new_va(kind, fmt, ap);
    va_end(ap);
    return -1;
}

void error_add_reason(struct cws_error *e, const char *static_reason)
{
    if (!e->immortal)
        e->detail.reason = static_reason;
}

void error_add_metadata(struct cws_error *e, const char *key, const char *fmt, ...)
{
    if (e->immortal)
        return;
    va_list ap;
    va_start(ap, fmt);
    char *value = NULL;
    int n = vasprintf(&value, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    err_add_metadata(&e->detail, key, value);
    free(value);
}

static void replace_text(struct cws_error *e, char **field, const char *text)
{
    if (e->immortal || !text)
        return;
    free(*field);
    *field = strdup(text);
}

void error_add_filepath(struct cws_error *e, const char *filepath)
{
    replace_text(e, &e->filepath, filepath);
}

void error_add_sandbox_id(struct cws_error *e, const char *sandbox_id)
{
    replace_text(e, &e->sandbox_id, sandbox_id);
}

void error_add_stream_code(struct cws_error *e, const char *code)
{
    replace_text(e, &e->stream_code, code);
}

void error_add_snapshot_id(struct cws_error *e, const char *snapshot_id)
{
    replace_text(e, &e->snapshot_id, snapshot_id);
}

void error_add_volume_id(struct cws_error *e, const char *volume_id)
{
    replace_text(e, &e->volume_id, volume_id);
}

void error_add_status_reason(struct cws_error *e, const char *reason)
{
    replace_text(e, &e->status_reason, reason);
}

void error_add_runner_id(struct cws_error *e, const char *runner_id)
{
    replace_text(e, &e->runner_id, runner_id);
}

void error_add_note(struct cws_error *e, const char *static_note)
{
    if (!e->immortal)
        e->note = static_note;
}

void error_add_cause(struct cws_error *e, struct cws_error *cause)
{
    if (!e->immortal && !e->cause && cause != e)
        e->cause = error_ref(cause);
}

/* ---- public ---- */

cws_error_kind cws_error_get_kind(const cws_error *e)
{
    return e->kind;
}

const char *cws_error_message(const cws_error *e)
{
    return err_text(&e->detail);
}

const char *cws_error_reason(const cws_error *e)
{
    return e->detail.reason;
}

int cws_error_status(const cws_error *e)
{
    return e->status;
}

uint64_t cws_error_retry_delay_ns(const cws_error *e)
{
    return e->detail.retry_delay_ns;
}

const char *cws_error_sandbox_id(const cws_error *e)
{
    return e->sandbox_id;
}

const char *cws_error_filepath(const cws_error *e)
{
    return e->filepath;
}

const char *cws_error_stream_code(const cws_error *e)
{
    return e->stream_code;
}

const char *cws_error_note(const cws_error *e)
{
    return e->note;
}

const char *cws_error_snapshot_id(const cws_error *e)
{
    return e->snapshot_id;
}

const char *cws_error_volume_id(const cws_error *e)
{
    return e->volume_id;
}

const char *cws_error_status_reason(const cws_error *e)
{
    return e->status_reason;
}

const char *cws_error_runner_id(const cws_error *e)
{
    return e->runner_id;
}

size_t cws_error_n_metadata(const cws_error *e)
{
    return e->detail.n_metadata;
}

void cws_error_metadata(const cws_error *e, size_t i, const char **ret_key,
                        const char **ret_value)
{
    *ret_key = e->detail.metadata[i].key;
    *ret_value = e->detail.metadata[i].value;
}

size_t cws_error_n_violations(const cws_error *e)
{
    return e->detail.n_violations;
}

void cws_error_violation(const cws_error *e, size_t i, const char **ret_field,
                         const char **ret_description)
{
    *ret_field = e->detail.violations[i].key;
    *ret_description = e->detail.violations[i].value;
}

const cws_error *cws_error_cause(const cws_error *e)
{
    return e->cause;
}

void cws_error_free(cws_error *e)
{
    error_unref(e);
}
