/*
 * All sandboxes: by sequence number, by id, by (owner, request id); and the pruning of ended
 * ones.
 *
 * Invariant: a registered sandbox is in by_seq and by_id, in by_request if it has a key, and in
 * `ended` exactly when its state is terminal. The registry holds one reference.
 */
#include <fnmatch.h>
#include <string.h>

#include "base/util.h"
#include "runtime/image-find.h"
#include "runtime/ledger-record.h"
#include "runtime/log-file.h"
#include "runtime/retained.h"
#include "runtime/sandbox.h"

#define FULL_RETRY_NS NS_PER_SEC /* chosen: nobody knows when the next one ends */

static void prune(struct runtime *rt);

/* Index of the first sandbox with a sequence number above @seq. */
static size_t index_after(const struct runtime *rt, uint64_t seq)
{
    size_t low = 0, high = rt->n_sandboxes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rt->by_seq[middle]->seq > seq)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct sandbox *sandbox_after(struct runtime *rt, uint64_t seq)
{
    size_t i = index_after(rt, seq);
    return i < rt->n_sandboxes ? rt->by_seq[i] : NULL;
}

struct sandbox *sandbox_before(struct runtime *rt, uint64_t seq)
{
    size_t i = seq ? index_after(rt, seq - 1) : rt->n_sandboxes;
    return i > 0 ? rt->by_seq[i - 1] : NULL;
}

struct sandbox *sandbox_next(struct runtime *rt, struct sandbox *after)
{
    return sandbox_after(rt, after ? after->seq : 0);
}

size_t runtime_n_active(const struct runtime *rt)
{
    return rt->n_active;
}

bool runtime_is_full(const struct runtime *rt)
{
    return rt->n_active >= rt->config.max_sandboxes;
}

/* ---- pruning ---- */

static void on_retention(uv_timer_t *timer)
{
    prune(CONTAINER_OF(timer, struct runtime, retention_timer));
}

void registry_forget(struct sandbox *sb)
{
    struct runtime *rt = sb->rt;
    size_t i = index_after(rt, sb->seq) - 1;
    CHECK(rt->by_seq[i] == sb);
    memmove(&rt->by_seq[i], &rt->by_seq[i + 1],
            (rt->n_sandboxes - i - 1) * sizeof(*rt->by_seq));
    rt->n_sandboxes--;
    CHECK(strmap_remove(&rt->by_id, sb->id) == sb);
    if (sb->request_key && strmap_get(&rt->by_request, sb->request_key) == sb)
        (void)strmap_remove(&rt->by_request, sb->request_key);
    if (!list_empty(&sb->ended_link)) {
        list_remove(&sb->ended_link);
        rt->n_ended--;
        rt->kept_bytes -= sb->kept_bytes;
    }
    log_file_drop(sb->log, rt->closing);
    sb->log = NULL;
    if (!rt->closing)
        ledger_record_remove(sb);
    sandbox_unref(sb);
}

void registry_on_logs_grown(struct runtime *rt)
{
    if (!rt->closing &&
        retained_is_too_much(rt)) /* from the loop: the caller still uses its log */
        (void)uv_timer_start(&rt->retention_timer, on_retention, 0, 0);
}

/* Drops what is too much or was kept long enough; then waits for the next. One whose cell
 * still dies is left alone. */
static void prune(struct runtime *rt)
{
    int64_t now = boot_now_ns();
    retained_trim(rt);
    LIST_FOREACH_SAFE(it, &rt->ended)
    {
        struct sandbox *sb = CONTAINER_OF(it, struct sandbox, ended_link);
        uint64_t age = (uint64_t)(now - sb->end_boot_ns);
        if (age < rt->config.retention_ns) {
            uint64_t wait = rt->config.retention_ns - age;
            (void)uv_timer_start(&rt->retention_timer, on_retention, wait / NS_PER_MS + 1, 0);
            return;
        }
        if (!sb->cell)
            registry_forget(sb);
    }
    (void)uv_timer_stop(&rt->retention_timer);
}

void registry_on_ended(struct sandbox *sb)
{
    struct runtime *rt = sb->rt;
    list_append(&rt->ended, &sb->ended_link);
    rt->n_ended++;
    rt->kept_bytes += sb->kept_bytes;
    rt->logs_are_alive = false;
    rt->n_active--;
    if (!sb->cell)
        registry_on_cell_gone(sb);
}

