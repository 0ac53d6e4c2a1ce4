/*
 * /proc/meminfo of a sandbox with a memory limit, as a FUSE of one file that init serves.
 */
#ifndef CWS_INIT_MEMINFO_H
#define CWS_INIT_MEMINFO_H

#include "init/control.h"

struct meminfo {
    int fuse_fd; /* -1: the machine's is shown */
    int stat_fd; /* memory.stat */
    uint32_t owner;
    _Alignas(8) char buffer[16384]; /* of a request: at least FUSE_MIN_READ_BUFFER */
};

void meminfo_init(struct meminfo *m);
/** meminfo_take() - a SHOW; -EPROTO. */
int meminfo_take(struct meminfo *m, struct packet *p);
/** meminfo_answer() - what the kernel asks now; @limit: bytes, 0: none any more. */
void meminfo_answer(struct meminfo *m, uint64_t limit);
/** meminfo_leave() - [child] a copy of init must not be who still holds it. */
void meminfo_leave(struct meminfo *m);

#endif
