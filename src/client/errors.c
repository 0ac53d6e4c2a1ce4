/*
 * From what the service said to the kind that the program sees. This table is the only place
 * that knows; docs/errors.md shows it to people. Source: the published client.
 */
#include <string.h>

#include "base/util.h"
#include "client/error.h"
#include "client/field-words.h"
#include "wire/status.h"

struct reason_row {
    const char *reason; /* without the common prefix */
    cws_error_kind kind;
};
#define REASON_PREFIX "CWSANDBOX_"

/* Sorted by kind. Valid for a trusted domain only: a proxy in between may use the same words
 * for something else. */
static const struct reason_row reasons[] = {
    {"FILE_NOT_FOUND", CWS_E_FILE},
    {"FILE_IS_DIRECTORY", CWS_E_FILE},
    {"FILE_IO_FAILED", CWS_E_FILE},
    {"FILE_PERMISSION_DENIED", CWS_E_FILE},
    {"FILE_TOO_LARGE", CWS_E_FILE},
    {"FILE_TRUNCATED", CWS_E_FILE},
    {"SANDBOX_NOT_FOUND", CWS_E_NOT_FOUND},
    {"SANDBOX_NOT_RUNNING", CWS_E_NOT_RUNNING},
    {"COMMAND_TIMEOUT", CWS_E_COMMAND_TIMEOUT},
    /* by its status it would be the sandbox that is missing */
    {"RUNNER_UNAVAILABLE", CWS_E_UNAVAILABLE},
    {"BACKEND_UNAVAILABLE", CWS_E_UNAVAILABLE},
    {"RUNNER_SHARD_RETIRING", CWS_E_UNAVAILABLE},
    {"FSS_NOT_FOUND", CWS_E_SNAPSHOT_NOT_FOUND},
    {"FSS_NOT_READY", CWS_E_SNAPSHOT_NOT_READY},
    {"FSS_NOT_SUPPORTED", CWS_E_SNAPSHOT_NOT_SUPPORTED},
    {"FSS_SIZE_EXCEEDED", CWS_E_SNAPSHOT_SIZE_EXCEEDED},
    {"FSS_QUOTA_EXCEEDED", CWS_E_SNAPSHOT_QUOTA_EXCEEDED},
    {"FSS_BUCKET_MISMATCH", CWS_E_SNAPSHOT_BUCKET_MISMATCH},
    {"FSS_BUCKET_UNAVAILABLE", CWS_E_SNAPSHOT},
    {"FSS_RESTORE_FAILED", CWS_E_SNAPSHOT},
    {"FSS_CREATE_FAILED", CWS_E_SNAPSHOT},
    {"FSS_CREATE_TIMED_OUT", CWS_E_SNAPSHOT},
    {"FSS_AUTH_FAILED", CWS_E_SNAPSHOT},
    {"FSS_TRANSPORT_FAILED", CWS_E_SNAPSHOT},
    {"FSS_CANCELED", CWS_E_SNAPSHOT},
    {"FSS_WAIT_TIMEOUT", CWS_E_SNAPSHOT_WAIT_TIMEOUT},
    {"FSS_BACKEND_THROTTLED", CWS_E_SNAPSHOT_THROTTLED},
    {"FSS_INFLIGHT_LIMIT", CWS_E_SNAPSHOT_THROTTLED},
    {"FSS_BUCKET_PROVISIONING", CWS_E_SNAPSHOT_BUCKET_PROVISIONING},
    {"VOLUME_NOT_FOUND", CWS_E_VOLUME_NOT_FOUND},
    {"VOLUME_NOT_READY", CWS_E_VOLUME_NOT_READY},
    {"VOLUME_PLACEMENT_CONFLICT", CWS_E_VOLUME_PLACEMENT_CONFLICT},
    {"VOLUME_TYPE_NOT_SUPPORTED", CWS_E_VOLUME_TYPE_NOT_SUPPORTED},
    {"VOLUME_NOT_SNAPSHOTTABLE", CWS_E_VOLUME_NOT_SNAPSHOTTABLE},
    {"VOLUME_RUNNER_INELIGIBLE", CWS_E_VOLUME_RUNNER_INELIGIBLE},
    {"VOLUME_BACKEND_NOT_FOUND", CWS_E_VOLUME_BACKEND_NOT_FOUND},
    {"VOLUME_IN_USE", CWS_E_VOLUME_IN_USE},
    {"VOLUME_QUOTA_EXCEEDED", CWS_E_VOLUME_QUOTA_EXCEEDED},
    {"VOLUME_RUNNER_UNAVAILABLE", CWS_E_VOLUME_RUNNER_UNAVAILABLE},
};

