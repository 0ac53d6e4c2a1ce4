/*
 * cwsandbox-launch: the only code with privilege. With --supervise it is the service's main process (supervise.c); here is
 * the engine, its child, single-threaded: one loop over the daemon's socket, the supervisor's, signals and the status pipes
 * of sandboxes being made. When the supervisor is gone (EOF; without one: the daemon), or at SIGTERM, every sandbox is
 * killed, reaped and its cgroups removed before the engine exits: nothing runs without an owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/cell.h"
#include "launch/network-names.h"
#include "launch/replace.h"
#include "launch/supervise.h"
#include "launch/table.h"
#include "privproto/handover.h"

#define MAX_PENDING 64 /* chosen: creations in flight; more wait in the socket */
#define RETRY_MS 2     /* v1 hierarchies send no event when a cgroup becomes empty */
#define HELLO_MS \
    5000 /* chosen: the daemon sends its HELLO in the moment in which it starts us */
#define QUIET_MS \
    3 /* chosen: refilling the network pool blocks for 0.5 ms (p99 5), so only when nobody \
         asks */

enum {
    SIGNALS,
    KILLS,
    REQUESTS,
    SUPERVISOR,
    RESOLVER,
    N_FIXED
}; /* places in the poll set; status pipes follow */

static void drain_signals(struct engine *e)
{
    struct signalfd_siginfo info;

    while (read(e->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGCHLD)
            e->stopping = true;
    }
    cells_reap(e);
}

static size_t fill_poll(struct engine *e, struct pollfd *fds, struct cell **pending)
{
    size_t n = N_FIXED;

    fds[SIGNALS] = (struct pollfd){.fd = e->signal_fd, .events = POLLIN};
    fds[KILLS] = (struct pollfd){.fd = e->kills_fd, .events = POLLIN};
    fds[REQUESTS] =
        (struct pollfd){.fd = e->n_pending < MAX_PENDING ? e->sock_fd : -1, .events = POLLIN};
    fds[SUPERVISOR] = (struct pollfd){.fd = e->options->control_fd, .events = POLLIN};
    fds[RESOLVER] = (struct pollfd){.fd = e->network.resolver.engine_fd, .events = POLLIN};
    LIST_FOREACH(node, &e->cells)
    {
        struct cell *cell = CONTAINER_OF(node, struct cell, node);

        if (cell->state != CELL_STARTING)
            continue;
        pending[n] = cell;
        fds[n++] = (struct pollfd){.fd = cell->status_fd, .events = POLLIN};
    }
    return n;
}

