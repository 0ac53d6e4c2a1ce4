/* One sandbox: its states and what moves them; see sandbox.h. */
#include "runtime/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include "base/util.h"
#include "runtime/file.h"
#include "runtime/image.h"
#include "runtime/ledger-record.h"
#include "runtime/log-stream.h"
#include "runtime/mounts.h"

static void on_notify(struct deferred *d);
static void on_timer(uv_timer_t *timer);

const char *sandbox_state_name(enum sandbox_state state)
{
    switch (state) {
    case SANDBOX_CREATING:
        return "CREATING";
    case SANDBOX_RUNNING:
        return "RUNNING";
    case SANDBOX_COMPLETED:
        return "COMPLETED";
    case SANDBOX_FAILED:
        return "FAILED";
    case SANDBOX_TERMINATING:
        return "TERMINATING";
    case SANDBOX_TERMINATED:
        return "TERMINATED";
    case SANDBOX_PENDING:
        return "PENDING";
    case SANDBOX_PREPARING:
        return "PREPARING";
    }
    return "UNKNOWN";
}

bool sandbox_state_starting(enum sandbox_state s)
{
    return s == SANDBOX_PREPARING || s == SANDBOX_PENDING || s == SANDBOX_CREATING;
}

/* ---- birth and death of the object ---- */

static void sandbox_free(struct sandbox *sb)
{
    CHECK(!sb->cell && !sb->preparation && list_empty(&sb->waiters) &&
          list_empty(&sb->processes) && list_empty(&sb->tunnels));
    deferred_cancel(&sb->notify);
    deferred_cancel(&sb->start_more);
    log_sessions_free(sb);
    if (sb->free_user_data)
        sb->free_user_data(sb->user_data);
    plan_free(sb->plan);
    free(sb->rules);
    free(sb->kind);
    free(sb->mounts.ops);
    free(sb->owner);
    free(sb->image);
    free(sb->state_reason);
    free(sb->request_key);
    free(sb);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct sandbox *sb = CONTAINER_OF((uv_timer_t *)handle, struct sandbox, timer);
    sb->timer_open = false;
    sandbox_unref(sb);
}

static void close_timer(struct sandbox *sb)
{
    if (sb->timer_open && !uv_is_closing((uv_handle_t *)&sb->timer))
        uv_close((uv_handle_t *)&sb->timer, on_timer_closed); /* drops the timer's reference */
}

struct sandbox *sandbox_ref(struct sandbox *sb)
{
    sb->n_refs++;
    return sb;
}

void sandbox_unref(struct sandbox *sb)
{
    if (sb && --sb->n_refs == 0)
        sandbox_free(sb);
}

char *sandbox_request_key(const struct sandbox_spec *spec)
{
    return str_dup_printf("%zu %s %s", strlen(spec->owner), spec->owner, spec->request_id);
}

static void fill_limits(struct sandbox *sb, const struct sandbox_spec *spec)
{
    const struct runtime_config *config = &sb->rt->config;
    sb->memory_bytes = spec->memory_bytes ? spec->memory_bytes : config->default_memory_bytes;
    sb->cpu_millis = spec->cpu_millis ? spec->cpu_millis : config->default_cpu_millis;
    sb->kept_bytes = sizeof(*sb) + spec->kept_bytes;
    sb->network = spec->network.on;
    sb->own_limits = sb->memory_bytes != config->default_memory_bytes ||
                     sb->cpu_millis != config->default_cpu_millis;
    sb->lifetime_ns = spec->lifetime_ns ? spec->lifetime_ns : config->default_lifetime_ns;
    if (config->max_lifetime_ns > 0)
        sb->lifetime_ns = MIN(sb->lifetime_ns, config->max_lifetime_ns);
}

void sandbox_count_cpus(struct sandbox *sb)
{
    if (sb->rt->features.limit_cpu)
        sb->plan->n_cpus = (sb->cpu_millis + 999) / 1000;
}

