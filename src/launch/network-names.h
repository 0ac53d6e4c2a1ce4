/*
 * Sandboxes that were granted names: where these lead to, from the answers that each one was given (privproto/resolve.h). The
 * resolver says so and is not believed: what it may add is public addresses, for sandboxes that have names, as many as
 * NAMED_MAX.
 */
#ifndef CWS_LAUNCH_NETWORK_NAMES_H
#define CWS_LAUNCH_NETWORK_NAMES_H

#include "launch/network-parts.h"

#define NAMED_MAX \
    256 /* chosen: addresses a sandbox; of more the one that was named the longest ago goes */

/* An address that a name has led to, and when that was said last. */
struct named_address {
    uint32_t address;
    uint64_t fresh_ns;
};

struct named {
    struct named *next;
    uint32_t sandbox, n;
    struct named_address rows[NAMED_MAX];
};

/** network_names_of() - NULL: it has no names. */
struct named *network_names_of(struct network *n, uint32_t address);
/** network_names_resume() - as network_names_begin(), of a sandbox that another program of ours gave its names to. */
int network_names_resume(struct network *n, uint32_t address);
/** network_names_begin() - the sandbox at @address may ask for @names (privproto/grant.h). */
int network_names_begin(struct network *n, uint32_t address, const char *names);
/** network_names_end() - and may reach no more what it was granted by them. */
void network_names_end(struct network *n, uint32_t address);
/** network_names_turn() - what the resolver has to say; does not wait. */
void network_names_turn(struct network *n);

#endif