static const cws_error_kind kind_of_status[ERR_CODE_MAX] = {
    [ERR_CANCELLED] = CWS_E_NOT_RUNNING,
    [ERR_DEADLINE_EXCEEDED] = CWS_E_REQUEST_TIMEOUT,
    [ERR_NOT_FOUND] = CWS_E_NOT_FOUND,
    [ERR_PERMISSION_DENIED] = CWS_E_AUTHENTICATION,
    [ERR_RESOURCE_EXHAUSTED] = CWS_E_RESOURCE_EXHAUSTED,
    [ERR_UNAVAILABLE] = CWS_E_UNAVAILABLE,
    [ERR_UNAUTHENTICATED] = CWS_E_AUTHENTICATION,
    /* everything else: CWS_E_SANDBOX */
};

static const char *trusted_reason(const struct err *status)
{
    if (!status->reason || !status->domain || strcmp(status->domain, STATUS_DOMAIN) != 0)
        return NULL;
    return str_startswith(status->reason, REASON_PREFIX);
}

/* Contract/sdk.md 8.3: sandbox reasons mean nothing there. */
static cws_error_kind kind_from_discovery(const struct err *status,
                                          const struct error_site *site)
{
    const char *reason = trusted_reason(status);
    if (site->runner_id &&
        (status->code == ERR_NOT_FOUND || (reason && strcmp(reason, "RUNNER_NOT_FOUND") == 0)))
        return CWS_E_RUNNER_NOT_FOUND;
    if (status->code == ERR_INVALID_ARGUMENT && status->n_violations > 0)
        return CWS_E_DISCOVERY_VALIDATION;
    if (status->code == ERR_UNAUTHENTICATED || status->code == ERR_PERMISSION_DENIED)
        return CWS_E_AUTHENTICATION;
    return CWS_E_DISCOVERY;
}

static cws_error_kind kind_from_status(const struct err *status, const struct error_site *site)
{
    if (status->unreadable)
        return CWS_E_PROTOCOL;
    if (site->is_discovery)
        return kind_from_discovery(status, site);
    if (status->code == ERR_DEADLINE_EXCEEDED && site->is_exec)
        return CWS_E_TIMEOUT; /* whatever the reason */
    const char *reason = trusted_reason(status);
    for (size_t i = 0; reason && i < ARRAY_SIZE(reasons); i++)
        if (strcmp(reasons[i].reason, reason) == 0)
            return reasons[i].kind;
    if (status->code == ERR_INVALID_ARGUMENT && status->n_violations > 0)
        return CWS_E_VALIDATION;
    if (status->code == ERR_NOT_FOUND && site->snapshot_id)
        return CWS_E_SNAPSHOT_NOT_FOUND;
    if (status->code == ERR_NOT_FOUND && site->volume_id)
        return CWS_E_VOLUME_NOT_FOUND;
    cws_error_kind kind =
        (unsigned)status->code < ERR_CODE_MAX ? kind_of_status[status->code] : 0;
    return kind ? kind : CWS_E_SANDBOX;
}

/* "field: description; field: description" */
static char *violations_text(const struct err *status)
{
    char *text = NULL;
    for (size_t i = 0; i < status->n_violations; i++) {
        const struct err_pair *v = &status->violations[i];
        char *longer = str_dup_printf("%s%s%s%s%s", text ? text : "", text ? "; " : "",
                                      field_word(v->key), *v->key ? ": " : "", v->value);
        free(text);
        if (!longer)
            return NULL;
        text = longer;
    }
    return text;
}

/* What the contract's readers look for in a message is added where the
 * peer does not say it. */