void registry_on_cell_gone(struct sandbox *sb)
{
    struct runtime *rt = sb->rt;
    bool timer_runs = uv_is_active((uv_handle_t *)&rt->retention_timer);
    if (!rt->closing && (!timer_runs || retained_is_too_much(rt)))
        prune(rt);
}

/* ---- creating ---- */

static const char *resolve_image(const struct runtime *rt, const char *name)
{
    if (name[0] == '\0')
        return DEFAULT_IMAGE;
    for (size_t i = 0; i < rt->config.n_image_aliases; i++)
        if (fnmatch(rt->config.image_aliases[i].pattern, name, 0) == 0)
            return rt->config.image_aliases[i].image;
    return name;
}

static int reserve(struct runtime *rt, struct err *err)
{
    if (rt->n_sandboxes < rt->cap_sandboxes)
        return 0;
    size_t cap = rt->cap_sandboxes ? rt->cap_sandboxes * 2 : 64;
    struct sandbox **grown = realloc(rt->by_seq, cap * sizeof(struct sandbox *));
    if (!grown)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "create a sandbox: out of memory");
    rt->by_seq = grown;
    rt->cap_sandboxes = cap;
    return 0;
}

/* The reason and the delay are what makes clients try again within the time they have for it. */
static int full(const struct runtime *rt, uint32_t n_kept_free, struct err *err)
{
    (void)err_set_reason(err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED",
                         "%zu sandboxes are alive and no more are allowed (max-sandboxes)%s",
                         rt->n_active,
                         n_kept_free > 0 ? "; the last places are kept for other owners" : "");
    if (err)
        err->retry_delay_ns = FULL_RETRY_NS;
    return -1;
}

static int check_create(struct runtime *rt, const struct sandbox_spec *spec, struct err *err)
{
    if (rt->lost.code != ERR_OK)
        return err_set(err, ERR_UNAVAILABLE, "%s", err_text(&rt->lost));
    if (rt->closing)
        return err_set(err, ERR_UNAVAILABLE, "the service is shutting down");
    if (rt->n_active + spec->n_kept_free >= rt->config.max_sandboxes)
        return full(rt, spec->n_kept_free, err);
    if (setup_check_limits(rt, spec->memory_bytes, spec->cpu_millis, err) < 0)
        return -1;
    return reserve(rt, err);
}

/* Enters @sb in all tables; on failure in none. */
static int enter(struct runtime *rt, struct sandbox *sb, struct err *err)
{
    if (strmap_put(&rt->by_id, sb->id, sb) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "create a sandbox: out of memory");
    if (sb->request_key && strmap_put(&rt->by_request, sb->request_key, sb) < 0) {
        (void)strmap_remove(&rt->by_id, sb->id);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "create a sandbox: out of memory");
    }
    sb->seq = ++rt->seq;
    rt->by_seq[rt->n_sandboxes++] = sb;
    rt->n_active++;
    return 0;
}

int registry_restore(struct sandbox *sb, struct err *err)
{
    struct runtime *rt = sb->rt;
    uint64_t seq = sb->seq;
    if (strmap_get(&rt->by_id, sb->id))
        return err_set(err, ERR_INTERNAL, "sandbox %s is recorded twice", sb->id);
    if (reserve(rt, err) < 0 || enter(rt, sb, err) < 0)
        return -1;
    rt->seq = MAX(rt->seq - 1, seq);
    sb->seq = seq;
    return 0;
}

static int compare_seq(const void *a, const void *b)
{
    const struct sandbox *const *left = a, *const *right = b;
    return (*left)->seq < (*right)->seq ? -1 : (*left)->seq > (*right)->seq;
}

static int compare_end(const void *a, const void *b)
{
    const struct sandbox *const *left = a, *const *right = b;
    return (*left)->end_boot_ns < (*right)->end_boot_ns
               ? -1
               : (*left)->end_boot_ns > (*right)->end_boot_ns;
}

static void list_restored(struct runtime *rt)
{
    if (rt->n_sandboxes == 0)
        return;
    /* Twice through the same array: in the order of their ends for `ended`, then as it stays. */
    qsort(rt->by_seq, rt->n_sandboxes, sizeof(struct sandbox *), compare_end);
    for (size_t i = 0; i < rt->n_sandboxes; i++)
        if (sandbox_state_terminal(rt->by_seq[i]->state)) {
            list_append(&rt->ended, &rt->by_seq[i]->ended_link);
            rt->n_ended++;
            rt->kept_bytes += rt->by_seq[i]->kept_bytes;
            rt->n_active--;
        }
    qsort(rt->by_seq, rt->n_sandboxes, sizeof(struct sandbox *), compare_seq);
    prune(rt);
}

