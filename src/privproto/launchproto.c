/*
 * Encoding of the daemon <-> launch packets: one table of fields per (type, answer) drives both
 * directions, so that a field cannot be written and not read. Native byte order: both ends are
 * on one machine.
 *
 *   packet  := u32 type, u32 seq, u32 answer, field...
 *   text    := u16 length, bytes without NUL, NUL       (the NUL lets decoded pointers be used
 * in place) layers  := u32 count, text...
 *   mounts  := u32 count, {u32 kind, text source, text target, u64 size, u8 read-only}...
 *   grants  := u32 count, struct launch_grant...
 *
 * decode() accepts exactly what encode() can make: flags are 0 or 1, no trailing bytes, no
 * embedded NUL. Only of a HELLO of another version nothing is read but its number.
 */
#include <errno.h>
#include <string.h>

#include "privproto/launchproto.h"

enum field_kind {
    FIELD_BOOL,
    FIELD_U32,
    FIELD_I32,
    FIELD_STATUS, /* int32, <= 0 */
    FIELD_U64,
    FIELD_POSITIVE, /* u64, > 0 */
    FIELD_ID,
    FIELD_NAME, /* an id, or nothing */
    FIELD_TEXT,
    FIELD_LAYERS, /* count and pointers of struct launch_create */
    FIELD_MOUNTS, /* as above */
    FIELD_GRANTS, /* count and boxes of struct launch_rules */
    FIELD_NAMES,  /* pointer to a text */
};

struct field {
    enum field_kind kind;
    uint16_t offset; /* in struct launch_message */
    uint16_t size;   /* FIELD_ID, FIELD_NAME, FIELD_TEXT: room with NUL */
};

#define MAX_FIELDS \
    14 /* the longest row below, features, has 14; a zero-filled slot would be FIELD_BOOL, so \
          rows count */

struct message_format {
    enum launch_type type;
    bool answer;
    uint8_t n_fields;
    struct field fields[MAX_FIELDS];
};

#define F(kind, member) \
    { \
        FIELD_##kind, offsetof(struct launch_message, u.member), \
            sizeof(((struct launch_message *)NULL)->u.member) \
    }
#define FORMAT_STATUS(of) \
    { \
        of, true, 2, \
        { \
            F(STATUS, status.status), F(TEXT, status.stage) \
        } \
    }

/* clang-format off */
static const struct message_format formats[] = {
    {LAUNCH_HELLO, false, 1, {F(U32, version)}},
    {LAUNCH_HELLO, true, 14, {
        F(U32, features.version), F(BOOL, features.root), F(BOOL, features.idmap), F(BOOL, features.netns_pool), F(BOOL, features.network),
        F(BOOL, features.cgroup_kill), F(BOOL, features.limit_memory), F(BOOL, features.limit_cpu),
        F(BOOL, features.limit_pids), F(BOOL, features.cgroup_v2_only), F(U64, features.disk_bytes), F(U32, features.uid_base),
        F(U32, features.uid_count), F(TEXT, features.problems)}},
    {LAUNCH_CREATE, false, 8, {
        F(ID, create.id), F(BOOL, create.root.host), F(BOOL, create.root.disk), F(POSITIVE, create.root.size_bytes),
        F(POSITIVE, create.root.n_inodes), F(BOOL, create.network), F(LAYERS, create), F(MOUNTS, create)}},
    {LAUNCH_CREATE, true, 4, {
        F(STATUS, created.status), F(TEXT, created.stage), F(I32, created.pid), F(U32, created.init_version)}},
    {LAUNCH_LIMITS, false, 5, {
        F(ID, limits.id), F(U64, limits.memory_bytes), F(U32, limits.cpu_millis), F(U32, limits.pids),
        F(BOOL, limits.accept_unenforced)}},
    FORMAT_STATUS(LAUNCH_LIMITS),
    {LAUNCH_KILL, false, 1, {F(ID, id)}},
    FORMAT_STATUS(LAUNCH_KILL),
    {LAUNCH_USAGE, false, 1, {F(ID, id)}},
    {LAUNCH_USAGE, true, 5, {
        F(STATUS, usage.status), F(U64, usage.cpu_ns), F(U64, usage.memory_bytes),
        F(U64, usage.memory_peak_bytes), F(U64, usage.n_oom_kills)}},
    {LAUNCH_FREEZE, false, 2, {F(ID, freeze.id), F(BOOL, freeze.frozen)}},
    FORMAT_STATUS(LAUNCH_FREEZE),
    {LAUNCH_KILL_EXEC, false, 2, {F(ID, kill_exec.id), F(U32, kill_exec.slot)}},
    FORMAT_STATUS(LAUNCH_KILL_EXEC),
    {LAUNCH_LIST, false, 1, {F(NAME, after)}},
    {LAUNCH_LIST, true, 7, {
        F(STATUS, listed.status), F(NAME, listed.id), F(I32, listed.pid), F(U32, listed.init_version), F(U64, listed.memory_bytes),
        F(U32, listed.cpu_millis), F(U32, listed.pids)}},
    {LAUNCH_NETWORK, false, 3, {F(ID, rules.id), F(GRANTS, rules), F(NAMES, rules.names)}},
    FORMAT_STATUS(LAUNCH_NETWORK),
    {LAUNCH_EVENT_EXITED, false, 5, {
        F(ID, exited.id), F(I32, exited.wait_status), F(U64, exited.cpu_ns),
        F(U64, exited.memory_peak_bytes), F(U64, exited.n_oom_kills)}},
};
/* clang-format on */

