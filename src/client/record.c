/* See record.h. Memory is laid out as protobuf-c unpacks it, so that proto_free() frees it. */
#include "client/record.h"

#include <string.h>

#include "base/util.h"

/* ---- fields ---- */

static ProtobufCMessage *message_of(const cws_record *r)
{
    return record_message(r);
}

static const ProtobufCFieldDescriptor *find(const cws_record *r, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(message_of(r)->descriptor, name);
}

static const ProtobufCFieldDescriptor *need(const cws_record *r, const char *name,
                                            cws_error **error)
{
    const ProtobufCFieldDescriptor *f = find(r, name);
    if (!f)
        (void)error_set(error, CWS_E_INVALID, "%s has no field `%s`",
                        message_of(r)->descriptor->short_name, name);
    return f;
}

static cws_value kind_of(const ProtobufCFieldDescriptor *f)
{
    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return CWS_VALUE_TEXT;
    case PROTOBUF_C_TYPE_BYTES:
        return CWS_VALUE_BYTES;
    case PROTOBUF_C_TYPE_MESSAGE:
        return CWS_VALUE_RECORD;
    case PROTOBUF_C_TYPE_BOOL:
        return CWS_VALUE_BOOL;
    case PROTOBUF_C_TYPE_ENUM:
        return CWS_VALUE_ENUM;
    default:
        return CWS_VALUE_INT;
    }
}

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
    switch ((int)kind_of(f)) {
    case CWS_VALUE_TEXT:
    case CWS_VALUE_RECORD:
        return sizeof(void *);
    case CWS_VALUE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        break;
    }
    bool wide = f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_UINT64;
    return wide ? sizeof(int64_t) : sizeof(int32_t);
}

static bool is_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

static bool is_repeated(const ProtobufCFieldDescriptor *f)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static void *at(const cws_record *r, size_t offset)
{
    return (char *)message_of(r) + offset;
}

static size_t count_of(const cws_record *r, const ProtobufCFieldDescriptor *f)
{
    const void *value = at(r, f->offset);
    if (is_repeated(f))
        return *(size_t *)at(r, f->quantifier_offset);
    if (is_oneof(f))
        return *(uint32_t *)at(r, f->quantifier_offset) == f->id;
    switch ((int)kind_of(f)) {
    case CWS_VALUE_RECORD:
        return *(void *const *)value != NULL;
    case CWS_VALUE_TEXT:
        return **(char *const *)value != '\0';
    case CWS_VALUE_BYTES:
        return ((const ProtobufCBinaryData *)value)->len > 0;
    default:
        return size_of(f) == sizeof(int64_t) ? *(const int64_t *)value != 0
                                             : *(const int32_t *)value != 0;
    }
}

/* The @i-th value, which exists. */
static void *value_at(const cws_record *r, const ProtobufCFieldDescriptor *f, size_t i)
{
    char *first = is_repeated(f) ? *(char **)at(r, f->offset) : at(r, f->offset);
    return first + i * size_of(f);
}

/* ---- writing ---- */

static void drop_value(const ProtobufCFieldDescriptor *f, void *value)
{
    if (kind_of(f) == CWS_VALUE_RECORD)
        proto_free(*(void **)value);
    else if (kind_of(f) == CWS_VALUE_BYTES)
        free(((ProtobufCBinaryData *)value)->data);
    else if (kind_of(f) == CWS_VALUE_TEXT && *(char **)value != protobuf_c_empty_string)
        free(*(char **)value);
}

/* The value of the oneof that is set now goes away. */
static void clear_oneof(cws_record *r, const ProtobufCFieldDescriptor *f)
{
    uint32_t *number = at(r, f->quantifier_offset);
    const ProtobufCFieldDescriptor *old =
        *number ? protobuf_c_message_descriptor_get_field(message_of(r)->descriptor, *number)
                : NULL;
    if (old)
        drop_value(old, at(r, old->offset));
    *number = f->id;
}

