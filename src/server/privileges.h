/*
 * Giving privilege away, in one named function, read back afterwards. The daemon parses
 * untrusted bytes, so it keeps nothing: not root's uid, which owns the machine's files even without capabilities, no
 * capability in any set, an empty bounding set, no_new_privs.
 */
#ifndef CWS_SERVER_PRIVILEGES_H
#define CWS_SERVER_PRIVILEGES_H

#include <sys/types.h>

#include "base/err.h"

/**
 * privileges_drop() - become @uid and @gid unless we are, drop everything, read it back
 * Call while the process has one thread: capabilities belong to threads, and libuv's pool
 * inherits the caller's when it starts. ERR_INTERNAL if a thread exists or something was left; FAILED_PRECONDITION: no such user here, no /proc.
 */
int privileges_drop(uid_t uid, gid_t gid, struct err *err);
/** privileges_raise_nofile() - soft RLIMIT_NOFILE to the hard one; returns the limit now in
 * force. */
uint64_t privileges_raise_nofile(void);

#endif
