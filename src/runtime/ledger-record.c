/* Sandboxes in the ledger; see ledger-record.h. */
#include "runtime/ledger-record.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "runtime/log-file.h"

#define SIGNAL_MAX 64  /* signal(7): the last real-time signal */
#define MAX_REASON 512 /* chosen: the rest of a longer one is lost with the service */

/* As it lies in the file: one machine writes and reads it. A change of layout raises LEDGER_FORMAT. */
struct record_head {
    uint64_t seq;
    uint64_t create_wall_ns, start_wall_ns, end_wall_ns;
    int64_t create_boot_ns, end_boot_ns;
    uint64_t lifetime_ns, memory_bytes;
    uint64_t grace_end_ns; /* CLOCK_MONOTONIC: means something only while the sandbox lives */
    uint64_t cpu_ns, memory_peak_bytes, n_oom_kills;
    uint32_t state, cpu_millis;
    int32_t exit_code;
    uint8_t has_exit_code, main_started, main_ended, has_log;
    char boot_id[BOOT_ID_BYTES]; /* of the times above that count from a boot */
    char reason[MAX_REASON];
};
_Static_assert(sizeof(struct record_head) <= LEDGER_MAX_HEAD, "a head fits the ledger");

/* ---- writing ---- */

static void fill_head(struct record_head *h, const struct sandbox *sb)
{
    *h = (struct record_head){
        .seq = sb->seq,
        .create_wall_ns = sb->create_wall_ns,
        .start_wall_ns = sb->start_wall_ns,
        .end_wall_ns = sb->end_wall_ns,
        .create_boot_ns = sb->create_boot_ns,
        .end_boot_ns = sb->end_boot_ns,
        .lifetime_ns = sb->lifetime_ns,
        .memory_bytes = sb->memory_bytes,
        .grace_end_ns = sb->grace_end_ns,
        .cpu_ns = sb->usage.cpu_ns,
        .memory_peak_bytes = sb->usage.memory_peak_bytes,
        .n_oom_kills = sb->usage.n_oom_kills,
        .state = sb->state,
        .cpu_millis = sb->cpu_millis,
        .exit_code = sb->exit_code,
        .has_exit_code = sb->has_exit_code,
        .main_started = sb->main.started,
        .main_ended = sb->main.ended,
        .has_log = sb->log != NULL,
    };
    memcpy(h->boot_id, sb->rt->boot_id, sizeof(h->boot_id));
    (void)snprintf(h->reason, sizeof(h->reason), "%s", sb->state_reason);
}

static struct ledger_record record_of(const struct sandbox *sb, const struct record_head *head)
{
    return (struct ledger_record){
        .id = sb->id, .head = (const uint8_t *)head, .head_bytes = sizeof(*head)};
}

static int put_bytes(struct buf *b, const void *data, size_t n)
{
    uint32_t length = (uint32_t)n;
    int r = buf_put(b, &length, sizeof(length));
    return r < 0 || n == 0 ? r : buf_put(b, data, n);
}

static int put_text(struct buf *b, const char *text)
{
    return put_bytes(b, text, strlen(text));
}

static int put_marked(struct buf *b, const char *mark, const char *text)
{
    CLEANUP_FREE char *marked = str_dup_printf("%s%s", mark, text);
    return marked ? put_text(b, marked) : -ENOMEM;
}

/* owner, request id, image, working directory, the service's own bytes, then the environment. Before that, marked by a `=`
 * that begins no variable, the user unless it is root, and behind it, marked by two, the id of the image, and by three the signal that stops it: records without them are as
 * they always were. */
static int compose_body(struct buf *b, const struct sandbox *sb,
                        const struct sandbox_spec *spec)
{
    if (put_text(b, sb->owner) < 0 || put_text(b, spec->request_id) < 0 ||
        put_text(b, sb->image) < 0 || put_text(b, sb->plan->cwd) < 0 ||
        put_bytes(b, spec->kept, spec->kept_bytes) < 0)
        return -ENOMEM;
    char number[16];
    bool known = sb->plan->image_id[0] != '\0';
    if ((known || sb->plan->user[0] != '\0') && put_marked(b, "=", sb->plan->user) < 0)
        return -ENOMEM;
    if (known && put_marked(b, "==", sb->plan->image_id) < 0)
        return -ENOMEM;
    (void)snprintf(number, sizeof(number), "%d", sb->plan->stop_signal);
    if (known && sb->plan->stop_signal != 0 && put_marked(b, "===", number) < 0)
        return -ENOMEM;
    for (char **env = sb->plan->env; *env; env++)
        if (put_text(b, *env) < 0)
            return -ENOMEM;
    return 0;
}