/* Room for one more value, or for the one; NULL: out of memory. Nothing can fail after it. */
static void *place(cws_record *r, const ProtobufCFieldDescriptor *f)
{
    if (is_oneof(f)) {
        clear_oneof(r, f);
        return at(r, f->offset);
    }
    if (!is_repeated(f)) {
        drop_value(f, at(r, f->offset));
        return at(r, f->offset);
    }
    size_t *n = at(r, f->quantifier_offset);
    void **items = at(r, f->offset);
    if ((*n & (*n - 1)) == 0) { /* 0 or a power of two: it is full */
        void *grown = realloc(*items, MAX(2 * *n, (size_t)1) * size_of(f));
        if (!grown)
            return NULL;
        *items = grown;
    }
    return (char *)*items + (*n)++ * size_of(f);
}

static int wrong_kind(const cws_record *r, const ProtobufCFieldDescriptor *f, const char *given,
                      cws_error **error)
{
    return error_set(error, CWS_E_INVALID, "%s.%s does not take %s",
                     message_of(r)->descriptor->short_name, f->name, given);
}

static int set_enum_by_name(cws_record *r, const ProtobufCFieldDescriptor *f, const char *name,
                            cws_error **error)
{
    const ProtobufCEnumValue *v =
        protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, name);
    if (!v)
        return error_set(error, CWS_E_INVALID, "%s.%s has no value `%s`",
                         message_of(r)->descriptor->short_name, f->name, name);
    return cws_record_set_int(r, f->name, v->value, error);
}

int cws_record_set_text(cws_record *r, const char *field, const char *value, cws_error **error)
{
    const ProtobufCFieldDescriptor *f = need(r, field, error);
    if (!f)
        return -1;
    if (!value || !utf8_valid(value, strlen(value)))
        return error_set(error, CWS_E_INVALID, "%s is not valid UTF-8", field);
    if (kind_of(f) == CWS_VALUE_ENUM)
        return set_enum_by_name(r, f, value, error);
    if (kind_of(f) != CWS_VALUE_TEXT)
        return wrong_kind(r, f, "text", error);
    char *copy = strdup(value);
    char **to = copy ? place(r, f) : NULL;
    if (!to) {
        free(copy);
        return error_give(error, &error_nomem);
    }
    *to = copy;
    return 0;
}

int cws_record_set_bytes(cws_record *r, const char *field, const void *data, size_t size,
                         cws_error **error)
{
    const ProtobufCFieldDescriptor *f = need(r, field, error);
    if (!f)
        return -1;
    if (kind_of(f) != CWS_VALUE_BYTES)
        return wrong_kind(r, f, "bytes", error);
    uint8_t *copy = malloc(size ? size : 1);
    ProtobufCBinaryData *to = copy ? place(r, f) : NULL;
    if (!to) {
        free(copy);
        return error_give(error, &error_nomem);
    }
    if (size)
        memcpy(copy, data, size);
    *to = (ProtobufCBinaryData){.data = copy, .len = size};
    return 0;
}

static bool in_range(const ProtobufCFieldDescriptor *f, int64_t value)
{
    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_UINT32:
        return value >= 0 && value <= UINT32_MAX;
    case PROTOBUF_C_TYPE_INT64:
        return true;
    case PROTOBUF_C_TYPE_BOOL:
        return value == 0 || value == 1;
    default:
        return value >= INT32_MIN && value <= INT32_MAX;
    }
}

