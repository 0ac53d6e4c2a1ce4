/* See adopt.h. */
#include "runtime/adopt.h"

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
            sandbox_adopt(sb, TAKE_FD(f->control_fd), f->init_version);
        else if (!f->exited)
            cell_forget(rt, f->id);
    }
    sandboxes_end_unfound(rt);
}
