/* See view.h. */
#include "cli/view.h"

#include <stdlib.h>

const char *const output_formats[] = {"table", "json", NULL};

const char *const data_plane_modes[] = {"auto", "gateway", "direct", NULL};

const char *const status_names[] = {"unspecified", "creating",    "running",    "completed",
                                    "failed",      "terminating", "terminated", "pending",
                                    "paused",      "preparing",   NULL};

const char *status_name(cws_status status)
{
    bool known = (size_t)status < ARRAY_SIZE(status_names) - 1;
    return status_names[known ? status : CWS_STATUS_UNSPECIFIED];
}

void sandbox_view_init(struct sandbox_view *view, const cws_sandbox *sb)
{
    cws_status status = CWS_STATUS_UNSPECIFIED;
    *view = (struct sandbox_view){
        .id = cws_sandbox_id(sb),
        .runner_id = cws_sandbox_runner_id(sb),
        .runner_group_id = cws_sandbox_runner_group_id(sb),
        .started_ns = cws_sandbox_started_ns(sb),
        .told = cws_sandbox_describe(sb),
    };
    view->has_returncode = cws_sandbox_returncode(sb, &view->returncode);
    if (cws_sandbox_status(sb, &status))
        view->status = status_name(status);
}

void sandbox_view_done(struct sandbox_view *view)
{
    free(view->id);
    free(view->runner_id);
    free(view->runner_group_id);
    cws_record_free(view->told);
}
