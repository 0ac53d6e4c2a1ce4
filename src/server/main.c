/*
 * cwsandboxd: the order of starting up, which is the order of giving privilege away.
 *
 *   options -> (embedded: lock, detach) -> keys and certificates -> cwsandbox-launch runs ->
 * capabilities dropped
 *   -> listeners -> ready
 *
 * Nothing from a peer is parsed before the capabilities are gone. Exit status: 0 orderly, 1
 * failure, 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"
#include "server/embedded.h"
#include "server/notify.h"
#include "server/paths.h"
#include "server/privileges.h"
#include "server/record.h"
#include "server/service.h"

extern char **environ;

struct program {
    struct options options;
    struct embedded embedded;
    struct service service;
    int ready_fd;
    int data_lock_fd;
};

static int program_fail(struct program *p, const struct err *err, int status)
{
    log_event(LOG_ERROR, "failed", "error=\"%s\"", err_text(err));
    notify_ready_fd(&p->ready_fd, err_text(err));
    return status;
}

static int load_secrets(struct service *s, const struct options *o, struct err *err)
{
    if (o->api_keys != NULL && (s->keys = keys_load(o->api_keys, err)) == NULL)
        return -1;
    if (o->tls_cert != NULL && (s->tls = tls_server_new(o->tls_cert, o->tls_key, err)) == NULL)
        return -1;
    return 0;
}

static int check_config(struct program *p, struct err *err)
{
    if (load_secrets(&p->service, &p->options, err) < 0 ||
        listeners_check(&p->service, &p->options, err) < 0)
        return -1;
    (void)printf("configuration ok: %zu listeners, %zu API keys\n", p->options.listen.n_items,
                 keys_count(p->service.keys));
    return 0;
}

static void log_features(const struct launch_features *f)
{
    log_event(LOG_INFO, "features",
              "root=%d idmap=%d netns_pool=%d cgroup_kill=%d limit_memory=%d limit_cpu=%d "
              "limit_pids=%d",
              f->root, f->idmap, f->netns_pool, f->cgroup_kill, f->limit_memory, f->limit_cpu,
              f->limit_pids);
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

static int start_runtime(struct program *p, struct err *err)
{
    const struct options *o = &p->options;
    struct runtime_config config;
    runtime_config_init(&config);
    config.launch_path = o->launch_path;
    config.init_path = o->init_path;
    config.data_dir = o->data_dir;
    config.service_name = o->service_name;
    config.warm_pool = (uint32_t)o->warm_pool;
    config.max_sandboxes = (uint32_t)o->max_sandboxes;
    config.root_size_bytes = o->root_size_bytes;
    config.default_memory_bytes = o->default_memory_bytes;
    config.default_cpu_millis = (uint32_t)o->default_cpu_millis;
    config.pids_max = (uint32_t)o->pids_max;
    config.default_lifetime_ns = o->default_lifetime_ns;
    config.max_lifetime_ns = o->max_lifetime_ns;
    config.retention_ns = o->retention_ns;
    config.accept_unenforced_limits = o->accept_unenforced_limits;
    config.image_aliases = o->aliases;
    config.n_image_aliases = o->n_aliases;
    config.restore = record_restore;
    config.free_restored = record_free;
    config.on_warning = on_warning;
    config.user = &p->service;
    /* Before cwsandbox-launch starts, which inherits it: the SDK's program may have a low soft limit. */
    uint64_t nofile = privileges_raise_nofile();
    if (runtime_new(p->service.loop, &config, &p->service.runtime, err) < 0)
        return -1;
    if (privileges_drop(err) < 0)
        return -1;
    log_event(LOG_INFO, "started", "version=%s uid=%u data_dir=%s service=%s nofile=%llu",
              CWS_VERSION, (unsigned)geteuid(), o->data_dir, o->service_name,
              (unsigned long long)nofile);
    log_features(runtime_features(p->service.runtime));
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

static int start_service(struct program *p, struct err *err)
{
    struct service *s = &p->service;
    uint64_t begin_wall_ns = clock_wall_ns();
    s->loop = uv_default_loop();
    s->options = &p->options;
    if (s->loop == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (load_secrets(s, &p->options, err) < 0 || listeners_check(s, &p->options, err) < 0 ||
        paths_fill(&p->options, err) < 0)
        return -1;
    s->runner_id = p->options.runner_id;
    p->data_lock_fd = paths_lock_data(&p->options, err);
    if (p->data_lock_fd < 0 || start_runtime(p, err) < 0)
        return -1;
    if (p->options.embedded)
        s->embedded_socket = p->embedded.socket_path;
    if (service_start(s, err) < 0) {
        listeners_close(s); /* the files; sandboxes end with us */
        return -1;
    }
    watch_sandboxes(s, begin_wall_ns);
    return 0;
}

/* 0: go on; 1: somebody else serves; -1. */
static int become_embedded(struct program *p, struct err *err)
{
    int claim = embedded_claim(&p->embedded, err);
    if (claim < 0)
        return -1;
    if (claim == EMBEDDED_RUNNING) {
        notify_ready_fd(&p->ready_fd, "running");
        return 1;
    }
    return embedded_detach(&p->embedded, p->ready_fd, err);
}

static int program_run(struct program *p)
{
    CLEANUP_ERR struct err err = {0};
    log_set_level(p->options.log_level);
    if (p->options.check_config)
        return check_config(p, &err) < 0 ? program_fail(p, &err, 2) : 0;
    if (p->options.embedded) {
        int r = become_embedded(p, &err);
        if (r != 0)
            return r < 0 ? program_fail(p, &err, 1) : 0;
    }
    if (start_service(p, &err) < 0) {
        int status = program_fail(p, &err, 1);
        /* cwsandbox-launch may run already and ends with our socket to it; unwinding a
         * half-made loop gains nothing. */
        (void)fflush(NULL);
        _exit(status);
    }
    notify_ready_fd(&p->ready_fd, "ready");
    notify_systemd("READY=1");
    service_activity(&p->service);
    (void)uv_run(p->service.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(p->service.loop);
    paths_remove_data(&p->options);
    return p->service.exit_status;
}

/* A descriptor of ours with the number of a missing standard stream would get the log. Not close-on-exec: cwsandbox-launch
 * inherits them. */
static void open_missing_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    open_missing_streams();
    struct program p = {
        .ready_fd = -1, .data_lock_fd = -1, .embedded = {.dir_fd = -1, .lock_fd = -1}};
    CLEANUP_ERR struct err err = {0};
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    int r = options_load(&p.options, argc, argv, environ, &err);
    if (p.options.ready_fd != OPTIONS_NO_FD) {
        p.ready_fd = (int)p.options.ready_fd;
        (void)fcntl(p.ready_fd, F_SETFD,
                    FD_CLOEXEC); /* a bad number shows when we write to it */
    }
    int status = 0;
    if (r < 0) {
        (void)fprintf(stderr, "cwsandboxd: %s\n", err_text(&err));
        notify_ready_fd(&p.ready_fd, err_text(&err));
        status = 2;
    } else if (p.options.help) {
        options_help(stdout);
    } else if (p.options.version) {
        (void)printf("cwsandboxd %s\n", CWS_VERSION);
    } else {
        status = program_run(&p);
    }
    service_done(&p.service);
    cleanup_fd(&p.ready_fd);
    cleanup_fd(&p.data_lock_fd);
    embedded_done(&p.embedded);
    options_done(&p.options);
    return status;
}
