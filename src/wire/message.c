#include "wire/message.h"

#include <string.h>

/* Chosen: what an announced length may make us allocate before its bytes arrive. */
#define FIRST_RESERVE 65536u
/* Chosen: an idle call keeps no more than this of its assembly buffer. */
#define KEEP_MAX 65536u

static void uncharge(struct message_reader *r)
{
    if (r->charged > 0)
        budget_give(r->budget, r->charged);
    r->charged = 0;
}

/* By what arrived: an announcement costs its sender nothing, so it must not cost anybody else. */
static bool charge(struct message_reader *r, size_t n)
{
    if (!r->budget)
        return true;
    if (!budget_take(r->budget, n))
        return false;
    r->charged += n;
    return true;
}

void message_release(struct message_reader *r)
{
    if (!r->returned)
        return;
    r->returned = false;
    uncharge(r);
    if (r->body.cap > KEEP_MAX)
        buf_done(&r->body);
    else
        buf_clear(&r->body);
}

static int parse_prefix(struct message_reader *r)
{
    const uint8_t *p = r->prefix;
    r->length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (p[0] > 1)
        return MESSAGE_E_BAD_FLAG;
    if (p[0] == 1)
        return MESSAGE_E_COMPRESSED;
    return r->length > r->max ? MESSAGE_E_TOO_LARGE : MESSAGE_E_READY;
}

static int append_body(struct message_reader *r, const uint8_t *data, size_t n)
{
    if (!charge(r, n))
        return MESSAGE_E_NO_ROOM;
    if (r->body.cap - r->body.end < n) {
        /* Grow with what has arrived, not with what was announced. */
        size_t have = buf_len(&r->body);
        int e = buf_reserve(
            &r->body, MIN(r->length - have, MAX(MAX((size_t)FIRST_RESERVE, have * 3), n)));
        if (e < 0)
            return e;
    }
    return buf_put(&r->body, data, n);
}

/* The prefix is complete, or *@n is used up (MESSAGE_E_MORE). */
static int read_prefix(struct message_reader *r, const uint8_t **data, size_t *n)
{
    size_t take = MIN(*n, MESSAGE_PREFIX - r->n_prefix);
    memcpy(r->prefix + r->n_prefix, *data, take);
    r->n_prefix += take;
    *data += take;
    *n -= take;
    return r->n_prefix < MESSAGE_PREFIX ? MESSAGE_E_MORE : parse_prefix(r);
}

int message_read(struct message_reader *r, const uint8_t **data, size_t *n,
                 const uint8_t **ret_data, size_t *ret_n)
{
    message_release(r);
    if (r->n_prefix < MESSAGE_PREFIX) {
        int e = read_prefix(r, data, n);
        if (e != MESSAGE_E_READY)
            return e;
    }
    size_t have = buf_len(&r->body);
    size_t take = MIN(*n, r->length - have);
    const uint8_t *from = *data;
    *data += take;
    *n -= take;
    if (have == 0 && take == r->length) {
        *ret_data = from; /* in place */
    } else {
        int e = append_body(r, from, take);
        if (e != 0)
            return e;
        if (have + take < r->length)
            return MESSAGE_E_MORE;
        *ret_data = buf_head(&r->body);
        r->returned = true;
    }
    *ret_n = r->length;
    r->n_prefix = 0;
    return MESSAGE_E_READY;
}

bool message_reader_idle(const struct message_reader *r)
{
    return r->n_prefix == 0;
}

void message_reader_done(struct message_reader *r)
{
    uncharge(r);
    buf_done(&r->body);
}

void message_prefix(uint8_t out[static MESSAGE_PREFIX], uint32_t n)
{
    out[0] = 0;
    out[1] = (uint8_t)(n >> 24);
    out[2] = (uint8_t)(n >> 16);
    out[3] = (uint8_t)(n >> 8);
    out[4] = (uint8_t)n;
}
