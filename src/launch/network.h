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

#include "launch/network-parts.h"
#include "launch/network-rules.h"

/**
 * network_open() - router, uplink, rules, the resolver; in the machine's namespaces and files still. What an earlier engine of
 * @service left is replaced. On failure nothing is left.
 * @dns: servers of struct resolver, borrowed for good
 * @ret_why: what failed, and the remedy; static text
 */
int network_open(struct network *n, const char *service, const char *const *dns,
                 const char **ret_why);
/** network_close() - all of it goes. */
void network_close(struct network *n);

/** network_attach() - in the namespace of a sandbox to be: its device, its address (in the machine's byte order). */
int network_attach(struct network *n, uint32_t *ret_address);
/** network_release() - @address may be given to another one; 0: none. */
void network_release(struct network *n, uint32_t address);

#endif
