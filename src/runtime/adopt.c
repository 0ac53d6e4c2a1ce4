/* See adopt.h. */
#include "runtime/adopt.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "runtime/sandbox.h"

void found_list_done(struct found_list *found)
{
    for (size_t i = 0; i < found->n_items; i++)
        cleanup_fd(&found->items[i].control_fd);
    free(found->items);
    *found = (struct found_list){0};
}

static int add(struct found_list *list, const struct launch_listed *listed, int take_fd)
{
    CLEANUP_FD int fd = take_fd;
    if ((list->n_items & (list->n_items - 1)) == 0) { /* full at each power of two */
        size_t cap = MAX(list->n_items * 2, (size_t)1);
        struct found *items = realloc(list->items, cap * sizeof(*items));
        if (!items)
            return -ENOMEM;
        list->items = items;
    }
    struct found *f = &list->items[list->n_items++];
    *f = (struct found){.pid = listed->pid, .control_fd = TAKE_FD(fd)};
    memcpy(f->id, listed->id, sizeof(f->id));
    memcpy(f->limits.id, listed->id, sizeof(f->limits.id));
    f->limits.memory_bytes = listed->memory_bytes;
    f->limits.cpu_millis = listed->cpu_millis;
    f->limits.pids = listed->pids;
    return 0;
}

static void note_end(struct found_list *list, const struct launch_exited *end)
{
    for (size_t i = 0; i < list->n_items; i++) {
        if (strcmp(list->items[i].id, end->id) == 0) {
            list->items[i].exited = true;
            list->items[i].end = *end;
        }
    }
}

/* The answer to LIST; ends that are told meanwhile are noted. */
static int ask(struct launcher *l, struct found_list *list, struct launch_message *msg,
               int *ret_fd)
{
    int r = launcher_send_blocking(l, msg);
    while (r == 0) {
        r = launcher_receive_blocking(l, msg, ret_fd);
        if (r < 0 || (msg->answer && msg->type == LAUNCH_LIST))
            return r;
        cleanup_fd(ret_fd);
        if (msg->type != LAUNCH_EVENT_EXITED)
            return -EBADMSG;
        note_end(list, &msg->u.exited);
    }
    return r;
}

int launcher_list(struct launcher *l, struct found_list *ret, struct err *err)
{
    CLEANUP(found_list_done) struct found_list list = {0};
    char after[LAUNCH_MAX_ID] = "";
    for (;;) {
        struct launch_message msg = {.type = LAUNCH_LIST};
        CLEANUP_FD int fd = -1;
        memcpy(msg.u.after, after, sizeof(after));
        int r = ask(l, &list, &msg, &fd);
        if (r == 0 && msg.u.listed.status != -ENOENT)
            r = msg.u.listed.status;
        if (r == 0 && msg.u.listed.status < 0) {
            /* The last one ended meanwhile. What was before it is known by now: from the beginning, without those. */
            found_list_done(&list);
            after[0] = '\0';
            continue;
        }
        if (r == 0 && msg.u.listed.id[0] != '\0') {
            r = add(&list, &msg.u.listed, TAKE_FD(fd));
            memcpy(after, msg.u.listed.id, sizeof(after));
        } else if (r == 0) {
            *ret = list;
            list = (struct found_list){0};
            return 0;
        }
        if (r < 0)
            return err_set_errno(err, ERR_UNAVAILABLE, -r, "ask cwsandbox-launch what runs");
    }
}

/* What has no record is ended: nobody could say what it is, nor ask for it. That is so of the blanks of the pool, too; a
 * sandbox whose record was damaged looks just like one. */
void adopt_found(struct runtime *rt, struct found_list *found)
{
    for (size_t i = 0; i < found->n_items; i++) {
        struct found *f = &found->items[i];
        struct sandbox *sb = strmap_get(&rt->by_id, f->id);
        if (sb && f->exited)
            sandbox_on_cell_exited(sb, &f->end);
        else if (sb)
            sandbox_adopt(sb, TAKE_FD(f->control_fd));
        else if (!f->exited)
            cell_forget(rt, f->id);
    }
    sandboxes_end_unfound(rt);
}
