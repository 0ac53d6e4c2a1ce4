/*
 * Key and certificate files: what was last accepted is at the numbers of handover.h, for the next daemon; what was read
 * at a reload waits here until the daemon has judged it.
 */
#ifndef CWS_LAUNCH_SECRETS_H
#define CWS_LAUNCH_SECRETS_H

#include "launch/launch.h"
#include "privproto/handover.h"

struct secrets {
    const struct options *options;
    int fresh[HANDOVER_N_SECRETS]; /* -1: none */
};

void secrets_init(struct secrets *s, const struct options *options);
/** secrets_read() - the files anew: bit i of the answer is set when the i-th was read; the others are logged. @ret_fds is
 * borrowed until secrets_settle(). */
uint8_t secrets_read(struct secrets *s, int ret_fds[static HANDOVER_N_SECRETS], size_t *ret_n);
/** secrets_settle() - keep those of what was read last that have a bit in @accepted, drop the others; harmless when there
 * is nothing. */
void secrets_settle(struct secrets *s, uint8_t accepted);

#endif
