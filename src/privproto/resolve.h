/*
 * Between the engine of cwsandbox-launch and cwsandbox-resolve, which answers sandboxes' questions for addresses of names
 * (docs/network.md). The engine believes nothing of what comes from there: it has read strangers' packets.
 *
 * A sandbox is known by the address its packets come from; the lower 16 bits of it are its place in the table, which the engine
 * writes before anything of the sandbox runs, and the other one can only read. So nothing has to be told again after a restart.
 */
#ifndef CWS_PRIVPROTO_RESOLVE_H
#define CWS_PRIVPROTO_RESOLVE_H

#include <stdatomic.h>
#include <stdint.h>

#include "privproto/grant.h"

#define RESOLVE_ADDRESS 0xa9fe0101u /* 169.254.1.1: where it is asked, in every sandbox */
#define RESOLVE_PLACES 65536u
#define RESOLVE_PLACE(address) ((address)&0xffffu)
#define RESOLVE_MAX_SERVERS 3    /* as in resolv.conf(5) */
#define RESOLVE_MAX_ADDRESSES 32 /* chosen: of one answer; what comes after is not granted */
#define RESOLVE_TTL_MAX_S 3600   /* chosen: an answer that grants something lives no longer */

/* Its descriptors. */
enum { RESOLVE_UDP = 3, RESOLVE_TCP, RESOLVE_TABLE, RESOLVE_ENGINE, RESOLVE_END };

enum resolve_mode {
    RESOLVE_NOTHING, /* every question is REFUSED */
    RESOLVE_ANY,
    RESOLVE_NAMED, /* what the names allow */
};

struct resolve_table {
    _Atomic uint8_t modes[RESOLVE_PLACES]; /* enum resolve_mode; written after the names */
    char names[RESOLVE_PLACES]
              [LAUNCH_MAX_NAMES]; /* grant.h; pages that nobody wrote are not there */
};

/* To the engine: @sandbox is about to hear that a name of its own has these addresses. The answer to it waits for the
 * resolve_granted with the same numbers. In the machine's byte order. */
struct resolve_grant {
    uint32_t query, number, sandbox, n;
    uint32_t addresses[RESOLVE_MAX_ADDRESSES];
};

struct resolve_granted {
    uint32_t query, number;
};

#endif