static const struct message_format *format_find(uint32_t type, bool answer)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if ((uint32_t)formats[i].type == type && formats[i].answer == answer)
            return &formats[i];
    }
    return NULL;
}

bool launchproto_id_valid(const char *id)
{
    size_t n = strnlen(id, LAUNCH_MAX_ID);

    if (n == 0 || n >= LAUNCH_MAX_ID)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!((id[i] >= 'a' && id[i] <= 'z') || (id[i] >= '0' && id[i] <= '9') || id[i] == '-'))
            return false;
    }
    return true;
}

/* Which members a kind has. */
static const struct {
    bool target;
    const char *const *sources; /* NULL: none; else the names there are, NULL at the end */
    bool (*source_valid)(const char *source); /* instead of names */
    bool size, read_only;
} mount_kinds[MOUNT_KIND_MAX] = {
    [MOUNT_HOST] = {.target = false},
    [MOUNT_DEV] = {.target = true},
    [MOUNT_SPACE] = {.target = true, .sources = (const char *const[]){"shm", "tmp", NULL}},
    [MOUNT_PROC] = {.target = true},
    [MOUNT_SYS] = {.target = true},
    [MOUNT_POINT] = {.target = true},
    [MOUNT_FILE] = {.target = true,
                    .sources = (const char *const[]){"hostname", "hosts", "resolv.conf", NULL}},
    [MOUNT_MEMORY] = {.source_valid = launchproto_id_valid, .size = true},
    [MOUNT_VOLUME] = {.target = true, .source_valid = volume_path_valid, .read_only = true},
    [MOUNT_DIR] = {.target = true, .source_valid = machine_path_valid, .read_only = true},
};

static bool one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static bool part_valid(const char *part, size_t n)
{
    return n > 0 && !(n <= 2 && strncmp(part, "..", n) == 0);
}

bool volume_path_valid(const char *path)
{
    char name[LAUNCH_MAX_ID];
    size_t n = strcspn(path, "/");

    if (n >= sizeof(name) || strnlen(path, LAUNCH_MAX_TARGET) >= LAUNCH_MAX_TARGET)
        return false;
    memcpy(name, path, n);
    name[n] = 0;
    if (!launchproto_id_valid(name))
        return false;
    for (path += n; *path; path += n) {
        n = strcspn(++path, "/");
        if (!part_valid(path, n))
            return false;
    }
    return true;
}

static bool source_valid(const struct mount_op *op)
{
    if (mount_kinds[op->kind].source_valid)
        return mount_kinds[op->kind].source_valid(op->source);
    return mount_kinds[op->kind].sources ? one_of(op->source, mount_kinds[op->kind].sources)
                                         : *op->source == 0;
}

bool mount_op_valid(const struct mount_op *op)
{
    if (op->kind < MOUNT_HOST || op->kind >= MOUNT_KIND_MAX || !op->source || !op->target)
        return false;
    if (!source_valid(op) || mount_kinds[op->kind].size != (op->size_bytes > 0) ||
        (op->read_only && !mount_kinds[op->kind].read_only) ||
        (op->kind == MOUNT_DIR && !op->read_only))
        return false;
    return mount_kinds[op->kind].target
               ? op->target[0] == '/' && strlen(op->target) < LAUNCH_MAX_TARGET
               : *op->target == 0;
}

