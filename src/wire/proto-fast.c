/*
 * Bulk data without copies: the few messages whose last field is a large `bytes` value are
 * framed (or recognised) by hand. test-proto.c compares every form byte for byte with the
 * generated encoder.
 */
#include "wire/proto.h"

/* Field numbers: proto/coreweave/sandbox/v1/sandbox.proto */
enum {
    EXEC_RESPONSE_OUTPUT = 2,
    EXEC_REQUEST_STDIN = 2,
    OUTPUT_STREAM = 1,
    OUTPUT_DATA = 2,
    WIRE_VARINT = 0,
    WIRE_LEN = 2,
};

size_t proto_varint_bytes(uint8_t out[static PROTO_VARINT_MAX], uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

size_t proto_head_bytes(uint8_t head[static PROTO_HEAD_MAX], uint32_t number, size_t n)
{
    size_t at = proto_varint_bytes(head, (uint64_t)number << 3 | WIRE_LEN);
    return at + proto_varint_bytes(head + at, n);
}

size_t proto_head_exec_stdin(uint8_t head[static PROTO_HEAD_MAX], size_t n)
{
    return proto_head_bytes(head, EXEC_REQUEST_STDIN, n);
}

/* Longest form: 1 + 10 + 1 + 10 + 1 + 10 = 33 bytes if every varint were 64 bits wide; lengths
 * are under 2^40 and a stream is 32 bits (at most 10 bytes when negative), so 1 + 6 + 11 + 1 +
 * 6 fits PROTO_HEAD_MAX. */
size_t proto_head_exec_output(uint8_t head[static PROTO_HEAD_MAX],
                              Pb__ExecStreamOutput__Stream stream, size_t n)
{
    /* proto3: zero values are not written. */
    size_t inner = 0;
    if (stream != 0)
        inner += 1 + varint_size((uint64_t)(int64_t)(int32_t)stream);
    if (n > 0)
        inner += 1 + varint_size(n) + n;
    size_t at = proto_head_bytes(head, EXEC_RESPONSE_OUTPUT, inner);
    if (stream != 0) {
        head[at++] = OUTPUT_STREAM << 3 | WIRE_VARINT;
        at += proto_varint_bytes(head + at, (uint64_t)(int64_t)(int32_t)stream);
    }
    if (n > 0) {
        head[at++] = OUTPUT_DATA << 3 | WIRE_LEN;
        at += proto_varint_bytes(head + at, n);
    }
    return at;
}

/* A length varint whose value is exactly what remains after it. */
static bool take_len(struct proto_slice *s)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s->n && i < 9; i++) {
        v |= (uint64_t)(s->data[i] & 0x7f) << (7 * i);
        if (s->data[i] & 0x80)
            continue;
        s->data += i + 1;
        s->n -= i + 1;
        return v == s->n;
    }
    return false;
}

bool proto_find_bytes(const uint8_t *data, size_t n, uint32_t number,
                      struct proto_slice *ret_data)
{
    if (number > 15 || n < 2 || data[0] != (uint8_t)(number << 3 | WIRE_LEN))
        return false;
    struct proto_slice s = {data + 1, n - 1};
    if (!take_len(&s))
        return false;
    *ret_data = s;
    return true;
}

bool proto_find_exec_stdin(const uint8_t *data, size_t n, struct proto_slice *ret_data)
{
    return proto_find_bytes(data, n, EXEC_REQUEST_STDIN, ret_data);
}

bool proto_find_exec_output(const uint8_t *data, size_t n,
                            Pb__ExecStreamOutput__Stream *ret_stream,
                            struct proto_slice *ret_data)
{
    struct proto_slice in;
    if (!proto_find_bytes(data, n, EXEC_RESPONSE_OUTPUT, &in))
        return false;
    /* stream as one byte (1 or 2 in practice), then data as the last field. */
    if (in.n < 4 || in.data[0] != (OUTPUT_STREAM << 3 | WIRE_VARINT) || in.data[1] > 0x7f)
        return false;
    struct proto_slice out;
    if (!proto_find_bytes(in.data + 2, in.n - 2, OUTPUT_DATA, &out))
        return false;
    *ret_stream = (Pb__ExecStreamOutput__Stream)in.data[1];
    *ret_data = out;
    return true;
}
