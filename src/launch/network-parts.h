/* What a network of network.h consists of; for network.c and network-rules.c. */
#ifndef CWS_LAUNCH_NETWORK_PARTS_H
#define CWS_LAUNCH_NETWORK_PARTS_H

#include <net/if.h>
#include <sys/types.h>

#include "base/macros.h"
#include "launch/resolver.h"

#define NETWORK_ADDRESSES 65536u /* of a /16 */

struct network {
    bool open;
    bool rules_loaded;                                        /* the machine has our table */
    int router;                                               /* the namespace */
    int router_route, router_nft, machine_route, machine_nft; /* netlink sockets */
    int lock;        /* /run: one service at a time changes whether the machine forwards */
    int proc;        /* sys/net of it, for the end */
    uint32_t base;   /* first address of ours, in the machine's byte order */
    uint32_t at;     /* where the search for a free address goes on */
    uint32_t n_made; /* devices; their numbers are not used again */
    uint8_t used[NETWORK_ADDRESSES / 8];
    int index; /* of the device */
    struct resolver resolver;
    struct named *named;   /* network-names.c: sandboxes that have some */
    char device[IFNAMSIZ]; /* the machine's end of the uplink */
    char table[160];       /* "cwsandbox-" and the service's name */
};

#define NETWORK_NONE_OPEN \
    ((struct network){.router = -1, \
                      .router_route = -1, \
                      .router_nft = -1, \
                      .machine_route = -1, \
                      .machine_nft = -1, \
                      .lock = -1, \
                      .proc = -1, \
                      .resolver = RESOLVER_NONE})

#endif
