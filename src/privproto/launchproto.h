/*
 * The vocabulary between cwsandboxd (runtime/) and cwsandbox-launch, over one SOCK_SEQPACKET
 * pair: one packet = one message. Requests carry a `seq` that the answer repeats; events have
 * seq 0. Every message is a fixed header followed by fields in a fixed order, encoded and
 * decoded only by launchproto.c (one table; fuzzed). launch treats the daemon as hostile: every
 * count, string and number is checked against the limits below; anything unknown ends launch.
 *
 * Life of a blank sandbox:
 *
 *   LAUNCH_CREATE -> answer (+ control fd) ... LAUNCH_LIMITS* ... LAUNCH_KILL -> event EXITED
 *
 * The id is chosen by the daemon, [a-z0-9-]{1,63}; it names cgroup directories.
 */
#ifndef CWS_PRIVPROTO_LAUNCHPROTO_H
#define CWS_PRIVPROTO_LAUNCHPROTO_H

#include <sys/types.h>

#include "base/macros.h"
#include "privproto/grant.h"
#include "privproto/launch-features.h"
#include "privproto/mount.h"

/* Of this vocabulary; the first word of either side, whose place never changes. Two that differ part there, and nothing is lost:
 * LIST gives the sandboxes to a daemon that fits. Any change below takes the next number. */
#define LAUNCH_VERSION 5
#define LAUNCH_MAX_PACKET 65536 /* chosen: fits the default SO_SNDBUF (212,992) three times */
#define LAUNCH_MAX_ID 64        /* with NUL */
#define LAUNCH_MAX_LAYERS \
    64 /* kernel accepts 500 (overlayfs OVL_MAX_STACK); images rarely pass 40 */
#define LAUNCH_HOST_LOWERS 2   /* of them image `host` takes itself: its skeleton, /usr twice */
#define LAUNCH_LAYER_DIGITS 64 /* of a SHA-256 */
#define LAUNCH_MAX_MOUNTS 80   /* chosen: 8 of every sandbox, its image's and its own */

enum launch_type {
    LAUNCH_HELLO = 1, /* LAUNCH_VERSION -> answer: launch_features */
    LAUNCH_CREATE, /* launch_create -> answer: launch_created + SCM_RIGHTS [init's control socket] */
    LAUNCH_LIMITS,    /* launch_limits -> answer: status only */
    LAUNCH_KILL,      /* id -> answer: status only; EVENT_EXITED follows when nothing lives */
    LAUNCH_USAGE,     /* id -> answer: launch_usage */
    LAUNCH_FREEZE,    /* id, bool -> status only; reserved for pause */
    LAUNCH_KILL_EXEC, /* launch_kill_exec -> status, when nothing of the exec lives any more; -ETIMEDOUT: something still
                         does; -ENOTSUP: !features.cgroup_kill, init has to do it */
    LAUNCH_LIST, /* id of the last one seen ("" to begin) -> answer: launch_listed + SCM_RIGHTS [control socket], for
                      the next sandbox that runs; for a daemon that found sandboxes running */
    LAUNCH_NETWORK, /* launch_rules -> status only; once a sandbox, of those with a network */
    LAUNCH_EVENT_EXITED = 64, /* launch_exited; cgroups and mounts of the id are already gone */
    LAUNCH_TYPE_MAX,
};

/* A root file system, as a value. Strings are borrowed. */
struct rootfs {
    bool host; /* lowest = built-in skeleton, second overlay on /usr */
    uint32_t
        n_layers; /* names of the image store's (docs/images.md), lowest first; of `host` what stands on it, or none */
    const char *layers[LAUNCH_MAX_LAYERS];
    bool
        disk; /* what is written goes to a disk of its own (features.disk_bytes), not to memory */
    uint64_t size_bytes; /* of the sandbox's writable space; > 0 */
    uint64_t n_inodes;   /* of it, in memory; > 0 */
};

struct launch_create {
    char id[LAUNCH_MAX_ID];
    struct rootfs root;
    bool network; /* a device that reaches what every sandbox may; features.network */
    uint32_t n_mounts;
    struct mount_op mounts[LAUNCH_MAX_MOUNTS]; /* strings are borrowed */
};