static char *message_text(const struct err *status, const struct error_site *site,
                          cws_error_kind kind)
{
    const char *text = *err_text(status) ? err_text(status) : err_code_name(status->code);
    switch ((int)kind) {
    case CWS_E_AUTHENTICATION:
        return str_dup_printf("%s: %s: %s", site->label,
                              status->code == ERR_PERMISSION_DENIED ? "Permission denied"
                                                                    : "Authentication failed",
                              text);
    case CWS_E_NOT_FOUND:
        if (!site->sandbox_id || (strstr(text, "not found") && strstr(text, site->sandbox_id)))
            return str_dup_printf("%s: %s", site->label, text);
        return str_dup_printf("%s: sandbox '%s' not found: %s", site->label, site->sandbox_id,
                              text);
    case CWS_E_NOT_RUNNING:
        return str_dup_printf("%s: the call was cancelled: %s", site->label, text);
    case CWS_E_DISCOVERY_VALIDATION:
    case CWS_E_VALIDATION: {
        CLEANUP_FREE char *violations = violations_text(status);
        return str_dup_printf("%s: %s", site->label, violations ? violations : text);
    }
    case CWS_E_PROTOCOL:
        return str_dup_printf("%s: the service's answer could not be decoded%s%s: %s",
                              site->label, site->sandbox_id ? " for sandbox ID " : "",
                              site->sandbox_id ? site->sandbox_id : "", text);
    default:
        return str_dup_printf("%s: %s", site->label, text);
    }
}

struct cws_error *error_from_status(const struct err *status, const struct error_site *site)
{
    struct cws_error *e = calloc(1, sizeof(*e));
    if (!e)
        return &error_nomem;
    e->refs = 1;
    e->kind = kind_from_status(status, site);
    e->status = (int)status->code;
    err_copy(&e->detail, status);
    CLEANUP_FREE char *raw = message_text(status, site, e->kind);
    char *text = raw ? field_words(raw) : NULL;
    if (text) {
        free(e->detail.message);
        e->detail.message = text;
    }
    const char *filepath = site->filepath;
    if (!filepath && e->kind == CWS_E_FILE)
        filepath = err_metadata(status, "filepath");
    error_add_filepath(e, filepath);
    error_add_sandbox_id(e, site->sandbox_id);
    error_add_snapshot_id(e, site->snapshot_id);
    error_add_runner_id(e, site->runner_id);
    bool names_volume = (e->kind >= CWS_E_VOLUME && e->kind <= CWS_E_VOLUME_WAIT_TIMEOUT);
    error_add_volume_id(e, site->volume_id ? site->volume_id
                           : names_volume  ? err_metadata(status, "volume_id")
                                           : NULL);
    return e;
}

void error_mark_unreadable(struct err *err)
{
    if (err->code != ERR_INVALID_ARGUMENT)
        return; /* out of memory */
    err->code = ERR_INTERNAL;
    err->unreadable = true;
}

struct cws_error *error_from_local(const struct err *err)
{
    cws_error_kind kind = CWS_E_GENERIC;
    if (err->code == ERR_INVALID_ARGUMENT)
        kind = CWS_E_INVALID;
    else if (err->code == ERR_RESOURCE_EXHAUSTED)
        return &error_nomem; /* our own rooms use this code for one thing only */
    else if (err->code == ERR_UNAVAILABLE)
        kind = CWS_E_UNAVAILABLE;
    return error_new(kind, "%s", err_text(err));
}

bool error_reason_is(const struct cws_error *e, const char *reason)
{
    const char *trusted = trusted_reason(&e->detail);
    return trusted && strcmp(trusted, reason) == 0;
}

bool error_is_not_found(const struct cws_error *e)
{
    return e->status == ERR_NOT_FOUND || error_reason_is(e, "SANDBOX_NOT_FOUND");
}

bool error_is_transient(const struct cws_error *e)
{
    switch ((int)e->kind) {
    case CWS_E_UNAVAILABLE:
    case CWS_E_REQUEST_TIMEOUT:
    case CWS_E_RESOURCE_EXHAUSTED:
    case CWS_E_SNAPSHOT_THROTTLED:
    case CWS_E_SNAPSHOT_BUCKET_PROVISIONING:
    case CWS_E_VOLUME_RUNNER_UNAVAILABLE:
        return true;
    default:
        return false;
    }
}
