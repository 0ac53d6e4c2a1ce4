/* Cells and the warm pool; see cell.h. */
#include "runtime/cell.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "runtime/mounts.h"
#include "runtime/room.h"
#include "runtime/sandbox.h"

#define ROOT_BYTES_PER_INODE \
    4096 /* chosen: a page per file; tmpfs's own default is one inode per page of RAM / 2 */
#define ROOT_MIN_INODES 4096

/* ---- one cell ---- */

static void leave_pool(struct cell *cell)
{
    if (!cell->shelf)
        return;
    list_remove(&cell->link);
    cell->shelf->n_blanks--;
    cell->shelf = NULL;
}

static void cell_free(struct cell *cell)
{
    struct pool *pool = &cell->rt->pool;
    leave_pool(cell);
    control_close(&cell->control);
    control_done(&cell->control);
    deferred_cancel(&cell->unsent);
    err_done(&cell->why);
    list_remove(&cell->link);
    CHECK(strmap_remove(&pool->cells, cell->id) == cell);
    struct runtime *rt = cell->rt;
    free(cell);
    runtime_check_closed(rt);
}

static void on_init_gone(struct control *control)
{
    struct cell *cell = CONTAINER_OF(control, struct cell, control);
    struct runtime *rt = cell->rt;
    leave_pool(cell);
    (void)cell_kill(cell); /* its death is reported by EVENT_EXITED, with the reason */
    pool_refill(rt);
}

void cell_forget(struct runtime *rt, const char *id)
{
    (void)rt->driver->ops->kill(rt->driver, id); /* a lost driver ends every cell on its own */
}

bool cell_kill(struct cell *cell)
{
    if (cell->state == CELL_ENDING)
        return true;
    if (cell->state == CELL_QUEUED) {
        cell_free(cell);
        return false;
    }
    cell->state = CELL_ENDING;
    cell_forget(cell->rt,
                cell->id); /* while it is being created too: launch answers in order */
    return true;
}

static void on_retry(uv_timer_t *timer)
{
    struct runtime *rt = CONTAINER_OF(timer, struct runtime, pool.retry_timer);

    pool_refill(rt);
}

/* The end of a creation that did not come about. */
static void fail_creation(struct cell *cell)
{
    struct runtime *rt = cell->rt;
    struct pool *pool = &rt->pool;
    bool wait = cell->created;
    struct sandbox *sb = cell->sb;
    CLEANUP_ERR struct err why = {0};

    err_move(&why, &cell->why);
    if (cell->shelf && !rt->closing) {
        pool->retry_ms = MIN(MAX(pool->retry_ms * 2, POOL_RETRY_MIN_MS), POOL_RETRY_MAX_MS);
        (void)uv_timer_start(&pool->retry_timer, on_retry, pool->retry_ms, 0);
    }
    leave_pool(cell);
    if (wait)
        (void)cell_kill(cell);
    else
        cell_free(cell);
    if (sb)
        sandbox_on_cell_failed(sb, &why, wait);
    pool_refill(rt);
}

/* #3 both answers are there. */
static void end_creation(struct cell *cell)
{
    struct pool *pool = &cell->rt->pool;

    pool->n_creating--;
    if (cell->why.code != ERR_OK) {
        fail_creation(cell);
        return;
    }
    pool->retry_ms = 0;
    if (cell->state ==
        CELL_CREATING) { /* else killed while it was being made: EVENT_EXITED follows */
        cell->state = CELL_READY;
        if (cell->sb)
            sandbox_on_cell_ready(cell->sb);
    }
    pool_refill(cell->rt);
}

