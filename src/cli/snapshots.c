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

void snapshot_print_json(const cws_snapshot *s, int indent)
{
    CLEANUP_FREE char *created = time_iso(s->created_ns);
    CLEANUP_FREE char *updated = time_iso(s->updated_ns);
    CLEANUP_FREE char *completed = time_iso(s->completed_ns);
    const struct {
        const char *key, *text;
        const int64_t *number;
    } fields[] = {
        {"file_system_snapshot_id", s->id},
        {"status", snapshot_status_name(s->status)},
        {"status_reason", s->status_reason},
        {"size_bytes", .number = &s->size_bytes},
        {"source_sandbox_id", s->source_sandbox_id},
        {"trigger", trigger_name(s->trigger)},
        {"request_id", s->request_id},
        {"object_bucket", s->object_bucket},
        {"source_volume_name", s->source_volume_name},
        {"created_at", created},
        {"updated_at", updated},
        {"completed_at", completed},
    };
    (void)printf("%*s{", indent, "");
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        (void)printf("%s\n%*s\"%s\": ", i ? "," : "", indent + 2, "", fields[i].key);
        if (fields[i].number)
            (void)printf("%lld", (long long)*fields[i].number);
        else
            json_string(stdout, fields[i].text);
    }
    (void)printf("\n%*s}", indent, "");
}
