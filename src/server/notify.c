/*
 * Readiness notification. See notify.h.
 */
#include "server/notify.h"

#include <string.h>

#include "base/util.h"

void notify_ready_fd(int *fd, const char *text)
{
    if (*fd < 0)
        return;
    CLEANUP_FREE char *line = str_dup_printf("%s\n", text);
    if (line != NULL)
        (void)fd_write_all(*fd, line, strlen(line)); /* the starter may be gone already */
    cleanup_fd(fd);
}
