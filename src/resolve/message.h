/*
 * Messages of the domain name system (RFC 1035), as far as somebody has to read them who passes them on: header, question,
 * and where an answer ends. Pure functions over bytes of strangers; no state. Thread: any.
 */
#ifndef CWS_RESOLVE_MESSAGE_H
#define CWS_RESOLVE_MESSAGE_H

#include "base/macros.h"

#define MESSAGE_HEADER 12u
#define MESSAGE_MAX 65535u   /* RFC 1035 4.2.2: two bytes of length */
#define MESSAGE_NAME_MAX 256 /* RFC 1035 2.3.4: 255 bytes; as text less, with NUL no more */

enum message_code { MESSAGE_FORMAT_ERROR = 1, MESSAGE_SERVER_FAILURE = 2, MESSAGE_REFUSED = 5 };

struct question {
    char name
        [MESSAGE_NAME_MAX]; /* lower case, dots between labels, none at the end; the root: "" */
    bool plain; /* of letters, digits, hyphens and underscores: the text says all there is */
    uint16_t type, class;
    size_t end; /* the byte behind it in the message */
};

uint16_t message_u16(const uint8_t *at);
void message_put_u16(uint8_t *at, uint16_t value);

/** message_question() - @n bytes are a query with one question. -EBADMSG. */
int message_question(const uint8_t *bytes, size_t n, struct question *ret);
/** message_answers() - @n bytes are the answer to @query, which was a query with @question. */
bool message_answers(const uint8_t *bytes, size_t n, const uint8_t *query,
                     const struct question *question);
/**
 * message_addresses() - the IPv4 addresses that an answer to @question gives, in the machine's byte order
 * No row of it lives longer than @ttl_max_s afterwards. Their number, at most @max; -EBADMSG.
 */
int message_addresses(uint8_t *bytes, size_t n, const struct question *question,
                      uint32_t ttl_max_s, uint32_t *ret, size_t max);
/** message_refuse() - makes of a query that message_question() took the answer that says @code; its size. */
size_t message_refuse(uint8_t *bytes, const struct question *question, enum message_code code);

#endif
