/* See retry.h. */
#include "client/retry.h"

#include "base/util.h"

#define HINT_MAX_NS (10 * NS_PER_SEC) /* as the published client */

uint64_t retry_jitter(uint64_t *memory_ns, uint64_t hint_ns, uint64_t remaining_ns)
{
    if (hint_ns > 0)
        return MIN(MIN(hint_ns, remaining_ns), HINT_MAX_NS);
    uint64_t previous = *memory_ns ? *memory_ns : RETRY_FIRST_NS;
    uint64_t high =
        MAX(RETRY_FIRST_NS, MIN(MIN(RETRY_MAX_NS, previous + previous / 2), remaining_ns));
    uint64_t random;
    random_bytes(&random, sizeof(random));
    *memory_ns = RETRY_FIRST_NS + random % (high - RETRY_FIRST_NS + 1);
    return MIN(*memory_ns, remaining_ns);
}

bool retry_next(struct retry *r, uint64_t budget_ns, const struct cws_error *e,
                uint64_t *ret_delay_ns)
{
    uint64_t now_ns = clock_now_ns();
    if (r->budget_end_ns == 0)
        r->budget_end_ns = now_ns + budget_ns;
    if (now_ns >= r->budget_end_ns)
        return false;
    uint64_t left_ns = r->budget_end_ns - now_ns;
    *ret_delay_ns = retry_jitter(&r->delay_ns, cws_error_retry_delay_ns(e), left_ns);
    return *ret_delay_ns < left_ns; /* else it would be slept away, for no further attempt */
}

bool retry_after(struct retry *r, uint64_t budget_ns, const struct cws_error *e,
                 uint64_t *ret_delay_ns)
{
    return error_is_transient(e) && retry_next(r, budget_ns, e, ret_delay_ns);
}

static uint64_t time_left(const struct retry *r)
{
    uint64_t now_ns = clock_now_ns();
    return r->budget_end_ns > now_ns ? r->budget_end_ns - now_ns : 0;
}

uint64_t retry_timeout_exact(const struct retry *r, uint64_t timeout_ns)
{
    return r->budget_end_ns ? MIN(timeout_ns, time_left(r)) : timeout_ns;
}

uint64_t retry_timeout(const struct retry *r, uint64_t timeout_ns)
{
    return r->budget_end_ns ? MIN(timeout_ns, MAX(RETRY_RPC_MIN_NS, time_left(r))) : timeout_ns;
}
