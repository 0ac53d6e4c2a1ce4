/*
 * cws_options as a request: CreateSandbox, CreateSandboxFromTemplate or CreateSandboxFromFile. In
 * each the request id comes last, so that it can be renewed in place.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/options-request.h"
#include "client/options.h"

#define UUID_CHARS 36u /* random_uuid() */

static int put_text(struct buf *out, uint32_t number, const char *text)
{
    uint8_t head[PROTO_HEAD_MAX];
    size_t n = strlen(text);
    int r = buf_put(out, head, proto_head_bytes(head, number, n));
    return r < 0 ? r : buf_put(out, text, n);
}

static int put_head(struct buf *out, uint32_t number, size_t n)
{
    uint8_t head[PROTO_HEAD_MAX];
    return buf_put(out, head, proto_head_bytes(head, number, n));
}

/* PartialSandboxSpec and PartialContainer have the numbers of SandboxSpec and Container; so the
 * bytes of a spec are those of the overrides. */
static int put_template_request(const cws_options *o, const struct buf *spec, struct buf *out)
{
    if (put_text(out, 1, o->template_id) < 0 || put_head(out, 2, buf_len(spec)) < 0)
        return -ENOMEM;
    return buf_put(out, buf_head(spec), buf_len(spec));
}

/* Sandbox{spec} in the request. */
static int put_create_request(const struct buf *spec, struct buf *out)
{
    CLEANUP_BUF struct buf head = {0};
    if (put_head(&head, 2, buf_len(spec)) < 0 ||
        put_head(out, 1, buf_len(&head) + buf_len(spec)) < 0 ||
        buf_put(out, buf_head(&head), buf_len(&head)) < 0)
        return -ENOMEM;
    return buf_put(out, buf_head(spec), buf_len(spec));
}

/* ---- from a file ---- */

/* A field of the spec goes into the field of the request that has its name. NULL: it has none. */
static const ProtobufCFieldDescriptor *same_name(unsigned number)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(&pb__sandbox_spec__descriptor, number);
    return f ? protobuf_c_message_descriptor_get_field_by_name(
                   &pb__create_sandbox_from_file_request__descriptor, f->name)
             : NULL;
}

static uint64_t take_varint(const uint8_t **at)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

static int put_varint(struct buf *out, uint64_t value)
{
    uint8_t bytes[PROTO_VARINT_MAX];
    return buf_put(out, bytes, proto_varint_bytes(bytes, value));
}

/* @spec is what we packed ourselves: well formed, of numbers and length-delimited fields. */
static int put_file_request(const cws_options *o, const struct buf *spec, struct buf *out,
                            cws_error **error)
{
    if (proto_pack(record_message(o->file), out) < 0)
        return error_give(error, &error_nomem);
    const uint8_t *at = buf_head(spec), *end = at + buf_len(spec);
    while (at < end) {
        uint64_t tag = take_varint(&at);
        const ProtobufCFieldDescriptor *f = same_name((unsigned)(tag >> 3));
        if (!f)
            return error_set(error, CWS_E_INVALID, "a sandbox from a file does not take %s",
                             protobuf_c_message_descriptor_get_field(
                                 &pb__sandbox_spec__descriptor, (unsigned)(tag >> 3))
                                 ->name);
        const uint8_t *value = at;
        uint64_t n = take_varint(&at);
        if ((tag & 7) == 2) /* length-delimited */
            at += n;
        if (put_varint(out, (uint64_t)f->id << 3 | (tag & 7)) < 0 ||
            buf_put(out, value, (size_t)(at - value)) < 0)
            return error_give(error, &error_nomem);
    }
    return 0;
}

/* ---- one request ---- */

static int put_request_id(const cws_options *o, struct buf *out)
{
    char request_id[UUID_CHARS + 1];
    const char *given = cws_record_text(o->file, "request_id", 0);
    if (*given)
        return 0; /* it went out with the record */
    random_uuid(request_id);
    return put_text(out, o->file ? 15 : o->template_id ? 3 : 2, request_id);
}

static int pack_request(const cws_options *o, bool spilled, struct buf *out, cws_error **error)
{
    CLEANUP_BUF struct buf spec = {0};
    if (options_pack_spec(o, spilled, &spec) < 0)
        return error_give(error, &error_nomem);
    if (o->file && put_file_request(o, &spec, out, error) < 0)
        return -1;
    int r = o->file          ? 0
            : o->template_id ? put_template_request(o, &spec, out)
                             : put_create_request(&spec, out);
    if (r < 0 || put_request_id(o, out) < 0)
        return error_give(error, &error_nomem);
    return 0;
}

static const cws_options plain = {.deny_egress = -1, .deny_ingress = -1};

int options_pack(const cws_options *o, struct buf *out, cws_error **error)
{
    o = o ? o : &plain;
    if (options_check(o, error) < 0)
        return -1;
    return pack_request(o, false, out, error);
}

int options_pack_spilled(const cws_options *o, struct buf *out, cws_error **error)
{
    if (!o || o->spillover == CWS_SPILLOVER_STRICT)
        return 0;
    return pack_request(o, true, out, error);
}

void options_renew_request_id(struct buf *request)
{
    char request_id[UUID_CHARS + 1];
    random_uuid(request_id);
    CHECK(buf_len(request) > UUID_CHARS);
    memcpy(request->data + request->end - UUID_CHARS, request_id, UUID_CHARS);
}

const char *options_method(const cws_options *o)
{
    if (o && o->file)
        return PROTO_PATH_SANDBOX("CreateSandboxFromFile");
    return o && o->template_id ? PROTO_PATH_SANDBOX("CreateSandboxFromTemplate")
                               : PROTO_PATH_SANDBOX("CreateSandbox");
}

const char *options_label(const cws_options *o)
{
    return o && o->file ? "Create sandbox from file" : "Create sandbox";
}

void options_get_times(const cws_options *o, struct options_times *ret)
{
    if (o)
        *ret = o->times;
    else
        options_times_init(ret);
}
