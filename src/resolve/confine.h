/*
 * What is left for somebody who took this program over: its sockets, and packets to servers. A pair of files, chosen by the
 * build: a sanitizer's run-time needs calls that the program does not.
 */
#ifndef CWS_RESOLVE_CONFINE_H
#define CWS_RESOLVE_CONFINE_H

#include "base/err.h"

/** confine() - before the first packet is read. FAILED_PRECONDITION. */
int confine(struct err *err);

#endif