static int write_whole(struct sandbox *sb, const struct sandbox_spec *spec,
                       int (*write)(struct ledger *l, const struct ledger_record *record,
                                    struct ledger_slot *slot, struct err *err),
                       struct err *err)
{
    CLEANUP_BUF struct buf body = {0};
    struct record_head head;
    if (compose_body(&body, sb, spec) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "record the sandbox: out of memory");
    fill_head(&head, sb);
    struct ledger_record record = record_of(sb, &head);
    record.body = buf_head(&body);
    record.body_bytes = buf_len(&body);
    return write(&sb->rt->ledger, &record, &sb->slot, err);
}

int ledger_record_add(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err)
{
    return write_whole(sb, spec, ledger_put, err);
}

int ledger_record_replace(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err)
{
    return write_whole(sb, spec, ledger_replace, err);
}

void ledger_record_update(struct sandbox *sb)
{
    CLEANUP_ERR struct err err = {0};
    struct record_head head;
    if (sb->slot.page == 0)
        return; /* never acknowledged */
    fill_head(&head, sb);
    struct ledger_record record = record_of(sb, &head);
    if (ledger_update(&sb->rt->ledger, &sb->slot, &record, &err) < 0)
        runtime_warn(sb->rt, &err);
}

void ledger_record_remove(struct sandbox *sb)
{
    ledger_remove(&sb->rt->ledger, &sb->slot, sb->id);
}

/* ---- reading ---- */

struct reader {
    const uint8_t *at;
    size_t n_left;
};

static bool take_bytes(struct reader *r, const uint8_t **ret, size_t *ret_n)
{
    uint32_t n;
    if (r->n_left < sizeof(n))
        return false;
    memcpy(&n, r->at, sizeof(n));
    if (n > r->n_left - sizeof(n))
        return false;
    *ret = r->at + sizeof(n);
    *ret_n = n;
    r->at += sizeof(n) + n;
    r->n_left -= sizeof(n) + n;
    return true;
}

/* NULL: not there, or no memory for it. */
static char *take_text(struct reader *r)
{
    const uint8_t *data;
    size_t n;
    return take_bytes(r, &data, &n) ? strndup((const char *)data, n) : NULL;
}

static bool read_env(struct plan *plan, struct reader *r)
{
    size_t n = 0;
    for (struct reader count = *r; count.n_left > 0; n++) {
        const uint8_t *data;
        size_t length;
        if (!take_bytes(&count, &data, &length))
            return false;
    }
    plan->env = calloc(n + 1, sizeof(*plan->env));
    for (size_t i = 0; plan->env && i < n; i++)
        if (!(plan->env[i] = take_text(r)))
            return false;
    return plan->env != NULL;
}

/* What follows, if it has the mark; else "". NULL without memory. */
static char *take_marked(struct reader *r, const char *mark)
{
    struct reader behind = *r;
    CLEANUP_FREE char *text = behind.n_left > 0 ? take_text(&behind) : NULL;
    const char *marked = text ? str_startswith(text, mark) : NULL;
    if (marked)
        *r = behind;
    return strdup(marked ? marked : "");
}

static bool take_stop_signal(struct plan *plan, struct reader *r)
{
    CLEANUP_FREE char *text = take_marked(r, "===");
    uint64_t signo = 0;
    if (text && *text)
        (void)parse_u64(text, SIGNAL_MAX, &signo); /* as without one */
    plan->stop_signal = (int)signo;
    return text != NULL;
}

static bool read_body(struct sandbox *sb, const struct ledger_record *record)
{
    struct reader r = {record->body, record->body_bytes};
    struct runtime *rt = sb->rt;
    const uint8_t *kept;
    size_t n_kept;
    sb->owner = take_text(&r);
    CLEANUP_FREE char *request_id = take_text(&r);
    sb->image = take_text(&r);
    sb->plan = calloc(1, sizeof(*sb->plan));
    if (!sb->plan || !(sb->plan->cwd = take_text(&r)) || !request_id || !sb->owner ||
        !sb->image || !take_bytes(&r, &kept, &n_kept) ||
        !(sb->plan->user = take_marked(&r, "=")) ||
        !(sb->plan->image_id = take_marked(&r, "==")) || !take_stop_signal(sb->plan, &r) ||
        !read_env(sb->plan, &r))
        return false;
    sandbox_count_cpus(sb);
    sb->plan->argv = calloc(1, sizeof(*sb->plan->argv)); /* what ran is not started again */
    struct sandbox_spec spec = {.owner = sb->owner, .request_id = request_id};
    if (request_id[0] != '\0' && !(sb->request_key = sandbox_request_key(&spec)))
        return false;
    if (rt->config.restore) {
        sb->free_user_data = rt->config.free_restored;
        sb->user_data = rt->config.restore(rt->config.user, kept, n_kept);
    }
    return sb->plan->argv && (sb->user_data || !rt->config.restore);
}

