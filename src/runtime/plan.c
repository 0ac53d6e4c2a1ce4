/* Checking and copying what a caller wants to run; see plan.h. */
#include "runtime/plan.h"

#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "runtime/image.h"

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

static int too_long(struct err *err, const char *field, const char *what)
{
    return invalid(err, field,
                   "%s is longer than %u bytes, which is the most that Linux passes to a "
                   "program",
                   what, EXEC_MAX_STRING - 1);
}

static int check_env(const struct string_pair *env, size_t n, struct err *err)
{
    if (n > PLAN_MAX_ENV)
        return invalid(err, "env", "has more than 1024 variables");
    for (size_t i = 0; i < n; i++)
        if (env[i].key[0] == '\0' || strchr(env[i].key, '='))
            return invalid(err, "env", "a name must not be empty or contain `=`");
    for (size_t i = 0; i < n; i++) {
        char what[96];
        if (strlen(env[i].key) + strlen(env[i].value) + 2 <= EXEC_MAX_STRING)
            continue;
        (void)snprintf(what, sizeof(what), "`%.64s` with its value", env[i].key);
        return too_long(err, "env", what);
    }
    return 0;
}

static int check_argv(const char *const *argv, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        char what[64];
        if (strlen(argv[i]) < EXEC_MAX_STRING)
            continue;
        (void)snprintf(what, sizeof(what), "the word at index %zu", i);
        return too_long(err, "command", what);
    }
    return 0;
}

/* @cwd: NULL and "" are the image's. */
static int check_cwd(const char *cwd, const char *field, struct err *err)
{
    if (!cwd || cwd[0] == '\0')
        return 0;
    if (strlen(cwd) >= PLAN_MAX_PATH)
        return invalid(err, field, "is longer than %d bytes", PLAN_MAX_PATH - 1);
    return cwd[0] == '/' ? 0 : invalid(err, field, "`%s` is not an absolute path", cwd);
}

int process_spec_check(const struct process_spec *spec, struct err *err)
{
    if (spec->n_argv == 0 || spec->argv[0][0] == '\0')
        return invalid(err, "command", "must not be empty");
    if (check_cwd(spec->cwd, "cwd", err) < 0 || check_argv(spec->argv, spec->n_argv, err) < 0)
        return -1;
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
    if (check_cwd(spec->working_dir, "working_dir", err) < 0 ||
        check_env(spec->env, spec->n_env, err) < 0)
        return -1;
    return check_files(spec, err);
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
    free(plan->user);
    free(plan->image_id);
    plan_drop_files(plan);
    free(plan);
}

static void cleanup_plan(struct plan **plan)
{
    plan_free(*plan);
}

static bool copy_argv(struct plan *plan, const struct sandbox_spec *spec)
{
    size_t n = 0;
    plan->own_command = spec->command[0] != '\0';
    plan->argv = calloc(spec->n_args + 2, sizeof(char *));
    if (!plan->argv || (plan->own_command && !(plan->argv[n++] = strdup(spec->command))))
        return false;
    for (size_t i = 0; i < spec->n_args; i++)
        if (!(plan->argv[n++] = strdup(spec->args[i])))
            return false;
    return true;
}

static bool copy_env(struct plan *plan, const struct sandbox_spec *spec)
{
    plan->env = calloc(spec->n_env + 1, sizeof(char *));
    if (!plan->env)
        return false;
    for (size_t i = 0; i < spec->n_env; i++)
        if (asprintf(&plan->env[i], "%s=%s", spec->env[i].key, spec->env[i].value) < 0) {
            plan->env[i] = NULL;
            return false;
        }
    return true;
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

/* ---- what the image has ---- */

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED,
                   "copy the sandbox's specification: out of memory");
}

/* Copies of @from in front of what @to has, which may be NULL. */
static bool put_before(char ***to, char *const *from)
{
    size_t n_from = strings_count(from), n_to = strings_count(*to), n = 0;
    if (n_from == 0)
        return true;
    char **both = calloc(n_from + n_to + 1, sizeof(char *));
    while (both && n < n_from && (both[n] = strdup(from[n])))
        n++;
    if (n < n_from) {
        strings_free(both);
        return false;
    }
    for (size_t i = 0; i < n_to; i++)
        both[n + i] = (*to)[i];
    free(*to);
    *to = both;
    return true;
}

/* As with containers: a command takes the place of the entry point, arguments take that of the image's. The image's arguments
 * alone are no main process: those of most images are a shell or an interpreter, which ends at once without input. */
static int add_words(struct plan *plan, const struct runtime_image *image, struct err *err)
{
    bool entry = !plan->own_command && strings_count(image->entrypoint) > 0;
    if (entry && !plan->argv[0] && !put_before(&plan->argv, image->cmd))
        return no_memory(err);
    if (entry && !put_before(&plan->argv, image->entrypoint))
        return no_memory(err);
    if (plan->argv[0] && plan->argv[0][0] == '\0')
        return invalid(err, "command", "must not be empty when there are arguments");
    if (!put_before(&plan->env, image->env))
        return no_memory(err);
    size_t n_env = strings_count(plan->env);
    if (n_env > PLAN_MAX_ENV)
        return invalid(err, "env", "has more than 1024 variables");
    if (strings_count(plan->argv) + n_env > INIT_MAX_STRINGS - 16)
        return invalid(err, "args", "are too many");
    return 0;
}

/* "host" has no home directory of its own choice, but always /root. */
static const char *image_cwd(const struct runtime_image *image)
{
    const char *dir = image->working_dir ? image->working_dir : "/";
    bool host = image->host || !image->layers;
    return host && strcmp(dir, "/") == 0 ? "/root" : dir;
}

int plan_add_image(struct plan *plan, const struct runtime_image *image, struct err *err)
{
    if (plan->cwd[0] == '\0') {
        free(plan->cwd);
        plan->cwd = strdup(image_cwd(image));
    }
    free(plan->user);
    plan->user = strdup(image->user ? image->user : "");
    plan->stop_signal = image->stop_signal;
    free(plan->image_id);
    plan->image_id = strdup(image->id ? image->id : "");
    if (!plan->cwd || !plan->user || !plan->image_id)
        return no_memory(err);
    return add_words(plan, image, err);
}

struct plan *plan_new(const struct sandbox_spec *spec, const struct runtime_image *image,
                      struct err *err)
{
    if (check_spec(spec, err) < 0)
        return NULL;
    CLEANUP(cleanup_plan) struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan || !(plan->cwd = strdup(spec->working_dir)) || !(plan->user = strdup("")) ||
        !(plan->image_id = strdup("")) || !copy_argv(plan, spec) || !copy_env(plan, spec) ||
        !copy_files(plan, spec)) {
        (void)no_memory(err);
        return NULL;
    }
    if (image && plan_add_image(plan, image, err) < 0)
        return NULL;
    return TAKE_PTR(plan);
}
