/*
 * cws_options as the bytes of a SandboxSpec, with nothing in it that was not asked for. What was
 * set field by field (the records) follows what the setters collected: two encodings of a message,
 * one behind the other, are the encoding of both merged.
 *
 * Generated messages hold arrays of pointers to messages. They live in an arena while packing,
 * and borrow every text from the options.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/options.h"
#include "wire/host-directory.h"
#include "wire/proto.h"

/* ---- the arena ---- */

struct block {
    struct block *next;
    max_align_t memory[]; /* as malloc() would align it */
};
struct pack {
    const cws_options *o;
    struct block *blocks;
    bool failed; /* out of memory: what was built is not used */
};

static void pack_done(struct pack *p)
{
    while (p->blocks) {
        struct block *next = p->blocks->next;
        free(p->blocks);
        p->blocks = next;
    }
}

/* Zeroed; NULL with p->failed. */
static void *pack_new(struct pack *p, size_t n, size_t size)
{
    struct block *b = calloc(1, sizeof(*b) + n * size);
    if (!b) {
        p->failed = true;
        return NULL;
    }
    b->next = p->blocks;
    p->blocks = b;
    return b->memory;
}

/* @n messages of @size bytes, each made by @init, as the array of pointers that a message has.
 */
static void *pack_list(struct pack *p, size_t n, size_t size, void (*init)(void *message))
{
    char *messages = n ? pack_new(p, n, size) : NULL;
    void **list = n ? pack_new(p, n, sizeof(void *)) : NULL;
    for (size_t i = 0; list && messages && i < n; i++) {
        list[i] = messages + i * size;
        init(list[i]);
    }
    return messages ? list : NULL;
}

#define DEFINE_INIT(name, type) \
    static void init_##name(void *message) \
    { \
        pb__##name##__init((type *)message); \
    }
DEFINE_INIT(container__environment_variables_entry, Pb__Container__EnvironmentVariablesEntry)
DEFINE_INIT(sandbox_spec__annotations_entry, Pb__SandboxSpec__AnnotationsEntry)
DEFINE_INIT(file_mount, Pb__FileMount)
DEFINE_INIT(volume_mount, Pb__VolumeMount)
DEFINE_INIT(sandbox_volume, Pb__SandboxVolume)
DEFINE_INIT(scratch_volume, Pb__ScratchVolume)
DEFINE_INIT(service, Pb__Service)
DEFINE_INIT(endpoint_spec, Pb__EndpointSpec)
DEFINE_INIT(egress_rule, Pb__EgressRule)
DEFINE_INIT(secret_store_reference, Pb__SecretStoreReference)
DEFINE_INIT(secret_mapping, Pb__SecretMapping)
#define PACK_LIST(p, n, type, name) pack_list(p, n, sizeof(type), init_##name)
#define PACK_ONE(p, type, name) \
    ({ \
        type **one_ = PACK_LIST(p, 1, type, name); \
        one_ ? one_[0] : NULL; \
    })

static char *text_of(char *s)
{
    return s ? s : (char *)protobuf_c_empty_string;
}

/* ---- the container ---- */

static void fill_env(struct pack *p, Pb__Container *c)
{
    const struct option_pair *pairs = p->o->env.items;
    c->environment_variables =
        PACK_LIST(p, p->o->env.n, Pb__Container__EnvironmentVariablesEntry,
                  container__environment_variables_entry);
    c->n_environment_variables = c->environment_variables ? p->o->env.n : 0;
    for (size_t i = 0; i < c->n_environment_variables; i++) {
        c->environment_variables[i]->key = pairs[i].key;
        c->environment_variables[i]->value = pairs[i].value;
    }
}

static void fill_files(struct pack *p, Pb__Container *c)
{
    const struct option_file *files = p->o->files.items;
    c->files = PACK_LIST(p, p->o->files.n, Pb__FileMount, file_mount);
    c->n_files = c->files ? p->o->files.n : 0;
    for (size_t i = 0; i < c->n_files; i++) {
        c->files[i]->path = files[i].path;
        c->files[i]->content = (ProtobufCBinaryData){files[i].size, files[i].content};
    }
}

static bool has_mount(const Pb__Container *c, const struct option_volume *v)
{
    for (size_t i = 0; c && i < c->n_volume_mounts; i++)
        if (strcmp(c->volume_mounts[i]->volume, v->name) == 0 &&
            strcmp(c->volume_mounts[i]->mount_path, v->mount_path) == 0)
            return true;
    return false;
}

