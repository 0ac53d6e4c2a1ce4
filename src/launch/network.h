/*
 * What lets sandboxes reach a network: a *router*, a network namespace of ours that every such sandbox is wired to, with one
 * wire (the uplink) to the machine's. States: NETWORK_NONE_OPEN -> open -> NETWORK_NONE_OPEN. Owner: struct engine.
 *
 *   sandbox: eth0 ==veth== s<n> :router: up ==veth== cws<hash> :machine
 *
 * The router decides where a packet may go, by the address it comes from: rules of one table, sets filled by element. The
 * machine only translates addresses (masquerade), and takes nothing for itself. Only for a service of real root.
 */
#ifndef CWS_LAUNCH_NETWORK_H
#define CWS_LAUNCH_NETWORK_H

#include <net/if.h>
#include <sys/types.h>

#include "base/macros.h"
#include "privproto/launchproto.h"

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
    int index;             /* of the device */
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
                      .proc = -1})

/**
 * network_open() - router, uplink, rules; in the machine's namespaces and files still. What an earlier engine of @service
 * left is replaced. On failure nothing is left.
 * @ret_why: what failed, and the remedy; static text
 */
int network_open(struct network *n, const char *service, const char **ret_why);
/** network_close() - all of it goes. */
void network_close(struct network *n);

/** network_attach() - in the namespace of a sandbox to be: its device, its address (in the machine's byte order). */
int network_attach(struct network *n, uint32_t *ret_address);
/** network_release() - @address may be given to another one; 0: none. */
void network_release(struct network *n, uint32_t address);
/** network_rule() - only what @grants say may be reached from @address, from now on. */
int network_rule(struct network *n, uint32_t address, const struct launch_grant *grants,
                 uint32_t n_grants);
/** network_unrule() - the elements of network_rule() go. */
void network_unrule(struct network *n, uint32_t address, const struct launch_grant *grants,
                    uint32_t n_grants);

#endif
