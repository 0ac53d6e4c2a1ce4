/* What is mounted on a sandbox's root, as rows: what launch is asked to do, and what it believes. */
#ifndef CWS_PRIVPROTO_MOUNT_H
#define CWS_PRIVPROTO_MOUNT_H

#include "privproto/machine-path.h"

#define LAUNCH_MAX_TARGET MACHINE_PATH_MAX

/* What is mounted on a root. Whatever the rows say, a sandbox sees nothing of the machine that its kind does not name. */
enum mount_kind {
    MOUNT_HOST =
        1, /* the machine's /usr, and what of /bin, /lib... is no link, each writable by an overlay; at their own
                       names in the root: no source, no target */
    MOUNT_DEV,   /* the few devices, and terminals of its own */
    MOUNT_SPACE, /* source: a directory of the sandbox's writable space, "tmp" or "shm" */
    MOUNT_PROC,  /* its own /proc, without what tells of or changes the machine */
    MOUNT_SYS,   /* what init writes of the limits; a cgroup file system of its own below it */
    MOUNT_POINT, /* nothing: only that there is a directory */
    MOUNT_FILE, /* source: of /etc of image `host`, "hostname", "hosts" or "resolv.conf": written in the place of the
                       image's, as a file that the sandbox may change */
    MOUNT_MEMORY, /* nothing yet: the volume `source`, a name, is memory, of size_bytes; before MOUNT_VOLUME shows it */
    MOUNT_VOLUME, /* source: a volume, or a path below it; volumes are empty directories of the writable space */
    MOUNT_DIR, /* source: a directory of the machine (machine_path_valid()); read_only; at most MACHINE_DIRS_MAX rows */
    MOUNT_KIND_MAX,
};

/* One row. They are done in order; a target that is not there is made, and links in it stay in the root. */
struct mount_op {
    enum mount_kind kind;
    const char *source;  /* a name whose meaning is the kind's; "": none */
    const char *target;  /* absolute path in the root; "": none */
    uint64_t size_bytes; /* MOUNT_MEMORY: > 0; else 0 */
    bool read_only;      /* MOUNT_VOLUME, MOUNT_DIR */
};

/* Those that one sandbox alone has. */
struct mount_list {
    struct mount_op *ops;
    uint32_t n; /* at most MOUNT_LIST_MAX */
};
#define MOUNT_LIST_MAX 48 /* chosen: launch takes more, for what every sandbox has */

/** volume_path_valid() - a volume's name, as an id, and what follows it: no empty, "." and ".." parts. */
bool volume_path_valid(const char *path);
/** mount_op_valid() - a row that launch takes: its kind is known, and it has the members of that kind. */
bool mount_op_valid(const struct mount_op *op);

#endif
