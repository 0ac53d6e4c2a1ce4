/*
 * Time that neither a set clock nor a suspended machine disturbs, and the name of the boot it
 * counts in: a count is worth nothing in another boot.
 */
#ifndef CWS_RUNTIME_BOOT_H
#define CWS_RUNTIME_BOOT_H

#include "base/macros.h"

#define BOOT_ID_BYTES 37 /* a UUID with NUL */

/** boot_now_ns() - CLOCK_BOOTTIME. */
int64_t boot_now_ns(void);
/** boot_id_read() - of this boot; "" when the kernel does not tell. */
void boot_id_read(char ret_id[static BOOT_ID_BYTES]);

/* A moment as it was written down. */
struct boot_moment {
    const char *boot_id;
    int64_t boot_ns;
    uint64_t wall_ns;
};

/**
 * boot_moment_here() - when was it, in the count of the boot @boot_id? Before it: negative.
 * In the boot of the moment its own count holds, whatever the wall clock did since. From
 * another boot the wall clock must tell; but a moment ahead of now was taken with a wrong one,
 * and what is of an earlier boot is older than this one. Never later than @now_ns.
 */
int64_t boot_moment_here(const struct boot_moment *m, const char *boot_id, int64_t now_ns,
                         uint64_t now_wall_ns);

#endif
