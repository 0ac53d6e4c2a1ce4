/* The rules of network.h: what may be reached, as nftables. */
#ifndef CWS_LAUNCH_NETWORK_RULES_H
#define CWS_LAUNCH_NETWORK_RULES_H

#include "launch/network-parts.h"
#include "privproto/grant.h"

/** network_rules_load() - into the machine's namespace and the router's, by nft(8). */
int network_rules_load(struct network *n, const char **ret_why);
/** network_rules_remove() - the machine's, and with the last service of this machine that it forwards. */
void network_rules_remove(struct network *n);
/** network_forward() - the machine passes packets on, between its own devices no more than before. */
int network_forward(struct network *n, const char **ret_why);

/** network_rule() - only what @grants say may be reached from @address, from now on. */
int network_rule(struct network *n, uint32_t address, const struct launch_grant *grants,
                 uint32_t n_grants);
/* What a name leads to is held so long after it was said, and after the last packet to it. */
#define NETWORK_NAMED_S 7200
/** network_name_rule() - port 443 of @to, by TCP, may be reached from @address: for NETWORK_NAMED_S from now on (@there), or no more. */
int network_name_rule(struct network *n, uint32_t address, uint32_t to, bool there);
/** network_unrule() - the elements of network_rule() go. */
void network_unrule(struct network *n, uint32_t address, const struct launch_grant *grants,
                    uint32_t n_grants);

#endif
