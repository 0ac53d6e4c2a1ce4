/*
 * The objects of cwsandbox-launch. One `struct engine` made by main.c; one `struct cell` per
 * blank or running sandbox. One kernel facility per .c file; each section below names its file.
 * Functions return >= 0, or -errno. Single-threaded. Functions marked [child] run between
 * clone3 and execveat: no allocation, stdio or locks in them.
 */
#ifndef CWS_LAUNCH_LAUNCH_H
#define CWS_LAUNCH_LAUNCH_H

#include <linux/filter.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/macros.h"
#include "base/strmap.h"
#include "launch/cgroup.h"
#include "launch/cpus.h"
#include "launch/disk.h"
#include "launch/leanroot.h"
#include "launch/network.h"
#include "launch/options.h"
#include "privproto/launchproto.h"

#define NETNS_POOL_SIZE 8 /* chosen: a burst of the warm pool's default size */
#define DEFAULT_UID_BASE \
    0x70000000u /* chosen: above /etc/subuid ranges and those of systemd (to 0x6fffffff) */
#define UID_COUNT 65536u
#define DEFAULT_DISK_RESERVE \
    (UINT64_C(2) << 30)    /* chosen: logs, records and the machine's own go on for a while */
#define HOSTNAME "sandbox" /* in the skeleton's /etc; the real one is the id */

/* A namespace ready to be entered. */
struct netns {
    int fd;
    uint32_t address; /* of its device; 0: it has its loopback only */
};

struct netns_pool {
    int home;                /* launch's own */
    int proc;                /* where the next ones are configured */
    struct network *network; /* that they are wired to; NULL: to none */
    struct netns ready[NETNS_POOL_SIZE];
    uint32_t n, n_made;
    uint64_t retry_ns; /* after a failed refill: not before */
    bool root;
};

/* Another program is to take this one's place: replace.h. */
struct replacement {
    uint64_t due_ns;   /* it has failed by then; 0: none */
    int mounts;        /* the machine's file systems: a mount namespace */
    int new_argv;      /* of the new program */
    int program, argv; /* of this one, should the new one fail */
};

#define REPLACEMENT_NONE \
    ((struct replacement){.mounts = -1, .new_argv = -1, .program = -1, .argv = -1})

struct engine {
    const struct options *options;
    int sock_fd, signal_fd;
    int init_fd; /* sealed memfd */
    int fuse_fd; /* /dev/fuse, as a path; -1: there is none */
    struct id_map map;
    struct lean_root lean;
    struct machine machine;
    struct cgroups cgroups;
    struct cpus cpus;
    struct netns_pool netns; /* without a network */
    struct netns_pool wired; /* with; empty for good unless network.open */
    struct network network;
    struct disks disks;
    uint32_t n_disks; /* cells that have one */
    struct sock_fprog filter;
    struct launch_features features;
    struct list cells;
    struct list kills; /* kills.c */
    int kills_fd;
    struct strmap by_id, by_pid;
    struct strmap layers; /* layers.c, by name: what is mounted */
    uint32_t n_made;      /* user namespaces made: userns_owner() */
    uint32_t n_pending;   /* sandboxes in CELL_STARTING */
    struct replacement replacement;
    bool stopping;
};

/* From the child over the status pipe. */
struct child_failure {
    int32_t error; /* positive errno */
    char stage[60];
};

struct child_args {
    const struct engine *engine;
    const struct launch_create *create;
    int release_fd; /* #1/#2: blocks until the maps are written */
    int status_fd;
    int control_fd; /* init's end */
    int enter_fd;   /* struct cgroup_fds */
    int load_fd;
    int disk_fd; /* struct disk */
};

/* child.c */
/** child_main() - [child] build the sandbox around us, become init. */
__attribute__((noreturn)) void child_main(const struct child_args *args);
/** child_fail() - [child] report errno at @stage, end. */
__attribute__((noreturn)) void child_fail(int status_fd, const char *stage, int error);

