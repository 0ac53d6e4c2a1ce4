/* What does not go together in cws_options, seen over all of them. */
#include <string.h>

#include "base/util.h"
#include "client/command.h"
#include "client/options.h"

static size_t n_containers(const cws_options *o)
{
    return cws_record_count(o->spec, "containers");
}

/* Anything that the one container is described by, but for its image. */
static bool describes_one_container(const cws_options *o)
{
    return o->command || o->args.n || o->env.n || o->files.n || o->secrets.n || o->has_gpu ||
           o->request_cpu || o->request_memory || o->limit_cpu || o->limit_memory ||
           o->container || o->pull.env_var;
}

static bool has_resources(const Pb__Container *c)
{
    return c->resource_requirements || c->resources;
}

static bool has_gpu(const Pb__Container *c)
{
    const Pb__ResourceRequirements *r = c->resource_requirements;
    return r && ((r->limits && r->limits->gpu) || (r->requests && r->requests->gpu));
}

static int check_one_of_several(const Pb__SandboxSpec *spec, size_t i, cws_error **error)
{
    const Pb__Container *c = spec->containers[i];
    if (!*c->name)
        return error_set(error, CWS_E_INVALID,
                         "of several containers every container must have a name");
    for (size_t k = 0; k < i; k++)
        if (strcmp(spec->containers[k]->name, c->name) == 0)
            return error_set(error, CWS_E_INVALID, "duplicate container name `%s`", c->name);
    if (!has_resources(c))
        return error_set(error, CWS_E_INVALID, "container `%s` requires resources", c->name);
    if (i != options_primary(spec) && has_gpu(c))
        return error_set(error, CWS_E_INVALID,
                         "container `%s`: a GPU is only allowed on the primary one", c->name);
    return 0;
}

static int check_containers(const cws_options *o, cws_error **error)
{
    if (!n_containers(o))
        return 0;
    if (o->image || describes_one_container(o))
        return error_set(error, CWS_E_INVALID,
                         "containers and what describes one container are mutually exclusive");
    const Pb__SandboxSpec *spec = record_message(o->spec);
    size_t n_primary = 0;
    for (size_t i = 0; i < spec->n_containers; i++) {
        const Pb__Container *c = spec->containers[i];
        n_primary += PROTO_HAS(c, primary) && c->primary;
        if (spec->n_containers > 1 && check_one_of_several(spec, i, error) < 0)
            return -1;
    }
    if (spec->n_containers > 1 && n_primary != 1)
        return error_set(error, CWS_E_INVALID,
                         "of several containers exactly one is the primary");
    return 0;
}

static int check_container_words(const Pb__Container *c, cws_error **error)
{
    for (size_t i = 0; i < c->n_environment_variables; i++) {
        const Pb__Container__EnvironmentVariablesEntry *v = c->environment_variables[i];
        if (command_check_variable("environment_variables", v->key, strlen(v->key),
                                   strlen(v->value), error) < 0)
            return -1;
    }
    for (size_t i = 0; i < c->n_args; i++)
        if (command_check_word("args", i, c->args[i], error) < 0)
            return -1;
    return *c->command ? command_check_word("command", 0, c->command, error) : 0;
}

/* What no program could be started with. */
static int check_words(const cws_options *o, cws_error **error)
{
    const struct option_pair *env = o->env.items;
    for (size_t i = 0; i < o->env.n; i++)
        if (command_check_variable("environment_variables", env[i].key, strlen(env[i].key),
                                   strlen(env[i].value), error) < 0)
            return -1;
    for (size_t i = 0; i < o->args.n; i++)
        if (command_check_word("args", i, ((char **)o->args.items)[i], error) < 0)
            return -1;
    if (o->command && command_check_word("command", 0, o->command, error) < 0)
        return -1;
    if (o->container && check_container_words(record_message(o->container), error) < 0)
        return -1;
    const Pb__SandboxSpec *spec = o->spec ? record_message(o->spec) : NULL;
    for (size_t i = 0; spec && i < spec->n_containers; i++)
        if (check_container_words(spec->containers[i], error) < 0)
            return -1;
    return 0;
}

static int check_placement(const cws_options *o, cws_error **error)
{
    if (o->mode < 0 || o->mode > PB__SANDBOX_MODE__SANDBOX_MODE_CKS)
        return error_set(error, CWS_E_INVALID, "%d is not a placement mode", o->mode);
    if (o->mode == PB__SANDBOX_MODE__SANDBOX_MODE_SERVERLESS && o->runner_ids.n)
        return error_set(error, CWS_E_INVALID,
                         "serverless placement cannot be combined with runner_ids");
    if (o->spillover == CWS_SPILLOVER_STRICT)
        return 0;
    if (o->template_id || o->file)
        return error_set(error, CWS_E_INVALID, "placement_spillover must be STRICT for %s",
                         o->file ? "sandboxes from files" : "template sandboxes");
    if (o->spillover == CWS_SPILLOVER_CKS_THEN_SERVERLESS &&
        o->mode == PB__SANDBOX_MODE__SANDBOX_MODE_SERVERLESS)
        return error_set(error, CWS_E_INVALID,
                         "cks_then_serverless cannot be combined with serverless placement");
    if (o->spillover != CWS_SPILLOVER_SERVERLESS_THEN_CKS)
        return 0;
    if (o->mode == PB__SANDBOX_MODE__SANDBOX_MODE_CKS)
        return error_set(error, CWS_E_INVALID,
                         "serverless_then_cks cannot be combined with cks placement");
    if (o->runner_ids.n)
        return error_set(error, CWS_E_INVALID,
                         "serverless_then_cks cannot be combined with runner_ids");
    return 0;
}

static int check_template(const cws_options *o, cws_error **error)
{
    if (!o->template_id)
        return 0;
    if (!o->image && !n_containers(o) && (describes_one_container(o) || o->volumes.n))
        return error_set(error, CWS_E_INVALID,
                         "template overrides of the container require container_image");
    return 0;
}

static int check_network(const cws_options *o, cws_error **error)
{
    const cws_record *given = cws_record_record(o->spec, "network", 0);
    bool denied = o->deny_egress == 1 || cws_record_int(given, "deny_egress", 0);
    if (denied && (o->egress.n || cws_record_count(given, "egress")))
        return error_set(error, CWS_E_INVALID,
                         "deny_egress cannot be combined with egress rules");
    return 0;
}

static int check_file(const cws_options *o, cws_error **error)
{
    if (!o->file)
        return 0;
    const Pb__CreateSandboxFromFileRequest *f = record_message(o->file);
    if (o->template_id)
        return error_set(error, CWS_E_INVALID, "a file cannot be combined with a template");
    if (f->contents.len > OPTIONS_FILE_MAX_BYTES)
        return error_set(error, CWS_E_INVALID, "the file has more than 256 KiB");
    if (!*f->primary_service && f->control != PB__CONTROL__CONTROL_CONTAINER_ENGINE)
        return error_set(error, CWS_E_INVALID,
                         "primary_service is required unless control is CONTAINER_ENGINE");
    if (o->image || describes_one_container(o))
        return error_set(error, CWS_E_INVALID, "the file says what its containers are");
    return 0;
}

int options_check(const cws_options *o, cws_error **error)
{
    if (check_placement(o, error) < 0 || check_template(o, error) < 0 ||
        check_file(o, error) < 0 || check_containers(o, error) < 0 || check_words(o, error) < 0)
        return -1;
    return check_network(o, error);
}
