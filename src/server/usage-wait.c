/* See usage-wait.h. The runtime's question cannot be taken back, so the answer finds out whether anybody still waits. */
#include "server/usage-wait.h"

#include <stdlib.h>

struct usage_wait {
    void (*done)(void *user); /* NULL: cancelled */
    void *user;
};

static void on_usage(void *user, const struct sandbox_usage *u)
{
    struct usage_wait *w = user;
    if (w->done != NULL)
        w->done(w->user);
    free(w);
}

struct usage_wait *usage_wait_new(struct sandbox *sb, void (*done)(void *user), void *user)
{
    if (!sandbox_usage_is_stale(sb))
        return NULL;
    struct usage_wait *w = malloc(sizeof(*w));
    if (w == NULL) /* the figures are no reason to fail */
        return NULL;
    *w = (struct usage_wait){.done = done, .user = user};
    if (sandbox_usage(sb, on_usage, w) == 0)
        return w;
    free(w);
    return NULL;
}

void usage_wait_cancel(struct usage_wait *w)
{
    if (w != NULL)
        w->done = NULL;
}
