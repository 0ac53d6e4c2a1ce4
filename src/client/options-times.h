/* The part of the options that steers the client and is not sent. */
#ifndef CWS_CLIENT_OPTIONS_TIMES_H
#define CWS_CLIENT_OPTIONS_TIMES_H

#include <stdint.h>

#define OPTIONS_REQUEST_TIMEOUT_NS (300ULL * 1000000000ULL) /* as the published client */
#define OPTIONS_RETRY_BUDGET_NS (30ULL * 1000000000ULL)
#define OPTIONS_POLL_TIMEOUT_NS (15ULL * 1000000000ULL)

struct options_times {
    uint64_t request_timeout_ns;
    uint64_t retry_budget_ns;
    uint64_t poll_timeout_ns;
    uint64_t create_budget_ns; /* of asking a place that is full again; 0 = once only */
};
static inline void options_times_init(struct options_times *t)
{
    *t = (struct options_times){OPTIONS_REQUEST_TIMEOUT_NS, OPTIONS_RETRY_BUDGET_NS,
                                OPTIONS_POLL_TIMEOUT_NS, 0};
}

#endif