static int copy_rules(struct sandbox *sb, const struct sandbox_spec *spec)
{
    if (!spec->network.ruled)
        return 0;
    size_t n_names = strlen(spec->network.names) + 1;
    sb->rules = calloc(1, sizeof(*sb->rules) + n_names);
    if (!sb->rules)
        return -ENOMEM;
    sb->rules->names = memcpy(sb->rules + 1, spec->network.names, n_names);
    CHECK(spec->network.n_grants <= LAUNCH_MAX_GRANTS);
    sb->rules->n_grants = spec->network.n_grants;
    if (spec->network.n_grants > 0)
        memcpy(sb->rules->grants, spec->network.grants,
               spec->network.n_grants * sizeof(*spec->network.grants));
    return 0;
}

static int copy_mounts(struct sandbox *sb, const struct sandbox_spec *spec)
{
    if (spec->mounts.n == 0)
        return 0;
    CHECK(spec->mounts.n <= MOUNT_LIST_MAX);
    sb->mounts.n = spec->mounts.n;
    sb->mounts.ops = mounts_copy(&spec->mounts);
    return sb->mounts.ops ? 0 : -ENOMEM;
}

static void cleanup_sandbox(struct sandbox **sb)
{
    sandbox_unref(*sb);
}

struct sandbox *sandbox_new_empty(struct runtime *rt, struct err *err)
{
    struct sandbox *sb = calloc(1, sizeof(*sb));
    if (!sb) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "create a sandbox: out of memory");
        return NULL;
    }
    sb->rt = rt;
    sb->n_refs = 1;
    sb->notify.cb = on_notify;
    sb->main.log_fd = -1;
    list_init(&sb->ended_link);
    list_init(&sb->waiters);
    list_init(&sb->file_jobs);
    list_init(&sb->processes);
    list_init(&sb->starts);
    list_init(&sb->tunnels);
    list_init(&sb->streams);
    list_init(&sb->log_sessions);
    list_init(&sb->watches);
    return sb;
}

struct sandbox *sandbox_new(struct runtime *rt, const struct sandbox_spec *spec,
                            const struct runtime_image *image, struct err *err)
{
    CLEANUP(cleanup_sandbox) struct sandbox *sb = sandbox_new_empty(rt, err);
    if (!sb)
        return NULL;
    sb->state = SANDBOX_PENDING;
    sb->create_wall_ns = clock_wall_ns();
    sb->create_boot_ns = boot_now_ns();
    fill_limits(sb, spec);
    if (image)
        sb->kept_bytes += runtime_image_bytes(image);
    sb->plan = plan_new(spec, image, err);
    if (!sb->plan)
        return NULL;
    sandbox_count_cpus(sb);
    sb->owner = strdup(spec->owner);
    sb->state_reason = strdup("");
    sb->image = strdup(spec->image[0] ? spec->image : DEFAULT_IMAGE);
    if (spec->request_id[0] != '\0')
        sb->request_key = sandbox_request_key(spec);
    if (copy_rules(sb, spec) < 0 || copy_mounts(sb, spec) < 0 || !sb->owner ||
        !sb->state_reason || !sb->image || (spec->request_id[0] != '\0' && !sb->request_key)) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "create a sandbox: out of memory");
        return NULL;
    }
    return TAKE_PTR(sb);
}

/* ---- watches ---- */

void sandbox_watch_add(struct sandbox *sb, struct sandbox_watch *w)
{
    list_append(&sb->watches, &w->link);
}

void sandbox_watch_remove(struct sandbox_watch *w)
{
    if (w->link.next)
        list_remove(&w->link);
}

static void on_notify(struct deferred *d)
{
    struct sandbox *sb = CONTAINER_OF(d, struct sandbox, notify);
    struct list told;

    /* Moved to a list of their own and back one by one: a callback may remove any watch, also
     * its own. */
    list_init(&told);
    if (!list_empty(&sb->watches)) {
        told = sb->watches;
        told.next->prev = told.prev->next = &told;
        list_init(&sb->watches);
    }
    for (struct list *it; (it = list_first(&told));) {
        struct sandbox_watch *w = CONTAINER_OF(it, struct sandbox_watch, link);
        list_remove(it);
        list_append(&sb->watches, it);
        w->cb(w->user, sb);
    }
    sandbox_unref(sb); /* sandbox_set_state() took it */
}

/* ---- waiting for RUNNING ---- */

