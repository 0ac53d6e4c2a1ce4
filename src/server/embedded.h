/*
 * The embedded service: one per user, in a private directory (base/rundir.h), guarded by a lock
 * file. The SDK starts `cwsandboxd --embedded` whenever it finds nobody listening; all but one
 * of the instances started leave again.
 *
 * Life: embedded_claim() -> (ours) embedded_detach() -> serve on `socket_path` -> unlink the
 * socket -> exit, which releases the lock. The socket goes before the lock, so whoever holds
 * the lock may remove a socket it finds: it is stale.
 */
#ifndef CWS_SERVER_EMBEDDED_H
#define CWS_SERVER_EMBEDDED_H

#include "base/err.h"

#define EMBEDDED_LOG_MAX (1u << 20) /* bytes; a longer log is emptied at the next start */

struct embedded { /* zeroed with both fds -1 */
    char *dir;
    char *socket_path;
    int dir_fd;
    int lock_fd; /* held for life */
};

enum embedded_claim { EMBEDDED_OURS, EMBEDDED_RUNNING };

/** embedded_name() - only what it is called; embedded_claim() does it too. */
int embedded_name(struct embedded *e, struct err *err);
/**
 * embedded_claim() - make and check the directory, take the lock; blocks while another instance
 * starts or stops Return: EMBEDDED_OURS (lock held, stale socket gone), EMBEDDED_RUNNING
 * (somebody serves there), or -1. Errors: FAILED_PRECONDITION (directory is a link, not ours,
 * open to others), DEADLINE_EXCEEDED (the holder of the lock neither serves nor ends).
 */
int embedded_claim(struct embedded *e, struct err *err);
/** embedded_detach() - stdin and stdout to /dev/null, stderr to the log file; every descriptor
 * but @keep_fd closed. */
int embedded_detach(const struct embedded *e, int keep_fd, struct err *err);
void embedded_done(struct embedded *e);

#endif
