/*
 * The daemon's own seccomp filter: what is left of the kernel for somebody who took it over through a hole in a parser.
 * A pair of files, chosen by the build: a sanitizer's run-time needs calls that the daemon does not.
 */
#ifndef CWS_SERVER_CONFINE_H
#define CWS_SERVER_CONFINE_H

#include "base/err.h"

/**
 * confine() - from here on only the calls of the table in confine.c; for this thread and all that it starts
 * With no_new_privs, before there is another thread and before a socket is served. ERR_FAILED_PRECONDITION: this kernel
 * has no seccomp.
 */
int confine(struct err *err);

#endif
