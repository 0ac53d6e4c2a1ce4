/*
 * Giving privilege away, in one named function, read back afterwards. cwsandboxd parses
 * untrusted bytes, so after cwsandbox-launch runs it keeps nothing: no capability in any set,
 * an empty bounding set, no_new_privs.
 */
#ifndef CWS_SERVER_PRIVILEGES_H
#define CWS_SERVER_PRIVILEGES_H

#include "base/err.h"

/**
 * privileges_drop() - drop everything, read it back
 * Call while the process has one thread: capabilities belong to threads, and libuv's pool
 * inherits the caller's when it starts. ERR_INTERNAL if a thread exists or something was left.
 */
int privileges_drop(struct err *err);
/** privileges_raise_nofile() - soft RLIMIT_NOFILE to the hard one; returns the limit now in
 * force. */
uint64_t privileges_raise_nofile(void);

#endif