static void on_created(void *user, const struct launch_created *created, int take_control_fd)
{
    struct cell *cell = user;
    CLEANUP_FD int fd = take_control_fd;

    if (!created)
        return; /* cells_lose() comes next */
    cell->created = created->status == 0;
    if (created->status < 0) {
        err_done(&cell->why); /* without a sandbox its limits are no news */
        (void)err_set_errno(&cell->why, ERR_INTERNAL, -created->status, "make a sandbox: %s",
                            created->stage);
    } else if (fd < 0) {
        (void)err_set(&cell->why, ERR_RESOURCE_EXHAUSTED,
                      "make a sandbox: no control socket came: too many open files");
    } else if (cell->state == CELL_CREATING) {
        cell->control.on_closed = on_init_gone;
        int r = control_open(&cell->control, &cell->rt->poller, TAKE_FD(fd));
        cell->control.init_version = created->init_version;
        if (r < 0)
            (void)err_set_errno(&cell->why, ERR_INTERNAL, -r,
                                "watch a sandbox's control socket");
    }
    if (--cell->n_answers == 0)
        end_creation(cell);
}

static void on_limits(void *user, const struct launch_status *s)
{
    struct cell *cell = user;

    if (!s)
        return;
    /* Before the answer to CREATE, usually: init is still being made. A CREATE that fails at once is answered first. */
    if (s->status < 0 && cell->why.code == ERR_OK)
        (void)err_set_errno(&cell->why, ERR_FAILED_PRECONDITION, -s->status,
                            "set the default limits (%s)", s->stage);
    if (--cell->n_answers == 0)
        end_creation(cell);
}

/* #1 blank and default limits in one go: launch answers in order, so a blank costs one round
 * trip. */
static void request_creation(struct cell *cell)
{
    struct runtime *rt = cell->rt;
    struct cell_driver *driver = rt->driver;
    struct launch_create create = {.root = cell->kind->root,
                                   .network = cell->kind->network == NETWORK_EGRESS};

    memcpy(create.id, cell->id, sizeof(cell->id));
    mounts_plan(&create, cell->kind->points, cell->kind->n_points, cell->kind->mounts);
    cell->state = CELL_CREATING;
    cell->n_answers = 1;
    rt->pool.n_creating++;
    int r = driver->ops->create(driver, &create, on_created, cell);
    if (r < 0) {
        (void)err_set_errno(&cell->why, ERR_UNAVAILABLE, -r,
                            "ask cwsandbox-launch for a sandbox");
        deferred_post(&rt->deferred, &cell->unsent);
        return;
    }
    struct launch_limits limits = {0};
    memcpy(limits.id, cell->id, sizeof(cell->id));
    cell_default_limits(rt, &limits);
    if (limits.memory_bytes == 0 && limits.cpu_millis == 0 && limits.pids == 0)
        return;
    if (driver->ops->limits(driver, &limits, on_limits, cell) == 0)
        cell->n_answers++;
    else
        (void)err_set(&cell->why, ERR_INTERNAL, "set the default limits: out of memory");
}

static void on_unsent(struct deferred *d)
{
    end_creation(CONTAINER_OF(d, struct cell, unsent));
}

void cell_default_limits(const struct runtime *rt, struct launch_limits *ret)
{
    ret->memory_bytes = rt->config.default_memory_bytes;
    ret->cpu_millis = rt->config.default_cpu_millis;
    /* Nobody asked for this one by name, so a host that cannot count processes is no reason to
     * refuse. */
    ret->pids = rt->features.limit_pids ? rt->config.pids_max : 0;
    ret->accept_unenforced = rt->config.accept_unenforced_limits;
}

void cell_on_exited(struct runtime *rt, const struct launch_exited *exited)
{
    struct cell *cell = strmap_get(&rt->pool.cells, exited->id);

    if (!cell || !cell->created)
        return; /* launch may only speak of what it made; without a cell there is nobody to tell
                 */
    if (cell->n_answers > 0) {
        /* Dead between #1 and #2: the answer to #2 is still to come, and ends the creation. */
        cell->created = false;
        if (cell->why.code == ERR_OK)
            (void)err_set(&cell->why, ERR_INTERNAL, "make a sandbox: its init ended at once");
        return;
    }
    struct sandbox *sb = cell->sb;
    cell_free(cell);
    if (sb)
        sandbox_on_cell_exited(sb, exited);
    pool_refill(rt);
}

