/*
 * The lean root: launch's own root directory, from which sandboxes are made (leanroot.c), and what fills it. Functions return
 * >= 0, or -errno; [child] as in launch.h.
 */
#ifndef CWS_LAUNCH_LEANROOT_H
#define CWS_LAUNCH_LEANROOT_H

#include <sys/types.h>
#include <time.h>

#include "base/macros.h"
#include "launch/options.h"
#include "privproto/launchproto.h"

#define MAX_HOST_DIRS 8 /* usr bin sbin lib lib32 lib64 libx32, and room for one */

/* Where things are in launch's own root directory ("lean root"), which children inherit. */
#define LEAN_SKEL "/skel"
#define LEAN_USR_SKEL "/usr-skel"
#define LEAN_HOST "/host" /* /host/usr, ... */
#define LEAN_RAW "/raw"   /* behind a veil */
#define LEAN_DEV "/dev"
#define LEAN_EMPTY "/empty"
#define LEAN_CGROUPS "/cgroups" /* for /proc/cgroups */
#define LEAN_SYS "/sys"
#define LEAN_IMAGES "/images"
#define LEAN_MACHINE "/machine" /* /machine/0, ...: machinedirs.c */
#define LEAN_BOX "/box" /* mount point of each child's tmpfs, in its own mount namespace */

/* Which outside users a sandbox has. */
struct id_map {
    bool root; /* real root: uid_base..+65535; else: 0 is this user and there is nobody else */
    uint32_t base, count;
    uid_t own_uid;
    gid_t own_gid;
};

/* The machine's file system, which we have left; see machinedirs.c. */
struct machine {
    int home;            /* its mount namespace; -1: nothing of it may be seen */
    int nobody;          /* a user namespace that knows none of its owners, or -1 */
    uint32_t n_attached; /* at LEAN_MACHINE, for the sandbox that is being cloned */
    char stage[64];      /* which one could not be */
};
#define MACHINE_NONE ((struct machine){.home = -1, .nobody = -1})

struct host_dir {
    const char *name; /* "usr" */
    bool real; /* a directory of its own: overlaid; else a symlink that the skeleton repeats */
    bool
        veiled; /* its owners are shifted and a veil hides what is not for everybody: hostdirs.c */
    bool
        whole; /* other file systems are mounted below it, and cannot be left out: no layer for overlayfs */
    int tree,
        plain; /* until host_dirs_show(): detached clones; @plain without shifted owners */
    char link[64];
};

/* A file of the machine that sandboxes have a copy of. */
struct own_lib {
    char path[120]; /* below /usr */
    dev_t dev;      /* of the machine's file, when it was copied; and so on */
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct own_libs {
    int dir; /* LEAN_USR_SKEL, writable */
    uint32_t n;
    struct own_lib rows[8]; /* launch has three: loader, C library, libseccomp */
};

/* What a child's mounts are built from; filled once by lean_root_build(). */
struct lean_root {
    struct host_dir dirs[MAX_HOST_DIRS];
    uint32_t n_dirs;
    bool usr_skel;      /* LEAN_USR_SKEL has something to add */
    bool idmap;         /* host files show their owners */
    uint64_t veiled_ns; /* when the veils were made */
    struct own_libs libs;
    bool user_xattr;   /* the sandboxes' tmpfs can mark directories as replaced */
    bool names;        /* there is somebody who knows them: RESOLVE_ADDRESS */
    bool images;       /* LEAN_IMAGES is bound to the store of images */
    bool images_owned; /* the layers there show owners that exist inside */
    uint32_t masks;    /* bit i: row i of mounts.c's mask table exists in this kernel's /proc */
};

/* lowers.c */
/* Directories for an overlay, topmost first. */
struct lower_dirs {
    uint32_t n;
    int fds[LAUNCH_MAX_LAYERS];
};

/** lowers_open() - [child] those of a root: of an image directories of the store. On failure, too,
 * lowers_done() is the caller's to call. */
int lowers_open(const struct lean_root *lean, const struct rootfs *root,
                struct lower_dirs *ret);
/** lowers_add_layers() - [child] of each layer of @root the directory @below, "" or a name; what a layer does not have is left out. */
int lowers_add_layers(struct lower_dirs *dirs, const struct lean_root *lean,
                      const struct rootfs *root, const char *below);
/** lowers_add() - [child] the directory at @path, resolved as `openat2` says in @resolve; at most LAUNCH_MAX_LAYERS. */
int lowers_add(struct lower_dirs *dirs, int from, const char *path, uint64_t resolve);
void lowers_done(struct lower_dirs *dirs);

/* leanroot.c */
/** lean_root_build() - make it in a mount namespace of our own and enter it. @machine: filled with what options want of it. */
int lean_root_build(struct lean_root *lean, struct machine *machine, const struct id_map *map,
                    const struct options *options, const char **ret_stage);

/* machinedirs.c */
/** machine_keep() - while we are still in the machine's file system. */
int machine_keep(struct machine *m, const struct options *options, const struct id_map *map);
/** machine_make_points() - of LEAN_MACHINE, below the current directory. */
int machine_make_points(void);
void machine_done(struct machine *m);

/* hostdirs.c */
/** host_dirs_take() - clones of the machine's directories, owners shifted as in @userns_fd unless that is -1. */
int host_dirs_take(struct lean_root *lean, int userns_fd);
/** host_dirs_show() - attach them, in launch's own root; takes their descriptors. */
int host_dirs_show(struct lean_root *lean, const struct id_map *map);
/** host_dirs_refresh() - before a create: what was installed on the machine since shows in what is made from here on. */
int host_dirs_refresh(struct lean_root *lean, const struct id_map *map);

/* ownlibs.c */
/** own_libs_write() - the libraries that launch runs on, copied to @dir, a skeleton of /usr. Returns how many. */
int own_libs_write(struct own_libs *libs, const char *dir, const struct id_map *map);
/** own_libs_refresh() - again, those that have changed in @usr_path. */
int own_libs_refresh(struct own_libs *libs, const char *usr_path, const struct id_map *map);

/* skeleton.c */
/** skeleton_write() - fill @dir with the synthesized root of image `host`, reading files of the
 * host below "/". */
int skeleton_write(const char *dir, const struct lean_root *lean);
/** skeleton_write_usr() - what image `host` adds to the host's /usr; sets *ret_any. */
int skeleton_write_usr(const char *dir, bool *ret_any);

#endif