/* Mounts of the volumes, but for those that @given has already. */
static void fill_mounts(struct pack *p, Pb__Container *c, const Pb__Container *given)
{
    const struct option_volume *volumes = p->o->volumes.items;
    c->volume_mounts = PACK_LIST(p, p->o->volumes.n, Pb__VolumeMount, volume_mount);
    for (size_t i = 0; c->volume_mounts && i < p->o->volumes.n; i++) {
        if (!volumes[i].mount_path || has_mount(given, &volumes[i]))
            continue;
        Pb__VolumeMount *mount = c->volume_mounts[c->n_volume_mounts++];
        mount->volume = volumes[i].name;
        mount->mount_path = volumes[i].mount_path;
        mount->read_only = volumes[i].host_path != NULL;
    }
}

static Pb__SecretStoreReference *find_store(const Pb__Container *c, const char *name)
{
    for (size_t i = 0; i < c->n_secret_stores; i++)
        if (strcmp(c->secret_stores[i]->store_name, name) == 0)
            return c->secret_stores[i];
    return NULL;
}

/* Grouped by store, stores in the order of their first secret. */
static void fill_secrets(struct pack *p, Pb__Container *c)
{
    size_t n = p->o->secrets.n;
    const struct option_secret *secrets = p->o->secrets.items;
    c->secret_stores =
        PACK_LIST(p, n, Pb__SecretStoreReference, secret_store_reference); /* at most */
    for (size_t i = 0; c->secret_stores && i < n; i++) {
        Pb__SecretStoreReference *store = find_store(c, secrets[i].store);
        if (!store) {
            store = c->secret_stores[c->n_secret_stores++];
            store->store_name = secrets[i].store;
            store->secrets = PACK_LIST(p, n, Pb__SecretMapping, secret_mapping); /* at most */
        }
        if (!store->secrets)
            return;
        Pb__SecretMapping *m = store->secrets[store->n_secrets++];
        m->path = secrets[i].name;
        m->field = text_of(secrets[i].field);
        m->env_var = secrets[i].env_var;
    }
}

static void fill_pull(struct pack *p, Pb__Container *c)
{
    const struct option_secret *pull = &p->o->pull;
    if (!pull->env_var)
        return;
    Pb__ImagePullCredentials *credentials = pack_new(p, 1, sizeof(*credentials));
    Pb__SecretSource *source = pack_new(p, 1, sizeof(*source));
    if (!credentials || !source)
        return;
    pb__image_pull_credentials__init(credentials);
    pb__secret_source__init(source);
    credentials->registry = pull->env_var;
    credentials->credentials = source;
    source->store_name = pull->store;
    source->path = pull->name;
    source->field = text_of(pull->field);
    c->image_pull_credentials = credentials;
}

/* A side that was not given is the same as the other one. */
static void fill_resources(struct pack *p, Pb__Container *c)
{
    const cws_options *o = p->o;
    bool has_requests = o->request_cpu || o->request_memory;
    bool has_limits = o->limit_cpu || o->limit_memory;
    if (!has_requests && !has_limits && !o->has_gpu)
        return;
    Pb__ResourceRequirements *both = pack_new(p, 1, sizeof(*both));
    Pb__Resources *sides = pack_new(p, 2, sizeof(*sides));
    Pb__Gpu *gpu = pack_new(p, 1, sizeof(*gpu));
    if (!both || !sides || !gpu)
        return;
    pb__resource_requirements__init(both);
    pb__resources__init(&sides[0]);
    pb__resources__init(&sides[1]);
    pb__gpu__init(gpu);
    both->requests = &sides[0];
    both->limits = &sides[1];
    both->requests->cpu = text_of(has_requests ? o->request_cpu : o->limit_cpu);
    both->requests->memory = text_of(has_requests ? o->request_memory : o->limit_memory);
    both->limits->cpu = text_of(has_limits ? o->limit_cpu : o->request_cpu);
    both->limits->memory = text_of(has_limits ? o->limit_memory : o->request_memory);
    gpu->count = o->gpu_count;
    if (o->gpu_type) {
        gpu->selector_case = PB__GPU__SELECTOR_TYPE;
        gpu->type = o->gpu_type;
    } else if (o->gpu_memory_gb) {
        gpu->selector_case = PB__GPU__SELECTOR_MEMORY_GB;
        gpu->memory_gb = o->gpu_memory_gb;
    }
    if (o->has_gpu)
        both->requests->gpu = both->limits->gpu = gpu;
    c->resource_requirements = both;
}

