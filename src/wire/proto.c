/*
 * What generated code does not do: validate peers' bytes before they are unpacked, pack into
 * our buffers, and the zero-copy forms of the messages that carry bulk data. Wire format:
 * protobuf.dev "Encoding".
 */
#include "wire/proto.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LEN = 2, WIRE_FIXED32 = 5 };

struct reader {
    const uint8_t *p;
    const uint8_t *end;
};

/* Where the walk is; the chain leads to the outermost field. */
struct path {
    const struct path *parent;
    const char *name; /* NULL: an unknown field */
};

struct walk {
    struct err *err;
    size_t n_elements;
};

static bool read_varint(struct reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->p == r->end)
            return false;
        uint8_t b = *r->p++;
        if (shift == 63 && b > 1)
            return false; /* does not fit 64 bits */
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool read_bytes(struct reader *r, struct proto_slice *ret)
{
    uint64_t n;
    if (!read_varint(r, &n) || n > (uint64_t)(r->end - r->p))
        return false;
    *ret = (struct proto_slice){r->p, (size_t)n};
    r->p += n;
    return true;
}

static bool skip_fixed(struct reader *r, size_t n)
{
    if ((size_t)(r->end - r->p) < n)
        return false;
    r->p += n;
    return true;
}

/* "sandbox.spec.containers"; the innermost names are kept when the text is too long. */
static void path_format(const struct path *path, char *out, size_t cap)
{
    char *at = out + cap - 1;
    *at = '\0';
    for (; path; path = path->parent) {
        const char *name = path->name ? path->name : "(unknown)";
        size_t n = strlen(name);
        size_t dot = *at != '\0';
        if (n + dot > (size_t)(at - out))
            break;
        at -= dot;
        if (dot)
            *at = '.';
        at -= n;
        memcpy(at, name, n);
    }
    memmove(out, at, strlen(at) + 1);
}

static int reject(struct walk *w, const struct path *path, const char *what)
{
    char where[256]; /* path_format() keeps what fits */
    path_format(path, where, sizeof(where));
    (void)err_set(w->err, ERR_INVALID_ARGUMENT, "decode `%s`: %s", *where ? where : "message",
                  what);
    return -1;
}

static enum wire_type field_wire_type(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_LEN;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return WIRE_VARINT;
    }
    return WIRE_LEN;
}

static bool count_elements(struct walk *w, size_t n)
{
    w->n_elements += n;
    return w->n_elements <= PROTO_MAX_ELEMENTS;
}

static int check_packed(struct walk *w, const struct path *path, enum wire_type type,
                        struct proto_slice s)
{
    size_t n = 0;
    if (type == WIRE_VARINT) {
        struct reader r = {s.data, s.data + s.n};
        uint64_t v;
        for (; r.p < r.end; n++)
            if (!read_varint(&r, &v))
                return reject(w, path, "malformed packed numbers");
    } else {
        size_t size = type == WIRE_FIXED32 ? 4 : 8;
        if (s.n % size != 0)
            return reject(w, path, "malformed packed numbers");
        n = s.n / size;
    }
    return count_elements(w, n) ? 0 : reject(w, path, "too many elements");
}

static int check_message(struct walk *w, const struct path *path, unsigned depth,
                         const ProtobufCMessageDescriptor *desc, struct proto_slice s);

static int check_len(struct walk *w, const struct path *path, unsigned depth,
                     const ProtobufCFieldDescriptor *f, struct proto_slice s)
{
    enum wire_type type = field_wire_type(f);
    if (type != WIRE_LEN) {
        if (f->label != PROTOBUF_C_LABEL_REPEATED)
            return reject(w, path, "wrong wire type");
        return check_packed(w, path, type, s);
    }
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        if (memchr(s.data, 0, s.n))
            return reject(w, path, "text with a NUL character");
        if (!utf8_valid(s.data, s.n))
            return reject(w, path, "text that is not UTF-8");
    }
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return check_message(w, path, depth + 1, f->descriptor, s);
    return 0;
}

static int check_field(struct walk *w, const struct path *path, unsigned depth,
                       const ProtobufCFieldDescriptor *f, uint32_t wire, struct reader *r)
{
    if (f && wire != WIRE_LEN && wire != field_wire_type(f))
        return reject(w, path, "wrong wire type");
    /* Unknown fields are kept by the decoder, one allocation each: they count too. */
    bool counts =
        !f || f->label == PROTOBUF_C_LABEL_REPEATED || f->type == PROTOBUF_C_TYPE_MESSAGE;
    if (counts && !count_elements(w, 1))
        return reject(w, path, "too many elements");
    uint64_t v;
    struct proto_slice s;
    switch (wire) {
    case WIRE_VARINT:
        return read_varint(r, &v) ? 0 : reject(w, path, "malformed number");
    case WIRE_FIXED64:
        return skip_fixed(r, 8) ? 0 : reject(w, path, "truncated");
    case WIRE_FIXED32:
        return skip_fixed(r, 4) ? 0 : reject(w, path, "truncated");
    case WIRE_LEN:
        if (!read_bytes(r, &s))
            return reject(w, path, "length past the end");
        return f ? check_len(w, path, depth, f, s) : 0;
    default:
        return reject(w, path, "unknown wire type"); /* groups are not part of proto3 */
    }
}

static int check_message(struct walk *w, const struct path *path, unsigned depth,
                         const ProtobufCMessageDescriptor *desc, struct proto_slice s)
{
    if (depth > PROTO_MAX_DEPTH)
        return reject(w, path, "nested too deeply");
    struct reader r = {s.data, s.data + s.n};
    while (r.p < r.end) {
        uint64_t tag;
        if (!read_varint(&r, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
            return reject(w, path, "malformed field tag");
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
        struct path here = {path, f ? f->name : NULL};
        int e = check_field(w, &here, depth, f, (uint32_t)(tag & 7), &r);
        if (e < 0)
            return e;
    }
    return 0;
}

int proto_check(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t n,
                struct err *err)
{
    if (n == 0)
        return 0;
    struct walk w = {.err = err};
    return check_message(&w, NULL, 1, desc, (struct proto_slice){data, n});
}

/* protobuf-c's default does the same; through us it can be made to fail in test-oom.c. */
static void *allocate(void *user, size_t n)
{
    return malloc(n);
}

static void deallocate(void *user, void *p)
{
    free(p);
}

static ProtobufCAllocator allocator = {.alloc = allocate, .free = deallocate};

void *proto_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t n,
                   struct err *err)
{
    if (proto_check(desc, data, n, err) < 0)
        return NULL;
    ProtobufCMessage *msg = protobuf_c_message_unpack(desc, &allocator, n, data);
    if (!msg) /* the bytes were checked, so only memory can be missing */
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "decode %s: out of memory",
                      desc->short_name);
    return msg;
}

int proto_pack(const void *msg, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(msg);
    int r = buf_reserve(out, n);
    if (r < 0)
        return r;
    if (n > 0)
        buf_commit(out, protobuf_c_message_pack(msg, buf_tail(out)));
    return 0;
}

void proto_free(void *msg)
{
    protobuf_c_message_free_unpacked(msg, &allocator);
}
