/* See host-directory.h. protobuf-c keeps of an unknown string its length, as the wire has it, and its bytes. */
#include "wire/host-directory.h"

#include <string.h>

void host_directory_set(Pb__SandboxVolume *v, const char *path,
                        ProtobufCMessageUnknownField *space, uint8_t *room)
{
    size_t n = strlen(path), head = proto_varint_bytes(room, n);

    memcpy(room + head, path, n);
    *space = (ProtobufCMessageUnknownField){
        .tag = HOST_DIRECTORY_FIELD,
        .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
        .len = head + n,
        .data = room,
    };
    v->base.unknown_fields = space;
    v->base.n_unknown_fields = 1;
}

/* The last one counts, as of any field. */
static const ProtobufCMessageUnknownField *find(const Pb__SandboxVolume *v)
{
    const ProtobufCMessageUnknownField *found = NULL;

    for (unsigned i = 0; i < v->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *f = &v->base.unknown_fields[i];

        if (f->tag == HOST_DIRECTORY_FIELD &&
            f->wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            found = f;
    }
    return found;
}

bool host_directory_get(const Pb__SandboxVolume *v, char *ret, size_t size)
{
    const ProtobufCMessageUnknownField *f = find(v);
    size_t head = 0, n;

    if (!f)
        return false;
    while (head < f->len && (f->data[head] & 0x80))
        head++;
    head += head < f->len;
    n = MIN(f->len - head, size - 1);
    memcpy(ret, f->data + head, n);
    ret[n] = 0;
    return true;
}
