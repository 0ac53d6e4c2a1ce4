/*
 * Records of sandboxes and their messages. See record.h.
 */
#include "server/record.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "runtime/usage.h"
#include "server/dispatch.h"

#define MIB ((uint64_t)1 << 20)

struct record *record_new(struct service *s, Pb__SandboxSpec *take_spec)
{
    struct record *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        proto_free(take_spec);
        return NULL;
    }
    r->service = s;
    r->spec = take_spec;
    return r;
}

/* ---- what a living sandbox costs its owner ---- */

static void begin_living(struct record *r, const char *owner)
{
    struct account *a = account_get(&r->service->accounts, owner);
    if (a == NULL) /* no memory: not counted */
        return;
    r->account = a;
    r->spec_bytes = protobuf_c_message_get_packed_size(&r->spec->base);
    budget_force(&a->shares[SHARE_SPEC_BYTES], r->spec_bytes);
    a->n_alive++;
    a->n_creating++;
    r->creating = true;
}

static void end_creating(struct record *r)
{
    if (!r->creating)
        return;
    r->creating = false;
    r->account->n_creating--;
}

static void end_living(struct record *r)
{
    if (r->account == NULL)
        return;
    budget_give(&r->account->shares[SHARE_SPEC_BYTES], r->spec_bytes);
    r->account->n_alive--;
    r->account = NULL;
}

static void count(struct record *r, enum sandbox_state state)
{
    struct account *a = r->account;
    if (a == NULL || state == SANDBOX_PENDING || state == SANDBOX_CREATING)
        return; /* one that is PREPARING waits for a registry, and others need not wait with it */
    end_creating(r);
    if (sandbox_state_terminal(state))
        end_living(r);
    create_next(a);
}

static void publish(struct record *r, struct sandbox *sb)
{
    size_t n = services_publish(r->spec, &r->service->sites, sb, r->share_token, &r->sites);
    if (n > 0)
        log_event(LOG_ERROR, "not_published", "n=%zu error=\"out of memory\"", n);
}

static void withdraw(struct record *r)
{
    services_withdraw(r->spec, &r->service->sites, TAKE_PTR(r->sites));
}

void record_free(void *record)
{
    struct record *r = record;
    if (r == NULL)
        return;
    sandbox_watch_remove(&r->watch);
    end_creating(r);
    end_living(r);
    withdraw(r);
    explicit_bzero(r->share_token, sizeof(r->share_token));
    proto_free(r->spec);
    proto_free(r->network);
    free(r->display_name);
    free(r);
}

/* What spec_keep_echo() drops is left out here, not yet dropped: the sandbox is still to be made of it. In the place of the
 * network that was asked for is the one in force. */
static int pack_echo(Pb__SandboxSpec *spec, Pb__NetworkOptions *in_force, struct buf *out)
{
    Pb__NetworkOptions *network = spec->network;
    Pb__Container *c = spec->containers[0];
    size_t n_files = c->n_files;
    spec->network = in_force;
    if (protobuf_c_message_get_packed_size(&spec->base) > SPEC_MAX_KEPT)
        c->n_files = 0;
    int r = proto_pack(spec, out);
    spec->network = network;
    c->n_files = n_files;
    return r;
}

void record_make_token(struct record *r)
{
    uint8_t random[SITE_TOKEN_BYTES];
    random_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        (void)sprintf(r->share_token + 2 * i, "%02x", random[i]);
}

/* The hash, the name with its NUL ("" for none), then the specification; between them a share token, if there is one, with a
 * NUL on both sides: no message begins with a NUL. */
int record_keep(struct record *r, struct buf *out)
{
    const char *name = r->display_name != NULL ? r->display_name : "";
    if (buf_put(out, &r->request_hash, sizeof(r->request_hash)) < 0 ||
        buf_put(out, name, strlen(name) + 1) < 0)
        return -ENOMEM;
    if (r->share_token[0] != '\0' &&
        (buf_put(out, "", 1) < 0 || buf_put(out, r->share_token, sizeof(r->share_token)) < 0))
        return -ENOMEM;
    return pack_echo(r->spec, r->network, out);
}

