/*
 * The runtime as a whole: start, loss of launch, close.
 *
 * Closing:  #1 every sandbox is killed, the pool too   #2 the last cell is gone: launch is let
 * go   #3 the pool's work is done: handles close   #4 the last close callback: memory is released,
 * on_closed. A launch that hangs in #1 is left to its supervisor after CELL_DRIVER_EXIT_MS, by #2
 * being entered from a timer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "runtime/adopt.h"
#include "runtime/config.h"
#include "runtime/launcher.h"
#include "runtime/ledger-record.h"
#include "runtime/log-file.h"
#include "runtime/log-stream.h"
#include "runtime/process.h"
#include "runtime/sandbox.h"

/* ---- start ---- */

static int open_ledger(struct runtime *rt, struct err *err)
{
    CLEANUP_FREE char *dir = str_dup_printf("%s/ledger", rt->config.data_dir);
    if (!dir)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "start the runtime: out of memory");
    return ledger_open(&rt->ledger, dir, err);
}

static void on_cell_exited(void *user, const struct launch_exited *exited)
{
    cell_on_exited(user, exited);
}

static void on_driver_lost(void *user, const struct err *why)
{
    struct runtime *rt = user;
    err_copy(&rt->lost, why);
    cells_lose(rt);
    if (rt->on_lost)
        rt->on_lost(rt->on_lost_user, &rt->lost);
}

static void runtime_free(struct runtime *rt)
{
    rt->closing = true; /* what the ledger has stays there */
    registry_close(rt);
    logs_close(rt);
    if (rt->driver)
        rt->driver->ops->free(rt->driver);
    cleanup_fd(&rt->poller.epfd);
    buf_done(&rt->scratch);
    ledger_close(&rt->ledger);
    config_done(&rt->config);
    err_done(&rt->lost);
    free(rt);
}

/* What may fail comes before the first handle of the loop: a handle can only be closed by
 * running the loop. */
static int attach(struct runtime *rt, uv_loop_t *loop, struct err *err)
{
    int r = poller_open(&rt->poller);
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, -r, "create an epoll set");
    if (rt->driver->ops->watch(rt->driver, &rt->poller, err) < 0 || logs_open(rt, err) < 0 ||
        ledger_records_load(rt, err) < 0)
        return -1;
    r = poller_start(&rt->poller, loop);
    if (r < 0)
        return err_set(err, ERR_INTERNAL, "start polling: %s", uv_strerror(r));
    rt->driver->ops->attach(rt->driver, loop);
    deferred_queue_init(&rt->deferred, loop); /* cannot fail, nor can timers */
    (void)timers_init(&rt->timers, loop);
    pool_open(rt);
    registry_open(rt);
    return 0;
}

/* Nobody shall believe that files are on a disk, or that they fit, when it is not so. */
static int check_disk(const struct runtime *rt, struct err *err)
{
    const char *why = strstr(rt->features.problems, "disk: ");

    if (!rt->config.root_on_disk || rt->features.disk_bytes == rt->config.root_size_bytes)
        return 0;
    if (!why)
        return err_set(
            err, ERR_FAILED_PRECONDITION,
            "root-backing and root-size of disks cannot change while the service runs");
    return err_set(err, ERR_FAILED_PRECONDITION, "root-backing: %.*s", (int)strcspn(why, "\n"),
                   why);
}

/* Nobody shall find out inside of a sandbox. */
static int check_network(const struct runtime *rt, struct err *err)
{
    const char *why = strstr(rt->features.problems, "network: ");

    if (!rt->config.network || rt->config.network_optional || rt->features.network)
        return 0;
    if (!why)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "network: cannot be given while the service runs");
    return err_set(err, ERR_FAILED_PRECONDITION, "%.*s", (int)strcspn(why, "\n"), why);
}

int runtime_new(uv_loop_t *loop, const struct runtime_config *config, struct runtime **ret,
                struct err *err)
{
    struct sigaction action;
    if (config_check(config, err) < 0)
        return -1;
    CLEANUP_FD int launch = config->launch_socket;
    CLEANUP(found_list_done) struct found_list found = {0};
    struct runtime *rt = calloc(1, sizeof(*rt));
    if (!rt)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "start the runtime: out of memory");
    rt->loop = loop;
    rt->poller.epfd = -1;
    boot_id_read(rt->boot_id);
    list_init(&rt->log_queue);
    list_init(&rt->ended);
    /* A process that closed its standard input must not end the service. */
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* nor must a log that reaches the service's RLIMIT_FSIZE */
    if (config_copy(&rt->config, config) < 0) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "start the runtime: out of memory");
        goto fail;
    }
    /* The engine's answer first: until then another daemon may have it, and the ledger. */
    if (launcher_open(TAKE_FD(launch), &rt->features, &rt->driver, err) < 0)
        goto fail;
    rt->features.network &=
        rt->config.network; /* launch may still have one of before a renewal */
    if (check_disk(rt, err) < 0 || check_network(rt, err) < 0 || open_ledger(rt, err) < 0 ||
        rt->driver->ops->list(rt->driver, &found, err) < 0)
        goto fail;
    rt->driver->user = rt;
    rt->driver->on_exited = on_cell_exited;
    rt->driver->on_lost = on_driver_lost;
    if (attach(rt, loop, err) < 0)
        goto fail;
    uv_update_time(loop);
    adopt_found(rt, &found);
    sandboxes_end_unfound(rt);
    pool_refill(rt);
    *ret = rt;
    return 0;
