/* See address.h. */
#include "image/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "base/address-blocks.h"
#include "base/macros.h"
#include "base/util.h"

/* clang-format off */
#define BLOCK(a, b, c, d, bits) {ADDRESS_OF(a, b, c, d), bits},
static const struct { uint32_t net; unsigned bits; } special4[] = {
    ADDRESS_BLOCKS_NEVER(BLOCK)
    ADDRESS_BLOCKS_PRIVATE(BLOCK)
};

static const struct { uint8_t net[16]; unsigned bits; } special6[] = {
    {{0}, 96},                      /* unspecified, loopback, compatible with IPv4 */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48}, /* local translation */
    {{0x01, 0x00}, 64},             /* discard */
    {{0x20, 0x01}, 23},             /* protocol assignments, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0xfc, 0x00}, 7},              /* unique local */
    {{0xfe, 0x80}, 9},              /* link-local, site-local */
    {{0xff, 0x00}, 8},              /* multicast */
};

/* Networks of IPv6 in which the bytes from @at on are an IPv4 address. */
static const struct { uint8_t net[16]; unsigned bits, at; } carriers[] = {
    {{[10] = 0xff, [11] = 0xff}, 96, 12},     /* mapped */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12},       /* translated */
    {{0x20, 0x02}, 16, 2},                    /* 6to4 */
};
/* clang-format on */

static bool starts_with(const uint8_t *address, const uint8_t *net, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(address, net, whole) == 0 &&
           (rest == 0 || (address[whole] ^ net[whole]) >> (8 - rest) == 0);
}

static bool is_public4(const uint8_t bytes[static 4])
{
    uint32_t address = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                       (uint32_t)bytes[2] << 8 | bytes[3];
    for (size_t i = 0; i < ARRAY_SIZE(special4); i++)
        if ((address ^ special4[i].net) >> (32 - special4[i].bits) == 0)
            return false;
    return true;
}

static bool is_public6(const uint8_t bytes[static 16])
{
    for (size_t i = 0; i < ARRAY_SIZE(carriers); i++)
        if (starts_with(bytes, carriers[i].net, carriers[i].bits))
            return is_public4(bytes + carriers[i].at);
    for (size_t i = 0; i < ARRAY_SIZE(special6); i++)
        if (starts_with(bytes, special6[i].net, special6[i].bits))
            return false;
    return true;
}

bool address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        uint8_t bytes[4];
        memcpy(bytes, &in.sin_addr, sizeof(bytes));
        return is_public4(bytes);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof(in));
        return is_public6(in.sin6_addr.s6_addr);
    }
    return false;
}

bool address_names_loopback(const char *host)
{
    char name[INET_ADDRSTRLEN];
    struct in_addr address;
    if (str_startswith(host, "[::1]"))
        return host[5] == '\0' || host[5] == ':';
    size_t n = strcspn(host, ":");
    if (n >= sizeof(name))
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    return strcmp(name, "localhost") == 0 ||
           (inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}
