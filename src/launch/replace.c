#include "launch/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/arguments.h"
#include "launch/carry.h"
#include "privproto/handover.h"

#define QUIET_MS \
    2000 /* chosen: what is killed ends in milliseconds; else the machine is in trouble */

static void tell(bool replaced)
{
    const uint8_t packet[2] = {HANDOVER_WORD_REPLACED, replaced};

    (void)handover_send(HANDOVER_SUPER, packet, NULL, 0); /* it is gone: we see EOF */
}

static void forget(struct replacement *r)
{
    cleanup_fd(&r->mounts);
    cleanup_fd(&r->program);
    cleanup_fd(&r->argv);
    cleanup_fd(&r->new_argv);
    r->due_ns = 0;
}

/* ---- the old program ---- */

void replacement_begin(struct engine *e, int take_mounts, int take_argv)
{
    forget(&e->replacement);
    e->replacement.mounts = take_mounts;
    e->replacement.new_argv = take_argv;
    e->replacement.due_ns = clock_now_ns() + QUIET_MS * NS_PER_MS;
}

int replacement_wait_ms(const struct engine *e)
{
    uint64_t now_ns = clock_now_ns(), due_ns = e->replacement.due_ns;

    if (due_ns == 0)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / NS_PER_MS) + 1;
}

static bool is_quiet(const struct engine *e)
{
    LIST_FOREACH(node, (struct list *)(uintptr_t)&e->cells)
    {
        enum cell_state state = CONTAINER_OF(node, struct cell, node)->state;

        if (state == CELL_STARTING || state == CELL_FAILED)
            return false;
    }
    return list_empty(&e->kills);
}

/* Returns when it fails. The lean root is left for the machine's file systems, and entered again then. */
static int execute(struct engine *e, const struct table *t, const struct arguments *a)
{
    CLEANUP_FD int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    CLEANUP_FD int table = table_write(t);
    int r;

    if (own < 0 || table < 0)
        return own < 0 ? -EBADF : table;
    if (setns(e->replacement.mounts, CLONE_NEWNS) < 0)
        return -errno;
    table_leave_open(t, true);
    (void)fd_set_cloexec(HANDOVER_SUPER, false);
    r = arguments_execute(a, a->items[0], -1, "--engine", table);
    (void)fd_set_cloexec(HANDOVER_SUPER, true);
    table_leave_open(t, false);
    CHECK(setns(own, CLONE_NEWNS) == 0);
    return r;
}

static int try_execute(struct engine *e)
{
    CLEANUP(table_done) struct table t = {0};
    CLEANUP(arguments_done) struct arguments a = {0};
    struct replacement *n = &e->replacement;
    int r = arguments_read(&a, TAKE_FD(n->new_argv));

    if (r < 0)
        return r;
    n->program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    n->argv = arguments_write(e->options->argc, e->options->argv);
    if (n->program < 0 || n->argv < 0)
        return -EMFILE;
    resolver_stop(&e->network.resolver);
    netns_pool_drain(&e->netns);
    netns_pool_drain(&e->wired);
    r = carry_put(&t, e);
    return r < 0 ? r : execute(e, &t, &a);
}

void replacement_go_on(struct engine *e)
{
    bool quiet = is_quiet(e);
    int r;

    if (e->replacement.due_ns == 0 || (!quiet && replacement_wait_ms(e) > 0))
        return;
    r = quiet ? try_execute(e) : -EBUSY;
    log_event(LOG_ERROR, "engine_not_replaced", "errno=%d text=\"%s\"", -r, strerror(-r));
    forget(&e->replacement);
    resolver_again(&e->network.resolver);
    tell(false);
}

/* ---- the new program ---- */

/* The old one, as it was started; it finds the table as it left it. */
static void go_back(const struct replacement *was, const struct table *t, int table)
{
    CLEANUP(arguments_done) struct arguments a = {0};

    if (was->program < 0 || was->argv < 0 || was->mounts < 0 ||
        arguments_read(&a, fcntl(was->argv, F_DUPFD_CLOEXEC, 0)) < 0)
        return;
    (void)setns(was->mounts, CLONE_NEWNS);
    table_leave_open(t, true);
    (void)fd_set_cloexec(HANDOVER_SUPER, false);
    (void)fd_set_cloexec(table, false);
    int r = arguments_execute(&a, NULL, was->program, "--engine-again", table);
    log_event(LOG_ERROR, "engine_lost", "errno=%d text=\"%s\"", -r, strerror(-r));
}

static int resume(struct engine *e, const struct options *options, struct engine *was,
                  struct table *t, const char **ret_stage)
{
    int r = table_read(t, fcntl(options->table_fd, F_DUPFD_CLOEXEC, 0));

    *ret_stage = "table";
    if (r == 0)
        r = carry_get_engine(t, was);
    if (r == 0)
        r = engine_start(e, options, was, ret_stage);
    if (r < 0)
        return r;
    *ret_stage = "sandboxes";
    return carry_get_cells(t, e);
}

int replacement_resume(struct engine *e, const struct options *options, const char **ret_stage)
{
    static struct engine was;
    CLEANUP(table_done) struct table t = {0};
    CLEANUP_FD int table = options->table_fd;
    int r;

    (void)fd_set_cloexec(HANDOVER_SUPER, true);
    (void)fd_set_cloexec(table, true);
    was.replacement = REPLACEMENT_NONE;
    was.network.resolver = RESOLVER_NONE;
    r = resume(e, options, &was, &t, ret_stage);
    if (r < 0) {
        log_event(LOG_ERROR, "engine_not_resumed", "stage=\"%s\" errno=%d text=\"%s\"",
                  *ret_stage, -r, strerror(-r));
        if (!options->again)
            go_back(&was.replacement, &t, table);
        return r;
    }
    forget(&was.replacement);
    cells_reap(e); /* who ended meanwhile */
    tell(!options->again);
    return 0;
}