static void fill_main(struct pack *p, Pb__Container *c)
{
    const cws_options *o = p->o;
    c->name = (char *)"main";
    c->image = text_of(o->image);
    c->command = text_of(o->command);
    c->args = o->args.items;
    c->n_args = o->args.n;
    fill_env(p, c);
    fill_files(p, c);
    fill_mounts(p, c, o->container ? record_message(o->container) : NULL);
    fill_secrets(p, c);
    fill_pull(p, c);
    fill_resources(p, c);
}

/* ---- the rest of the spec ---- */

static void fill_volumes(struct pack *p, Pb__SandboxSpec *spec)
{
    const struct option_volume *volumes = p->o->volumes.items;
    spec->volumes = PACK_LIST(p, p->o->volumes.n, Pb__SandboxVolume, sandbox_volume);
    spec->n_volumes = spec->volumes ? p->o->volumes.n : 0;
    for (size_t i = 0; i < spec->n_volumes; i++) {
        Pb__SandboxVolume *v = spec->volumes[i];
        v->name = volumes[i].name;
        if (volumes[i].volume_id) {
            v->source_case = PB__SANDBOX_VOLUME__SOURCE_VOLUME_ID;
            v->volume_id = volumes[i].volume_id;
            continue;
        }
        if (volumes[i].host_path) {
            ProtobufCMessageUnknownField *field = pack_new(p, 1, sizeof(*field));
            uint8_t *room = pack_new(p, HOST_DIRECTORY_ROOM(volumes[i].host_path), 1);
            if (!field || !room)
                return;
            host_directory_set(v, volumes[i].host_path, field, room);
            continue;
        }
        Pb__ScratchVolume *scratch = PACK_ONE(p, Pb__ScratchVolume, scratch_volume);
        if (!scratch)
            return;
        scratch->size = text_of(volumes[i].size);
        scratch->restore_from_snapshot_id = text_of(volumes[i].restore_from);
        v->source_case = PB__SANDBOX_VOLUME__SOURCE_SCRATCH;
        v->scratch = scratch;
    }
}

static void fill_services(struct pack *p, Pb__SandboxSpec *spec)
{
    const struct option_service *services = p->o->services.items;
    spec->services = PACK_LIST(p, p->o->services.n, Pb__Service, service);
    spec->n_services = spec->services ? p->o->services.n : 0;
    for (size_t i = 0; i < spec->n_services; i++) {
        Pb__Service *s = spec->services[i];
        s->port = services[i].o.port;
        s->name = text_of(services[i].name);
        s->protocol = (Pb__ServiceProtocol)services[i].o.protocol;
        s->visibility = (Pb__Visibility)services[i].o.visibility;
        if (services[i].o.endpoint_kind == CWS_ENDPOINT_NONE)
            continue;
        s->endpoint = PACK_ONE(p, Pb__EndpointSpec, endpoint_spec);
        if (!s->endpoint)
            return;
        s->endpoint->kind = (Pb__EndpointKind)services[i].o.endpoint_kind;
        s->endpoint->auth = (Pb__EndpointAuth)services[i].o.endpoint_auth;
        s->endpoint->request_timeout_seconds = services[i].o.request_timeout_seconds;
    }
}

static void fill_network(struct pack *p, Pb__SandboxSpec *spec)
{
    const cws_options *o = p->o;
    if (o->deny_egress < 0 && o->deny_ingress < 0 && o->egress.n == 0)
        return;
    Pb__NetworkOptions *network = pack_new(p, 1, sizeof(*network));
    if (!network)
        return;
    pb__network_options__init(network);
    if (o->deny_egress >= 0) {
        network->opt_deny_egress_case = PB__NETWORK_OPTIONS__OPT_DENY_EGRESS_DENY_EGRESS;
        network->deny_egress = o->deny_egress != 0;
    }
    if (o->deny_ingress >= 0) {
        network->opt_deny_ingress_case = PB__NETWORK_OPTIONS__OPT_DENY_INGRESS_DENY_INGRESS;
        network->deny_ingress = o->deny_ingress != 0;
    }
    network->egress = PACK_LIST(p, o->egress.n, Pb__EgressRule, egress_rule);
    network->n_egress = network->egress ? o->egress.n : 0;
    for (size_t i = 0; i < network->n_egress; i++) {
        network->egress[i]->destination_case = PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME;
        network->egress[i]->https_hostname = ((char **)o->egress.items)[i];
    }
    spec->network = network;
}