struct launch_created {
    int32_t status;        /* 0, or -errno of the failing step */
    char stage[64];        /* "mount overlay", "clone3", ...; empty on success */
    int32_t pid;           /* init's pid in launch's pid namespace */
    uint32_t init_version; /* INIT_VERSION of that init */
};

/* 0 = no limit. A limit that this host cannot enforce is -ENOTSUP with the name in `stage`,
 * unless accept_unenforced. */
struct launch_limits {
    char id[LAUNCH_MAX_ID];
    uint64_t memory_bytes;
    uint32_t cpu_millis; /* 1000 = one core */
    uint32_t pids;
    bool accept_unenforced;
};

/* NETWORK: only this may be reached, instead of what every sandbox with a network may. */
struct launch_rules {
    char id[LAUNCH_MAX_ID];
    uint32_t n_grants;
    struct launch_grant grants[LAUNCH_MAX_GRANTS];
    const char *names; /* grant.h; borrowed. What they lead to: TCP 443 only */
};

struct launch_status {
    int32_t status; /* 0 or -errno; -ENOENT: no such id */
    char stage[64];
};

struct launch_usage {
    int32_t status;
    uint64_t cpu_ns, memory_bytes, memory_peak_bytes; /* 0 where the host cannot tell */
    uint64_t n_oom_kills;
};

/* FREEZE: stop (or continue) every process of the sandbox, by cgroup.freeze. */
struct launch_freeze {
    char id[LAUNCH_MAX_ID];
    bool frozen;
};

/* The exec slot is what init's STARTED named. */
struct launch_kill_exec {
    char id[LAUNCH_MAX_ID];
    uint32_t slot;
};

/* One sandbox that runs. What its daemon had asked for last. */
struct launch_listed {
    int32_t status; /* 0; -ENOENT: the one asked after is gone, begin again; or -errno */
    char id[LAUNCH_MAX_ID]; /* "": there is no further one */
    int32_t pid;            /* of its init, in launch's pid namespace; 0 without an id */
    uint32_t init_version;  /* INIT_VERSION of that init */
    uint64_t memory_bytes;  /* limits: 0 = none */
    uint32_t cpu_millis;
    uint32_t pids;
};

struct launch_exited {
    char id[LAUNCH_MAX_ID];
    int32_t wait_status; /* of init, as waitpid */
    uint64_t cpu_ns, memory_peak_bytes;
    uint64_t n_oom_kills;
};

struct launch_message {
    enum launch_type type;
    uint32_t seq; /* 0 only for events */
    bool answer;
    union {
        uint32_t version;                /* HELLO request */
        struct launch_features features; /* HELLO answer */
        struct launch_create create;
        struct launch_created created;
        struct launch_limits limits;
        struct launch_status status; /* LIMITS, KILL, FREEZE, KILL_EXEC, NETWORK answers */
        char id[LAUNCH_MAX_ID];      /* KILL, USAGE */
        struct launch_usage usage;
        struct launch_freeze freeze; /* FREEZE request */
        struct launch_kill_exec kill_exec;
        char after[LAUNCH_MAX_ID];   /* LIST request; may be "" */
        struct launch_listed listed; /* LIST answer */
        struct launch_rules rules;   /* NETWORK request */
        struct launch_exited exited;
    } u;
};

/** launchproto_layer_valid() - 64 lower-case hexadecimal digits. */
bool launchproto_layer_valid(const char *name);
/** launchproto_id_valid() - [a-z0-9-]{1,63}. */
bool launchproto_id_valid(const char *id);
/** launchproto_encode() - bytes written to @out, or -EMSGSIZE / -EINVAL. */
ssize_t launchproto_encode(const struct launch_message *msg, uint8_t *out, size_t cap);
/** launchproto_decode() - 0 or -EBADMSG. Pointers borrow from @data (NUL-terminated in it). */
int launchproto_decode(const uint8_t *data, size_t n, struct launch_message *ret_msg);

#endif
