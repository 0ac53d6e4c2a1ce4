/*
 * The order of opening what only the starter's privilege can open:
 *
 *   options -> (embedded: lock, detach) -> keys and certificates -> data directory -> listening sockets
 *   -> the numbers of handover.h -> exec of cwsandbox-launch
 *
 * Nothing from a peer is parsed here; files are the operator's.
 */
#include "server/front.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/secret.h"
#include "base/util.h"
#include "privproto/handover.h"
#include "server/bind.h"
#include "server/keys.h"
#include "server/notify.h"
#include "server/paths.h"
#include "server/privileges.h"
#include "transport/transport.h"

/* What the next program gets. */
struct opened {
    int data_fd, data_lock_fd;
    int secrets[HANDOVER_N_SECRETS];
    struct bound listeners[HANDOVER_MAX_LISTENERS];
    size_t n_listeners;
    uid_t uid; /* the daemon's */
    gid_t gid;
    char *state_dir;
    char *images_dir;
};

static void opened_done(struct opened *o)
{
    cleanup_fd(&o->data_fd);
    cleanup_fd(&o->data_lock_fd);
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++)
        cleanup_fd(&o->secrets[i]);
    for (size_t i = 0; i < o->n_listeners; i++)
        bound_discard(&o->listeners[i]);
    free(o->state_dir);
    free(o->images_dir);
}

static int front_fail(struct front *f, const struct err *err, int status)
{
    log_event(LOG_ERROR, "failed", "error=\"%s\"", err_text(err));
    notify_ready_fd(&f->ready_fd, err_text(err));
    return status;
}

/* ---- secrets ---- */

/* Reads them as the daemon will, so that a mistake in them is told at once, by its place. */
static int check_secrets(const struct options *o, size_t *ret_n_keys, struct err *err)
{
    *ret_n_keys = 0;
    if (o->api_keys != NULL) {
        struct keys *keys = keys_load(o->api_keys, err);
        if (keys == NULL)
            return -1;
        *ret_n_keys = keys_count(keys);
        keys_free(keys);
    }
    if (o->tls_cert != NULL) {
        struct tls_config *tls = tls_server_new(o->tls_cert, o->tls_key, err);
        if (tls == NULL)
            return -1;
        tls_config_unref(tls);
    }
    return 0;
}

static int open_secrets(const struct options *o, struct opened *opened, struct err *err)
{
    const char *paths[HANDOVER_N_SECRETS] = {o->api_keys, o->tls_cert, o->tls_key};
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++) {
        if (paths[i] == NULL)
            continue;
        opened->secrets[i] = secret_copy(paths[i], HANDOVER_MAX_SECRET_BYTES,
                                         i + HANDOVER_KEYS == HANDOVER_KEYS, err);
        if (opened->secrets[i] < 0)
            return -1;
        /* The daemon's, who opens it through its descriptor. */
        if (opened->uid != geteuid() &&
            fchown(opened->secrets[i], opened->uid, opened->gid) < 0)
            return err_set_errno(err, ERR_INTERNAL, errno, "hand over `%s`", paths[i]);
    }
    return 0;
}

/* ---- who the daemon is ---- */

static int choose_user(const struct options *o, struct opened *opened, struct err *err)
{
    opened->uid = geteuid();
    opened->gid = getegid();
    if (o->user != NULL) {
        const struct passwd *entry = getpwnam(o->user);
        if (entry == NULL)
            return err_set(err, ERR_INVALID_ARGUMENT, "--user: no user `%s`", o->user);
        if (geteuid() != 0 && entry->pw_uid != geteuid())
            return err_set(err, ERR_FAILED_PRECONDITION, "--user: only root can become `%s`",
                           o->user);
        if (geteuid() == 0 && entry->pw_uid == 0)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "--user: `%s` is root, which owns the machine", o->user);
        opened->uid = entry->pw_uid;
        opened->gid = entry->pw_gid;
    } else if (geteuid() == 0) {
        opened->uid = HANDOVER_DAEMON_ID;
        opened->gid = HANDOVER_DAEMON_ID;
    }
    return 0;
}