int sandbox_wait(struct sandbox *sb, struct sandbox_waiter *w, struct err *err)
{
    if (sb->adopting && !sandbox_state_terminal(sb->state)) {
        list_append(&sb->waiters, &w->link);
        return 0;
    }
    switch (sb->state) {
    case SANDBOX_RUNNING:
        return 1;
    case SANDBOX_PREPARING:
    case SANDBOX_PENDING:
    case SANDBOX_CREATING:
        list_append(&sb->waiters, &w->link);
        return 0;
    case SANDBOX_COMPLETED:
    case SANDBOX_FAILED:
    case SANDBOX_TERMINATING:
    case SANDBOX_TERMINATED:
        break;
    }
    return err_set_reason(err, ERR_FAILED_PRECONDITION, "CWSANDBOX_SANDBOX_NOT_RUNNING",
                          "sandbox %s is not running: its state is %s%s%s", sb->id,
                          sandbox_state_name(sb->state), sb->state_reason[0] ? ": " : "",
                          sb->state_reason);
}

void sandbox_waiter_cancel(struct sandbox_waiter *w)
{
    if (w->link.next)
        list_remove(&w->link);
}

void sandbox_gone_error(const struct sandbox *sb, struct err *err)
{
    if (!sandbox_state_terminal(sb->state) && sb->state != SANDBOX_TERMINATING)
        (void)err_set(err, ERR_UNAVAILABLE, "sandbox %s is ending: its init is gone", sb->id);
    else
        (void)err_set(err, ERR_UNAVAILABLE, "sandbox %s ended: its state is %s%s%s", sb->id,
                      sandbox_state_name(sb->state), sb->state_reason[0] ? ": " : "",
                      sb->state_reason);
}

void sandbox_ask_error(const struct sandbox *sb, int r, const char *what, struct err *err)
{
    if (r == -EPIPE)
        sandbox_gone_error(sb, err);
    else if (r == -EOPNOTSUPP)
        (void)err_set(err, ERR_FAILED_PRECONDITION,
                      "%s: sandbox %s was started by an older release, which cannot do this: "
                      "create another sandbox",
                      what, sb->id);
    else
        (void)err_set_errno(err, ERR_RESOURCE_EXHAUSTED, -r, "%s", what);
}

static void release_waiters(struct sandbox *sb, bool running)
{
    (void)sandbox_ref(sb);
    for (struct list *it; (it = list_first(&sb->waiters));) {
        struct sandbox_waiter *w = CONTAINER_OF(it, struct sandbox_waiter, link);
        list_remove(it);
        w->cb(w, running && sb->state == SANDBOX_RUNNING);
    }
    sandbox_unref(sb);
}

void sandbox_adopted(struct sandbox *sb)
{
    sb->adopting = false;
    release_waiters(sb, true); /* runs only what finds it RUNNING */
}

/* ---- transitions ---- */

void sandbox_set_state(struct sandbox *sb, enum sandbox_state state)
{
    CHECK(!sandbox_state_terminal(sb->state));
    sb->state = state;
    if (state == SANDBOX_RUNNING) {
        sb->start_wall_ns = clock_wall_ns();
        plan_drop_files(sb->plan);
    }
    if (state != SANDBOX_CREATING) /* one that is still being made is not taken up again */
        ledger_record_update(sb);
    if (!sb->notify.link.next || list_empty(&sb->notify.link)) {
        (void)sandbox_ref(sb);
        deferred_post(&sb->rt->deferred, &sb->notify);
    }
    if (state == SANDBOX_RUNNING)
        release_waiters(sb, true);
}

static void set_reason(struct sandbox *sb, const char *reason)
{
    char *copy = strdup(reason);
    if (!copy)
        return; /* the state counts more than its reason */
    free(sb->state_reason);
    sb->state_reason = copy;
}

void sandbox_kill(struct sandbox *sb)
{
    sb->killed = true;
    if (sb->cell && !cell_kill(sb->cell))
        sb->cell = NULL; /* it was only queued */
}

