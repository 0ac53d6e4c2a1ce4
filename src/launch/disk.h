/*
 * Disks: the writable space of a sandbox as a file system of its own on the machine's disk, so that its size is a limit. Each is
 * an ext4 without a journal in a sparse file without a name, behind a loop device that goes with its last user: whatever dies,
 * nothing is left. Root only. Functions return >= 0, or -errno.
 */
#ifndef CWS_LAUNCH_DISK_H
#define CWS_LAUNCH_DISK_H

#include <sys/types.h>

#include "base/list.h"
#include "base/macros.h"

/* A part of the template that is not zeros. */
struct disk_part {
    off_t at;
    size_t size;
    uint8_t *bytes;
};

struct disks {
    uint64_t size_bytes; /* of every disk; 0: there are none here */
    uint64_t reserve_bytes;
    int dir;      /* where the files are made: the machine's file system */
    int control;  /* /dev/loop-control */
    int dev, sys; /* the machine's /dev and /sys/fs/ext4: loop devices appear there */
    bool held;    /* the machine is nearly full: nobody gets more */
    uint32_t n_parts;
    struct disk_part *parts;
};

#define DISKS_NONE ((struct disks){.dir = -1, .control = -1, .dev = -1, .sys = -1})

struct disk {
    int mount;    /* detached, for the child; -1: none */
    int32_t loop; /* number of its device */
};

/** disks_open() - at the start, while the machine's directories are there. @disks was DISKS_NONE and has its reserve_bytes; @owner: who root is inside.
 * @size_bytes 0: no disks are wanted. *ret_why: what is missing, when they are wanted and there are none. */
int disks_open(struct disks *disks, const char *dir, uint64_t size_bytes, uid_t owner,
               const char **ret_why);
/** disk_make() - a new, empty one. -ENOSPC: the machine has no more than its reserve. The caller closes ret->mount. */
int disk_make(const struct disks *disks, struct disk *ret);
/** disks_wait_ms() - how soon the machine could be full. */
int disks_wait_ms(const struct disks *disks);
/** disks_full() - whether the machine has no more than its reserve, now. */
bool disks_full(const struct disks *disks);
/** disk_hold() - its sandbox gets no more blocks (ENOSPC), or gets them again. */
void disk_hold(const struct disks *disks, int32_t loop, bool hold);
void disks_done(struct disks *disks);

#endif
