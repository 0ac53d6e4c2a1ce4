/* Checking and copying what a caller wants to run; see plan.h. */
#include "runtime/plan.h"

#include <stdarg.h>
#include <string.h>

PRINTF_LIKE(3, 4)
static int invalid(struct err *err, const char *field, const char *fmt, ...)
{
    CLEANUP_FREE char *what = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&what, fmt, ap) < 0)
        what = NULL;
    va_end(ap);
    const char *shown = what ? what : "invalid";
    if (err && err->code == ERR_OK)
        (void)err_set(err, ERR_INVALID_ARGUMENT, "%s: %s", field, shown);
    err_add_violation(err, field, "%s", shown);
    return -1;
}

int path_check(const char *path, const char *field, struct err *err)
{
    if (strlen(path) >= PLAN_MAX_PATH)
        return invalid(err, field, "is longer than %d bytes", PLAN_MAX_PATH - 1);
    if (path[0] != '/')
        return invalid(err, field, "`%s` is not an absolute path", path);
    if (path[strspn(path, "/.")] == '\0' && !strstr(path, "..."))
        return invalid(err, field, "`%s` does not name a file", path);
    return 0;
}

static int check_env(const struct string_pair *env, size_t n, struct err *err)
{
    if (n > PLAN_MAX_ENV)
        return invalid(err, "env", "has more than 1024 variables");
    for (size_t i = 0; i < n; i++)
        if (env[i].key[0] == '\0' || strchr(env[i].key, '='))
            return invalid(err, "env", "a name must not be empty or contain `=`");
    return 0;
}

int process_spec_check(const struct process_spec *spec, struct err *err)
{
    if (spec->n_argv == 0 || spec->argv[0][0] == '\0')
        return invalid(err, "command", "must not be empty");
    if (spec->cwd && spec->cwd[0] != '\0' && spec->cwd[0] != '/')
        return invalid(err, "cwd", "`%s` is not an absolute path", spec->cwd);
    if (spec->n_argv + spec->n_env > INIT_MAX_STRINGS - 16)
        return invalid(err, "command", "has too many arguments");
    if (spec->user && strlen(spec->user) > PLAN_MAX_USER)
        return invalid(err, "user", "is longer than 255 bytes");
    return check_env(spec->env, spec->n_env, err);
}

static int check_files(const struct sandbox_spec *spec, struct err *err)
{
    size_t total = 0;
    if (spec->n_files > PLAN_MAX_FILES)
        return invalid(err, "files", "are more than 256");
    for (size_t i = 0; i < spec->n_files; i++) {
        if (path_check(spec->files[i].path, "files.path", err) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(spec->files[i].path, spec->files[k].path) == 0)
                return invalid(err, "files.path", "is given twice");
        total += spec->files[i].size;
        if (total > PLAN_MAX_FILES_BYTES)
            return invalid(err, "files", "hold more than 64 MiB");
    }
    return 0;
}

static int check_spec(const struct sandbox_spec *spec, struct err *err)
{
    if (spec->command[0] == '\0' && spec->n_args > 0)
        return invalid(err, "command", "must not be empty when there are arguments");
    if (spec->n_args + spec->n_env > INIT_MAX_STRINGS - 16)
        return invalid(err, "args", "are too many");
    if (spec->working_dir[0] != '\0' && spec->working_dir[0] != '/')
        return invalid(err, "working_dir", "`%s` is not an absolute path", spec->working_dir);
    if (check_env(spec->env, spec->n_env, err) < 0)
        return -1;
    return check_files(spec, err);
}

static void strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
}

void plan_drop_files(struct plan *plan)
{
    for (size_t i = 0; i < plan->n_files; i++) {
        free(plan->files[i].path);
        buf_done(&plan->files[i].content);
    }
    free(plan->files);
    plan->files = NULL;
    plan->n_files = 0;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    strings_free(plan->argv);
    strings_free(plan->env);
    free(plan->cwd);
    plan_drop_files(plan);
    free(plan);
}

static void cleanup_plan(struct plan **plan)
{
    plan_free(*plan);
}

static bool copy_argv(struct plan *plan, const struct sandbox_spec *spec)
{
    plan->argv = calloc(spec->n_args + 2, sizeof(char *));
    if (!plan->argv)
        return false;
    if (spec->command[0] == '\0')
        return true;
    plan->argv[0] = strdup(spec->command);
    for (size_t i = 0; i < spec->n_args && plan->argv[i]; i++)
        plan->argv[i + 1] = strdup(spec->args[i]);
    return plan->argv[spec->n_args] != NULL;
}

static bool copy_env(struct plan *plan, const struct sandbox_spec *spec)
{
    plan->env = calloc(spec->n_env + 1, sizeof(char *));
    for (size_t i = 0; plan->env && i < spec->n_env; i++)
        if (asprintf(&plan->env[i], "%s=%s", spec->env[i].key, spec->env[i].value) < 0) {
            plan->env[i] = NULL;
            return false;
        }
    return plan->env != NULL;
}

static bool copy_files(struct plan *plan, const struct sandbox_spec *spec)
{
    if (spec->n_files == 0)
        return true;
    plan->files = calloc(spec->n_files, sizeof(*plan->files));
    if (!plan->files)
        return false;
    for (; plan->n_files < spec->n_files; plan->n_files++) {
        const struct sandbox_file *from = &spec->files[plan->n_files];
        struct plan_file *to = &plan->files[plan->n_files];
        to->path = strdup(from->path);
        if (!to->path || buf_put(&to->content, from->content, from->size) < 0) {
            free(to->path);
            return false;
        }
    }
    return true;
}

struct plan *plan_new(const struct sandbox_spec *spec, struct err *err)
{
    if (check_spec(spec, err) < 0)
        return NULL;
    CLEANUP(cleanup_plan) struct plan *plan = calloc(1, sizeof(*plan));
    /* "" means the home directory; every image we start has /root (docs/architecture.md: the
     * host skeleton). */
    if (!plan || !(plan->cwd = strdup(spec->working_dir[0] ? spec->working_dir : "/root")) ||
        !copy_argv(plan, spec) || !copy_env(plan, spec) || !copy_files(plan, spec)) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED,
                      "copy the sandbox's specification: out of memory");
        return NULL;
    }
    return TAKE_PTR(plan);
}