void *record_restore(void *service, const uint8_t *kept, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    uint64_t hash;
    const uint8_t *name = kept + sizeof(hash);
    const uint8_t *nul = n > sizeof(hash) ? memchr(name, '\0', n - sizeof(hash)) : NULL;
    if (nul == NULL)
        return NULL;
    memcpy(&hash, kept, sizeof(hash));
    const uint8_t *at = nul + 1, *end = kept + n;
    char token[SITE_TOKEN_MAX] = "";
    if (at < end && *at == '\0') {
        if ((size_t)(end - at) <= sizeof(token) || at[sizeof(token)] != '\0')
            return NULL;
        memcpy(token, at + 1, sizeof(token));
        at += 1 + sizeof(token);
    }
    Pb__SandboxSpec *spec =
        proto_unpack(&pb__sandbox_spec__descriptor, at, (size_t)(end - at), &err);
    if (spec == NULL || spec->n_containers == 0) {
        proto_free(spec);
        return NULL;
    }
    struct record *r = record_new(service, spec);
    if (r == NULL)
        return NULL;
    r->request_hash = hash;
    r->network = TAKE_PTR(spec->network);
    r->display_name = strdup((const char *)name);
    memcpy(r->share_token, token, sizeof(token));
    return r;
}

/* One line when it runs and one when it is over, at info: what an operator counts. */
static void on_state(void *user, struct sandbox *sb)
{
    struct record *r = user;
    struct sandbox_info info;
    struct log_text reason;
    sandbox_get_info(sb, &info);
    if (info.state == r->logged)
        return;
    r->logged = info.state;
    count(r, info.state);
    if (sandbox_state_terminal(info.state))
        withdraw(r);
    if (info.state == SANDBOX_RUNNING) {
        log_event(LOG_INFO, "sandbox_running", "id=%s owner=%s image=%s ms=%.2f", info.id,
                  info.owner, info.image,
                  (double)(info.start_wall_ns - info.create_wall_ns) / (double)NS_PER_MS);
    } else if (sandbox_state_terminal(info.state)) {
        static const char *const names[] = {[SANDBOX_COMPLETED] = "completed",
                                            [SANDBOX_FAILED] = "failed",
                                            [SANDBOX_TERMINATED] = "terminated"};
        log_event(info.state == SANDBOX_FAILED ? LOG_WARN : LOG_INFO, "sandbox_ended",
                  "id=%s owner=%s state=%s exit_code=%d reason=\"%s\"", info.id, info.owner,
                  names[info.state], info.has_exit_code ? info.exit_code : -1,
                  log_text(&reason, info.state_reason));
        service_activity(r->service);
    }
}

void record_watch(struct record *r, struct sandbox *sb)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    begin_living(r, info.owner);
    r->watch.cb = on_state;
    r->watch.user = r;
    sandbox_watch_add(sb, &r->watch);
    publish(r, sb);
    on_state(r, sb);
    service_activity(r->service);
}

void timestamp_fill(Pb__Timestamp *t, uint64_t wall_ns)
{
    *t = (Pb__Timestamp)PB__TIMESTAMP__INIT;
    t->seconds = (int64_t)(wall_ns / NS_PER_SEC);
    t->nanos = (int32_t)(wall_ns % NS_PER_SEC);
}

/* The strings of the request unchanged; without any, the service's
 * defaults in force. */
static void fill_requirements(struct sandbox_message *m, const Pb__Container *c,
                              const struct sandbox_info *info)
{
    if (c->resource_requirements != NULL) {
        m->status.effective_resource_requirements = c->resource_requirements;
        m->status.effective_resources = c->resource_requirements->limits;
        return;
    }
    m->requirements = (Pb__ResourceRequirements)PB__RESOURCE_REQUIREMENTS__INIT;
    m->resources = (Pb__Resources)PB__RESOURCES__INIT;
    if (info->cpu_millis != 0) {
        (void)snprintf(m->cpu, sizeof(m->cpu), "%um", info->cpu_millis);
        m->resources.cpu = m->cpu;
    }
    if (info->memory_bytes != 0) {
        (void)snprintf(m->memory, sizeof(m->memory), "%llu",
                       (unsigned long long)info->memory_bytes);
        m->resources.memory = m->memory;
    }
    Pb__Resources *r = c->resources != NULL                               ? c->resources
                       : info->cpu_millis != 0 || info->memory_bytes != 0 ? &m->resources
                                                                          : NULL;
    if (r == NULL)
        return;
    m->requirements.requests = m->requirements.limits = r;
    m->status.effective_resource_requirements = &m->requirements;
    m->status.effective_resources = r;
}

