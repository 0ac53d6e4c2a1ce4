/*
 * snapshot_wait: asks for one snapshot until it is READY or never will be.
 * The owner embeds it zeroed, keeps client and target alive, and gets done() once unless it
 * cancels. Thread: the loop's.
 */
#ifndef CWS_CLIENT_SNAPSHOT_WAIT_H
#define CWS_CLIENT_SNAPSHOT_WAIT_H

#include "client/retry.h"
#include "client/rpc.h"

/* Contract/sdk.md 3.8. */
#define SNAPSHOT_READY_NS (600ULL * 1000000000ULL)
#define SNAPSHOT_CREATE_MARGIN_NS (5ULL * 1000000000ULL)
#define SNAPSHOT_GET_NS (15ULL * 1000000000ULL)
#define SNAPSHOT_RETRY_BUDGET_NS (30ULL * 1000000000ULL)

struct snapshot_wait {
    struct cws_target *target; /* borrowed from the owner */
    struct conn *conn;
    char *id;
    /* @take NULL: READY. May begin the next wait. */
    void (*done)(struct snapshot_wait *w, struct cws_error *take);
    struct unary *get;
    struct timer timer;
    struct retry retry;
    uint64_t end_ns;
    uint64_t interval_ns;
};

/** snapshot_wait_begin() - NULL, or the error that it cannot even begin with (done() is not
 * called). @id is copied. */
struct cws_error *snapshot_wait_begin(struct snapshot_wait *w, struct conn *conn,
                                      struct cws_target *target, const char *id);
/** snapshot_wait_cancel() - harmless when it is not under way. True if it was. */
bool snapshot_wait_cancel(struct snapshot_wait *w);
bool snapshot_wait_busy(const struct snapshot_wait *w);

#endif
