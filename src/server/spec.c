/*
 * Translation of a checked SandboxSpec. See spec.h.
 */
#include "server/spec.h"

#include <string.h>

#include "base/util.h"
#include "server/quantity.h"

#define MAIN "sandbox.spec.containers[0]."
#define RESOURCES MAIN "resource_requirements."

/* One quantity of one side; *@ret untouched when it is not given. */
static int read_quantity(const char *text, const char *field, uint32_t scale, uint64_t *ret,
                         struct err *err)
{
    uint64_t value;
    if (text == NULL || text[0] == '\0')
        return 0;
    if (quantity_parse(text, scale, &value) < 0)
        return err_invalid(err, field, "`%s` is not a quantity such as 500m, 1.5, 512Mi or 1G",
                           text);
    if (value == 0)
        return err_invalid(err, field, "must be more than 0");
    if (scale == 1000 && value > UINT32_MAX)
        return err_invalid(err, field, "`%s` is too much", text);
    if (scale == 1 && value < SPEC_MIN_MEMORY)
        return err_invalid(err, field, "`%s` is less than %u MiB", text, SPEC_MIN_MEMORY >> 20);
    *ret = value;
    return 0;
}

static int read_side(const Pb__Resources *r, const char *cpu_field, const char *memory_field,
                     uint64_t *ret_cpu, uint64_t *ret_memory, struct err *err)
{
    if (r == NULL)
        return 0;
    if (r->gpu != NULL) {
        (void)err_set_reason(err, ERR_UNIMPLEMENTED, "CWSANDBOX_NOT_IMPLEMENTED",
                             "gpu is not implemented by this service");
        err_add_violation(err, RESOURCES "limits.gpu", "not implemented by this service");
        return -1;
    }
    if (read_quantity(r->cpu, cpu_field, 1000, ret_cpu, err) < 0)
        return -1;
    return read_quantity(r->memory, memory_field, 1, ret_memory, err);
}

int spec_limits(const Pb__Container *c, uint64_t *ret_memory_bytes, uint32_t *ret_cpu_millis,
                struct err *err)
{
    /* `resources` is the older form of the same: request and limit in one. */
    const Pb__ResourceRequirements *both = c->resource_requirements;
    const Pb__Resources *requests = both != NULL ? both->requests : c->resources;
    const Pb__Resources *limits = both != NULL ? both->limits : c->resources;
    uint64_t request_cpu = 0, request_memory = 0, cpu = 0, memory = 0;
    if (read_side(requests, RESOURCES "requests.cpu", RESOURCES "requests.memory", &request_cpu,
                  &request_memory, err) < 0 ||
        read_side(limits, RESOURCES "limits.cpu", RESOURCES "limits.memory", &cpu, &memory,
                  err) < 0)
        return -1;
    if (cpu != 0 && request_cpu > cpu)
        return err_invalid(err, RESOURCES "requests.cpu", "more than the limit");
    if (memory != 0 && request_memory > memory)
        return err_invalid(err, RESOURCES "requests.memory", "more than the limit");
    *ret_cpu_millis = (uint32_t)(cpu != 0 ? cpu : request_cpu); /* fits: read_quantity() */
    *ret_memory_bytes = memory != 0 ? memory : request_memory;
    return 0;
}

struct string_pair *spec_env(size_t n, spec_map_entry *const *entries, const char *field,
                             struct err *err)
{
    struct string_pair *env = calloc(n + 1, sizeof(*env));
    if (env == NULL) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        env[i] = (struct string_pair){entries[i]->key, entries[i]->value};
        if (env[i].key[0] == '\0' || strchr(env[i].key, '=') != NULL) {
            (void)err_invalid(err, field, "`%s` is not a variable's name", env[i].key);
            free(env);
            return NULL;
        }
    }
    return env;
}

