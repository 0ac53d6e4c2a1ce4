/*
 * When a call that failed may be made again. A burst of failures has a
 * budget of time that begins at its first one.
 */
#ifndef CWS_CLIENT_RETRY_H
#define CWS_CLIENT_RETRY_H

#include "client/error.h"

#define RETRY_FIRST_NS 200000000ULL /* as the published client */
#define RETRY_MAX_NS 2000000000ULL
#define RETRY_RPC_MIN_NS 100000000ULL /* an attempt gets at least so long */

struct retry {              /* zero it */
    uint64_t budget_end_ns; /* 0 = nothing has failed */
    uint64_t delay_ns;      /* the jitter's memory */
};

/** retry_jitter() - how long to wait: the service's hint, else a decorrelated jitter. */
uint64_t retry_jitter(uint64_t *memory_ns, uint64_t hint_ns, uint64_t remaining_ns);
/** retry_after() - true: try again after *@ret_delay_ns. False: @e is the end of it. */
bool retry_after(struct retry *r, uint64_t budget_ns, const struct cws_error *e,
                 uint64_t *ret_delay_ns);
/** retry_next() - the same, when the caller knows that @e may pass. */
bool retry_next(struct retry *r, uint64_t budget_ns, const struct cws_error *e,
                uint64_t *ret_delay_ns);
/** retry_timeout_exact() - of the next attempt: never beyond the budget. */
uint64_t retry_timeout_exact(const struct retry *r, uint64_t timeout_ns);
/** retry_timeout() - of the next attempt, which alone may take @timeout_ns. */
uint64_t retry_timeout(const struct retry *r, uint64_t timeout_ns);

#endif
