/* The network that a create asks for. */
#ifndef CWS_RUNTIME_NETWORK_H
#define CWS_RUNTIME_NETWORK_H

#include "privproto/launchproto.h"

struct sandbox_network {
    bool on; /* a device that reaches what every sandbox may; features.network */
    bool
        ruled; /* of that, only what `grants` say: borrowed, at most LAUNCH_MAX_GRANTS, no overlaps */
    uint32_t n_grants;
    const struct launch_grant *grants;
    const char *names; /* privproto/grant.h; borrowed */
};

#endif