void cells_lose(struct runtime *rt)
{
    struct cell *cell;

    for (size_t at = 0; (cell = strmap_next(&rt->pool.cells, &at));) {
        struct sandbox *sb = cell->sb;
        cell_free(cell);
        if (sb)
            sandbox_on_cell_exited(sb, NULL);
    }
    rt->pool.n_creating = 0;
}

/* ---- the pool ---- */

void cell_make_id(char ret_id[static LAUNCH_MAX_ID])
{
    uint8_t random[8];

    random_bytes(random, sizeof(random));
    char *at = ret_id + sprintf(ret_id, "sb-");
    for (size_t i = 0; i < sizeof(random); i++)
        at += sprintf(at, "%02x", random[i]);
}

bool cell_kind_equal(const struct cell_kind *a, const struct cell_kind *b)
{
    const struct rootfs *ra = &a->root, *rb = &b->root;

    if (a == b)
        return true;
    if (a->mounts || b->mounts)
        return false;
    if (a->network != b->network || ra->host != rb->host || ra->n_layers != rb->n_layers ||
        ra->disk != rb->disk || ra->size_bytes != rb->size_bytes ||
        ra->n_inodes != rb->n_inodes)
        return false;
    for (uint32_t i = 0; i < ra->n_layers; i++)
        if (strcmp(ra->layers[i], rb->layers[i]) != 0)
            return false;
    for (uint32_t i = 0; a->n_points == b->n_points && i < a->n_points; i++)
        if (strcmp(a->points[i], b->points[i]) != 0)
            return false;
    return a->n_points == b->n_points;
}

/* @id: NULL for a fresh one. */
static struct cell *cell_new(struct runtime *rt, const char *id, const struct cell_kind *kind)
{
    CLEANUP_FREE struct cell *cell = calloc(1, sizeof(*cell));

    if (!cell)
        return NULL;
    if (id)
        (void)snprintf(cell->id, sizeof(cell->id), "%s", id);
    else
        cell_make_id(cell->id);
    cell->rt = rt;
    cell->kind = kind;
    cell->control.watch.fd = -1;
    cell->unsent.cb = on_unsent;
    list_init(&cell->link);
    if (strmap_put(&rt->pool.cells, cell->id, cell) < 0)
        return NULL;
    return TAKE_PTR(cell);
}

void pool_open(struct runtime *rt)
{
    struct pool *pool = &rt->pool;

    list_init(&pool->queue);
    const struct cell_kind kind = {
        .root = {.host = true,
                 .disk = rt->config.root_on_disk,
                 .size_bytes = rt->config.root_size_bytes,
                 .n_inodes =
                     MAX(rt->config.root_size_bytes / ROOT_BYTES_PER_INODE, ROOT_MIN_INODES)}};

    for (int i = 0; i < NETWORK_CLASS_MAX; i++) {
        list_init(&pool->shelves[i].blanks);
        pool->shelves[i].kind = kind;
        pool->shelves[i].kind.network = (enum network_class)i;
        pool->shelves[i].wanted = (i == NETWORK_EGRESS) == rt->features.network;
    }
    (void)uv_timer_init(rt->loop, &pool->retry_timer); /* cannot fail */
}

const struct cell_kind *pool_kind(const struct runtime *rt, bool network)
{
    return &rt->pool.shelves[network ? NETWORK_EGRESS : NETWORK_NONE].kind;
}

static void shelf_close(struct shelf *shelf)
{
    LIST_FOREACH_SAFE(it, &shelf->blanks)
    {
        struct cell *cell = CONTAINER_OF(it, struct cell, link);
        leave_pool(cell);
        (void)cell_kill(cell);
    }
}

