#include "client/sandbox.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/clients.h"

/* ---- the object ---- */

struct cws_sandbox *sandbox_new(struct cws_client *client, struct cws_target *target)
{
    struct cws_sandbox *sb = calloc(1, sizeof(*sb));
    if (!sb)
        return NULL;
    sb->refs = 1;
    sb->client = client_ref(client);
    sb->target = cws_target_ref(target);
    options_times_init(&sb->times);
    (void)pthread_mutex_init(&sb->lock, NULL);
    list_init(&sb->started);
    list_init(&sb->running);
    list_init(&sb->terminal);
    list_init(&sb->token.waiters);
    plane_state_init(&sb->plane);
    list_init(&sb->stop_ops);
    list_init(&sb->stop_waiter.link);
    return sb;
}

cws_sandbox *cws_sandbox_new(cws_client *client, cws_target *target, const cws_options *options,
                             cws_error **error)
{
    client = client_or_default(client, error);
    if (!client)
        return NULL;
    target = target_or_default(target, error);
    if (!target)
        return NULL;
    struct cws_sandbox *sb = sandbox_new(client, target);
    cws_target_unref(target);
    if (!sb) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    options_get_times(options, &sb->times);
    sb->create_method = options_method(options);
    sb->create_label = options_label(options);
    sb->token.asked = options_want_token(options);
    if (options_pack(options, &sb->create_request, error) < 0 ||
        options_pack_spilled(options, &sb->spill_request, error) < 0) {
        cws_sandbox_unref(sb);
        return NULL;
    }
    if (options_scratch_names(options, &sb->scratch, &sb->n_scratch) < 0) {
        cws_sandbox_unref(sb);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    return sb;
}

cws_sandbox *cws_sandbox_ref(cws_sandbox *sb)
{
    atomic_fetch_add(&sb->refs, 1);
    return sb;
}

static void info_done(struct sandbox_info *info)
{
    free(info->id);
    free(info->runner_id);
    free(info->runner_group_id);
    free(info->state_reason);
    for (int i = 0; i < SB_RESOURCE_MAX; i++)
        free(info->resources[i]);
    details_unref(info->details);
    free(info->heard);
    free(info->share_token);
    str_free_all(info->snapshot_ids, info->n_snapshot_ids);
}

void cws_sandbox_unref(cws_sandbox *sb)
{
    if (!sb || atomic_fetch_sub(&sb->refs, 1) != 1 || client_forked(sb->client))
        return;
    /* Everything on the loop that concerns a sandbox holds a reference, so nothing is going on
     * now. */
    CHECK(!sb->watch.get && !timer_armed(&sb->watch.timer));
    CHECK(!timer_armed(&sb->create.timer) && !timer_armed(&sb->stop_hint.timer));
    CHECK(!snapshot_wait_busy(&sb->stop_snapshot_wait));
    info_done(&sb->info);
    buf_done(&sb->create_request);
    buf_done(&sb->spill_request);
    error_unref(sb->no_room);
    error_unref(sb->create.refused);
    str_free_all(sb->scratch, sb->n_scratch);
    free(sb->stop_request_id);
    plane_state_done(&sb->plane);
    (void)pthread_mutex_destroy(&sb->lock);
    cws_target_unref(sb->target);
    client_unref(sb->client);
    free(sb);
}

struct conn *sandbox_conn(struct cws_sandbox *sb, struct err *err)
{
    if (!sb->conn)
        sb->conn = conn_get(sb->client, sb->target, err);
    return sb->conn;
}

/* ---- what is known ---- */

/* The loop thread is the only writer, so it reads without the lock. */
const char *sandbox_id_borrow(const struct cws_sandbox *sb)
{
    return sb->info.id ? sb->info.id : "";
}

cws_status sandbox_status(const struct cws_sandbox *sb)
{
    return sb->info.status;
}

/* A forked child is alone with a lock that may have been held: it reads without. */
static bool lock_info(const struct cws_sandbox *sb)
{
    if (client_forked(sb->client))
        return false;
    (void)pthread_mutex_lock((pthread_mutex_t *)&sb->lock);
    return true;
}

static void unlock_info(const struct cws_sandbox *sb, bool locked)
{
    if (locked)
        (void)pthread_mutex_unlock((pthread_mutex_t *)&sb->lock);
}

void sandbox_set_status(struct cws_sandbox *sb, enum sb_state state, cws_status status)
{
    sb->state = state;
    bool locked = lock_info(sb);
    sb->info.status = status;
    sb->info.has_status = true;
    sb->info.status_updated_ns = clock_wall_ns();
    if (state == SB_RUNNING && sb->create.began_ns && !sb->info.startup_ns)
        sb->info.startup_ns = MAX(clock_now_ns() - sb->create.began_ns, UINT64_C(1));
    unlock_info(sb, locked);
}

static enum sb_state state_of(cws_status status)
{
    switch (status) {
    case CWS_STATUS_RUNNING:
    case CWS_STATUS_PAUSED:
        return SB_RUNNING;
    case CWS_STATUS_TERMINATING:
        return SB_STOPPING;
    case CWS_STATUS_COMPLETED:
    case CWS_STATUS_FAILED:
    case CWS_STATUS_TERMINATED:
        return SB_TERMINAL;
    case CWS_STATUS_CREATING:
    case CWS_STATUS_PENDING:
    case CWS_STATUS_PREPARING:
    case CWS_STATUS_UNSPECIFIED:
        return SB_STARTING;
    }
    return SB_STARTING; /* a state that this version does not know */
}

/* An empty text means "not known"; the same text is kept. False: out of memory, the old one
 * stays. */
static bool replace_text(char **field, const char *text)
{
    const char *known = *field ? *field : "";
    if (strcmp(known, text) == 0)
        return true;
    char *copy = NULL;
    if (*text && !(copy = strdup(text)))
        return false;
    char *old = *field;
    *field = copy;
    free(old);
    return true;
}

static bool apply_resources_locked(struct sandbox_info *info, const Pb__SandboxStatus *status)
{
    const Pb__ResourceRequirements *rr = status->effective_resource_requirements;
    const Pb__Resources *requests = rr ? rr->requests : status->effective_resources;
    const Pb__Resources *limits = rr ? rr->limits : status->effective_resources;
    bool ok = true;
    if (requests) {
        ok &= replace_text(&info->resources[SB_REQUEST_CPU], requests->cpu);
        ok &= replace_text(&info->resources[SB_REQUEST_MEMORY], requests->memory);
    }
    if (limits) {
        ok &= replace_text(&info->resources[SB_LIMIT_CPU], limits->cpu);
        ok &= replace_text(&info->resources[SB_LIMIT_MEMORY], limits->memory);
    }
    return ok;
}

static bool apply_details_locked(struct sandbox_info *info, const Pb__SandboxStatus *status)
{
    struct details *next;
    if (details_next(info->details, status, &next) < 0)
        return false;
    struct details *old = info->details;
    info->details = next;
    details_unref(old);
    return true;
}

static bool apply_status_locked(struct sandbox_info *info, const Pb__SandboxStatus *status)
{
    if (status->start_time && status->start_time->seconds > 0)
        info->started_ns = (uint64_t)status->start_time->seconds * NS_PER_SEC +
                           (uint64_t)MAX(status->start_time->nanos, 0);
    bool ok = replace_text(&info->runner_id, status->runner_id);
    ok &= replace_text(&info->runner_group_id, status->runner_group_id);
    ok &= replace_text(&info->state_reason, status->state_reason);
    ok &= apply_resources_locked(info, status);
    ok &= apply_details_locked(info, status);
    if (status->state == PB__STATE__STATE_COMPLETED && PROTO_HAS(status, exit_code)) {
        info->has_exit_code = true;
        info->exit_code = status->exit_code;
    }
    return ok;
}

/* The answer as it is, for cws_sandbox_describe(). NULL: out of memory. */
static struct heard *heard_of(const Pb__Sandbox *msg)
{
    size_t n = protobuf_c_message_get_packed_size(&msg->base);
    struct heard *h = malloc(sizeof(*h) + n);
    if (h)
        h->n = protobuf_c_message_pack(&msg->base, h->bytes);
    return h;
}

/* What can be snapshotted. A service that does not echo volumes does not make us forget the ones
 * we asked for. An unset source counts as scratch. */
static bool apply_volumes(struct cws_sandbox *sb, const Pb__SandboxSpec *spec)
{
    if (!spec || !spec->n_volumes)
        return true;
    size_t n = 0;
    char **names = calloc(spec->n_volumes, sizeof(*names));
    for (size_t i = 0; names && i < spec->n_volumes; i++) {
        const Pb__SandboxVolume *v = spec->volumes[i];
        if (v->source_case == PB__SANDBOX_VOLUME__SOURCE_VOLUME_ID)
            continue;
        names[n] = strdup(v->name);
        if (!names[n]) {
            str_free_all(names, n);
            return false;
        }
        n++;
    }
    if (!names)
        return false;
    str_free_all(sb->scratch, sb->n_scratch);
    sb->scratch = names;
    sb->n_scratch = n;
    return true;
}

/* Contract/sdk.md 3.1: what may follow what. */
static bool may_become(const struct cws_sandbox *sb, enum sb_state next)
{
    if (sb->state == SB_TERMINAL || sb->cancelled)
        return false;
    if (sb->state == SB_STOPPING)
        return next == SB_TERMINAL;
    return true;
}

int sandbox_apply(struct cws_sandbox *sb, const Pb__Sandbox *msg, enum apply how)
{
    static const Pb__SandboxStatus unknown = PB__SANDBOX_STATUS__INIT;
    const Pb__SandboxStatus *said = msg->status ? msg->status : &unknown;
    cws_status status = (cws_status)said->state;
    if (status == CWS_STATUS_UNSPECIFIED && how == APPLY_POLL)
        status = CWS_STATUS_COMPLETED; /* as the published client */
    if (how == APPLY_CREATE && !sb->conn->ours)
        status = CWS_STATUS_PENDING; /* accepted, no more */
    enum sb_state next = state_of(status);
    struct heard *heard = sb->state == SB_TERMINAL ? NULL : heard_of(msg);
    bool locked = lock_info(sb);
    bool ok = true;
    if (heard) {
        struct heard *old = sb->info.heard;
        sb->info.heard = heard;
        heard = old;
    }
    if (!sb->info.id)
        ok = replace_text(&sb->info.id, msg->sandbox_id);
    if (sb->state != SB_TERMINAL)
        ok &= apply_status_locked(&sb->info, said);
    unlock_info(sb, locked);
    free(heard); /* the one before */
    ok &= apply_volumes(sb, msg->spec);
    if (may_become(sb, next))
        sandbox_set_status(sb, next, status);
    return ok ? 0 : -ENOMEM;
}

/* ---- containers ---- */

int container_check(const char *name, cws_error **error)
{
    if (name && !utf8_valid(name, strlen(name)))
        return error_set(error, CWS_E_INVALID, "container is not valid UTF-8");
    return 0;
}

int container_dup(const char *name, char **ret)
{
    static const char blanks[] = " \t\r\n\f\v";
    *ret = NULL;
    if (!name)
        return 0;
    name += strspn(name, blanks);
    size_t n = strlen(name);
    while (n > 0 && strchr(blanks, name[n - 1]))
        n--;
    if (n > 0)
        *ret = strndup(name, n);
    return n > 0 && !*ret ? -ENOMEM : 0;
}

/* ---- statistics ---- */

void sandbox_exec_began(struct cws_sandbox *sb)
{
    (void)pthread_mutex_lock(&sb->lock);
    sb->info.stats.count++;
    (void)pthread_mutex_unlock(&sb->lock);
}

void sandbox_exec_ended(struct cws_sandbox *sb, const struct cws_error *error, int exit_code)
{
    (void)pthread_mutex_lock(&sb->lock);
    if (error && exit_code == 0)
        sb->info.stats.failures++;
    else if (exit_code != 0)
        sb->info.stats.completed_nonzero++;
    else
        sb->info.stats.completed_ok++;
    (void)pthread_mutex_unlock(&sb->lock);
}

/* ---- public getters ---- */

static char *dup_text(const struct cws_sandbox *sb, char *const *field)
{
    bool locked = lock_info(sb);
    char *copy = *field ? strdup(*field) : NULL;
    unlock_info(sb, locked);
    return copy;
}

char *cws_sandbox_id(const cws_sandbox *sb)
{
    return dup_text(sb, &sb->info.id);
}

char *cws_sandbox_status_reason(const cws_sandbox *sb)
{
    return dup_text(sb, &sb->info.state_reason);
}

char *cws_sandbox_runner_id(const cws_sandbox *sb)
{
    return dup_text(sb, &sb->info.runner_id);
}

char *cws_sandbox_runner_group_id(const cws_sandbox *sb)
{
    return dup_text(sb, &sb->info.runner_group_id);
}

char *cws_sandbox_resource(const cws_sandbox *sb, const char *which)
{
    static const char *const names[SB_RESOURCE_MAX] = {
        [SB_REQUEST_CPU] = "requests.cpu",
        [SB_REQUEST_MEMORY] = "requests.memory",
        [SB_LIMIT_CPU] = "limits.cpu",
        [SB_LIMIT_MEMORY] = "limits.memory",
    };
    for (int i = 0; i < SB_RESOURCE_MAX; i++)
        if (strcmp(names[i], which) == 0)
            return dup_text(sb, &sb->info.resources[i]);
    return NULL;
}

int cws_sandbox_status(const cws_sandbox *sb, cws_status *ret)
{
    bool locked = lock_info(sb);
    bool known = sb->info.has_status;
    if (known)
        *ret = sb->info.status;
    unlock_info(sb, locked);
    return known;
}

uint64_t cws_sandbox_status_updated_ns(const cws_sandbox *sb)
{
    bool locked = lock_info(sb);
    uint64_t ns = sb->info.status_updated_ns;
    unlock_info(sb, locked);
    return ns;
}

uint64_t cws_sandbox_started_ns(const cws_sandbox *sb)
{
    bool locked = lock_info(sb);
    uint64_t ns = sb->info.started_ns;
    unlock_info(sb, locked);
    return ns;
}

int cws_sandbox_returncode(const cws_sandbox *sb, int *ret)
{
    bool locked = lock_info(sb);
    bool known = sb->info.has_exit_code;
    if (known)
        *ret = sb->info.exit_code;
    unlock_info(sb, locked);
    return known;
}

void cws_sandbox_exec_stats(const cws_sandbox *sb, cws_exec_stats *ret)
{
    bool locked = lock_info(sb);
    *ret = sb->info.stats;
    unlock_info(sb, locked);
}

uint64_t cws_sandbox_startup_ns(const cws_sandbox *sb)
{
    bool locked = lock_info(sb);
    uint64_t ns = sb->info.startup_ns;
    unlock_info(sb, locked);
    return ns;
}

cws_record *cws_sandbox_describe(const cws_sandbox *sb)
{
    bool locked = lock_info((struct cws_sandbox *)sb);
    const struct heard *h = sb->info.heard;
    void *msg = h ? proto_unpack(&pb__sandbox__descriptor, h->bytes, h->n, NULL) : NULL;
    unlock_info((struct cws_sandbox *)sb, locked);
    return msg;
}

const cws_sandbox_details *cws_sandbox_get_details(const cws_sandbox *sb)
{
    bool locked = lock_info(sb);
    struct details *d = details_ref(sb->info.details);
    unlock_info(sb, locked);
    return details_public(d);
}

char *cws_sandbox_snapshot_id(const cws_sandbox *sb, size_t i)
{
    bool locked = lock_info(sb);
    char *copy = i < sb->info.n_snapshot_ids ? strdup(sb->info.snapshot_ids[i]) : NULL;
    unlock_info(sb, locked);
    return copy;
}

int cws_sandbox_spilled(const cws_sandbox *sb)
{
    bool locked = lock_info(sb);
    bool spilled = sb->info.spilled;
    unlock_info(sb, locked);
    return spilled;
}

int sandbox_add_snapshots(struct cws_sandbox *sb, char *const *ids, size_t n)
{
    char **copies = calloc(n + 1, sizeof(*copies));
    for (size_t i = 0; copies && i < n; i++) {
        copies[i] = strdup(ids[i]);
        if (!copies[i]) {
            str_free_all(copies, i);
            return -ENOMEM;
        }
    }
    if (!copies)
        return -ENOMEM;
    bool locked = lock_info(sb);
    char **old = sb->info.snapshot_ids;
    size_t n_old = sb->info.n_snapshot_ids;
    sb->info.n_snapshot_ids = 0; /* for a fork in between */
    sb->info.snapshot_ids = copies;
    sb->info.n_snapshot_ids = n;
    unlock_info(sb, locked);
    str_free_all(old, n_old);
    return 0;
}

int sandbox_set_token(struct cws_sandbox *sb, const char *token)
{
    char *copy = strdup(token);
    if (!copy)
        return -ENOMEM;
    bool locked = lock_info(sb);
    char *old = sb->info.share_token;
    sb->info.share_token = copy;
    unlock_info(sb, locked);
    free(old);
    return 0;
}

char *cws_sandbox_share_token(const cws_sandbox *sb)
{
    bool locked = lock_info((struct cws_sandbox *)sb);
    char *copy = sb->info.share_token ? strdup(sb->info.share_token) : NULL;
    unlock_info((struct cws_sandbox *)sb, locked);
    return copy;
}

void sandbox_set_spilled(struct cws_sandbox *sb, bool spilled)
{
    sb->spilled = spilled;
    bool locked = lock_info(sb);
    sb->info.spilled = spilled;
    unlock_info(sb, locked);
}

void cws_sandbox_set_data_plane(cws_sandbox *sb, cws_data_plane mode)
{
    sb->data_plane = mode;
}
