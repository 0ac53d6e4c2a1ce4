/*
 * Statuses on the wire, both directions. See status.h. Encoders return -ENOMEM, decoders of
 * details never complain.
 */
#include "wire/status.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "wire/proto.h"

#define TYPE_URL "type.googleapis.com/google.rpc."

/* ---- google.rpc.Status ---- */

static int add_detail(Rpc__Status *st, const char *type_url, const void *msg)
{
    Pb__Any *any = calloc(1, sizeof(*any));
    struct buf bytes = {0};
    if (!any || proto_pack(msg, &bytes) < 0) {
        free(any);
        return -ENOMEM;
    }
    pb__any__init(any);
    any->type_url = (char *)type_url; /* never written through */
    any->value.data = buf_take(&bytes, &any->value.len);
    st->details[st->n_details++] = any;
    return 0;
}

static int add_error_info(Rpc__Status *st, const struct err *err)
{
    CLEANUP_FREE Rpc__ErrorInfo__MetadataEntry *entries =
        calloc(err->n_metadata + 1, sizeof(*entries));
    CLEANUP_FREE Rpc__ErrorInfo__MetadataEntry **refs =
        calloc(err->n_metadata + 1, sizeof(*refs));
    if (!entries || !refs)
        return -ENOMEM;
    for (size_t i = 0; i < err->n_metadata; i++) {
        rpc__error_info__metadata_entry__init(&entries[i]);
        entries[i].key = err->metadata[i].key;
        entries[i].value = err->metadata[i].value;
        refs[i] = &entries[i];
    }
    Rpc__ErrorInfo info = RPC__ERROR_INFO__INIT;
    info.reason = (char *)(err->reason ? err->reason : "");
    info.domain = (char *)(err->domain ? err->domain : STATUS_DOMAIN);
    info.n_metadata = err->n_metadata;
    info.metadata = refs;
    return add_detail(st, TYPE_URL "ErrorInfo", &info);
}

static int add_bad_request(Rpc__Status *st, const struct err *err)
{
    CLEANUP_FREE Rpc__BadRequest__FieldViolation *rows =
        calloc(err->n_violations, sizeof(*rows));
    CLEANUP_FREE Rpc__BadRequest__FieldViolation **refs =
        calloc(err->n_violations, sizeof(*refs));
    if (!rows || !refs)
        return -ENOMEM;
    for (size_t i = 0; i < err->n_violations; i++) {
        rpc__bad_request__field_violation__init(&rows[i]);
        rows[i].field = err->violations[i].key;
        rows[i].description = err->violations[i].value;
        refs[i] = &rows[i];
    }
    Rpc__BadRequest bad = RPC__BAD_REQUEST__INIT;
    bad.n_field_violations = err->n_violations;
    bad.field_violations = refs;
    return add_detail(st, TYPE_URL "BadRequest", &bad);
}

static int add_retry_info(Rpc__Status *st, const struct err *err)
{
    Pb__Duration delay = PB__DURATION__INIT;
    delay.seconds = (int64_t)(err->retry_delay_ns / NS_PER_SEC);
    delay.nanos = (int32_t)(err->retry_delay_ns % NS_PER_SEC);
    Rpc__RetryInfo retry = RPC__RETRY_INFO__INIT;
    retry.retry_delay = &delay;
    return add_detail(st, TYPE_URL "RetryInfo", &retry);
}

int status_encode_details(const struct err *err, struct buf *out)
{
    if (!err->reason && err->n_metadata == 0 && err->n_violations == 0 &&
        err->retry_delay_ns == 0)
        return 0;
    Rpc__Status st = RPC__STATUS__INIT;
    Pb__Any *details[3]; /* one of each kind below */
    st.details = details;
    st.code = (int32_t)err->code;
    st.message = (char *)err_text(err);
    int r = 0;
    if (err->reason || err->n_metadata > 0)
        r = add_error_info(&st, err);
    if (r == 0 && err->n_violations > 0)
        r = add_bad_request(&st, err);
    if (r == 0 && err->retry_delay_ns > 0)
        r = add_retry_info(&st, err);
    if (r == 0)
        r = proto_pack(&st, out);
    for (size_t i = 0; i < st.n_details; i++) {
        free(details[i]->value.data);
        free(details[i]);
    }
    return r;
}

static bool is_blank(const char *s)
{
    return s[strspn(s, " \t\r\n")] == '\0';
}

static void take_error_info(const Rpc__ErrorInfo *info, struct err *err)
{
    if (err->reason || is_blank(info->reason))
        return;
    err_set_peer_reason(err, info->reason, info->domain);
    for (size_t i = 0; i < info->n_metadata; i++)
        err_add_metadata(err, info->metadata[i]->key, info->metadata[i]->value);
}

static void take_retry_info(const Rpc__RetryInfo *retry, struct err *err)
{
    const Pb__Duration *d = retry->retry_delay;
    /* Range: google/protobuf/duration.proto allows 315,576,000,000 s (10,000 years);
     * nanoseconds of that still fit only up to 584 years, and no retry is that far away. */
    if (err->retry_delay_ns != 0 || !d || d->seconds < 0 || d->seconds > 315576000000 ||
        d->nanos < 0 || d->nanos > 999999999)
        return;
    uint64_t ns;
    if (__builtin_mul_overflow((uint64_t)d->seconds, NS_PER_SEC, &ns))
        ns = UINT64_MAX - NS_PER_SEC;
    err->retry_delay_ns = ns + (uint64_t)d->nanos;
    err->has_retry_delay = true;
}

