#include "base/err.h"

#include <errno.h>
#include <string.h>

static const char *const code_names[ERR_CODE_MAX] = {
    [ERR_OK] = "OK",
    [ERR_CANCELLED] = "CANCELLED",
    [ERR_UNKNOWN] = "UNKNOWN",
    [ERR_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [ERR_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [ERR_NOT_FOUND] = "NOT_FOUND",
    [ERR_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [ERR_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [ERR_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [ERR_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [ERR_ABORTED] = "ABORTED",
    [ERR_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [ERR_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [ERR_INTERNAL] = "INTERNAL",
    [ERR_UNAVAILABLE] = "UNAVAILABLE",
    [ERR_DATA_LOSS] = "DATA_LOSS",
    [ERR_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *err_code_name(enum err_code code)
{
    if ((unsigned)code >= ERR_CODE_MAX)
        return "UNKNOWN";
    return code_names[code];
}

const char *err_text(const struct err *err)
{
    if (err->message)
        return err->message;
    return err->code == ERR_OK ? "no error" : "out of memory while describing an error";
}

static void pairs_free(struct err_pair **pairs, size_t *n)
{
    for (size_t i = 0; i < *n; i++) {
        free((*pairs)[i].key);
        free((*pairs)[i].value);
    }
    free(*pairs);
    *pairs = NULL;
    *n = 0;
}

/* Appends a pair; on out of memory the list stays as it was. Takes both strings. */
static void pairs_add(struct err_pair **pairs, size_t *n, char *take_key, char *take_value)
{
    struct err_pair *grown =
        take_key && take_value ? realloc(*pairs, (*n + 1) * sizeof(**pairs)) : NULL;
    if (!grown) {
        free(take_key);
        free(take_value);
        return;
    }
    grown[*n] = (struct err_pair){take_key, take_value};
    *pairs = grown;
    (*n)++;
}

void err_done(struct err *err)
{
    if (!err)
        return;
    free(err->message);
    if (err->reason_owned) {
        free((char *)err->reason);
        free((char *)err->domain);
    }
    pairs_free(&err->metadata, &err->n_metadata);
    pairs_free(&err->violations, &err->n_violations);
    *err = (struct err){0};
}

static char *format_va(const char *fmt, va_list ap)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        return NULL;
    return text;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    char *text = format_va(fmt, ap); /* before err_done(): an argument may point into @err */
    va_end(ap);
    err_done(err);
    err->code = code;
    err->message = text;
    return -1;
}

int err_set_reason(struct err *err, enum err_code code, const char *reason, const char *fmt,
                   ...)
{
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    char *text = format_va(fmt, ap);
    va_end(ap);
    err_done(err);
    err->code = code;
    err->reason = reason;
    err->message = text;
    return -1;
}

int err_set_errno(struct err *err, enum err_code code, int sys_errno, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *text = format_va(fmt, ap);
    va_end(ap);
    err_done(err);
    err->code = code;
    err->sys_errno = sys_errno;
    char detail[128]; /* strerror_r texts of glibc and musl are under 80 bytes */
    const char *why = strerror_r(sys_errno, detail, sizeof(detail));
    char *full = NULL;
    if (text && asprintf(&full, "%s: %s", text, why) >= 0)
        err->message = full;
    return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *context = format_va(fmt, ap);
    va_end(ap);
    char *full = NULL;
    if (context && asprintf(&full, "%s: %s", context, err_text(err)) >= 0) {
        free(err->message);
        err->message = full;
    }
    return -1;
}

void err_add_metadata(struct err *err, const char *key, const char *value)
{
    if (err)
        pairs_add(&err->metadata, &err->n_metadata, strdup(key), strdup(value));
}

void err_add_violation(struct err *err, const char *field, const char *fmt, ...)
{
    if (!err)
        return;
    va_list ap;
    va_start(ap, fmt);
    pairs_add(&err->violations, &err->n_violations, strdup(field), format_va(fmt, ap));
    va_end(ap);
}

const char *err_metadata(const struct err *err, const char *key)
{
    for (size_t i = 0; i < err->n_metadata; i++)
        if (strcmp(err->metadata[i].key, key) == 0)
            return err->metadata[i].value;
    return NULL;
}

void err_set_peer_reason(struct err *err, const char *reason, const char *domain)
{
    char *r = strdup(reason);
    char *d = strdup(domain);
    if (!r || !d) {
        free(r);
        free(d);
        return;
    }
    if (err->reason_owned) {
        free((char *)err->reason);
        free((char *)err->domain);
    }
    err->reason = r;
    err->domain = d;
    err->reason_owned = true;
}

void err_copy(struct err *dst, const struct err *src)
{
    *dst = (struct err){.code = src->code,
                        .sys_errno = src->sys_errno,
                        .retry_delay_ns = src->retry_delay_ns,
                        .has_retry_delay = src->has_retry_delay,
                        .unreadable = src->unreadable};
    if (src->message)
        dst->message = strdup(src->message);
    if (src->reason_owned)
        err_set_peer_reason(dst, src->reason, src->domain ? src->domain : "");
    else
        dst->reason = src->reason;
    for (size_t i = 0; i < src->n_metadata; i++)
        err_add_metadata(dst, src->metadata[i].key, src->metadata[i].value);
    for (size_t i = 0; i < src->n_violations; i++)
        err_add_violation(dst, src->violations[i].key, "%s", src->violations[i].value);
}

void err_move(struct err *dst, struct err *src)
{
    *dst = *src;
    *src = (struct err){0};
}
