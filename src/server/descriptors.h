/*
 * How many descriptors the process may still open. New connections and new sandboxes are refused
 * before the last ones go, so that those that exist can go on working: an exec needs three.
 */
#ifndef CWS_SERVER_DESCRIPTORS_H
#define CWS_SERVER_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Chosen: some 680 commands of sandboxes that exist, and for half of these connections that may ask for them. With low
 * limits an eighth and a sixteenth. */
#define DESCRIPTORS_FOR_EXECS 2048
#define DESCRIPTORS_FOR_CONNECTIONS 1024

struct descriptors {
    size_t limit; /* RLIMIT_NOFILE; 0: not asked yet */
    size_t n_open;
    uint64_t counted_ns; /* when that was true */
};

/** descriptors_for_sandbox() - are there enough for one more sandbox? */
bool descriptors_for_sandbox(struct descriptors *d, uint64_t now_ns);
/** descriptors_for_connection() - the same for a connection. */
bool descriptors_for_connection(struct descriptors *d, uint64_t now_ns);

#endif
