/*
 * From the NetworkOptions of a specification to what launch is told: does the sandbox have a network, and which boxes of
 * addresses, protocols and ports may it reach? Pure functions; no state. Thread: any.
 *
 * Rules only allow. Without any: every public address. Never: the machine itself, other sandboxes, link-local, multicast
 * (launch's table keeps them whatever is granted). Private addresses: when a rule names a block inside of them, and the operator
 * lets it (--network egress-private).
 */
#ifndef CWS_SERVER_NETWORK_H
#define CWS_SERVER_NETWORK_H

#include "runtime/runtime.h"
#include "wire/proto.h"

/* What the service has to give. */
enum network_offer {
    NETWORK_OFFER_NONE,
    NETWORK_OFFER_EGRESS,  /* public addresses */
    NETWORK_OFFER_PRIVATE, /* and private ones, to whoever names them */
};

#define NETWORK_MAX_RULES 64  /* chosen */
#define NETWORK_MAX_EXCEPT 64 /* chosen: of all rules together */
#define NETWORK_MAX_PORTS 64  /* chosen: likewise */

struct network_plan {
    bool network, ruled; /* struct sandbox_network */
    uint32_t n_grants;
    struct launch_grant grants[LAUNCH_MAX_GRANTS];
    char names[LAUNCH_MAX_NAMES]; /* that may be asked for: privproto/grant.h */
};

/**
 * network_plan_make() - what @options (NULL: none given) come to
 * Errors: INVALID_ARGUMENT naming the field of the first rule that this service cannot hold.
 */
int network_plan_make(const Pb__NetworkOptions *options, enum network_offer offer,
                      struct network_plan *ret, struct err *err);
/**
 * network_effective() - @options, or new ones, changed to what holds for @plan: for answers
 * @take_options: NULL, or owned; returned
 * NULL: out of memory.
 */
Pb__NetworkOptions *network_effective(Pb__NetworkOptions *take_options,
                                      const struct network_plan *plan);

#endif
