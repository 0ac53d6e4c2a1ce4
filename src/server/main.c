/*
 * cwsandboxd, which is two programs in one. Started by a person, systemd or the SDK it is the front (front.c): opens what
 * the service needs and becomes cwsandbox-launch. Started by that one, with --inherited, it is the daemon: the order of
 * starting up is then
 *
 *   another user, no capability -> options -> keys and certificates -> HELLO of launch -> filter -> listeners -> ready
 *
 * Nothing from a peer is parsed before privilege is gone and the filter is in force. Exit status: 0 orderly, 1 failure,
 * 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"
#include "privproto/handover.h"
#include "server/confine.h"
#include "server/dispatch.h"
#include "server/front.h"
#include "server/images.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/record.h"
#include "server/service.h"
#include "server/supervisor.h"

extern char **environ;

/* ---- the daemon ---- */

struct daemon {
    struct options options;
    struct service service;
    uid_t uid;
    gid_t gid;
    int ready_fd;
};

static int daemon_fail(struct daemon *d, const struct err *err)
{
    log_event(LOG_ERROR, "failed", "error=\"%s\"", err_text(err));
    notify_ready_fd(&d->ready_fd, err_text(err));
    /* Unwinding a half-made loop gains nothing. */
    (void)fflush(NULL);
    _exit(1);
}

static void log_features(const struct launch_features *f)
{
    log_event(
        LOG_INFO, "features",
        "root=%d idmap=%d netns_pool=%d network=%d cgroup_kill=%d limit_memory=%d limit_cpu=%d "
        "limit_pids=%d",
        f->root, f->idmap, f->netns_pool, f->network, f->cgroup_kill, f->limit_memory,
        f->limit_cpu, f->limit_pids);
    char problems[sizeof(f->problems)];
    (void)snprintf(problems, sizeof(problems), "%s", f->problems);
    char *rest = problems, *line;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0')
            log_event(LOG_WARN, "feature_missing", "problem=\"%s\"", line);
}

static void on_warning(void *service, const struct err *what)
{
    (void)service;
    log_event(LOG_ERROR, "ledger", "error=\"%s\"", err_text(what));
}

static int start_runtime(struct daemon *d, struct err *err)
{
    const struct options *o = &d->options;
    struct runtime_config config;
    runtime_config_init(&config);
    config.launch_socket = HANDOVER_LAUNCH;
    config.data_dir = "."; /* become_daemon(): the way there may not be open to us */
    config.warm_pool = (uint32_t)o->warm_pool;
    config.max_sandboxes = (uint32_t)o->max_sandboxes;
    config.root_size_bytes = o->root_size_bytes;
    config.root_on_disk = o->root_on_disk;
    config.network = o->network_wanted;
    config.network_optional = o->network_auto;
    config.default_memory_bytes = o->default_memory_bytes;
    config.default_cpu_millis = (uint32_t)o->default_cpu_millis;
    config.pids_max = (uint32_t)o->pids_max;
    config.default_lifetime_ns = o->default_lifetime_ns;
    config.max_lifetime_ns = o->max_lifetime_ns;
    config.retention_ns = o->retention_ns;
    config.max_retained = (uint32_t)o->max_retained;
    config.log_max_bytes = o->log_size_bytes;
    config.max_log_bytes = o->log_disk_bytes;
    config.accept_unenforced_limits = o->accept_unenforced_limits;
    config.image_aliases = o->aliases;
    config.n_image_aliases = o->n_aliases;
    config.find_image = images_find;
    config.get_image = images_get;
    config.drop_image = images_drop;
    config.restore = record_restore;
    config.free_restored = record_free;
    config.on_warning = on_warning;
    config.user = &d->service;
    if (runtime_new(d->service.loop, &config, &d->service.runtime, err) < 0)
        return -1;
    log_event(LOG_INFO, "started", "version=%s uid=%u nofile=%llu", CWS_VERSION,
              (unsigned)geteuid(), (unsigned long long)privileges_raise_nofile());
    log_features(runtime_features(d->service.runtime));
    return 0;
}

/* Those of an earlier service that run, or that our start found ended. */
static void watch_sandboxes(struct service *s, uint64_t since_wall_ns)
{
    for (struct sandbox *sb = NULL; (sb = sandbox_next(s->runtime, sb));) {
        struct sandbox_info info;
        sandbox_get_info(sb, &info);
        if (!sandbox_state_terminal(info.state) || info.end_wall_ns >= since_wall_ns)
            record_watch(info.user_data, sb);
    }
}