/* Nothing is known of its image: it gets only an id, and fails in sandbox_begin(). */
static int doom(struct sandbox *sb, const struct err *why, struct err *err)
{
    char *reason = strdup(err_text(why));
    if (!reason)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "create a sandbox: out of memory");
    free(sb->state_reason);
    sb->state_reason = reason;
    cell_make_id(sb->id);
    return 0;
}

/* On disk before anybody hears of it: a full one refuses it here. */
static int enter_new(struct runtime *rt, struct sandbox *sb, const struct sandbox_spec *spec,
                     struct err *err)
{
    sb->seq = rt->seq + 1; /* what enter() will give */
    if (ledger_record_add(sb, spec, err) < 0)
        return -1;
    if (enter(rt, sb, err) == 0)
        return 0;
    ledger_record_remove(sb);
    return -1;
}

/* Registered, and not begun. */
static struct sandbox *make(struct runtime *rt, const struct sandbox_spec *spec,
                            struct err *err)
{
    CLEANUP_IMAGE struct runtime_image image = {0};
    CLEANUP_ERR struct err unknown = {0};
    struct sandbox_spec resolved = *spec;
    if (check_create(rt, spec, err) < 0)
        return NULL;
    resolved.image = resolve_image(rt, spec->image);
    int found = image_find(rt, resolved.image, false, &image, &unknown);
    struct sandbox *sb = sandbox_new(rt, &resolved, found > 0 ? NULL : &image, err);
    if (!sb)
        return NULL;
    int r = found < 0   ? doom(sb, &unknown, err)
            : found > 0 ? prepare_new(sb, spec, err)
                        : sandbox_get_cell(sb, &image, err);
    if (r == 0 && enter_new(rt, sb, spec, err) == 0)
        return sb;
    prepare_end(sb);
    if (sb->cell)
        sandbox_orphan_cell(sb);
    sandbox_unref(sb);
    return NULL;
}

static struct sandbox *find_request(struct runtime *rt, const struct sandbox_spec *spec)
{
    if (spec->request_id[0] == '\0')
        return NULL;
    CLEANUP_FREE char *key = sandbox_request_key(spec);
    return key ? strmap_get(&rt->by_request, key) : NULL;
}

int sandbox_create(struct runtime *rt, const struct sandbox_spec *spec, void *take_user_data,
                   void (*free_user_data)(void *), struct sandbox **ret, bool *ret_existing,
                   struct err *err)
{
    struct sandbox *sb = find_request(rt, spec);
    if (sb) {
        if (free_user_data)
            free_user_data(take_user_data);
        *ret = sb;
        *ret_existing = true;
        return 0;
    }
    sb = make(rt, spec, err);
    if (!sb) {
        if (free_user_data)
            free_user_data(take_user_data);
        return -1;
    }
    sb->user_data = take_user_data;
    sb->free_user_data = free_user_data;
    sandbox_begin(sb);
    *ret = sb;
    *ret_existing = false;
    return 0;
}

struct sandbox *sandbox_find(struct runtime *rt, const char *owner, const char *id,
                             struct err *err)
{
    struct sandbox *sb = strmap_get(&rt->by_id, id);
    if (sb && strcmp(sb->owner, owner) == 0)
        return sb;
    /* The same words for somebody else's: an id must not be testable. */
    (void)err_set_reason(err, ERR_NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND",
                         "sandbox `%s` not found", id);
    err_add_metadata(err, "sandbox_id", id);
    return NULL;
}

void registry_open(struct runtime *rt)
{
    (void)uv_timer_init(rt->loop, &rt->retention_timer); /* cannot fail */
    list_restored(rt);
}

void registry_close(struct runtime *rt)
{
    while (rt->n_sandboxes > 0)
        registry_forget(rt->by_seq[rt->n_sandboxes - 1]);
    CHECK(rt->by_id.n_entries == 0 && rt->by_request.n_entries == 0 && list_empty(&rt->ended));
    strmap_done(&rt->by_id);
    strmap_done(&rt->by_request);
    free(TAKE_PTR(rt->by_seq));
    rt->cap_sandboxes = 0;
}