static int64_t boot_time(const struct runtime *rt, const struct record_head *h, int64_t boot_ns,
                         uint64_t wall_ns)
{
    struct boot_moment m = {.boot_id = h->boot_id, .boot_ns = boot_ns, .wall_ns = wall_ns};
    return boot_moment_here(&m, rt->boot_id, boot_now_ns(), clock_wall_ns());
}

static void read_head(struct sandbox *sb, const struct record_head *h)
{
    sb->seq = h->seq;
    sb->state = (enum sandbox_state)h->state;
    sb->create_wall_ns = h->create_wall_ns;
    sb->start_wall_ns = h->start_wall_ns;
    sb->end_wall_ns = h->end_wall_ns;
    sb->create_boot_ns = boot_time(sb->rt, h, h->create_boot_ns, h->create_wall_ns);
    sb->end_boot_ns = boot_time(sb->rt, h, h->end_boot_ns, h->end_wall_ns);
    sb->lifetime_ns = h->lifetime_ns;
    sb->memory_bytes = h->memory_bytes;
    sb->grace_end_ns = h->grace_end_ns;
    sb->cpu_millis = h->cpu_millis;
    sb->usage = (struct sandbox_usage){.cpu_ns = h->cpu_ns,
                                       .memory_peak_bytes = h->memory_peak_bytes,
                                       .n_oom_kills = h->n_oom_kills};
    sb->has_exit_code = h->has_exit_code;
    sb->exit_code = h->exit_code;
    sb->main.started = h->main_started;
    sb->main.ended = h->main_ended;
}

static bool head_is_sane(const struct record_head *h)
{
    return h->seq > 0 && h->state >= SANDBOX_CREATING && h->state <= SANDBOX_PREPARING &&
           memchr(h->reason, '\0', sizeof(h->reason)) &&
           memchr(h->boot_id, '\0', sizeof(h->boot_id));
}

static void restore_log(struct sandbox *sb)
{
    CLEANUP_ERR struct err err = {0};
    if (log_file_restore(sb->rt, sb->id, &sb->log, &err) < 0)
        runtime_warn(sb->rt, &err);
}

static bool on_record(void *user, const struct ledger_slot *slot,
                      const struct ledger_record *record)
{
    struct runtime *rt = user;
    struct record_head head;
    CLEANUP_ERR struct err err = {0};
    if (record->head_bytes != sizeof(head))
        return false;
    memcpy(&head, record->head, sizeof(head));
    struct sandbox *sb = head_is_sane(&head) ? sandbox_new_empty(rt, &err) : NULL;
    if (!sb)
        return false;
    (void)snprintf(sb->id, sizeof(sb->id), "%s", record->id);
    sb->slot = *slot;
    sb->kept_bytes = sizeof(*sb) + record->body_bytes;
    sb->state_reason = strdup(head.reason);
    read_head(sb, &head);
    if (!sb->state_reason || !read_body(sb, record) || registry_restore(sb, &err) < 0) {
        sandbox_unref(sb);
        return false;
    }
    if (head.has_log)
        restore_log(sb);
    sb->adopting = !sandbox_state_terminal(sb->state);
    return true;
}

static bool is_known(void *user, const char *id)
{
    struct runtime *rt = user;
    return strmap_get(&rt->by_id, id) != NULL;
}

static void on_damage(void *user, const struct err *what)
{
    runtime_warn(user, what);
}

int ledger_records_load(struct runtime *rt, struct err *err)
{
    struct ledger_events events = {
        .on_record = on_record, .is_known = is_known, .on_damage = on_damage, .user = rt};
    if (ledger_load(&rt->ledger, &events, err) < 0)
        return -1;
    logs_remove_stale(rt);
    return 0;
}