void sandbox_end(struct sandbox *sb, enum sandbox_state state, const char *reason)
{
    (void)sandbox_ref(sb);
    if (reason[0] != '\0')
        set_reason(sb, reason);
    sb->end_wall_ns = clock_wall_ns();
    sb->end_boot_ns = boot_now_ns();
    close_timer(sb);
    prepare_end(sb);
    sandbox_set_state(sb, state);
    plan_drop_files(sb->plan);
    sandbox_kill(sb);
    release_waiters(sb, false);
    log_streams_on_ended(sb);
    registry_on_ended(sb);
    sandbox_unref(sb);
}

void sandbox_fail(struct sandbox *sb, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    /* A sandbox that somebody stopped ends TERMINATED, whatever broke on the way:
     * sandbox_on_cell_exited() says so. */
    if (sb->state == SANDBOX_TERMINATING)
        sandbox_kill(sb);
    else if (!sandbox_state_terminal(sb->state))
        sandbox_end(sb, SANDBOX_FAILED, text ? text : "out of memory");
    free(text);
}

void sandbox_orphan_cell(struct sandbox *sb)
{
    struct cell *cell = TAKE_PTR(sb->cell);
    cell->sb = NULL;
    (void)cell_kill(cell);
}

static void open_timer(struct sandbox *sb)
{
    (void)uv_timer_init(sb->rt->loop, &sb->timer); /* cannot fail */
    sb->timer_open = true;
    (void)sandbox_ref(sb); /* the timer's, until its close callback */
}

void sandbox_begin(struct sandbox *sb)
{
    open_timer(sb);
    if (!sb->cell && !sb->preparation) {
        sandbox_end(sb, SANDBOX_FAILED, "");
        return;
    }
    if (sb->lifetime_ns > 0)
        (void)uv_timer_start(&sb->timer, on_timer,
                             (sb->lifetime_ns + NS_PER_MS - 1) / NS_PER_MS, 0);
    if (sb->preparation)
        prepare_begin(sb);
    else if (sb->cell->state == CELL_READY)
        sandbox_on_cell_ready(sb);
}

/* ---- stopping ---- */

static void on_timer(uv_timer_t *timer)
{
    struct sandbox *sb = CONTAINER_OF(timer, struct sandbox, timer);
    if (sb->state == SANDBOX_TERMINATING)
        sandbox_kill(sb); /* the grace is over */
    else
        sandbox_stop(sb, SANDBOX_LIFETIME_GRACE_NS, "lifetime ended");
}

/* (Re)starts the grace period. A longer one than the one under way changes nothing. */
static void wait_grace(struct sandbox *sb, uint64_t grace_ns)
{
    uint64_t end = clock_now_ns() + MIN(grace_ns, (uint64_t)INT64_MAX / 2);
    if (sb->grace_end_ns != 0 && sb->grace_end_ns <= end)
        return;
    sb->grace_end_ns = end;
    uv_update_time(sb->rt->loop); /* the loop's clock may be as old as this turn */
    (void)uv_timer_start(&sb->timer, on_timer, (grace_ns + NS_PER_MS - 1) / NS_PER_MS, 0);
    ledger_record_update(sb); /* the end of the grace */
}

void sandbox_restart_timer(struct sandbox *sb)
{
    uint64_t age = (uint64_t)MAX(boot_now_ns() - sb->create_boot_ns, (int64_t)0);
    uint64_t now = clock_now_ns();
    uint64_t left = sb->lifetime_ns > age ? sb->lifetime_ns - age : 0;
    if (sb->state == SANDBOX_TERMINATING)
        left = sb->grace_end_ns > now ? sb->grace_end_ns - now : 0;
    open_timer(sb);
    if (sb->lifetime_ns > 0 || sb->state == SANDBOX_TERMINATING)
        (void)uv_timer_start(&sb->timer, on_timer, (left + NS_PER_MS - 1) / NS_PER_MS, 0);
}