bool launchproto_layer_valid(const char *name)
{
    return strnlen(name, LAUNCH_LAYER_DIGITS + 1) == LAUNCH_LAYER_DIGITS &&
           strspn(name, "0123456789abcdef") == LAUNCH_LAYER_DIGITS;
}

bool launchproto_names_valid(const char *names)
{
    size_t n = strnlen(names, LAUNCH_MAX_NAMES);

    if (n == 0)
        return true;
    return n < LAUNCH_MAX_NAMES && names[n - 1] == '\n' &&
           names[strspn(names, "abcdefghijklmnopqrstuvwxyz0123456789-.*\n")] == '\0';
}

static uint32_t n_dirs(const struct launch_create *create)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < create->n_mounts; i++)
        n += create->mounts[i].kind == MOUNT_DIR;
    return n;
}

/* Events have no sequence number, everything else has one; an image is either the host or a
 * list of layers. */
static bool message_consistent(const struct launch_message *msg)
{
    bool event = msg->type == LAUNCH_EVENT_EXITED;

    if ((msg->seq == 0) != event)
        return false;
    if (msg->type == LAUNCH_CREATE && !msg->answer)
        return n_dirs(&msg->u.create) <= MACHINE_DIRS_MAX &&
               (msg->u.create.root.host
                    ? msg->u.create.root.n_layers <= LAUNCH_MAX_LAYERS - LAUNCH_HOST_LOWERS
                    : msg->u.create.root.n_layers > 0);
    return true;
}

struct writer {
    uint8_t *out;
    size_t n, cap;
    int error; /* first failure, sticky */
};

static void put(struct writer *w, const void *data, size_t n)
{
    if (w->error)
        return;
    if (n > w->cap - w->n) {
        w->error = -EMSGSIZE;
        return;
    }
    memcpy(w->out + w->n, data, n);
    w->n += n;
}

static void put_u32(struct writer *w, uint32_t value)
{
    put(w, &value, sizeof(value));
}

static void put_bool(struct writer *w, bool value)
{
    put(w, value ? "\1" : "\0", 1);
}

/* @size: room of the text with its NUL. */
static void put_text(struct writer *w, const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    uint16_t n_wire = (uint16_t)n;

    if (n >= size || n > UINT16_MAX) {
        w->error = -EINVAL;
        return;
    }
    put(w, &n_wire, sizeof(n_wire));
    put(w, text, n);
    put(w, "", 1);
}

static void put_layers(struct writer *w, const struct launch_create *create)
{
    if (create->root.n_layers > LAUNCH_MAX_LAYERS) {
        w->error = -EINVAL;
        return;
    }
    put_u32(w, create->root.n_layers);
    for (uint32_t i = 0; i < create->root.n_layers; i++) {
        if (!create->root.layers[i] || !launchproto_layer_valid(create->root.layers[i])) {
            w->error = -EINVAL;
            return;
        }
        put_text(w, create->root.layers[i], LAUNCH_LAYER_DIGITS + 1);
    }
}

static void put_mounts(struct writer *w, const struct launch_create *create)
{
    if (create->n_mounts > LAUNCH_MAX_MOUNTS) {
        w->error = -EINVAL;
        return;
    }
    put_u32(w, create->n_mounts);
    for (uint32_t i = 0; i < create->n_mounts; i++) {
        const struct mount_op *op = &create->mounts[i];

        if (!mount_op_valid(op)) {
            w->error = -EINVAL;
            return;
        }
        put_u32(w, op->kind);
        put_text(w, op->source, LAUNCH_MAX_TARGET);
        put_text(w, op->target, LAUNCH_MAX_TARGET);
        put(w, &op->size_bytes, sizeof(op->size_bytes));
        put_bool(w, op->read_only);
    }
}

static bool grant_valid(const struct launch_grant *g)
{
    return g->first <= g->last && g->first_protocol <= g->last_protocol &&
           g->first_port <= g->last_port;
}

static void put_grants(struct writer *w, const struct launch_rules *rules)
{
    if (rules->n_grants > LAUNCH_MAX_GRANTS) {
        w->error = -EINVAL;
        return;
    }
    put_u32(w, rules->n_grants);
    for (uint32_t i = 0; i < rules->n_grants; i++) {
        if (!grant_valid(&rules->grants[i]))
            w->error = -EINVAL;
        put(w, &rules->grants[i], sizeof(rules->grants[i]));
    }
}