static void fill_annotations(struct pack *p, Pb__SandboxSpec *spec)
{
    const struct option_pair *pairs = p->o->annotations.items;
    spec->annotations = PACK_LIST(p, p->o->annotations.n, Pb__SandboxSpec__AnnotationsEntry,
                                  sandbox_spec__annotations_entry);
    spec->n_annotations = spec->annotations ? p->o->annotations.n : 0;
    for (size_t i = 0; i < spec->n_annotations; i++) {
        spec->annotations[i]->key = pairs[i].key;
        spec->annotations[i]->value = pairs[i].value;
    }
}

/* Where it goes. A runner of one's own is in a cluster of one's own, so a machine without a
 * mode means that mode. */
static void fill_placement(const cws_options *o, bool spilled, Pb__SandboxSpec *spec)
{
    int mode = o->mode;
    if (o->spillover == CWS_SPILLOVER_CKS_THEN_SERVERLESS)
        mode = spilled ? PB__SANDBOX_MODE__SANDBOX_MODE_SERVERLESS
                       : PB__SANDBOX_MODE__SANDBOX_MODE_CKS;
    else if (o->spillover == CWS_SPILLOVER_SERVERLESS_THEN_CKS)
        mode = spilled ? PB__SANDBOX_MODE__SANDBOX_MODE_CKS
                       : PB__SANDBOX_MODE__SANDBOX_MODE_SERVERLESS;
    else if (mode == PB__SANDBOX_MODE__SANDBOX_MODE_UNSPECIFIED && o->runner_ids.n &&
             !o->template_id)
        mode = PB__SANDBOX_MODE__SANDBOX_MODE_CKS;
    spec->mode = (Pb__SandboxMode)mode;
    if (mode != PB__SANDBOX_MODE__SANDBOX_MODE_SERVERLESS) {
        spec->runner_ids = o->runner_ids.items;
        spec->n_runner_ids = o->runner_ids.n;
    }
}

static void fill_spec(struct pack *p, bool spilled, Pb__SandboxSpec *spec)
{
    const cws_options *o = p->o;
    spec->tags = o->tags.items;
    spec->n_tags = o->tags.n;
    spec->max_lifetime_seconds = o->max_lifetime_seconds;
    fill_placement(o, spilled, spec);
    fill_volumes(p, spec);
    fill_services(p, spec);
    fill_network(p, spec);
    fill_annotations(p, spec);
}

/* ---- the bytes ---- */

static int put_message(struct buf *out, uint32_t number, const struct buf *message)
{
    uint8_t head[PROTO_HEAD_MAX];
    int r = buf_put(out, head, proto_head_bytes(head, number, buf_len(message)));
    return r < 0 ? r : buf_put(out, buf_head(message), buf_len(message));
}

/* @first, and behind it what was given field by field. */
static int put_container(struct buf *out, const void *first, const void *second)
{
    CLEANUP_BUF struct buf bytes = {0};
    int r = proto_pack(first, &bytes);
    if (r == 0 && second)
        r = proto_pack(second, &bytes);
    return r < 0 ? r : put_message(out, 1, &bytes);
}

size_t options_primary(const Pb__SandboxSpec *spec)
{
    for (size_t i = 0; i < spec->n_containers; i++)
        if (PROTO_HAS(spec->containers[i], primary) && spec->containers[i]->primary)
            return i;
    return 0;
}

static int put_containers(struct pack *p, const Pb__SandboxSpec *given, struct buf *out)
{
    Pb__Container own = PB__CONTAINER__INIT;
    if (!given || !given->n_containers) {
        fill_main(p, &own);
        bool wanted = !(p->o->template_id || p->o->file) || p->o->image;
        return !wanted || p->failed ? 0 : put_container(out, &own, p->o->container);
    }
    size_t primary = options_primary(given);
    fill_mounts(p, &own, given->containers[primary]);
    for (size_t i = 0; !p->failed && i < given->n_containers; i++)
        if (put_container(out, given->containers[i], i == primary ? &own : NULL) < 0)
            return -ENOMEM;
    return 0;
}

int options_pack_spec(const cws_options *o, bool spilled, struct buf *out)
{
    struct pack p = {.o = o};
    const Pb__SandboxSpec *given = o->spec ? record_message(o->spec) : NULL;
    Pb__SandboxSpec spec = PB__SANDBOX_SPEC__INIT, rest = PB__SANDBOX_SPEC__INIT;
    if (given)
        rest = *given;
    rest.n_containers = 0; /* they are packed one by one */
    fill_spec(&p, spilled, &spec);
    int r = put_containers(&p, given, out);
    if (r == 0 && !p.failed)
        r = proto_pack(&spec, out);
    if (r == 0 && !p.failed)
        r = proto_pack(&rest, out);
    bool failed = p.failed;
    pack_done(&p);
    return failed ? -ENOMEM : r;
}