static void take_bad_request(const Rpc__BadRequest *bad, struct err *err)
{
    for (size_t i = 0; i < bad->n_field_violations; i++) {
        const Rpc__BadRequest__FieldViolation *v = bad->field_violations[i];
        const char *text = v->description;
        if (is_blank(text) && v->localized_message)
            text = v->localized_message->message;
        if (is_blank(text))
            text = v->reason;
        if (!is_blank(text))
            err_add_violation(err, v->field, "%s", text);
    }
}

static void take_detail(const Pb__Any *any, struct err *err)
{
    const char *name = strrchr(any->type_url, '/');
    name = name ? name + 1 : any->type_url;
    if (strcmp(name, "google.rpc.ErrorInfo") == 0) {
        CLEANUP_PROTO Rpc__ErrorInfo *m =
            proto_unpack(&rpc__error_info__descriptor, any->value.data, any->value.len, NULL);
        if (m)
            take_error_info(m, err);
    } else if (strcmp(name, "google.rpc.RetryInfo") == 0) {
        CLEANUP_PROTO Rpc__RetryInfo *m =
            proto_unpack(&rpc__retry_info__descriptor, any->value.data, any->value.len, NULL);
        if (m)
            take_retry_info(m, err);
    } else if (strcmp(name, "google.rpc.BadRequest") == 0) {
        CLEANUP_PROTO Rpc__BadRequest *m =
            proto_unpack(&rpc__bad_request__descriptor, any->value.data, any->value.len, NULL);
        if (m)
            take_bad_request(m, err);
    }
}

void status_decode_details(const uint8_t *data, size_t n, struct err *err)
{
    CLEANUP_PROTO Rpc__Status *st = proto_unpack(&rpc__status__descriptor, data, n, NULL);
    for (size_t i = 0; st && i < st->n_details; i++)
        take_detail(st->details[i], err);
}

/* ---- grpc-message ---- */

int status_percent_encode(const char *text, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = strlen(text);
    int r = buf_reserve(out, 3 * n);
    if (r < 0 || n == 0)
        return r;
    uint8_t *o = buf_tail(out);
    size_t at = 0;
    for (const uint8_t *p = (const uint8_t *)text; *p; p++) {
        /* Unreserved: 0x20-0x24, 0x26-0x7e. A blank at either end would be trimmed on the way
         * (RFC 9113 8.2.1). */
        bool edge = p == (const uint8_t *)text || p[1] == '\0';
        if (*p >= 0x20 && *p <= 0x7e && *p != '%' && !(*p == ' ' && edge)) {
            o[at++] = *p;
        } else {
            o[at++] = '%';
            o[at++] = (uint8_t)hex[*p >> 4];
            o[at++] = (uint8_t)hex[*p & 15];
        }
    }
    buf_commit(out, at);
    return 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int status_percent_decode(const char *text, struct buf *out)
{
    size_t n = strlen(text);
    int r = buf_reserve(out, n);
    if (r < 0 || n == 0)
        return r;
    uint8_t *o = buf_tail(out);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        int hi = text[i] == '%' && n - i > 2 ? hex_value(text[i + 1]) : -1;
        int lo = hi >= 0 ? hex_value(text[i + 2]) : -1;
        if (lo >= 0) {
            o[at++] = (uint8_t)(hi << 4 | lo);
            i += 2;
        } else {
            o[at++] = (uint8_t)text[i]; /* malformed escapes stay as they are */
        }
    }
    buf_commit(out, at);
    return 0;
}

/* ---- grpc-timeout ---- */

static const struct {
    char unit;
    uint64_t ns;
} units[] = {
    {'n', 1},
    {'u', 1000},
    {'m', NS_PER_MS},
    {'S', NS_PER_SEC},
    {'M', 60 * NS_PER_SEC},
    {'H', 3600 * NS_PER_SEC},
};
#define TIMEOUT_MAX_VALUE 99999999u /* at most 8 digits: PROTOCOL-HTTP2.md "TimeoutValue" */

void status_format_timeout(uint64_t timeout_ns, char out[static 16])
{
    uint64_t ns = MAX(timeout_ns, (uint64_t)1);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        uint64_t value = ns / units[i].ns + (ns % units[i].ns != 0);
        if (value <= TIMEOUT_MAX_VALUE) {
            (void)snprintf(out, 16, "%llu%c", (unsigned long long)value, units[i].unit);
            return;
        }
    }
}

int status_parse_timeout(const char *text, uint64_t *ret_ns)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9'; n++) {
        if (n == 8)
            return -EINVAL;
        value = value * 10 + (uint64_t)(text[n] - '0');
    }
    if (n == 0 || text[n] == '\0' || text[n + 1] != '\0')
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (units[i].unit != text[n])
            continue;
        if (__builtin_mul_overflow(value, units[i].ns, ret_ns))
            *ret_ns = UINT64_MAX;
        return 0;
    }
    return -EINVAL;
}

/* ---- code mappings ---- */

enum err_code status_from_http(int http_status)
{
    switch (http_status) {
    case 400:
        return ERR_INTERNAL;
    case 401:
        return ERR_UNAUTHENTICATED;
    case 403:
        return ERR_PERMISSION_DENIED;
    case 404:
        return ERR_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return ERR_UNAVAILABLE;
    default:
        return ERR_UNKNOWN;
    }
}

enum err_code status_from_h2_error(uint32_t h2_error)
{
    switch (h2_error) {
    case 0x7: /* REFUSED_STREAM */
        return ERR_UNAVAILABLE;
    case 0x8: /* CANCEL */
        return ERR_CANCELLED;
    case 0xb: /* ENHANCE_YOUR_CALM */
        return ERR_RESOURCE_EXHAUSTED;
    case 0xc: /* INADEQUATE_SECURITY */
        return ERR_PERMISSION_DENIED;
    default:
        return h2_error <= 0xa ? ERR_INTERNAL : ERR_UNKNOWN;
    }
}