/* @names: NULL is none, too. */
static void put_names(struct writer *w, const char *names)
{
    if (!names)
        names = "";
    if (!launchproto_names_valid(names))
        w->error = -EINVAL;
    put_text(w, names, LAUNCH_MAX_NAMES);
}

static void put_field(struct writer *w, const struct field *f, const uint8_t *at)
{
    switch (f->kind) {
    case FIELD_BOOL:
        put_bool(w, *(const bool *)at);
        break;
    case FIELD_STATUS:
        if (*(const int32_t *)at > 0)
            w->error = -EINVAL;
        put(w, at, sizeof(int32_t));
        break;
    case FIELD_U32:
    case FIELD_I32:
        put(w, at, sizeof(uint32_t));
        break;
    case FIELD_POSITIVE:
        if (*(const uint64_t *)at == 0)
            w->error = -EINVAL;
        put(w, at, sizeof(uint64_t));
        break;
    case FIELD_U64:
        put(w, at, sizeof(uint64_t));
        break;
    case FIELD_ID:
        if (!launchproto_id_valid((const char *)at))
            w->error = -EINVAL;
        put_text(w, (const char *)at, f->size);
        break;
    case FIELD_NAME:
        if (*at && !launchproto_id_valid((const char *)at))
            w->error = -EINVAL;
        put_text(w, (const char *)at, f->size);
        break;
    case FIELD_TEXT:
        put_text(w, (const char *)at, f->size);
        break;
    case FIELD_LAYERS:
        put_layers(w, (const struct launch_create *)at);
        break;
    case FIELD_MOUNTS:
        put_mounts(w, (const struct launch_create *)at);
        break;
    case FIELD_GRANTS:
        put_grants(w, (const struct launch_rules *)at);
        break;
    case FIELD_NAMES:
        put_names(w, *(const char *const *)at);
        break;
    }
}

ssize_t launchproto_encode(const struct launch_message *msg, uint8_t *out, size_t cap)
{
    const struct message_format *format = format_find(msg->type, msg->answer);
    struct writer w = {.out = out, .cap = MIN(cap, (size_t)LAUNCH_MAX_PACKET)};

    if (!format || !message_consistent(msg))
        return -EINVAL;
    put_u32(&w, msg->type);
    put_u32(&w, msg->seq);
    put_u32(&w, msg->answer);
    for (size_t i = 0; i < format->n_fields; i++)
        put_field(&w, &format->fields[i], (const uint8_t *)msg + format->fields[i].offset);
    return w.error ? w.error : (ssize_t)w.n;
}

struct reader {
    const uint8_t *at, *end;
};

static int get(struct reader *r, void *ret, size_t n)
{
    if (n > (size_t)(r->end - r->at))
        return -EBADMSG;
    memcpy(ret, r->at, n);
    r->at += n;
    return 0;
}

static int get_bool(struct reader *r, bool *ret)
{
    uint8_t flag;

    if (get(r, &flag, 1) < 0 || flag > 1)
        return -EBADMSG;
    *ret = flag;
    return 0;
}

/* Borrowed, NUL-terminated text of less than @size bytes with its NUL. */
static int get_text(struct reader *r, size_t size, const char **ret_text)
{
    uint16_t n;

    if (get(r, &n, sizeof(n)) < 0 || (size_t)n + 1 > (size_t)(r->end - r->at) || n >= size)
        return -EBADMSG;
    if (r->at[n] != 0 || memchr(r->at, 0, n))
        return -EBADMSG;
    *ret_text = (const char *)r->at;
    r->at += (size_t)n + 1;
    return 0;
}

static int get_text_copy(struct reader *r, const struct field *f, char *to)
{
    const char *text;

    if (get_text(r, f->size, &text) < 0)
        return -EBADMSG;
    memcpy(to, text, strlen(text) + 1); /* get_text() proved that it fits f->size */
    if (f->kind == FIELD_ID || (f->kind == FIELD_NAME && *to))
        return launchproto_id_valid(to) ? 0 : -EBADMSG;
    return 0;
}

