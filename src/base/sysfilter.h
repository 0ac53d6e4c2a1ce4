/*
 * A filter of system calls that a program puts on itself, from tables of numbers: what it makes is allowed, what only an
 * intruder asks for (of all our programs the same: sysfilter.c) ends the process, everything else is EPERM. Threads can be started, processes cannot.
 *
 * Built by hand, because a list of "equal: allow" needs no library; the kernel answers calls that are decided by their
 * number alone from a bitmap (5.11). Needs no_new_privs or CAP_SYS_ADMIN. Cannot be taken off again.
 */
#ifndef CWS_BASE_SYSFILTER_H
#define CWS_BASE_SYSFILTER_H

#include "base/err.h"

struct sysfilter_row {
    int nr;
    const char *reason;
};

/* A call that is allowed with these values of one argument only. Rows of a call stand together and name the same argument. */
struct sysfilter_argument {
    int nr;
    unsigned index;
    uint32_t
        value; /* the lower word, which is all that such calls look at; our architectures are little-endian */
    const char *reason;
};

struct sysfilter {
    const struct sysfilter_row *allowed;
    size_t n_allowed;
    const struct sysfilter_row *unneeded; /* answered with 0 and not made */
    size_t n_unneeded;
    const struct sysfilter_argument *arguments;
    size_t n_arguments;
};

/** sysfilter_install() - for this thread and those it starts. FAILED_PRECONDITION when the kernel has none. */
int sysfilter_install(const struct sysfilter *f, struct err *err);

#endif
