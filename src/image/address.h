/* Addresses that everybody may ask, and those that only somebody inside could. */
#ifndef CWS_IMAGE_ADDRESS_H
#define CWS_IMAGE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/** address_is_public() - none of this machine, its neighbours, a private or a special network (RFC 6890); also for an IPv4
 * address in the clothes of IPv6. False for what is neither IPv4 nor IPv6. */
bool address_is_public(const struct sockaddr *address);
/** address_names_loopback() - a registry's `host[:port]` that cannot be another machine, whatever a resolver says: localhost,
 * 127.0.0.0/8, [::1]. */
bool address_names_loopback(const char *host);

#endif