static int get_layers(struct reader *r, struct launch_create *create)
{
    if (get(r, &create->root.n_layers, sizeof(create->root.n_layers)) < 0 ||
        create->root.n_layers > LAUNCH_MAX_LAYERS)
        return -EBADMSG;
    for (uint32_t i = 0; i < create->root.n_layers; i++) {
        if (get_text(r, LAUNCH_LAYER_DIGITS + 1, &create->root.layers[i]) < 0 ||
            !launchproto_layer_valid(create->root.layers[i]))
            return -EBADMSG;
    }
    return 0;
}

static int get_mounts(struct reader *r, struct launch_create *create)
{
    if (get(r, &create->n_mounts, sizeof(create->n_mounts)) < 0 ||
        create->n_mounts > LAUNCH_MAX_MOUNTS)
        return -EBADMSG;
    for (uint32_t i = 0; i < create->n_mounts; i++) {
        struct mount_op *op = &create->mounts[i];
        uint32_t kind;

        if (get(r, &kind, sizeof(kind)) < 0 ||
            get_text(r, LAUNCH_MAX_TARGET, &op->source) < 0 ||
            get_text(r, LAUNCH_MAX_TARGET, &op->target) < 0 ||
            get(r, &op->size_bytes, sizeof(op->size_bytes)) < 0 ||
            get_bool(r, &op->read_only) < 0)
            return -EBADMSG;
        op->kind = kind;
        if (!mount_op_valid(op))
            return -EBADMSG;
    }
    return 0;
}

static int get_grants(struct reader *r, struct launch_rules *rules)
{
    if (get(r, &rules->n_grants, sizeof(rules->n_grants)) < 0 ||
        rules->n_grants > LAUNCH_MAX_GRANTS)
        return -EBADMSG;
    for (uint32_t i = 0; i < rules->n_grants; i++) {
        if (get(r, &rules->grants[i], sizeof(rules->grants[i])) < 0 ||
            !grant_valid(&rules->grants[i]))
            return -EBADMSG;
    }
    return 0;
}

static int get_field(struct reader *r, const struct field *f, uint8_t *at)
{
    switch (f->kind) {
    case FIELD_BOOL:
        return get_bool(r, (bool *)at);
    case FIELD_STATUS:
        return get(r, at, sizeof(int32_t)) < 0 || *(int32_t *)at > 0 ? -EBADMSG : 0;
    case FIELD_U32:
    case FIELD_I32:
        return get(r, at, sizeof(uint32_t));
    case FIELD_POSITIVE:
        return get(r, at, sizeof(uint64_t)) < 0 || *(uint64_t *)at == 0 ? -EBADMSG : 0;
    case FIELD_U64:
        return get(r, at, sizeof(uint64_t));
    case FIELD_ID:
    case FIELD_NAME:
    case FIELD_TEXT:
        return get_text_copy(r, f, (char *)at);
    case FIELD_LAYERS:
        return get_layers(r, (struct launch_create *)at);
    case FIELD_MOUNTS:
        return get_mounts(r, (struct launch_create *)at);
    case FIELD_GRANTS:
        return get_grants(r, (struct launch_rules *)at);
    case FIELD_NAMES:
        return get_text(r, LAUNCH_MAX_NAMES, (const char **)at) < 0 ||
                       !launchproto_names_valid(*(const char **)at)
                   ? -EBADMSG
                   : 0;
    }
    return -EBADMSG;
}

/* The rest is in the other side's words. */
static bool is_other_hello(const struct launch_message *msg)
{
    return msg->type == LAUNCH_HELLO &&
           (msg->answer ? msg->u.features.version : msg->u.version) != LAUNCH_VERSION;
}

int launchproto_decode(const uint8_t *data, size_t n, struct launch_message *ret_msg)
{
    struct reader r = {data, data + n};
    struct launch_message msg = {0};
    const struct message_format *format;
    uint32_t head[3];

    if (n > LAUNCH_MAX_PACKET || get(&r, head, sizeof(head)) < 0 || head[2] > 1)
        return -EBADMSG;
    format = format_find(head[0], head[2]);
    if (!format)
        return -EBADMSG;
    msg.type = format->type;
    msg.seq = head[1];
    msg.answer = format->answer;
    for (size_t i = 0; i < format->n_fields; i++) {
        if (get_field(&r, &format->fields[i], (uint8_t *)&msg + format->fields[i].offset) < 0)
            return -EBADMSG;
        if (is_other_hello(&msg)) {
            r.at = r.end;
            break;
        }
    }
    if (r.at != r.end || !message_consistent(&msg))
        return -EBADMSG;
    *ret_msg = msg;
    return 0;
}