fail:
    runtime_free(rt);
    return -1;
}

void runtime_warn(struct runtime *rt, const struct err *what)
{
    if (rt->config.on_warning)
        rt->config.on_warning(rt->config.user, what);
}

const struct launch_features *runtime_features(const struct runtime *rt)
{
    return &rt->features;
}

void runtime_on_lost(struct runtime *rt, void (*cb)(void *user, const struct err *why),
                     void *user)
{
    rt->on_lost = cb;
    rt->on_lost_user = user;
}

void runtime_on_log_lost(struct runtime *rt,
                         void (*cb)(void *user, const char *sandbox_id, int error), void *user)
{
    rt->on_log_lost = cb;
    rt->on_log_lost_user = user;
}

/* ---- close ---- */

/* #4 */
static void on_handle_closed(struct runtime *rt)
{
    if (--rt->n_closing > 0)
        return;
    void (*on_closed)(void *) = rt->on_closed;
    void *user = rt->on_closed_user;
    CHECK(rt->pool.cells.n_entries == 0 && rt->n_logs == 0);
    strmap_done(&rt->pool.cells);
    runtime_free(rt);
    on_closed(user);
}

static void on_deferred_closed(uv_handle_t *handle)
{
    on_handle_closed(CONTAINER_OF((uv_idle_t *)handle, struct runtime, deferred.idle));
}

static void on_pool_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(CONTAINER_OF((uv_timer_t *)handle, struct runtime, pool.retry_timer));
}

static void on_retention_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(CONTAINER_OF((uv_timer_t *)handle, struct runtime, retention_timer));
}

static void on_poller_closed(uv_handle_t *handle)
{
    on_handle_closed(CONTAINER_OF((uv_poll_t *)handle, struct runtime, poller.handle));
}

static void on_timers_closed(uv_handle_t *handle)
{
    on_handle_closed(CONTAINER_OF((uv_timer_t *)handle, struct runtime, timers.uv));
}

static void close_handles(struct runtime *rt);

/* #3 */
static void on_driver_closed(void *user)
{
    struct runtime *rt = user;
    cells_lose(rt); /* those that a launch that hangs left behind */
    for (size_t i = 0; i < rt->n_sandboxes; i++) {
        processes_end_now(rt->by_seq[i]);
        tunnels_end_now(rt->by_seq[i]);
        log_streams_end_now(rt->by_seq[i]);
    }
    deferred_queue_run(
        &rt->deferred); /* the last words, before the registry forgets who said them */
    registry_close(rt);
    rt->forgotten = true;
    close_handles(rt);
}

static void close_handles(struct runtime *rt)
{
    if (rt->n_jobs > 0)
        return; /* runtime_job_end() comes back */
    logs_close(rt);
    rt->n_closing = 5;
    deferred_queue_close(&rt->deferred, on_deferred_closed);
    uv_close((uv_handle_t *)&rt->pool.retry_timer, on_pool_timer_closed);
    uv_close((uv_handle_t *)&rt->retention_timer, on_retention_timer_closed);
    timers_close(&rt->timers, on_timers_closed);
    poller_close(&rt->poller, on_poller_closed);
}

void runtime_job_begin(struct runtime *rt)
{
    rt->n_jobs++;
}

void runtime_job_end(struct runtime *rt)
{
    if (--rt->n_jobs == 0 && rt->forgotten)
        close_handles(rt);
}

static void begin_driver_close(struct runtime *rt)
{
    if (rt->driver->closing)
        return;
    (void)uv_timer_stop(&rt->retention_timer);
    rt->driver->ops->close(rt->driver, on_driver_closed);
}

/* #2 */
void runtime_check_closed(struct runtime *rt)
{
    if (rt->closing && rt->pool.cells.n_entries == 0)
        begin_driver_close(rt);
}

static void on_close_timeout(uv_timer_t *timer)
{
    begin_driver_close(CONTAINER_OF(timer, struct runtime, retention_timer));
}

/* #1 */
void runtime_close(struct runtime *rt, void (*on_closed)(void *user), void *user)
{
    CHECK(!rt->closing);
    rt->on_closed = on_closed;
    rt->on_closed_user = user;
    pool_close(rt);
    for (size_t i = 0; i < rt->n_sandboxes; i++)
        if (!sandbox_state_terminal(rt->by_seq[i]->state))
            sandbox_stop(rt->by_seq[i], 0, "the service is shutting down");
    rt->closing = true;
    (void)uv_timer_start(&rt->retention_timer, on_close_timeout, CELL_DRIVER_EXIT_MS, 0);
    runtime_check_closed(rt);
}
