/* Start and end of launch: every part in the order that the next one needs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "launch/cell.h"

static void add_problem(struct launch_features *f, const char *text)
{
    size_t n = strlen(f->problems);

    (void)snprintf(f->problems + n, sizeof(f->problems) - n, "%s\n", text);
}

/*
 * For launch and what it starts. 1, not 0: a program in the machine's core_pattern is run as real root, with the memory of
 * the dead as its input, whatever the limit, unless that is exactly 1 (fs/coredump.c, coredump_pipe()); a file would have
 * to be larger. The filter keeps it at 1.
 */
static bool limit_core(void)
{
    const struct rlimit one = {1, 1};
    char first = 0;

    if (setrlimit(RLIMIT_CORE, &one) == 0)
        return true;
    /* An ordinary user cannot raise a hard limit of 0, which is good enough against files. */
    CLEANUP_FD int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &first, 1) == 1 && first != '|' && first != '@';
}

static int open_signals(void)
{
    /* A terminal's signals are for the daemon, which ends us by EOF; a broken stderr must not
     * end us at all. */
    static const int ignored[] = {SIGHUP, SIGINT, SIGPIPE, SIGQUIT};
    sigset_t set;
    int fd;

    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        (void)signal(ignored[i], SIG_IGN); /* init puts every disposition back to default */
    (void)signal(SIGCHLD,
                 SIG_DFL); /* inherited as ignored, it would take our children's ends from us */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void describe(struct engine *e, bool core_limited)
{
    struct launch_features *f = &e->features;
    char text[256];

    f->root = e->map.root;
    f->idmap = e->lean.idmap;
    f->netns_pool = e->netns.n > 0;
    f->uid_base = e->map.root ? e->map.base : e->map.own_uid;
    f->uid_count = e->map.count;
    if (!f->root)
        add_problem(f,
                    "users: only root exists inside a sandbox: start as root for 65536 users");
    if (f->root && !f->idmap)
        add_problem(f, "idmap: a file system below /usr cannot shift owners: files of the "
                       "machine show as nobody");
    for (uint32_t i = 0; i < e->lean.n_dirs; i++)
        if (e->lean.dirs[i].whole) {
            (void)snprintf(text, sizeof(text),
                           "directories: something is mounted below /%s, so it is read-only "
                           "inside: start as root to have it writable",
                           e->lean.dirs[i].name);
            add_problem(f, text);
        }
    if (!core_limited)
        add_problem(f,
                    "core: a crash inside runs the machine's core_pattern program: raise the "
                    "hard limit of core files to 1 or more");
    /* A user may not remove what is the machine's in any case. */
    if (f->root && !e->lean.user_xattr)
        add_problem(f, "directories: a directory of the image that has content cannot be "
                       "removed or replaced inside (EIO): use Linux 6.6 or newer");
}

static void add_disk_problem(struct engine *e, const char *why)
{
    char text[256];

    (void)snprintf(text, sizeof(text), "disk: sandboxes cannot have one: %s", why);
    add_problem(&e->features, text);
}

/* Without disks sandboxes write to memory; whoever asks for one hears why. */
static void open_disks(struct engine *e)
{
    const struct options *options = e->options;
    const char *why = "an ordinary user cannot mount one: files of sandboxes stay in memory";
    int r = -EPERM;

    e->disks.reserve_bytes = options->disk_reserve_bytes;
    if (e->map.root)
        r = disks_open(&e->disks, options->state_dir, options->disk_size_bytes, e->map.base,
                       &why);
    if (r < 0 && options->disk_size_bytes > 0)
        add_disk_problem(e, why);
    e->features.disk_bytes = e->disks.size_bytes;
}

/* As root, where it is wanted. Else, or where it cannot be, sandboxes have their loopback. */
static void open_network(struct engine *e)
{
    const char *why = "an ordinary user cannot wire sandboxes to one: start as root";
    char text[256];
    int r = -EPERM;

    if (e->network.open) {
        e->features.network = true;
        e->lean.names = resolver_resume(&e->network.resolver, e->options->dns) == 0;
        return;
    }
    if (!e->options->network)
        return;
    if (e->map.root)
        r = network_open(&e->network, e->options->service, e->options->dns, &why);
    e->features.network = e->lean.names = r == 0;
    if (r == 0)
        return;
    (void)snprintf(text, sizeof(text), "network: sandboxes cannot have one: %s (%s)", why,
                   strerror(-r));
    add_problem(&e->features, text);
}

static int fill_pools(struct engine *e)
{
    int r = netns_pool_init(&e->netns, NULL, e->map.root);

    return r == 0 && e->network.open ? netns_pool_init(&e->wired, &e->network, true) : r;
}

/* Who its sandboxes' users are, and their cgroups. */
static int open_users(struct engine *e, const struct engine *was, const char **ret_stage)
{
    uid_t uid = geteuid();

    e->map = (struct id_map){.root = uid == 0,
                             .base = e->options->uid_base,
                             .count = uid == 0 ? UID_COUNT : 1,
                             .own_uid = uid,
                             .own_gid = getegid()};
    *ret_stage = "user namespace";
    if (was) /* which it is in already */
        e->map = was->map;
    else
        return e->map.root ? 0 : userns_enter(&e->map);
    return e->map.root ? userns_keep_caps(false) : 0;
}

static int open_cgroups(struct engine *e, const struct engine *was)
{
    if (!was)
        return cgroups_find(&e->cgroups, e->map.root, e->options->service, &e->features);
    e->cgroups = was->cgroups;
    cgroups_describe(&e->cgroups, e->map.root, &e->features);
    return 0;
}

int engine_start(struct engine *e, const struct options *options, const struct engine *was,
                 const char **ret_stage)
{
    bool core_limited = limit_core();
    int r;

    *e = (struct engine){.options = options,
                         .sock_fd = options->sock_fd,
                         .disks = DISKS_NONE,
                         .machine = MACHINE_NONE};
    e->signal_fd = e->init_fd = e->fuse_fd = e->kills_fd = -1;
    e->netns.home = e->netns.proc = e->wired.home = e->wired.proc = -1;
    e->network = was ? was->network : NETWORK_NONE_OPEN;
    e->n_made = was ? was->n_made : 0;
    e->cgroups = CGROUPS_NONE;
    e->replacement = REPLACEMENT_NONE;
    list_init(&e->cells);
    cpus_init(&e->cpus);
    *ret_stage = "signals";
    e->signal_fd = open_signals();
    if (e->signal_fd < 0)
        return e->signal_fd;
    r = kills_init(e);
    if (r < 0)
        return r;
    r = open_users(e, was, ret_stage);
    if (r < 0)
        return r;
    *ret_stage = "init program";
    e->init_fd = init_image_open(options->init_path);
    if (e->init_fd < 0)
        return e->init_fd;
    *ret_stage = "cgroups";
    r = open_cgroups(e, was);
    if (r < 0)
        return r;
    e->fuse_fd = meminfo_open_device();
    open_disks(e); /* before the machine's directories are left */
    e->disks.held = was && was->disks.held;
    open_network(e);
    r = lean_root_build(&e->lean, &e->machine, &e->map, options, ret_stage);
    if (r < 0)
        return r;
    *ret_stage = "network namespace";
    r = fill_pools(e);
    if (r < 0)
        return r;
    *ret_stage = "compile seccomp filter";
    r = seccomp_compile(&e->filter);
    if (r < 0)
        return r;
    /* Not before: the skeletons are read with the capabilities that setfsuid takes away. */
    *ret_stage = "secure bits";
    r = e->map.root ? userns_keep_caps(true) : 0;
    if (r < 0)
        return r;
    describe(e, core_limited);
    *ret_stage = "";
    return 0;
}

const char *engine_remedy(const char *stage, int error)
{
    if (strcmp(stage, "user namespace") == 0)
        return "allow unprivileged user namespaces (sysctl user.max_user_namespaces, "
               "kernel.unprivileged_userns_clone, "
               "kernel.apparmor_restrict_unprivileged_userns), "
               "or start as root";
    if (error == ENOSYS || error == EINVAL || error == ENODEV)
        return "Linux 5.19 or newer with overlayfs is needed";
    if (error == EPERM || error == EACCES)
        return "start as root of the machine, or as an ordinary user who may make user "
               "namespaces; a container needs CAP_SYS_ADMIN and no filter on mount and unshare";
    return "";
}

void engine_done(struct engine *e)
{
    strmap_done(&e->by_id);
    strmap_done(&e->by_pid);
    strmap_done(&e->layers);
    free(e->filter.filter);
    e->filter.filter = NULL;
    netns_pool_done(&e->netns);
    netns_pool_done(&e->wired);
    network_close(&e->network);
    disks_done(&e->disks);
    machine_done(&e->machine);
    cgroups_done(&e->cgroups, e->options->service);
    cleanup_fd(&e->init_fd);
    cleanup_fd(&e->fuse_fd);
    cleanup_fd(&e->signal_fd);
    cleanup_fd(&e->kills_fd);
}
