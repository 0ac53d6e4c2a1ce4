/* See hint.h. Source of the numbers: the published client. */
#include "client/hint.h"

#include "base/util.h"
#include "client/event.h"

#define MAX_CALLS 3u
#define DELAY_MAX_NS (10 * NS_PER_SEC) /* a longer one is the caller's to wait for */
#define CALL_MIN_NS (5 * NS_PER_SEC)   /* that must be left for the next call */

void hint_begin(struct hint *h, uint64_t timeout_ns)
{
    h->n_calls = 0;
    h->end_ns = event_deadline(timeout_ns);
}

uint64_t hint_timeout(const struct hint *h)
{
    if (h->end_ns == UINT64_MAX)
        return UINT64_MAX;
    uint64_t now_ns = clock_now_ns();
    return h->end_ns > now_ns ? h->end_ns - now_ns : 1;
}

/* A fifth more at most, never less than asked: not all who were refused come back at once. */
static uint64_t spread(uint64_t delay_ns)
{
    uint64_t random;
    random_bytes(&random, sizeof(random));
    return delay_ns + random % (delay_ns / 5 + 1);
}

bool hint_again(struct hint *h, struct cws_client *client, const struct cws_error *e,
                void (*fire)(struct timer *t))
{
    h->n_calls++;
    if (h->n_calls >= MAX_CALLS || client->closing || e->status != ERR_UNAVAILABLE ||
        !e->detail.has_retry_delay || e->detail.retry_delay_ns > DELAY_MAX_NS)
        return false;
    uint64_t delay_ns = spread(e->detail.retry_delay_ns);
    if (hint_timeout(h) < delay_ns + CALL_MIN_NS)
        return false;
    timer_start_in(&client->loop.timers, &h->timer, delay_ns, fire);
    return true;
}