void pool_close(struct runtime *rt)
{
    (void)uv_timer_stop(&rt->pool.retry_timer);
    for (int i = 0; i < NETWORK_CLASS_MAX; i++)
        shelf_close(&rt->pool.shelves[i]);
}

/* The emptiest one that is not full; NULL: all are. */
static struct shelf *find_emptiest(struct runtime *rt)
{
    struct shelf *found = NULL;

    for (int i = 0; i < NETWORK_CLASS_MAX; i++) {
        struct shelf *shelf = &rt->pool.shelves[i];

        if (shelf->wanted && shelf->n_blanks < rt->config.warm_pool &&
            (!found || shelf->n_blanks < found->n_blanks))
            found = shelf;
    }
    return found;
}

/* One at a time, and only while nobody waits: a refill must not stand in front of a creation.
 */
static void refill_blanks(struct runtime *rt)
{
    struct pool *pool = &rt->pool;
    struct shelf *shelf = find_emptiest(rt);

    if (pool->n_creating > 0 || !shelf)
        return;
    bool waiting = uv_is_active((uv_handle_t *)&pool->retry_timer);
    if (waiting && (pool->retry_ms > 0 || shelf->n_blanks > rt->config.warm_pool / 2))
        return;
    struct cell *cell = cell_new(rt, NULL, &shelf->kind);
    if (!cell)
        return; /* the next change tries again */
    list_append(&shelf->blanks, &cell->link);
    cell->shelf = shelf;
    shelf->n_blanks++;
    request_creation(cell);
}

void pool_refill(struct runtime *rt)
{
    struct pool *pool = &rt->pool;

    if (rt->closing || rt->lost.code != ERR_OK)
        return;
    while (pool->n_creating < CELL_MAX_CREATING && !list_empty(&pool->queue)) {
        struct cell *cell = CONTAINER_OF(list_first(&pool->queue), struct cell, link);
        list_remove(&cell->link);
        request_creation(cell);
    }
    refill_blanks(rt);
}

struct cell *cell_take(struct runtime *rt, struct sandbox *sb, const struct cell_kind *kind)
{
    struct pool *pool = &rt->pool;
    struct shelf *shelf = &pool->shelves[kind->network];
    struct cell *cell = NULL;

    /* The oldest is READY if any is; if none is, the one under way is nearer than a new one. */
    bool any = sb->id[0] == '\0'; /* a blank has an id already */
    bool of_shelf = cell_kind_equal(kind, &shelf->kind);
    shelf->wanted |= of_shelf;
    if (any && !list_empty(&shelf->blanks) && of_shelf) {
        cell = CONTAINER_OF(list_first(&shelf->blanks), struct cell, link);
        leave_pool(cell);
        if (pool->retry_ms == 0)
            (void)uv_timer_start(&pool->retry_timer, on_retry, POOL_REST_MS, 0);
    } else {
        cell = cell_new(rt, any ? NULL : sb->id, kind);
        if (!cell)
            return NULL;
        list_append(&pool->queue, &cell->link);
    }
    cell->sb = sb;
    pool_refill(rt);
    return cell;
}

struct cell *cell_adopt(struct runtime *rt, struct sandbox *sb, int take_control_fd,
                        struct err *err)
{
    CLEANUP_FD int fd = take_control_fd;
    struct cell *cell = cell_new(rt, sb->id, NULL);
    if (!cell) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        cell_forget(rt, sb->id);
        return NULL;
    }
    cell->state = CELL_READY;
    cell->created = true;
    cell->sb = sb;
    cell->control.on_closed = on_init_gone;
    int r = fd < 0 ? -EMFILE : control_open(&cell->control, &rt->poller, TAKE_FD(fd));
    if (r < 0) { /* its end still comes through launch */
        (void)err_set_errno(err, ERR_RESOURCE_EXHAUSTED, -r, "its control socket");
        cell->sb = NULL;
        (void)cell_kill(cell);
        return NULL;
    }
    return cell;
}
