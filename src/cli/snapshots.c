/* See snapshots.h. */
#include "cli/snapshots.h"

#include <stdio.h>

#include "cli/format.h"
#include "cli/util.h"

const char *const snapshot_status_names[] = {"unspecified", "creating", "ready",
                                             "failed",      "deleting", NULL};

static const char *const trigger_names[] = {"unspecified", "manual", "on_delete"};

/* A newer service may know states that this program does not. */
const char *snapshot_status_name(cws_snapshot_status status)
{
    bool known = (size_t)status < ARRAY_SIZE(snapshot_status_names) - 1;
    return snapshot_status_names[known ? status : CWS_SNAPSHOT_UNSPECIFIED];
}

static const char *trigger_name(cws_snapshot_trigger trigger)
{
    bool known = (size_t)trigger < ARRAY_SIZE(trigger_names);
    return trigger_names[known ? trigger : CWS_SNAPSHOT_TRIGGER_UNSPECIFIED];
}

void snapshots_print_table(const cws_op *op)
{
    static const int widths[] = {40, 10, 40, 10, 12, 24};
    (void)printf("%-40s %-10s %-40s %-10s %12s %s\n", "SNAPSHOT ID", "STATUS", "SOURCE SANDBOX",
                 "TRIGGER", "SIZE", "CREATED AT");
    table_rule(stdout, widths, ARRAY_SIZE(widths));
    for (size_t i = 0; i < cws_op_n_snapshots(op); i++) {
        const cws_snapshot *s = cws_op_snapshot(op, i);
        CLEANUP_FREE char *created = time_human(s->created_ns);
        (void)printf("%-40s %-10s %-40s %-10s %12lld %s\n", or_dash(s->id),
                     snapshot_status_name(s->status), or_dash(s->source_sandbox_id),
                     trigger_name(s->trigger), (long long)s->size_bytes, or_dash(created));
    }
}

void snapshot_print_json(const cws_snapshot *s, struct json *j)
{
    CLEANUP_FREE char *created = time_iso(s->created_ns);
    CLEANUP_FREE char *updated = time_iso(s->updated_ns);
    CLEANUP_FREE char *completed = time_iso(s->completed_ns);
    json_begin(j, NULL, '{');
    json_text(j, "file_system_snapshot_id", s->id);
    json_text(j, "status", snapshot_status_name(s->status));
    json_text(j, "status_reason", s->status_reason);
    json_int(j, "size_bytes", s->size_bytes);
    json_text(j, "source_sandbox_id", s->source_sandbox_id);
    json_text(j, "trigger", trigger_name(s->trigger));
    json_text(j, "request_id", s->request_id);
    json_text(j, "object_bucket", s->object_bucket);
    json_text(j, "source_volume_name", s->source_volume_name);
    json_text(j, "created_at", created);
    json_text(j, "updated_at", updated);
    json_text(j, "completed_at", completed);
    json_end(j, '}');
}