static int sooner(int a_ms, int b_ms)
{
    return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

static int poll_timeout(struct engine *e, uint32_t n_dead)
{
    int ms = sooner(kills_expire(e), replacement_wait_ms(e));
    int pause_ms = netns_pool_pause_ms(&e->netns);

    if (e->network.open) {
        pause_ms = sooner(pause_ms, netns_pool_pause_ms(&e->wired));
        ms = sooner(ms, resolver_pause_ms(&e->network.resolver));
    }

    if (n_dead > 0)
        ms = sooner(ms, RETRY_MS);
    if (e->n_disks > 0)
        ms = sooner(ms, disks_wait_ms(&e->disks));
    if (e->n_pending == 0 && pause_ms >= 0)
        ms = sooner(ms, MAX(pause_ms, QUIET_MS));
    return ms;
}

/* Without a supervisor the daemon's end is ours; else sandboxes wait for the next daemon, but for those that were being
 * made: nobody is left who knows what for. */
static int lose_daemon(struct engine *e)
{
    if (e->options->control_fd < 0)
        return -EPIPE;
    cleanup_fd(&e->sock_fd);
    kills_forget_asker(e);
    LIST_FOREACH(node, &e->cells)
    {
        struct cell *cell = CONTAINER_OF(node, struct cell, node);

        cell->create_seq = cell->limits_seq = 0; /* the numbers mean nothing to the next one */
        if (cell->state == CELL_STARTING)
            cell_kill(e, cell);
    }
    return 0;
}

static int handle_daemon(struct engine *e)
{
    int r = requests_handle(e);

    return r == -EPIPE ? lose_daemon(e) : r;
}

/* The supervisor brings the next daemon, or the next program, or is gone. */
static int handle_supervisor(struct engine *e)
{
    uint8_t packet[2] = {0};
    int fds[HANDOVER_MAX_FDS];
    size_t n_fds;
    ssize_t n = handover_receive(e->options->control_fd, packet, fds, &n_fds);

    if (n == -EAGAIN || n == -EINTR)
        return 0;
    if (n <= 0)
        return -EPIPE;
    if (e->sock_fd >= 0)
        (void)lose_daemon(e);
    if (packet[0] == HANDOVER_WORD_REPLACE && n_fds == 2)
        replacement_begin(e, fds[0], fds[1]);
    else if (packet[0] == HANDOVER_WORD_DAEMON && n_fds == 1)
        e->sock_fd = fds[0];
    else
        return -EBADMSG;
    return 0;
}

/* One of the namespaces that are kept ready; a failure shows at the next creation. */
static void refill(struct engine *e)
{
    if (e->network.open && netns_pool_wants_more(&e->wired))
        (void)netns_pool_refill_one(&e->wired);
    else if (netns_pool_wants_more(&e->netns))
        (void)netns_pool_refill_one(&e->netns);
}

/* One turn; negative when the loop must end. */
static int turn(struct engine *e, uint32_t *n_dead)
{
    struct pollfd fds[N_FIXED + MAX_PENDING];
    struct cell *pending[N_FIXED + MAX_PENDING];
    size_t n = fill_poll(e, fds, pending);
    int n_ready = poll(fds, n, poll_timeout(e, *n_dead)), r = 0;

    if (n_ready < 0)
        return errno == EINTR ? 0 : -errno;
    if (n_ready == 0 && e->n_pending == 0)
        refill(e);
    if (e->n_disks > 0)
        cells_guard_disks(e);
    if (e->network.open)
        resolver_run(&e->network.resolver);
    /* Pipes before signals: a reaped sandbox is freed. */
    for (size_t i = N_FIXED; i < n; i++) {
        if (fds[i].revents)
            cell_on_status(e, pending[i]);
    }
    if (fds[SIGNALS].revents)
        drain_signals(e);
    if (fds[KILLS].revents)
        kills_check(e);
    if (fds[RESOLVER].revents)
        network_names_turn(&e->network);
    *n_dead = cells_retry_dead(e);
    if (fds[REQUESTS].revents)
        r = handle_daemon(e);
    if (r >= 0 && fds[SUPERVISOR].revents)
        r = handle_supervisor(e);
    if (r >= 0)
        replacement_go_on(e);
    return r;
}

/* The daemon's HELLO is on its way already; its user, who sees no stderr of ours, learns from the answer what is missing
 * and how to get it. */
static int refuse(struct engine *e, const char *stage, int error)
{
    const char *remedy = engine_remedy(stage, error);
    struct pollfd hello = {.fd = e->sock_fd, .events = POLLIN};

    log_event(LOG_ERROR, "launch_start_failed", "stage=\"%s\" errno=%d text=\"%s\"", stage,
              error, strerror(error));
    memset(&e->features, 0, sizeof(e->features)); /* uid_count 0: no features, but a reason */
    (void)snprintf(e->features.problems, sizeof(e->features.problems), "%s: %s%s%s", stage,
                   strerror(error), *remedy ? ": " : "", remedy);
    if (poll(&hello, 1, HELLO_MS) == 1)
        requests_answer_hello(e);
    return 1;
}

static int serve(const struct options *options)
{
    static struct engine e;
    const char *stage = "";
    uint32_t n_dead = 0;
    bool resumed = options->table_fd >= 0;
    int r = resumed ? replacement_resume(&e, options, &stage)
                    : engine_start(&e, options, NULL, &stage);

    if (r < 0 && resumed)
        return 1;
    if (r < 0) {
        engine_done(&e); /* before the answer: a daemon that reads it has no more use for us */
        return refuse(&e, stage, -r);
    }
    while (r >= 0 && !e.stopping)
        r = turn(&e, &n_dead);
    if (r == -EBADMSG)
        log_event(LOG_ERROR, "launch_bad_request", "consequence=\"all sandboxes end\"");
    /* A daemon that still lives learns that we end, not that each sandbox was killed. */
    cleanup_fd(&e.sock_fd);
    resolver_stop(&e.network.resolver); /* the only child that is no sandbox's */
    cells_end(&e);
    engine_done(&e);
    return r == -EBADMSG ? 1 : 0;
}

static int usage(void)
{
    (void)fputs(
        "usage: cwsandbox-launch --fd N --init PATH --state-dir DIR [--service NAME] "
        "[--uid-base N] [--images DIR] [--disk-size BYTES] [--disk-reserve BYTES]\n"
        "       cwsandbox-launch --supervise --init PATH --state-dir DIR --service NAME "
        "[--daemon-user UID:GID] [--api-keys PATH] [--tls-cert PATH --tls-key PATH] "
        "[--socket-file PATH]... [--remove-data DIR] [--front-argument ARGUMENT]... "
        "-- DAEMON [ARGUMENT]...\n"
        "       cwsandbox-launch --check\n",
        stderr);
    return 2;
}

/* For a supervisor that wants to leave us its table. */
static int check_table(const char *version)
{
    uint64_t number;

    return parse_u64(version, UINT32_MAX, &number) == 0 && number >= TABLE_OLDEST &&
                   number <= TABLE_VERSION
               ? 0
               : 3;
}

static int run(int argc, char **argv, struct options *options)
{
    if (argc == 3 && strcmp(argv[1], "--check-table") == 0)
        return check_table(argv[2]);
    if (options_parse(argc, argv, options) < 0)
        return usage();
    if (options->check)
        return check_print(options);
    if (!options->init_path || !options->state_dir)
        return usage();
    if (options->resume_engine) {
        options->control_fd = HANDOVER_SUPER;
        return serve(options);
    }
    if (options->supervise)
        return supervise(options, serve);
    if (options->sock_fd < 0 || fd_set_cloexec(options->sock_fd, true) < 0)
        return usage();
    return serve(options);
}

int main(int argc, char **argv)
{
    char service[32];
    struct options options = {.sock_fd = -1,
                              .control_fd = -1,
                              .table_fd = -1,
                              .service = service,
                              .uid_base = DEFAULT_UID_BASE,
                              .disk_reserve_bytes = DEFAULT_DISK_RESERVE,
                              .daemon_uid = (uid_t)-1};

    (void)snprintf(service, sizeof(service), "pid%d", getpid());
    int status = run(argc, argv, &options);
    options_done(&options);
    return status;
}
