#include "client/sb-waiter.h"

#include "base/macros.h"

void sb_waiters_fire(struct list *waiters, struct cws_error *error)
{
    struct list firing;
    list_init(&firing);
    list_splice(waiters, &firing); /* one that waits again must not be fired again */
    while (!list_empty(&firing)) {
        struct sb_waiter *w = CONTAINER_OF(list_first(&firing), struct sb_waiter, link);
        list_remove(&w->link);
        w->fire(w, error);
    }
}
