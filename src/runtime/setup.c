/*
 * From a blank cell to a running sandbox, in steps whose answers are counted:
 *
 *   #1 LIMITS to launch when they are not the cell's own; NETWORK when it has rules
 *   #2 WRITE for each file, under the limits
 *   #3 EXEC of the main process once the files are in place
 *   #4 RUNNING: at once without any of these, else with the last answer
 */
#include <errno.h>
#include <string.h>

#include "runtime/file.h"
#include "runtime/sandbox.h"

struct setup_file {
    struct sandbox *sb; /* a reference */
    char *path;
    struct file_job job;
};

/* The parts of the host's list of problems that speak of @feature; the whole list when none
 * does. */
static void find_remedy(const struct runtime *rt, const char *feature, char *ret, size_t size)
{
    const char *at = rt->features.problems;
    size_t n = strlen(feature);
    while (*at) {
        size_t line = strcspn(at, "\n");
        if (memmem(at, line, feature, n)) {
            (void)snprintf(ret, size, ": %.*s", (int)line, at);
            return;
        }
        at += line + (at[line] == '\n');
    }
    (void)snprintf(
        ret, size,
        "; see `cwsandboxd --check-config`, or let it pass with --accept-unenforced-limits");
}

int setup_check_limits(const struct runtime *rt, uint64_t memory_bytes, uint32_t cpu_millis,
                       struct err *err)
{
    const struct launch_features *f = &rt->features;
    char remedy[512]; /* cut when longer: the full text is in the log of the service */
    const char *what = memory_bytes > 0 && !f->limit_memory ? "memory"
                       : cpu_millis > 0 && !f->limit_cpu    ? "cpu"
                                                            : NULL;
    if (!what || rt->config.accept_unenforced_limits)
        return 0;
    find_remedy(rt, what, remedy, sizeof(remedy));
    return err_set(err, ERR_FAILED_PRECONDITION, "this host cannot enforce a %s limit%s", what,
                   remedy);
}

static void send_files(struct sandbox *sb);

static void step_done(struct sandbox *sb)
{
    sb->setup.n_steps--;
    if (sb->state != SANDBOX_CREATING)
        return;
    if (sb->setup.n_steps == 0 && !sb->setup.files_sent) {
        sb->setup.files_sent = true;
        send_files(sb);
        return;
    }
    if (sb->setup.n_steps == 0 && sb->plan->argv[0] && !sb->setup.main_sent) {
        sb->setup.main_sent = true;
        main_process_start(sb);
        return;
    }
    setup_check_running(sb);
}

void setup_check_running(struct sandbox *sb)
{
    if (sb->state == SANDBOX_CREATING && sb->setup.n_steps == 0 &&
        (!sb->plan->argv[0] || sb->main.started))
        sandbox_set_state(sb, SANDBOX_RUNNING);
}

/* ---- limits ---- */

static void on_limits(void *user, const struct launch_status *status)
{
    struct sandbox *sb = user;
    if (status && status->status < 0 && sb->state == SANDBOX_CREATING)
        sandbox_fail(sb, "set the sandbox's limits: %s: %s", status->stage,
                     strerror(-status->status));
    if (status)
        step_done(sb);
    sandbox_unref(sb);
}

static int send_limits(struct sandbox *sb)
{
    struct cell_driver *driver = sb->rt->driver;
    struct launch_limits limits = {0};
    memcpy(limits.id, sb->id, sizeof(limits.id));
    cell_default_limits(sb->rt, &limits);
    limits.memory_bytes = sb->memory_bytes;
    limits.cpu_millis = sb->cpu_millis;
    int r = driver->ops->limits(driver, &limits, on_limits, sandbox_ref(sb));
    if (r < 0)
        sandbox_unref(sb);
    else
        sb->setup.n_steps++;
    return r;
}

/* ---- network ---- */

static void on_rules(void *user, const struct launch_status *status)
{
    struct sandbox *sb = user;
    if (status && status->status < 0 && sb->state == SANDBOX_CREATING)
        sandbox_fail(sb, "set the rules of the sandbox's network: %s: %s", status->stage,
                     strerror(-status->status));
    if (status)
        step_done(sb);
    sandbox_unref(sb);
}

static int send_rules(struct sandbox *sb)
{
    struct cell_driver *driver = sb->rt->driver;
    memcpy(sb->rules->id, sb->id, sizeof(sb->rules->id));
    int r = driver->ops->rules(driver, sb->rules, on_rules, sandbox_ref(sb));
    if (r < 0)
        sandbox_unref(sb);
    else
        sb->setup.n_steps++;
    free(TAKE_PTR(sb->rules));
    return r;
}

/* ---- files ---- */

static void on_file_written(struct file_job *job, const struct err *why)
{
    struct setup_file *file = CONTAINER_OF(job, struct setup_file, job);
    struct sandbox *sb = file->sb;
    if (why && sb->state == SANDBOX_CREATING)
        sandbox_fail(sb, "write the mounted file %s: %s", file->path, err_text(why));
    step_done(sb);
    buf_done(&job->content);
    free(file->path);
    free(file);
    sandbox_unref(sb);
}

static int send_file(struct sandbox *sb, struct plan_file *from)
{
    struct setup_file *file = calloc(1, sizeof(*file));
    if (!file || !(file->path = strdup(from->path))) {
        free(file);
        return -ENOMEM;
    }
    file->sb = sandbox_ref(sb);
    file->job = (struct file_job){.rt = sb->rt,
                                  .sb = sb,
                                  .path = file->path,
                                  .write = true,
                                  .mode_bits = 0444,
                                  .content = from->content,
                                  .cb = on_file_written};
    from->content = (struct buf){0};
    sb->setup.n_steps++;
    file_job_start(&file->job); /* a failure comes through the callback */
    return 0;
}

static void send_files(struct sandbox *sb)
{
    int r = 0;
    sb->setup.n_steps =
        1; /* ours: no answer may start the main process before everything is on its way */
    for (size_t i = 0; r == 0 && i < sb->plan->n_files; i++)
        r = send_file(sb, &sb->plan->files[i]);
    if (r < 0)
        sandbox_fail(sb, "set up the sandbox: %s", strerror(-r));
    step_done(sb);
}

void setup_begin(struct sandbox *sb)
{
    (void)sandbox_ref(sb);
    sandbox_set_state(sb, SANDBOX_CREATING);
    sb->setup.n_steps = 1; /* ours */
    int r = sb->own_limits ? send_limits(sb) : 0;
    if (r == 0 && sb->rules)
        r = send_rules(sb);
    if (r < 0)
        sandbox_fail(sb, "set up the sandbox: %s", strerror(-r));
    step_done(sb);
    sandbox_unref(sb);
}
