/*
 * gRPC's message framing inside a DATA stream (PROTOCOL-HTTP2.md "Length-Prefixed-Message"):
 * one flag byte, four bytes of length, the message. A message that lies whole inside the given
 * bytes is returned in place, others are assembled.
 */
#ifndef CWS_WIRE_MESSAGE_H
#define CWS_WIRE_MESSAGE_H

#include "base/budget.h"
#include "base/buf.h"

#define MESSAGE_PREFIX 5u

struct message_reader {
    size_t max; /* [const] largest message accepted */
    uint8_t prefix[MESSAGE_PREFIX];
    size_t n_prefix;
    size_t length; /* valid when n_prefix is complete */
    struct buf body;
    bool returned;         /* `body` was handed out: dropped by message_release() */
    struct budget *budget; /* what `body` holds is charged to it; NULL: to nobody */
    size_t charged;
};

enum message_result {
    MESSAGE_E_MORE = 0,       /* all bytes used, the message is not complete */
    MESSAGE_E_READY = 1,      /* *ret_data, *ret_n: valid until the next call */
    MESSAGE_E_TOO_LARGE = 2,  /* `length` says how large */
    MESSAGE_E_COMPRESSED = 3, /* the compressed flag is set */
    MESSAGE_E_BAD_FLAG = 4,
    MESSAGE_E_NO_ROOM = 5, /* the budget is used up; `length` may be less than `max` */
};

/** message_read() - take bytes from *@data; enum message_result or -ENOMEM. */
int message_read(struct message_reader *r, const uint8_t **data, size_t *n,
                 const uint8_t **ret_data, size_t *ret_n);
/** message_release() - the message that was returned is not needed any more; harmless without. */
void message_release(struct message_reader *r);
/** message_reader_idle() - nothing of an unfinished message is held. */
bool message_reader_idle(const struct message_reader *r);
void message_reader_done(struct message_reader *r);
/** message_prefix() - the five bytes before an uncompressed message of @n bytes. */
void message_prefix(uint8_t out[static MESSAGE_PREFIX], uint32_t n);

#endif