int cws_record_set_int(cws_record *r, const char *field, int64_t value, cws_error **error)
{
    const ProtobufCFieldDescriptor *f = need(r, field, error);
    if (!f)
        return -1;
    cws_value kind = kind_of(f);
    if (kind != CWS_VALUE_INT && kind != CWS_VALUE_BOOL && kind != CWS_VALUE_ENUM)
        return wrong_kind(r, f, "a number", error);
    if (!in_range(f, value))
        return error_set(error, CWS_E_INVALID, "%s.%s: %lld is out of range",
                         message_of(r)->descriptor->short_name, field, (long long)value);
    void *to = place(r, f);
    if (!to)
        return error_give(error, &error_nomem);
    if (size_of(f) == sizeof(int64_t))
        *(int64_t *)to = value;
    else
        *(uint32_t *)to = (uint32_t)value;
    return 0;
}

cws_record *cws_record_add(cws_record *r, const char *field, cws_error **error)
{
    const ProtobufCFieldDescriptor *f = need(r, field, error);
    if (!f)
        return NULL;
    if (kind_of(f) != CWS_VALUE_RECORD) {
        (void)wrong_kind(r, f, "a record", error);
        return NULL;
    }
    if (!is_repeated(f) && count_of(r, f))
        return *(cws_record **)at(r, f->offset);
    cws_record *inner = record_new(f->descriptor);
    cws_record **to = inner ? place(r, f) : NULL;
    if (!to) {
        record_done(&inner);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    *to = inner;
    return inner;
}

/* ---- reading ---- */

int cws_record_field(const cws_record *r, size_t i, cws_field *ret)
{
    const ProtobufCMessageDescriptor *d = message_of(r)->descriptor;
    if (i >= d->n_fields)
        return 0;
    const ProtobufCFieldDescriptor *f = &d->fields[i];
    *ret = (cws_field){
        .name = f->name, .kind = kind_of(f), .repeated = is_repeated(f), .n = count_of(r, f)};
    return 1;
}

static const void *get(const cws_record *r, const char *field, cws_value kind, size_t i)
{
    const ProtobufCFieldDescriptor *f = r ? find(r, field) : NULL;
    return f && kind_of(f) == kind && i < count_of(r, f) ? value_at(r, f, i) : NULL;
}

size_t cws_record_count(const cws_record *r, const char *field)
{
    const ProtobufCFieldDescriptor *f = r ? find(r, field) : NULL;
    return f ? count_of(r, f) : 0;
}

const char *cws_record_text(const cws_record *r, const char *field, size_t i)
{
    char *const *value = get(r, field, CWS_VALUE_TEXT, i);
    return value ? *value : "";
}

const void *cws_record_bytes(const cws_record *r, const char *field, size_t i, size_t *ret_size)
{
    const ProtobufCBinaryData *value = get(r, field, CWS_VALUE_BYTES, i);
    *ret_size = value ? value->len : 0;
    return value ? value->data : NULL;
}

int64_t cws_record_int(const cws_record *r, const char *field, size_t i)
{
    const ProtobufCFieldDescriptor *f = r ? find(r, field) : NULL;
    const void *value = f ? get(r, field, kind_of(f), i) : NULL;
    if (!value || kind_of(f) == CWS_VALUE_TEXT || kind_of(f) == CWS_VALUE_BYTES ||
        kind_of(f) == CWS_VALUE_RECORD)
        return 0;
    if (size_of(f) == sizeof(int64_t))
        return *(const int64_t *)value;
    if (f->type == PROTOBUF_C_TYPE_UINT32)
        return *(const uint32_t *)value;
    return *(const int32_t *)value;
}

const cws_record *cws_record_record(const cws_record *r, const char *field, size_t i)
{
    cws_record *const *value = get(r, field, CWS_VALUE_RECORD, i);
    return value ? *value : NULL;
}

/* ---- whole records ---- */

cws_record *record_new(const ProtobufCMessageDescriptor *desc)
{
    ProtobufCMessage *m = calloc(1, desc->sizeof_message);
    if (m)
        protobuf_c_message_init(desc, m);
    return (cws_record *)m;
}

void record_done(cws_record **r)
{
    proto_free(record_message(*r));
    *r = NULL;
}

void cws_record_free(cws_record *r)
{
    record_done(&r);
}
