/*
 * gRPC's message framing inside a DATA stream (PROTOCOL-HTTP2.md "Length-Prefixed-Message"):
 * one flag byte, four bytes of length, the message. A message that lies whole inside the given
 * bytes is returned in place, others are assembled.
 */
#ifndef CWS_WIRE_MESSAGE_H
#define CWS_WIRE_MESSAGE_H

#include "base/buf.h"

#define MESSAGE_PREFIX 5u

/* Chosen: what a message may take without being counted. Pieces of a stream are 1 MiB at most; larger ones are whole files. */
#define MESSAGE_FREE_BYTES ((size_t)2 << 20)

/* What many readers may hold of unfinished messages, together. */
struct message_budget {
    size_t max_bytes;
    size_t used_bytes;
};

struct message_reader {
    size_t max; /* [const] largest message accepted */
    uint8_t prefix[MESSAGE_PREFIX];
    size_t n_prefix;
    size_t length; /* valid when n_prefix is complete */
    struct buf body;
    bool returned;                 /* `body` was handed out: drop it at the next call */
    struct message_budget *budget; /* [const] NULL: no limit */
    size_t charged;                /* of the budget, for this message */
};

enum message_result {
    MESSAGE_E_MORE = 0,       /* all bytes used, the message is not complete */
    MESSAGE_E_READY = 1,      /* *ret_data, *ret_n: valid until the next call */
    MESSAGE_E_TOO_LARGE = 2,  /* `length` says how large */
    MESSAGE_E_COMPRESSED = 3, /* the compressed flag is set */
    MESSAGE_E_BAD_FLAG = 4,
    MESSAGE_E_NO_ROOM =
        5, /* the budget is used up: by others, `length` may be less than `max` */
};

/** message_read() - take bytes from *@data; enum message_result or -ENOMEM. */
int message_read(struct message_reader *r, const uint8_t **data, size_t *n,
                 const uint8_t **ret_data, size_t *ret_n);
/** message_reader_idle() - nothing of an unfinished message is held. */
bool message_reader_idle(const struct message_reader *r);
void message_reader_done(struct message_reader *r);
/** message_prefix() - the five bytes before an uncompressed message of @n bytes. */
void message_prefix(uint8_t out[static MESSAGE_PREFIX], uint32_t n);

#endif
