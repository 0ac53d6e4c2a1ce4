/*
 * Validation of a SandboxSpec. See spec.h.
 */
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "server/services.h"
#include "server/spec.h"

#define SPEC "sandbox.spec."
#define MAIN "sandbox.spec.containers[0]."

int err_invalid(struct err *err, const char *field, const char *fmt, ...)
{
    CLEANUP_FREE char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    const char *shown = text != NULL ? text : "invalid";
    (void)err_set_reason(err, ERR_INVALID_ARGUMENT, "CWSANDBOX_INVALID_REQUEST", "%s: %s",
                         field, shown);
    err_add_violation(err, field, "%s", shown);
    return -1;
}

int err_not_built(struct err *err, const char *reason, const char *field)
{
    (void)err_set_reason(err, ERR_UNIMPLEMENTED, reason,
                         "%s is not implemented by this service", field);
    err_add_violation(err, field, "not implemented by this service");
    return -1;
}

static int not_built(struct err *err, const char *field)
{
    return err_not_built(err, "CWSANDBOX_NOT_IMPLEMENTED", field);
}

/* A field that the API has no longer, and that a client of before may send. */
#define OLD_INIT_CONTAINERS 12u

static bool has_unknown(const ProtobufCMessage *m, uint32_t number)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        if (m->unknown_fields[i].tag == number)
            return true;
    return false;
}

/* Things the API knows and this service does not build yet. One row a field: asked for =
 * present. */
static int check_unbuilt(const Pb__SandboxSpec *s, const Pb__Container *c, struct err *err)
{
    const struct {
        bool asked;
        const char *field;
    } rows[] = {
        {s->n_containers > 1, SPEC "containers[1]"},
        {has_unknown(&s->base, OLD_INIT_CONTAINERS), SPEC "init_containers"},
        {s->n_network_ids > 0, SPEC "network_ids"},
        {s->object_storage_access != NULL, SPEC "object_storage_access"},
        {s->instance_type[0] != '\0', SPEC "instance_type"},
        {s->runtime_class[0] != '\0' && strcmp(s->runtime_class, SPEC_RUNTIME_CLASS) != 0,
         SPEC "runtime_class"},
        {s->runtime_class_selection != PB__RUNTIME_CLASS__RUNTIME_CLASS_UNSPECIFIED,
         SPEC "runtime_class_selection"},
        {s->network_config_id[0] != '\0', SPEC "network_config_id"},
        {s->network != NULL && s->network->dns_egress != 0, SPEC "network.dns_egress"},
        {c->startup_probe != NULL, MAIN "startup_probe"},
        {c->n_secret_stores > 0, MAIN "secret_stores"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].asked)
            return not_built(err, rows[i].field);
    return 0;
}

/* Clients check what is echoed, and refuse one without these. */
static int check_pull_credentials(const Pb__ImagePullCredentials *c, struct err *err)
{
    static const char field[] = MAIN "image_pull_credentials";
    const Pb__SecretSource *source = c != NULL ? c->credentials : NULL;
    if (c == NULL)
        return 0;
    if (c->registry[0] == '\0' || source == NULL || source->store_name[0] == '\0' ||
        source->path[0] == '\0')
        return err_invalid(err, field, "needs a registry, a store and a path");
    if (strlen(c->registry) > SPEC_MAX_PULL_WORD ||
        strlen(source->store_name) > SPEC_MAX_PULL_WORD ||
        strlen(source->path) > SPEC_MAX_PULL_WORD || strlen(source->field) > SPEC_MAX_PULL_WORD)
        return err_invalid(err, field, "has a word of more than %d bytes", SPEC_MAX_PULL_WORD);
    return 0;
}

/* What the sandbox is anyway may be asked for; anything else may not be silently dropped. */
static int check_security(const Pb__SecurityContext *c, struct err *err)
{
    if (c == NULL)
        return 0;
    if (PROTO_HAS(c, run_as_user) && c->run_as_user != 0)
        return not_built(err, MAIN "security_context.run_as_user");
    if (PROTO_HAS(c, run_as_group) && c->run_as_group != 0)
        return not_built(err, MAIN "security_context.run_as_group");
    if (PROTO_HAS(c, privileged) && c->privileged)
        return not_built(err, MAIN "security_context.privileged");
    if (PROTO_HAS(c, allow_privilege_escalation) && c->allow_privilege_escalation)
        return not_built(err, MAIN "security_context.allow_privilege_escalation");
    if (PROTO_HAS(c, read_only_root_filesystem) && c->read_only_root_filesystem)
        return not_built(err, MAIN "security_context.read_only_root_filesystem");
    if (c->n_capabilities_add > 0)
        return not_built(err, MAIN "security_context.capabilities_add");
    if (c->n_capabilities_drop > 0)
        return not_built(err, MAIN "security_context.capabilities_drop");
    if (c->seccomp_profile[0] != '\0' && strcmp(c->seccomp_profile, "RuntimeDefault") != 0)
        return not_built(err, MAIN "security_context.seccomp_profile");
    return 0;
}

