/* See fetches.h. */
#include "launch/fetches.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/children.h"

static pid_t *find(struct fetches *f, pid_t pid)
{
    for (size_t i = 0; i < ARRAY_SIZE(f->pids); i++)
        if (f->pids[i] == pid)
            return &f->pids[i];
    return NULL;
}

static void start(struct fetches *f, const struct options *options, const int fds[static 2])
{
    pid_t *place = find(f, 0);

    if (!options->image_path || !place) {
        log_event(LOG_WARN, "fetch_refused", "why=\"%s\"",
                  place ? "no cwsandbox-image" : "too many at once");
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        child_become_fetch(options, fds[0], fds[1]);
    if (pid < 0)
        log_event(LOG_ERROR, "fetch_not_started", "errno=%d text=\"%s\"", errno,
                  strerror(errno));
    else
        *place = pid;
}

void fetches_start(struct fetches *f, const struct options *options, const int *fds, size_t n)
{
    if (n == 2)
        start(f, options, fds);
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
}

bool fetches_reaped(struct fetches *f, pid_t pid)
{
    pid_t *place = find(f, pid);

    if (place)
        *place = 0;
    return place != NULL;
}
