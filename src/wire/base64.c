/*
 * base64 as HTTP/2 metadata uses it (PROTOCOL-HTTP2.md "Binary-Header"): standard alphabet,
 * written without padding, read with or without.
 */
#include <errno.h>

#include "wire/status.h"

static const char alphabet[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(const void *data, size_t n, struct buf *out)
{
    const uint8_t *p = data;
    int r = buf_reserve(out, n / 3 * 4 + 4);
    if (r < 0)
        return r;
    uint8_t *o = buf_tail(out);
    size_t at = 0;
    for (; n >= 3; n -= 3, p += 3) {
        o[at++] = (uint8_t)alphabet[p[0] >> 2];
        o[at++] = (uint8_t)alphabet[(p[0] & 3) << 4 | p[1] >> 4];
        o[at++] = (uint8_t)alphabet[(p[1] & 15) << 2 | p[2] >> 6];
        o[at++] = (uint8_t)alphabet[p[2] & 63];
    }
    if (n > 0) {
        unsigned second = n == 2 ? p[1] : 0;
        o[at++] = (uint8_t)alphabet[p[0] >> 2];
        o[at++] = (uint8_t)alphabet[(unsigned)(p[0] & 3) << 4 | second >> 4];
        if (n == 2)
            o[at++] = (uint8_t)alphabet[(second & 15) << 2];
    }
    buf_commit(out, at);
    return 0;
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t n, struct buf *out)
{
    for (int pad = 0; pad < 2 && n > 0 && text[n - 1] == '='; pad++)
        n--;
    if (n % 4 == 1)
        return -EINVAL;
    int r = buf_reserve(out, n / 4 * 3 + 3);
    if (r < 0)
        return r;
    uint8_t *o = buf_tail(out);
    size_t at = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < n; i++) {
        int v = digit_value(text[i]);
        if (v < 0)
            return -EINVAL; /* nothing was committed: @out is untouched */
        bits = bits << 6 | (uint32_t)v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            o[at++] = (uint8_t)(bits >> n_bits);
        }
    }
    buf_commit(out, at);
    return 0;
}
