/* Checking and copying what a caller wants to run; see plan.h. */
#include "runtime/plan.h"

#include <stdarg.h>
#include <string.h>

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

/* @n_image: beside those, of the image. */
static int check_env(const struct string_pair *env, size_t n, size_t n_image, struct err *err)
{
    if (n + n_image > PLAN_MAX_ENV)
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
    return check_env(spec->env, spec->n_env, 0, err);
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

/* As with containers: a command takes the place of the entry point, arguments take that of the image's. The image's arguments
 * alone are no main process: those of most images are a shell or an interpreter, which ends at once without input. */
struct main_words {
    size_t n_head, n_tail;
    const char *const *head, *const *tail;
};

static struct main_words choose_words(const struct sandbox_spec *spec,
                                      const struct runtime_image *image)
{
    bool own = spec->command[0] != '\0';
    struct main_words w = {
        .head = own ? &spec->command : (const char *const *)image->entrypoint,
        .n_head = own ? 1 : strings_count(image->entrypoint),
        .tail = spec->args,
        .n_tail = spec->n_args,
    };
    if (!own && w.n_head > 0 && w.n_tail == 0) {
        w.tail = (const char *const *)image->cmd;
        w.n_tail = strings_count(image->cmd);
    }
    return w;
}

static int check_spec(const struct sandbox_spec *spec, const struct runtime_image *image,
                      struct err *err)
{
    struct main_words w = choose_words(spec, image);
    const char *first = w.n_head > 0 ? w.head[0] : w.n_tail > 0 ? w.tail[0] : NULL;
    size_t n_image_env = strings_count(image->env);
    if (first && first[0] == '\0')
        return invalid(err, "command", "must not be empty when there are arguments");
    if (w.n_head + w.n_tail + spec->n_env + n_image_env > INIT_MAX_STRINGS - 16)
        return invalid(err, "args", "are too many");
    if (spec->working_dir[0] != '\0' && spec->working_dir[0] != '/')
        return invalid(err, "working_dir", "`%s` is not an absolute path", spec->working_dir);
    if (check_env(spec->env, spec->n_env, n_image_env, err) < 0)
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
    plan_drop_files(plan);
    free(plan);
}

static void cleanup_plan(struct plan **plan)
{
    plan_free(*plan);
}

/* Behind the @at strings that @to has. */
static bool copy_strings(char **to, size_t at, const char *const *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(to[at + i] = strdup(from[i])))
            return false;
    return true;
}

static bool copy_argv(struct plan *plan, const struct main_words *w)
{
    plan->argv = calloc(w->n_head + w->n_tail + 1, sizeof(char *));
    return plan->argv && copy_strings(plan->argv, 0, w->head, w->n_head) &&
           copy_strings(plan->argv, w->n_head, w->tail, w->n_tail);
}

static bool copy_env(struct plan *plan, const struct sandbox_spec *spec,
                     const struct runtime_image *image)
{
    size_t n = strings_count(image->env);
    plan->env = calloc(n + spec->n_env + 1, sizeof(char *));
    if (!plan->env || !copy_strings(plan->env, 0, (const char *const *)image->env, n))
        return false;
    for (size_t i = 0; i < spec->n_env; i++)
        if (asprintf(&plan->env[n + i], "%s=%s", spec->env[i].key, spec->env[i].value) < 0) {
            plan->env[n + i] = NULL;
            return false;
        }
    return true;
}

/* "host" has no home directory of its own choice, but always /root. */
static const char *choose_cwd(const struct sandbox_spec *spec,
                              const struct runtime_image *image)
{
    if (spec->working_dir[0] != '\0')
        return spec->working_dir;
    if (!image->layers)
        return "/root";
    return image->working_dir ? image->working_dir : "/";
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

struct plan *plan_new(const struct sandbox_spec *spec, const struct runtime_image *image,
                      struct err *err)
{
    if (check_spec(spec, image, err) < 0)
        return NULL;
    struct main_words words = choose_words(spec, image);
    CLEANUP(cleanup_plan) struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan || !(plan->cwd = strdup(choose_cwd(spec, image))) ||
        !(plan->user = strdup(image->user ? image->user : "")) || !copy_argv(plan, &words) ||
        !copy_env(plan, spec, image) || !copy_files(plan, spec)) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED,
                      "copy the sandbox's specification: out of memory");
        return NULL;
    }
    return TAKE_PTR(plan);
}