static int check_tags(const Pb__SandboxSpec *s, struct err *err)
{
    if (s->n_tags > SPEC_MAX_TAGS)
        return err_invalid(err, SPEC "tags", "more than %d", SPEC_MAX_TAGS);
    for (size_t i = 0; i < s->n_tags; i++) {
        const char *tag = s->tags[i];
        size_t n = strlen(tag);
        bool ok = n > 0 && n <= SPEC_MAX_TAG && isalnum((unsigned char)tag[n - 1]);
        for (size_t k = 0; ok && k < n; k++)
            ok = isalnum((unsigned char)tag[k]) || strchr("._-", tag[k]) != NULL;
        if (!ok)
            return err_invalid(
                err, SPEC "tags",
                "`%s` is not at most %d of [A-Za-z0-9._-] with a letter or digit at the end",
                tag, SPEC_MAX_TAG);
    }
    return 0;
}

static int check_annotations(const Pb__SandboxSpec *s, struct err *err)
{
    if (s->n_annotations > SPEC_MAX_ANNOTATIONS)
        return err_invalid(err, SPEC "annotations", "more than %d", SPEC_MAX_ANNOTATIONS);
    for (size_t i = 0; i < s->n_annotations; i++)
        if (s->annotations[i]->key[0] == '\0' || s->annotations[i]->value[0] == '\0')
            return err_invalid(err, SPEC "annotations", "an empty key or value");
    return 0;
}

static int check_placement(const Pb__SandboxSpec *s, const char *runner_id, struct err *err)
{
    if ((unsigned)s->mode > PB__SANDBOX_MODE__SANDBOX_MODE_CKS)
        return err_invalid(err, SPEC "mode", "unknown mode %d", (int)s->mode);
    for (size_t i = 0; i < s->n_runner_ids; i++)
        if (strcmp(s->runner_ids[i], runner_id) == 0)
            return 0;
    if (s->n_runner_ids > 0)
        return err_set_reason(err, ERR_FAILED_PRECONDITION, "CWSANDBOX_NO_SUITABLE_RUNNER",
                              SPEC "runner_ids: this service is runner `%s` only", runner_id);
    return 0;
}

static int check_files(const Pb__Container *c, struct err *err)
{
    if (c->n_files > SPEC_MAX_FILES)
        return err_invalid(err, MAIN "files", "more than %d", SPEC_MAX_FILES);
    for (size_t i = 0; i < c->n_files; i++) {
        const char *path = c->files[i]->path;
        size_t n = strlen(path);
        if (path[0] != '/' || n < 2 || path[n - 1] == '/')
            return err_invalid(err, MAIN "files", "`%s` is not an absolute path of a file",
                               path);
        for (size_t k = 0; k < i; k++) /* at most SPEC_MAX_FILES squared / 2 comparisons */
            if (strcmp(path, c->files[k]->path) == 0)
                return err_invalid(err, MAIN "files", "`%s` appears twice", path);
    }
    return 0;
}

bool spec_is_label(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && n <= SPEC_MAX_NAME && name[n] == '\0' && name[0] != '-' &&
           name[n - 1] != '-';
}

static bool is_reserved(const char *name)
{
    static const char *const names[] = {"cw-object-store-agent",
                                        "cw-object-store-agent-restore", "cws-engine",
                                        "dns-egress", "dns-egress-probe"};
    static const char prefix[] = "cw-object-store-agent-restore-";
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

static int check_name(const char *name, struct err *err)
{
    if (name[0] == '\0') /* spec_name_container() gives it one */
        return 0;
    if (!spec_is_label(name))
        return err_invalid(err, MAIN "name",
                           "`%s` is not at most %d of [a-z0-9-] with a letter or digit at both "
                           "ends",
                           name, SPEC_MAX_NAME);
    if (is_reserved(name))
        return err_invalid(err, MAIN "name", "`%s` is reserved", name);
    return 0;
}

static int check_container(const Pb__Container *c, struct err *err)
{
    if (check_name(c->name, err) < 0 ||
        check_pull_credentials(c->image_pull_credentials, err) < 0)
        return -1;
    if (c->working_dir[0] != '\0' && c->working_dir[0] != '/')
        return err_invalid(err, MAIN "working_dir", "`%s` is not absolute", c->working_dir);
    if (check_files(c, err) < 0)
        return -1;
    uint64_t memory;
    uint32_t cpu;
    return spec_limits(c, &memory, &cpu, err);
}

int spec_check(const Pb__SandboxSpec *spec, const char *runner_id,
               const struct services_offer *offer, struct err *err)
{
    if (spec == NULL)
        return err_invalid(err, "sandbox.spec", "is required");
    if (spec->n_containers == 0)
        return err_invalid(err, SPEC "containers", "exactly one container is required");
    const Pb__Container *c = spec->containers[0];
    if (services_check(spec, offer, err) < 0 || spec_check_volumes(spec, err) < 0 ||
        check_unbuilt(spec, c, err) < 0 || check_security(c->security_context, err) < 0 ||
        check_tags(spec, err) < 0 || check_annotations(spec, err) < 0 ||
        check_placement(spec, runner_id, err) < 0)
        return -1;
    if (spec->max_lifetime_seconds < 0)
        return err_invalid(err, SPEC "max_lifetime_seconds", "must not be negative");
    return check_container(c, err);
}
