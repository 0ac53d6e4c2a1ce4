/*
 * Page tokens: "p1" and 16 + 8 + 8 hexadecimal digits: sequence number, filter hash, check. See
 * page-token.h.
 */
#include "server/page-token.h"

#include <errno.h>
#include <string.h>

#define PREFIX "p1"
#define TEXT_LEN (2 + 16 + 8 + 8)

/* FNV-1a: tells accidents and typing apart from tokens; it is no defence and needs to be none.
 */
uint32_t page_hash(uint32_t hash, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 16777619u;
    return hash;
}

static uint32_t check_of(uint64_t seq, uint32_t filter_hash)
{
    uint32_t hash = page_hash(PAGE_HASH_INIT, &seq, sizeof(seq));
    return page_hash(hash, &filter_hash, sizeof(filter_hash));
}

void page_token_encode(uint64_t after_seq, uint32_t filter_hash,
                       char ret_text[static PAGE_TOKEN_MAX])
{
    (void)snprintf(ret_text, PAGE_TOKEN_MAX, PREFIX "%016llx%08x%08x",
                   (unsigned long long)after_seq, filter_hash,
                   check_of(after_seq, filter_hash));
}

static int read_hex(const char *text, size_t n, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            return -EINVAL;
        value = value << 4 | digit;
    }
    *ret = value;
    return 0;
}

int page_token_decode(const char *text, uint32_t filter_hash, uint64_t *ret_after_seq)
{
    uint64_t seq, filter, check;
    if (strlen(text) != TEXT_LEN || memcmp(text, PREFIX, 2) != 0 ||
        read_hex(text + 2, 16, &seq) < 0 || read_hex(text + 18, 8, &filter) < 0 ||
        read_hex(text + 26, 8, &check) < 0 || check != check_of(seq, (uint32_t)filter))
        return -EINVAL;
    if (filter != filter_hash)
        return -ESTALE;
    *ret_after_seq = seq;
    return 0;
}