void sandbox_stop(struct sandbox *sb, uint64_t grace_ns, const char *reason)
{
    if (sandbox_state_terminal(sb->state))
        return;
    (void)sandbox_ref(sb);
    bool first = sb->state != SANDBOX_TERMINATING;
    bool ask = sb->main.started && !sb->main.exited && grace_ns > 0;
    if (first) {
        set_reason(sb, reason);
        (void)uv_timer_stop(&sb->timer);
        sandbox_set_state(sb, SANDBOX_TERMINATING);
        release_waiters(sb, false);
        if (ask)
            main_process_signal(sb, sb->plan->stop_signal ? sb->plan->stop_signal : SIGTERM);
    }
    if (ask && !sb->killed)
        wait_grace(sb, grace_ns);
    else
        sandbox_kill(sb);
    if (!sb->cell && !sandbox_state_terminal(sb->state))
        sandbox_end(sb, SANDBOX_TERMINATED, "");
    sandbox_unref(sb);
}

/* ---- what the cell reports ---- */

void sandbox_on_cell_ready(struct sandbox *sb)
{
    if (sb->state == SANDBOX_PENDING)
        setup_begin(sb);
}

static void detach_cell(struct sandbox *sb)
{
    sb->cell = NULL;
    cleanup_fd(&sb->main.log_fd);
    log_file_end(sb->log);
    file_jobs_run(sb); /* they hear that it is gone */
    log_streams_on_ended(sb);
    registry_on_cell_gone(sb);
}

void sandbox_on_cell_failed(struct sandbox *sb, const struct err *why, bool wait)
{
    (void)sandbox_ref(sb);
    if (!wait)
        sb->cell = NULL;
    if (sb->state != SANDBOX_TERMINATING)
        sandbox_fail(sb, "%s", err_text(why));
    else if (!wait)
        sandbox_end(sb, SANDBOX_TERMINATED, "");
    if (!wait)
        detach_cell(sb);
    sandbox_unref(sb);
}

/* Why did init end without being told to? */
static void describe_death(const struct sandbox *sb, const struct launch_exited *exited,
                           char *ret, size_t size)
{
    if (!exited)
        (void)snprintf(ret, size, "%s", err_text(&sb->rt->lost));
    else if (exited->n_oom_kills > 0)
        (void)snprintf(ret, size, "out of memory: the sandbox's init was killed");
    else if (WIFSIGNALED(exited->wait_status))
        (void)snprintf(ret, size, "the sandbox's init was killed by signal %d",
                       WTERMSIG(exited->wait_status));
    else
        (void)snprintf(ret, size, "the sandbox's init ended with status %d",
                       WEXITSTATUS(exited->wait_status));
}

void sandbox_on_cell_exited(struct sandbox *sb, const struct launch_exited *exited)
{
    char why[256]; /* longest: the loss of launch, cut */

    (void)sandbox_ref(sb);
    sb->cell = NULL;
    if (exited)
        sb->usage = (struct sandbox_usage){.cpu_ns = exited->cpu_ns,
                                           .memory_peak_bytes = exited->memory_peak_bytes,
                                           .n_oom_kills = exited->n_oom_kills};
    main_process_on_cell_gone(sb);
    if (exited && sandbox_state_terminal(sb->state))
        ledger_record_update(sb); /* else with the new state */
    if (sb->state == SANDBOX_TERMINATING) {
        sandbox_end(sb, SANDBOX_TERMINATED, "");
    } else if (!sandbox_state_terminal(sb->state)) {
        describe_death(sb, exited, why, sizeof(why));
        sandbox_end(sb, SANDBOX_FAILED, why);
    }
    detach_cell(sb);
    sandbox_unref(sb);
}

void sandbox_get_info(const struct sandbox *sb, struct sandbox_info *ret)
{
    *ret = (struct sandbox_info){
        .id = sb->id,
        .owner = sb->owner,
        .seq = sb->seq,
        .state = sb->state,
        .state_reason = sb->state_reason,
        .create_wall_ns = sb->create_wall_ns,
        .start_wall_ns = sb->start_wall_ns,
        .end_wall_ns = sb->end_wall_ns,
        .has_exit_code = sb->has_exit_code,
        .exit_code = sb->exit_code,
        .lifetime_ns = sb->lifetime_ns,
        .image = sb->image,
        .image_id = sb->plan->image_id,
        .memory_bytes = sb->memory_bytes,
        .cpu_millis = sb->cpu_millis,
        .user_data = sb->user_data,
    };
}