/* mounts.c */
/** mounts_build() - [child] everything under "/": returns 0 or -errno with @ret_stage set.
 * @ret_view: what is seen at /sys/fs/cgroup, to be written. */
int mounts_build(const struct child_args *args, int *ret_view, const char **ret_stage);
/** mounts_probe_masks() - which rows of the mask table exist. */
uint32_t mounts_probe_masks(void);

/* machinedirs.c */
/** machine_attach() - those that @create names, for the child that is cloned next. On failure, too, machine_detach() follows. */
int machine_attach(struct engine *e, const struct launch_create *create,
                   const char **ret_stage);
void machine_detach(struct engine *e);

/* volumes.c */
/** volume_dir() - [child] descriptor of a volume of the space @box, or of a path below it (volume_path_valid()), made where it is missing. */
int volume_dir(int box, const char *path);

/* userns.c */
/** userns_enter() - an ordinary user becomes root of a user namespace of its own. */
int userns_enter(const struct id_map *map);
int userns_write_maps(pid_t pid, const struct id_map *map);
/** userns_keep_caps() - real root: whether changing the effective user leaves capabilities as they are, from here on. */
int userns_keep_caps(bool keep);
/** userns_set_owner() - the effective user, who owns what user namespaces are made; 0: launch's own again. */
void userns_set_owner(const struct id_map *map, uid_t owner);
/** userns_owner() - the owner of the @n-th user namespace. */
uid_t userns_owner(const struct id_map *map, uint32_t n);
/** userns_open_mapped() - descriptor of a user namespace with @map, for idmapped mounts. */
int userns_open_mapped(const struct id_map *map);
/** userns_open_single() - of one that has only @inside, which is @outside; real root. */
int userns_open_single(uint32_t inside, uint32_t outside);

/* netns.c */
/** netns_pool_init() - @network: what they are wired to; NULL: to none. */
int netns_pool_init(struct netns_pool *pool, struct network *network, bool root);
bool netns_pool_wants_more(const struct netns_pool *pool);
/** netns_pool_pause_ms() - until it may want more; -1 when it is full. */
int netns_pool_pause_ms(const struct netns_pool *pool);
int netns_pool_refill_one(struct netns_pool *pool);
/** netns_pool_take() - a namespace with lo up; the caller closes it, and releases its address. */
int netns_pool_take(struct netns_pool *pool, struct netns *ret);
int netns_enter(int fd);
/** netns_pool_drain() - none is kept ready any more. */
void netns_pool_drain(struct netns_pool *pool);
void netns_pool_done(struct netns_pool *pool);

/* nproc.c */
/** nproc_limit() - at most @pids processes beside init @pid; 0: as it is. For hosts where
 * !cgroup_counts_pids(). A limit once set can only become lower. */
int nproc_limit(pid_t pid, uint32_t pids);

/* caps.c */
/** caps_limit() - [child] bounding set to the table, inheritable and ambient to nothing.
 * @one_user: without CAP_SETUID, because processes are counted per user (nproc.c). */
int caps_limit(bool one_user);

/* seccomp.c */
int seccomp_compile(struct sock_fprog *ret_program);
/** seccomp_install() - [child] */
int seccomp_install(const struct sock_fprog *program);

/* image.c */
/** init_image_open() - sealed, executable memfd with the content of @path. */
int init_image_open(const char *path);

/* check.c */
int check_print(const struct options *options);

/* engine.c */
/** engine_start() - @was: what an engine that this one takes the place of has left (carry.h), or NULL. */
int engine_start(struct engine *e, const struct options *options, const struct engine *was,
                 const char **ret_stage);
void engine_done(struct engine *e);
/** engine_remedy() - what the operator may do about errno @error of @stage of engine_start(); "" if nothing is known. */
const char *engine_remedy(const char *stage, int error);

#endif