/* Linux refuses a longer string to every program that would be started with it. */
static int check_lengths(const Pb__Container *c, const struct string_pair *env, struct err *err)
{
    for (size_t i = 0; i < c->n_environment_variables; i++)
        if (strlen(env[i].key) + strlen(env[i].value) + 2 > EXEC_MAX_STRING)
            return err_invalid(err, MAIN "environment_variables",
                               "`%.64s` is longer than %u bytes with its value, which is the "
                               "most that Linux passes to a program",
                               env[i].key, EXEC_MAX_STRING - 1);
    for (size_t i = 0; i < c->n_args; i++)
        if (strlen(c->args[i]) + 1 > EXEC_MAX_STRING)
            return err_invalid(err, MAIN "args",
                               "the one at index %zu is longer than %u bytes, which is the "
                               "most that Linux passes to a program",
                               i, EXEC_MAX_STRING - 1);
    if (strlen(c->command) + 1 > EXEC_MAX_STRING)
        return err_invalid(err, MAIN "command",
                           "longer than %u bytes, which is the most that Linux passes to a "
                           "program",
                           EXEC_MAX_STRING - 1);
    return 0;
}

int spec_translate(const Pb__SandboxSpec *spec, struct spec_plan *ret, struct err *err)
{
    const Pb__Container *c = spec->containers[0];
    *ret = (struct spec_plan){
        .args = calloc(c->n_args + 1, sizeof(*ret->args)),
        .files = calloc(c->n_files + 1, sizeof(*ret->files)),
    };
    if (ret->args == NULL || ret->files == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    ret->env =
        spec_env(c->n_environment_variables, (spec_map_entry *const *)c->environment_variables,
                 MAIN "environment_variables", err);
    if (ret->env == NULL || check_lengths(c, ret->env, err) < 0)
        return -1;
    for (size_t i = 0; i < c->n_args; i++)
        ret->args[i] = c->args[i];
    for (size_t i = 0; i < c->n_files; i++)
        ret->files[i] = (struct sandbox_file){c->files[i]->path, c->files[i]->content.data,
                                              c->files[i]->content.len};
    ret->spec = (struct sandbox_spec){
        .request_id = "",
        .image = c->image,
        .command = c->command,
        .args = ret->args,
        .n_args = c->n_args,
        .env = ret->env,
        .n_env = c->n_environment_variables,
        .working_dir = c->working_dir,
        .files = ret->files,
        .n_files = c->n_files,
        .lifetime_ns = (uint64_t)spec->max_lifetime_seconds * NS_PER_SEC,
    };
    return spec_limits(c, &ret->spec.memory_bytes, &ret->spec.cpu_millis, err);
}

void spec_plan_done(struct spec_plan *plan)
{
    free(plan->args);
    free(plan->env);
    free(plan->files);
    for (uint32_t i = 0; i < plan->spec.mounts.n; i++) {
        free((char *)plan->spec.mounts.ops[i].source);
        free((char *)plan->spec.mounts.ops[i].target);
    }
    free(plan->spec.mounts.ops);
    *plan = (struct spec_plan){0};
}

int spec_name_container(Pb__SandboxSpec *spec, struct err *err)
{
    Pb__Container *c = spec->containers[0];
    if (c->name[0] != '\0')
        return 0;
    char *name = strdup(SPEC_CONTAINER);
    if (name == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (c->name != protobuf_c_empty_string) /* an empty string on the wire is one on the heap */
        free(c->name);
    c->name = name;
    return 0;
}

void spec_keep_echo(Pb__SandboxSpec *spec)
{
    proto_free(spec->network); /* answers have what is in force, in the status */
    spec->network = NULL;
    if (protobuf_c_message_get_packed_size(&spec->base) <= SPEC_MAX_KEPT)
        return;
    for (size_t i = 0; i < spec->n_containers; i++) {
        Pb__Container *c = spec->containers[i];
        for (size_t k = 0; k < c->n_files; k++)
            proto_free(c->files[k]);
        c->n_files = 0;
    }
}
