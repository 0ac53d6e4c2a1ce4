/* See message.h. */
#include "resolve/message.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define FLAG_ANSWER 0x80u    /* of byte 2 */
#define MASK_OPERATION 0x78u /* of byte 2: 0 is a question */
#define FLAG_RECURSION 0x01u /* of byte 2: asked for */
#define FLAG_RECURSIVE 0x80u /* of byte 3: there is */
#define TYPE_A 1u
#define CLASS_IN 1u
#define ROW_HEAD 10u        /* type, class, time to live, length */
#define NAME_BYTES_MAX 255u /* RFC 1035 2.3.4 */
#define LABEL_MAX 63u       /* above: a reference (RFC 1035 4.1.4), or nothing */

uint16_t message_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

void message_put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A name without references, which questions have no use for; the byte behind it. */
static int read_name(const uint8_t *bytes, size_t n, struct question *ret)
{
    size_t at = MESSAGE_HEADER, n_text = 0;

    ret->plain = true;
    for (;;) {
        size_t n_label = at < n ? bytes[at++] : LABEL_MAX + 1;

        if (n_label > LABEL_MAX || n_label > n - at || n_text + n_label + 2 > sizeof(ret->name))
            return -EBADMSG;
        if (n_label == 0)
            break;
        if (n_text > 0)
            ret->name[n_text++] = '.';
        for (size_t i = 0; i < n_label; i++) {
            char c = ascii_lower((char)bytes[at++]);

            ret->plain &= is_plain(c);
            ret->name[n_text++] = c;
        }
    }
    ret->name[n_text] = '\0';
    return at - MESSAGE_HEADER > NAME_BYTES_MAX ? -EBADMSG : (int)at;
}

int message_question(const uint8_t *bytes, size_t n, struct question *ret)
{
    int at;

    if (n < MESSAGE_HEADER || n > MESSAGE_MAX || message_u16(bytes + 4) != 1 ||
        (bytes[2] & (FLAG_ANSWER | MASK_OPERATION)) != 0)
        return -EBADMSG;
    at = read_name(bytes, n, ret);
    if (at < 0 || n - (size_t)at < 4)
        return -EBADMSG;
    ret->type = message_u16(bytes + at);
    ret->class = message_u16(bytes + at + 2);
    ret->end = (size_t)at + 4;
    return 0;
}

/* Of a name the case may have changed on the way; lengths of labels are no letters. */
static bool same_name(const uint8_t *one, const uint8_t *other, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ascii_lower((char)one[i]) != ascii_lower((char)other[i]))
            return false;
    return true;
}

bool message_answers(const uint8_t *bytes, size_t n, const uint8_t *query,
                     const struct question *question)
{
    size_t n_name = question->end - 4 - MESSAGE_HEADER;

    return n >= question->end && message_u16(bytes) == message_u16(query) &&
           (bytes[2] & FLAG_ANSWER) != 0 && message_u16(bytes + 4) == 1 &&
           same_name(bytes + MESSAGE_HEADER, query + MESSAGE_HEADER, n_name) &&
           memcmp(bytes + question->end - 4, query + question->end - 4, 4) == 0;
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)message_u16(at) << 16 | message_u16(at + 2);
}

/* The byte behind the name at @at, which may end in a reference; 0: there is none. */
static size_t skip_name(const uint8_t *bytes, size_t n, size_t at)
{
    while (at < n && bytes[at] != 0 && bytes[at] <= LABEL_MAX)
        at += 1u + bytes[at];
    if (at >= n)
        return 0;
    at += bytes[at] == 0 ? 1 : 2;
    return at <= n ? at : 0;
}

int message_addresses(uint8_t *bytes, size_t n, const struct question *question,
                      uint32_t ttl_max_s, uint32_t *ret, size_t max)
{
    size_t at = question->end, found = 0;

    for (uint32_t left = message_u16(bytes + 6); left > 0; left--) {
        size_t n_data;

        at = skip_name(bytes, n, at);
        if (at == 0 || n - at < ROW_HEAD)
            return -EBADMSG;
        n_data = message_u16(bytes + at + 8);
        if (n - at - ROW_HEAD < n_data)
            return -EBADMSG;
        if (read_u32(bytes + at + 4) > ttl_max_s) {
            message_put_u16(bytes + at + 4, (uint16_t)(ttl_max_s >> 16));
            message_put_u16(bytes + at + 6, (uint16_t)ttl_max_s);
        }
        if (message_u16(bytes + at) == TYPE_A && message_u16(bytes + at + 2) == CLASS_IN &&
            n_data == 4 && found < max)
            ret[found++] = read_u32(bytes + at + ROW_HEAD);
        at += ROW_HEAD + n_data;
    }
    return (int)found;
}

size_t message_refuse(uint8_t *bytes, const struct question *question, enum message_code code)
{
    bytes[2] = (uint8_t)(FLAG_ANSWER | (bytes[2] & FLAG_RECURSION));
    bytes[3] = (uint8_t)(FLAG_RECURSIVE | code);
    memset(bytes + 6, 0, 6); /* no answers, nothing else */
    return question->end;
}
