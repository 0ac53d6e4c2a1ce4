/*
 * A call that the service asks to be made again a little later: UNAVAILABLE with a delay, at most
 * three calls, all within the time-out of the operation. For what does no harm when it is
 * repeated: delete, plain stop, reading a file.
 *
 * The owner embeds it, begins it once, asks hint_timeout() for each call and hint_again() about
 * each failure. Thread: the loop's.
 */
#ifndef CWS_CLIENT_HINT_H
#define CWS_CLIENT_HINT_H

#include "client/client.h"
#include "client/error.h"

struct hint { /* zero it */
    struct timer timer;
    unsigned n_calls; /* that failed */
    uint64_t end_ns;  /* monotonic; UINT64_MAX = never */
};

void hint_begin(struct hint *h, uint64_t timeout_ns);
/** hint_timeout() - of the next call: all of it for the first one, then what is left. */
uint64_t hint_timeout(const struct hint *h);
/** hint_again() - true: @fire will be called, make the call again then. False: @e is the end of it. */
bool hint_again(struct hint *h, struct cws_client *client, const struct cws_error *e,
                void (*fire)(struct timer *t));
/** hint_is_repeated() - a call before this one may have done it. */
static inline bool hint_is_repeated(const struct hint *h)
{
    return h->n_calls > 0;
}

#endif