/* ---- the data directory ---- */

/* The files of sandboxes' logs that an earlier service left; links are not followed. */
static int hand_over_logs(int logs_fd, uid_t uid, gid_t gid)
{
    DIR *dir = fdopendir(logs_fd); /* takes it */
    struct dirent *entry;
    if (dir == NULL) {
        (void)close(logs_fd);
        return -errno;
    }
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)fchownat(dirfd(dir), entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW);
    int r = fchown(dirfd(dir), uid, gid) < 0 ? -errno : 0;
    (void)closedir(dir);
    return r;
}

static int open_dir_at(int fd, const char *name)
{
    if (mkdirat(fd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return dir < 0 ? -errno : dir;
}

/*
 * The directory stays root's and is sticky: the daemon makes what it needs in it, but cannot take away, or put a link in
 * the place of, what launch uses there (launch/, images/, lock).
 */
static int give_data(struct opened *opened)
{
    struct stat st;
    CLEANUP_FD int launch = open_dir_at(opened->data_fd, "launch");
    CLEANUP_FD int images = open_dir_at(opened->data_fd, "images");
    if (images < 0)
        return images;
    if (launch < 0 || fstat(launch, &st) < 0)
        return launch < 0 ? launch : -errno;
    if (st.st_uid != geteuid())
        return -EPERM;
    if (opened->uid == geteuid())
        return 0;
    /* What an image is the daemon reads; others do not come past the data directory. Not by the group: the engine sees this
     * directory through a mount that does not know the daemon's, and no capability helps it there. */
    if (fchmod(images, 0711) < 0)
        return -errno;
    if (fchown(opened->data_fd, (uid_t)-1, opened->gid) < 0)
        return -errno;
    if (fchmod(opened->data_fd, 01770) < 0)
        return -errno;
    int logs = open_dir_at(opened->data_fd, "logs");
    return logs < 0 ? logs : hand_over_logs(logs, opened->uid, opened->gid);
}

static int open_data(const struct options *o, struct opened *opened, struct err *err)
{
    opened->data_lock_fd = paths_lock_data(o, err);
    if (opened->data_lock_fd < 0)
        return -1;
    opened->data_fd = open(o->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened->data_fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s`", o->data_dir);
    opened->state_dir = str_dup_printf("%s/launch", o->data_dir);
    opened->images_dir = str_dup_printf("%s/images", o->data_dir);
    if (opened->state_dir == NULL || opened->images_dir == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    int r = give_data(opened);
    /* A user namespace that does not know the daemon's uid; launch cannot make sandboxes there either, and says why. */
    if (r == -EINVAL && o->user == NULL) {
        opened->uid = geteuid();
        opened->gid = getegid();
        r = 0;
    }
    if (r < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -r,
                             "prepare the data directory `%s`", o->data_dir);
    return 0;
}

/* ---- becoming cwsandbox-launch ---- */

static int listen_at(const struct front *f, const char *url, struct bound *ret, struct err *err)
{
    return f->renew != NULL ? bind_again(f->options, url, ret, err)
                            : bind_listen(f->options, url, ret, err);
}

static int open_listeners(const struct front *f, struct opened *opened, struct err *err)
{
    const struct options *o = f->options;
    CLEANUP_FREE char *own =
        o->embedded ? str_dup_printf("unix://%s", f->embedded.socket_path) : NULL;
    if (o->embedded && own == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    size_t n = o->embedded ? 1 : o->listen.n_items;
    for (; opened->n_listeners < n; opened->n_listeners++) {
        const char *url = o->embedded ? own : o->listen.items[opened->n_listeners];
        if (listen_at(f, url, &opened->listeners[opened->n_listeners], err) < 0)
            return -1;
    }
    return o->front == NULL
               ? 0
               : listen_at(f, o->front, &opened->listeners[opened->n_listeners++], err);
}

static int add_pair(struct text_list *argv, const char *flag, const char *value)
{
    if (value == NULL)
        return 0;
    int r = text_list_add(argv, flag);
    return r < 0 ? r : text_list_add(argv, value);
}

static int add_daemon(struct text_list *argv, const struct options *o,
                      const struct opened *opened)
{
    char who[64], self[PATH_MAX]; /* readlink(2) gives no more for an existing executable */
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return -errno;
    self[n] = '\0';
    (void)snprintf(who, sizeof(who), "%u:%u:%u", (unsigned)geteuid(), (unsigned)opened->uid,
                   (unsigned)opened->gid);
    int r = add_pair(argv, "--", self);
    if (r == 0)
        r = add_pair(argv, "--inherited", who);
    return r < 0 ? r : options_add_flags(o, argv);
}

static int make_argv(const struct front *f, const struct opened *opened, struct text_list *argv)
{
    const struct options *o = f->options;
    char user[32];
    char disk_size[24];
    (void)snprintf(user, sizeof(user), "%u:%u", (unsigned)opened->uid, (unsigned)opened->gid);
    (void)snprintf(disk_size, sizeof(disk_size), "%" PRIu64, o->root_size_bytes);
    int r = add_pair(argv, o->launch_path, "--supervise");
    const char *const pairs[][2] = {
        {"--init", o->init_path},
        {"--state-dir", opened->state_dir},
        {"--images", opened->images_dir},
        {"--disk-size", o->root_on_disk ? disk_size : NULL},
        {"--network", o->network_wanted ? "egress" : NULL},
        {"--service", o->service_name},
        {"--daemon-user", opened->uid != geteuid() ? user : NULL},
        {"--api-keys", o->api_keys},
        {"--tls-cert", o->tls_cert},
        {"--tls-key", o->tls_key},
        {"--image-path", o->image_path},
        {"--image-secrets", o->secret_stores},
        {"--remove-data", o->data_dir_chosen ? o->data_dir : NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(pairs) && r == 0; i++)
        r = add_pair(argv, pairs[i][0], pairs[i][1]);
    if (r == 0 && !o->embedded && !o->image_private_registries)
        r = text_list_add(argv, "--image-public-only");
    if (r == 0 && o->embedded) /* whose user is the one that logged in */
        r = text_list_add(argv, "--image-logins");
    for (size_t i = 0; i < o->dns.n_items && r == 0; i++)
        r = add_pair(argv, "--dns", o->dns.items[i]);
    for (size_t i = 0; i < o->host_directories.n_items && r == 0; i++)
        r = add_pair(argv, "--host-directory", o->host_directories.items[i]);
    for (size_t i = 0; i < opened->n_listeners && r == 0; i++)
        r = add_pair(argv, "--socket-file", opened->listeners[i].path);
    for (size_t i = 1; f->argv[i] != NULL && r == 0; i++)
        r = add_pair(argv, "--front-argument", f->argv[i]);
    return r < 0 ? r : add_daemon(argv, o, opened);
}

/* #1 everything out of the way of the numbers, #2 to its number; #3 what is not there is closed. */
static int arrange(const struct front *f, struct opened *opened)
{
    int at[HANDOVER_END];
    for (int i = 0; i < HANDOVER_END; i++)
        at[i] = -1;
    if (f->renew != NULL) {
        at[HANDOVER_SUPER] = HANDOVER_SUPER;
        at[HANDOVER_LAUNCH] = HANDOVER_LAUNCH;
    }
    at[HANDOVER_DATA] = opened->data_fd;
    at[HANDOVER_DATA_LOCK] = opened->data_lock_fd;
    at[HANDOVER_HOME_LOCK] = f->embedded.lock_fd;
    at[HANDOVER_READY] = f->ready_fd;
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++)
        at[HANDOVER_KEYS + (int)i] = opened->secrets[i];
    for (size_t i = 0; i < opened->n_listeners; i++)
        at[HANDOVER_LISTEN + (int)i] = opened->listeners[i].fd;
    for (int i = HANDOVER_SUPER; i < HANDOVER_END; i++) {
        at[i] = at[i] < 0 ? -1 : fcntl(at[i], F_DUPFD_CLOEXEC, HANDOVER_ABOVE); /* #1 */
        if (at[i] < 0 && errno == EMFILE)
            return -EMFILE;
    }
    for (int i = HANDOVER_SUPER; i < HANDOVER_END; i++) {
        if (at[i] < 0)
            (void)close(i);          /* #3 */
        else if (dup2(at[i], i) < 0) /* #2 */
            return -errno;
    }
    return 0;
}

/* Returns only when it fails. What @opened and @f have open is spoiled by then. */
static int become_launch(struct front *f, struct opened *opened, struct err *err)
{
    CLEANUP(text_list_done) struct text_list argv = {0};
    int r = make_argv(f, opened, &argv);
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, -r, "start %s", f->options->launch_path);
    errno = 0;
    r = arrange(f, opened);
    if (r == 0) {
        (void)execv(f->options->launch_path, argv.items);
        r = -errno;
    }
    if (f->ready_fd >= 0)
        f->ready_fd = HANDOVER_READY;
    return err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "start %s", f->options->launch_path);
}

/* ---- another daemon for a service that runs ---- */

/* What cannot be another one while sandboxes run: their files and records are this user's, in this directory. */
static int keep_what_stays(const struct front *f, struct opened *opened, struct err *err)
{
    const struct options *o = f->options;
    struct stat now, before;
    char copy[32], *gid = copy;
    uint64_t ids[2];
    (void)snprintf(copy, sizeof(copy), "%s", f->renew);
    const char *uid = strsep(&gid, ":");
    if (gid == NULL || parse_u64(uid, UINT32_MAX, &ids[0]) < 0 ||
        parse_u64(gid, UINT32_MAX, &ids[1]) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "--renew is for cwsandbox-launch");
    /* Our own user in the place of one that this user namespace does not know: open_data(). */
    bool same = opened->uid == (uid_t)ids[0] || (o->user == NULL && ids[0] == geteuid());
    if (!same)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "--user: cannot change while the service runs");
    opened->uid = (uid_t)ids[0];
    opened->gid = (gid_t)ids[1];
    if (fstat(HANDOVER_DATA, &before) < 0 || stat(o->data_dir, &now) < 0 ||
        before.st_dev != now.st_dev || before.st_ino != now.st_ino)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "--data-dir: cannot change while the service runs");
    opened->data_fd = HANDOVER_DATA;
    opened->state_dir = str_dup_printf("%s/launch", o->data_dir);
    opened->images_dir = str_dup_printf("%s/images", o->data_dir);
    return opened->state_dir != NULL && opened->images_dir != NULL
               ? 0
               : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

/* In memory, each with its NUL. */
static int write_argv(const struct text_list *argv)
{
    CLEANUP_FD int fd = memfd_create("argv", MFD_CLOEXEC);
    for (size_t i = 0; i < argv->n_items && fd >= 0; i++)
        if (fd_write_all(fd, argv->items[i], strlen(argv->items[i]) + 1) < 0)
            return -EIO;
    return fd < 0 ? -errno : TAKE_FD(fd);
}

static int say_opened(const struct opened *opened, const struct text_list *argv)
{
    CLEANUP_FD int text = write_argv(argv);
    uint8_t packet[2] = {HANDOVER_WORD_OPENED, 0};
    int fds[HANDOVER_MAX_FDS] = {text};
    size_t n = 1;
    if (text < 0)
        return text;
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++) {
        if (opened->secrets[i] < 0)
            continue;
        packet[1] |= (uint8_t)(1u << i);
        fds[n++] = opened->secrets[i];
    }
    for (size_t i = 0; i < opened->n_listeners; i++)
        fds[n++] = opened->listeners[i].fd;
    return handover_send(HANDOVER_READY, packet, fds, n);
}

/* The supervisor has a copy of everything, and trusts what it heard so far: from here on this process is a daemon. */
static int become_daemon(struct front *f, struct opened *opened, struct err *err)
{
    CLEANUP(text_list_done) struct text_list argv = {0};
    int r = make_argv(f, opened, &argv);
    if (r == 0)
        r = say_opened(opened, &argv);
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, -r, "hand over");
    size_t at = 0;
    while (strcmp(argv.items[at], "--") != 0)
        at++;
    for (size_t i = 0; i < opened->n_listeners; i++)
        opened->listeners[i].kept = true; /* the supervisor's */
    if (arrange(f, opened) == 0)          /* closes HANDOVER_READY */
        (void)execv(argv.items[at + 1], argv.items + at + 1);
    _exit(1);
}

static int renew_service(struct front *f, struct err *err)
{
    struct options *o = f->options;
    size_t n_keys;
    CLEANUP(opened_done)
    struct opened opened = {.data_fd = -1, .data_lock_fd = -1, .secrets = {-1, -1, -1}};
    if (o->embedded && embedded_name(&f->embedded, err) < 0)
        return -1;
    if (check_secrets(o, &n_keys, err) < 0 || bind_check(o, n_keys, err) < 0 ||
        paths_fill(o, err) < 0 || choose_user(o, &opened, err) < 0 ||
        keep_what_stays(f, &opened, err) < 0 || open_secrets(o, &opened, err) < 0 ||
        open_listeners(f, &opened, err) < 0)
        return -1;
    return become_daemon(f, &opened, err);
}

/* ---- the order ---- */

static int start_service(struct front *f, struct err *err)
{
    struct options *o = f->options;
    size_t n_keys;
    CLEANUP(opened_done)
    struct opened opened = {.data_fd = -1, .data_lock_fd = -1, .secrets = {-1, -1, -1}};
    if (check_secrets(o, &n_keys, err) < 0 || bind_check(o, n_keys, err) < 0 ||
        paths_fill(o, err) < 0 || choose_user(o, &opened, err) < 0 ||
        open_data(o, &opened, err) < 0 || open_secrets(o, &opened, err) < 0 ||
        open_listeners(f, &opened, err) < 0)
        return -1;
    log_event(LOG_INFO, "starting", "version=%s data_dir=%s service=%s daemon_uid=%u",
              CWS_VERSION, o->data_dir, o->service_name, (unsigned)opened.uid);
    /* Launch and daemon inherit it: the SDK's program may have a low soft limit. */
    (void)privileges_raise_nofile();
    return become_launch(f, &opened, err);
}

static int check_config(const struct options *o, struct err *err)
{
    size_t n_keys;
    if (check_secrets(o, &n_keys, err) < 0 || bind_check(o, n_keys, err) < 0)
        return -1;
    (void)printf("configuration ok: %zu listeners, %zu API keys\n", o->listen.n_items, n_keys);
    return 0;
}

/* 0: go on; 1: somebody else serves; -1. */
static int become_embedded(struct front *f, struct err *err)
{
    int claim = embedded_claim(&f->embedded, err);
    if (claim < 0)
        return -1;
    if (claim == EMBEDDED_RUNNING) {
        notify_ready_fd(&f->ready_fd, "running");
        return 1;
    }
    return embedded_detach(&f->embedded, f->ready_fd, err);
}

/* A variable that somebody set long ago, for another service, must not win in silence. */
static void log_override(const char *option, const char *variable)
{
    log_event(LOG_WARN, "option_overridden",
              "option=%s by=%s text=\"the configuration file says otherwise\"", option,
              variable);
}

int front_run(struct front *f)
{
    CLEANUP_ERR struct err err = {0};
    log_set_level(f->options->log_level);
    options_note_overrides(f->options, log_override);
    if (f->renew != NULL) {
        (void)renew_service(f, &err);
        log_event(LOG_ERROR, "not_renewed", "error=\"%s\"", err_text(&err));
        return 1;
    }
    if (f->options->check_config)
        return check_config(f->options, &err) < 0 ? front_fail(f, &err, 2) : 0;
    if (f->options->embedded) {
        int r = become_embedded(f, &err);
        if (r != 0)
            return r < 0 ? front_fail(f, &err, 1) : 0;
    }
    (void)start_service(f, &err);
    return front_fail(f, &err, 1);
}