/* Of what runs, and as far as it is counted here: a machine without cgroups for this user tells nothing. */
static void fill_usage(struct sandbox_message *m, const struct sandbox *sb)
{
    const struct sandbox_usage *u = sandbox_usage_last(sb);
    if (m->status.state != PB__STATE__STATE_RUNNING || (u->cpu_ns == 0 && u->memory_bytes == 0))
        return;
    m->usage = (Pb__ResourceUsage)PB__RESOURCE_USAGE__INIT;
    m->usage.cpu_millicores = (int64_t)u->cpu_millis;
    m->usage.memory_mb = (int64_t)((u->memory_bytes + MIB - 1) / MIB);
    m->status.resource_usage = &m->usage;
}

static void fill_status(struct sandbox_message *m, const struct record *r,
                        const struct sandbox_info *info)
{
    Pb__SandboxStatus *status = &m->status;
    const Pb__Container *c = r->spec->containers[0];
    *status = (Pb__SandboxStatus)PB__SANDBOX_STATUS__INIT;
    status->state = (Pb__State)info->state; /* same numbers: runtime.h */
    status->state_reason = (char *)info->state_reason;
    status->runner_id = r->service->runner_id;
    status->runner_group_id = "local";
    status->effective_runtime_class = SPEC_RUNTIME_CLASS;
    status->effective_max_lifetime_seconds =
        (int32_t)MIN(info->lifetime_ns / NS_PER_SEC, (uint64_t)INT32_MAX);
    timestamp_fill(&m->create, info->create_wall_ns);
    status->create_time = &m->create;
    timestamp_fill(&m->start, info->start_wall_ns);
    status->start_time = info->start_wall_ns != 0 ? &m->start : NULL;
    timestamp_fill(&m->end, info->end_wall_ns);
    status->end_time = info->end_wall_ns != 0 ? &m->end : NULL;
    if (info->has_exit_code) {
        status->opt_exit_code_case = PB__SANDBOX_STATUS__OPT_EXIT_CODE_EXIT_CODE;
        status->exit_code = info->exit_code;
    }
    if (r->network != NULL) {
        status->n_effective_egress = r->network->n_egress;
        status->effective_egress = r->network->egress;
    }
    m->container = (Pb__ContainerStatus)PB__CONTAINER_STATUS__INIT;
    m->container.name = c->name;
    m->container.state = status->state;
    m->container.exit_code = info->has_exit_code ? info->exit_code : 0;
    m->containers[0] = &m->container;
    status->n_container_statuses = 1;
    status->container_statuses = m->containers;
    fill_requirements(m, c, info);
    services_fill(&m->services, status, r->spec, r->sites);
}

void sandbox_message_fill(struct sandbox_message *m, struct sandbox *sb)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    struct record *r = info.user_data;
    fill_status(m, r, &info);
    fill_usage(m, sb);
    m->message = (Pb__Sandbox)PB__SANDBOX__INIT;
    m->message.sandbox_id = (char *)info.id;
    m->message.spec = r->spec;
    m->message.status = &m->status;
    m->message.control = PB__CONTROL__CONTROL_PLATFORM;
    if (r->display_name != NULL)
        m->message.display_name = r->display_name;
}

void sandbox_message_add_token(struct sandbox_message *m, const struct sandbox *sb)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    struct record *r = info.user_data;
    m->message.endpoint_share_token = r->share_token;
}

int sandbox_check_container(const struct sandbox *sb, const char *container, struct err *err)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    const struct record *r = info.user_data;
    if (container[0] == '\0' || strcmp(container, r->spec->containers[0]->name) == 0)
        return 0;
    return err_invalid(err, "container", "the sandbox has no container `%s`", container);
}
