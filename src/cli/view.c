/* See view.h. */
#include "cli/view.h"

#include <stdlib.h>

const char *const output_formats[] = {"table", "json", NULL};

const char *const data_plane_modes[] = {"auto", "gateway", "direct", NULL};

const char *const status_names[] = {"unspecified", "creating",    "running",    "completed",
                                    "failed",      "terminating", "terminated", "pending",
                                    "paused",      "preparing",   NULL};

void sandbox_view_init(struct sandbox_view *view, const cws_sandbox *sb)
{
    cws_status status;
    *view = (struct sandbox_view){
        .id = cws_sandbox_id(sb),
        .runner_id = cws_sandbox_runner_id(sb),
        .runner_group_id = cws_sandbox_runner_group_id(sb),
        .started_ns = cws_sandbox_started_ns(sb),
    };
    view->has_returncode = cws_sandbox_returncode(sb, &view->returncode);
    if (!cws_sandbox_status(sb, &status))
        return;
    /* A newer service may know states that this program does not: they are unspecified. */
    bool known = (size_t)status < ARRAY_SIZE(status_names) - 1;
    view->status = status_names[known ? status : 0];
}

void sandbox_view_done(struct sandbox_view *view)
{
    free(view->id);
    free(view->runner_id);
    free(view->runner_group_id);
}