static int start_service(struct daemon *d, struct err *err)
{
    struct service *s = &d->service;
    uint64_t begin_wall_ns = clock_wall_ns();
    s->loop = uv_default_loop();
    s->options = &d->options;
    s->runner_id = d->options.runner_id;
    s->find_method = method_find;
    if (s->loop == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (supervisor_load_secrets(s, err) < 0)
        return -1;
    supervisor_say_prepared(s);
    if (start_runtime(d, err) < 0)
        return -1;
    if (confine(err) < 0 || service_start(s, err) < 0)
        return -1;
    watch_sandboxes(s, begin_wall_ns);
    return 0;
}

/* "OWNER:UID:GID": who started the service, and who we shall be. */
static int parse_who(struct daemon *d, const char *text)
{
    char copy[64];
    char *rest = copy;
    uint64_t ids[3];
    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        const char *word = strsep(&rest, ":");
        if (word == NULL || parse_u64(word, UINT32_MAX - 1, &ids[i]) < 0)
            return -1;
    }
    d->service.owner_uid = (uid_t)ids[0];
    d->uid = (uid_t)ids[1];
    d->gid = (gid_t)ids[2];
    return rest == NULL ? 0 : -1;
}

static int become_daemon(struct daemon *d, struct err *err)
{
    for (int fd = HANDOVER_SUPER; fd < HANDOVER_END; fd++)
        (void)fd_set_cloexec(fd, true); /* EBADF: not needed */
    d->ready_fd = fcntl(HANDOVER_READY, F_GETFD) >= 0 ? HANDOVER_READY : -1;
    /* While we still may: its parents can be root's alone. */
    if (fchdir(HANDOVER_DATA) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "enter the data directory");
    if (privileges_drop(d->uid, d->gid, err) < 0)
        return -1;
    (void)prctl(PR_SET_NAME, "cwsandboxd"); /* executed by its descriptor it has none */
    /* EOF of its socket is the rule; this covers a loop that is busy. After the change of user, which would undo it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "follow the supervisor");
    return 0;
}

static int daemon_main(int argc, char **argv)
{
    static struct daemon d;
    static char *const no_env[] = {NULL}; /* the front has read it */
    CLEANUP_ERR struct err err = {0};
    if (argc < 3 || parse_who(&d, argv[2]) < 0) {
        (void)fputs("cwsandboxd: --inherited is for cwsandbox-launch\n", stderr);
        return 2;
    }
    argv[2] = argv[0];
    if (become_daemon(&d, &err) < 0 ||
        options_load(&d.options, argc - 2, argv + 2, no_env, &err) < 0)
        return daemon_fail(&d, &err);
    log_set_level(d.options.log_level);
    if (start_service(&d, &err) < 0)
        return daemon_fail(&d, &err);
    notify_ready_fd(&d.ready_fd, "ready");
    supervisor_say_ready(&d.service);
    service_activity(&d.service);
    (void)uv_run(d.service.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(d.service.loop);
    int status = d.service.exit_status;
    service_done(&d.service);
    options_done(&d.options);
    return status;
}

/* ---- the front ---- */

/* A descriptor of ours with the number of a missing standard stream would get the log. Not close-on-exec: launch and the
 * daemon inherit them. */
static void open_missing_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

/* @renew: "UID:GID" of the daemon that serves, or NULL. */
static int front_main(int argc, char **argv, const char *renew)
{
    struct options options = {0};
    struct front front = {.options = &options,
                          .argv = argv,
                          .renew = renew,
                          .ready_fd = -1,
                          .embedded = {.dir_fd = -1, .lock_fd = -1}};
    CLEANUP_ERR struct err err = {0};
    int r = options_load(&options, argc, argv, environ, &err);
    if (options.ready_fd != OPTIONS_NO_FD &&
        renew == NULL) { /* it was the first start that was waited for */
        front.ready_fd = (int)options.ready_fd;
        (void)fcntl(front.ready_fd, F_SETFD,
                    FD_CLOEXEC); /* a bad number shows when we write to it */
    }
    int status = 0;
    if (r < 0) {
        (void)fprintf(stderr, "cwsandboxd: %s\n", err_text(&err));
        notify_ready_fd(&front.ready_fd, err_text(&err));
        status = 2;
    } else if (options.help) {
        options_help(stdout);
    } else if (options.version) {
        (void)printf("cwsandboxd %s\n", CWS_VERSION);
    } else {
        status = front_run(&front);
    }
    embedded_done(&front.embedded);
    options_done(&options);
    return status;
}

int main(int argc, char **argv)
{
    open_missing_streams();
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "--inherited") == 0)
        return daemon_main(argc, argv);
    if (argc > 2 && strcmp(argv[1], "--renew") == 0) {
        const char *who = argv[2];
        argv[2] = argv[0];
        return front_main(argc - 2, argv + 2, who);
    }
    return front_main(argc, argv, NULL);
}
