/*
 * The IPv4 blocks that are not the internet (RFC 6890), once for all who decide about addresses: what sandboxes may reach
 * (launch, server), and which registries a shared service may be sent to (image).
 *
 * X(a, b, c, d, bits) for each block.
 */
#ifndef CWS_BASE_ADDRESS_BLOCKS_H
#define CWS_BASE_ADDRESS_BLOCKS_H

/* Nobody is ever granted these: this network, loopback, link-local (where clouds tell secrets), multicast and reserved. */
#define ADDRESS_BLOCKS_NEVER(X) \
    X(0, 0, 0, 0, 8) \
    X(127, 0, 0, 0, 8) \
    X(169, 254, 0, 0, 16) \
    X(224, 0, 0, 0, 3)

/* Who is granted them by name: private (RFC 1918), shared by a provider's customers (RFC 6598; metadata of one cloud),
 * protocol assignments (metadata of one cloud), benchmarks (RFC 2544). */
#define ADDRESS_BLOCKS_PRIVATE(X) \
    X(10, 0, 0, 0, 8) \
    X(100, 64, 0, 0, 10) \
    X(172, 16, 0, 0, 12) \
    X(192, 0, 0, 0, 24) \
    X(192, 168, 0, 0, 16) \
    X(198, 18, 0, 0, 15)

#define ADDRESS_OF(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define ADDRESS_REST(bits) \
    (~0u >> (bits)) /* of a block of 1 bit or more: what changes within */

#endif
