/*
 * What is left of the machine for somebody who took this program over through a hole in a parser: the store, a few files that
 * looking up names and certificates takes, connections to the network, threads. A pair of files, chosen by the build: a
 * sanitizer's run-time needs calls that the program does not.
 */
#ifndef CWS_IMAGE_CONFINE_H
#define CWS_IMAGE_CONFINE_H

#include "base/err.h"

struct confine_paths {
    int store; /* read and written */
    int input; /* a directory to read, or -1 */
};

/**
 * confine() - before the first byte that is not ours is read, and before there is another thread
 * @ret_keep_owners: files can be given to the ids of an image: we are root, and there are 65536 of them
 *
 * In this order: limits of memory and core dumps; a user namespace (as root with ids 0 to 65535 as they are, else with this user
 * alone) where the kernel lets us have one; no capabilities but those over files; Landlock where there is version 2 of it (5.19);
 * a filter of system calls. Errors: FAILED_PRECONDITION (no seccomp), INTERNAL.
 */
int confine(const struct confine_paths *paths, bool *ret_keep_owners, struct err *err);

#endif
