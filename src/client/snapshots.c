/* Snapshots as such, and where they are kept. */
#include <errno.h>
#include <string.h>

#include "client/options-times.h"
#include "client/query.h"

static void fill(cws_snapshot *to, const Pb__FileSystemSnapshot *from)
{
    *to = (cws_snapshot){
        .id = from->file_system_snapshot_id,
        .status = (cws_snapshot_status)from->state,
        .status_reason = from->state_reason,
        .size_bytes = from->size_bytes,
        .source_sandbox_id = from->source_sandbox_id,
        .source_volume_name = from->source_volume_name,
        .trigger = (cws_snapshot_trigger)from->trigger,
        .request_id = from->request_id,
        .object_bucket = from->object_bucket,
        .created_ns = query_time(from->create_time),
        .updated_ns = query_time(from->updated_at),
        .completed_ns = query_time(from->complete_time),
    };
}

static int collect_one(struct query *q)
{
    q->items = query_alloc(q, 1, sizeof(cws_snapshot));
    if (!q->items)
        return -ENOMEM;
    fill(q->items, q->replies[0]);
    q->n_items = 1;
    return 0;
}

/* The service knows one of the two filters, some services none: both are applied here. */
static bool wanted(const struct query *q, const Pb__FileSystemSnapshot *s)
{
    if (q->filter_text && strcmp(q->filter_text, s->source_sandbox_id) != 0)
        return false;
    return q->filter_number == CWS_SNAPSHOT_UNSPECIFIED || q->filter_number == (int)s->state;
}

static int collect_list(struct query *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n_replies; i++)
        n += ((Pb__ListFileSystemSnapshotsResponse *)q->replies[i])->n_file_system_snapshots;
    cws_snapshot *items = query_alloc(q, n, sizeof(*items));
    if (!items)
        return -ENOMEM;
    for (size_t i = 0; i < q->n_replies; i++) {
        const Pb__ListFileSystemSnapshotsResponse *page = q->replies[i];
        for (size_t k = 0; k < page->n_file_system_snapshots; k++)
            if (wanted(q, page->file_system_snapshots[k]))
                fill(&items[q->n_items++], page->file_system_snapshots[k]);
    }
    q->items = items;
    return 0;
}

static const char *next_page(const void *reply)
{
    return ((const Pb__ListFileSystemSnapshotsResponse *)reply)->next_page_token;
}

static int collect_bucket(struct query *q)
{
    const Pb__FileSystemSnapshotBucketConfig *from = q->replies[0];
    cws_bucket_config *to = query_alloc(q, 1, sizeof(*to));
    if (!to)
        return -ENOMEM;
    *to = (cws_bucket_config){
        .mode = (cws_bucket_mode)from->mode,
        .bucket_name = from->bucket_name,
        .region = from->region,
        .effective_bucket_name = from->effective_bucket_name,
    };
    q->items = to;
    q->n_items = 1;
    return 0;
}

static const struct query_class get_class = {
    .path = PROTO_PATH_SANDBOX("GetFileSystemSnapshot"),
    .label = "Get snapshot",
    .reply = &pb__file_system_snapshot__descriptor,
    .retries = true,
    .collect = collect_one,
};
static const struct query_class list_class = {
    .path = PROTO_PATH_SANDBOX("ListFileSystemSnapshots"),
    .label = "List snapshots",
    .reply = &pb__list_file_system_snapshots_response__descriptor,
    .page_token_field = 2,
    .next_page = next_page,
    .retries = true,
    .collect = collect_list,
};
static const struct query_class delete_class = {
    .path = PROTO_PATH_SANDBOX("DeleteFileSystemSnapshot"),
    .label = "Delete snapshot",
    .reply = &pb__file_system_snapshot__descriptor,
    .retries = true,
    .deletes = true,
};
static const struct query_class bucket_get_class = {
    .path = PROTO_PATH_SETTINGS("GetFileSystemSnapshotBucketConfig"),
    .label = "Get snapshot bucket",
    .reply = &pb__file_system_snapshot_bucket_config__descriptor,
    .retries = true,
    .collect = collect_bucket,
};
static const struct query_class bucket_set_class = {
    .path = PROTO_PATH_SETTINGS("UpdateFileSystemSnapshotBucketConfig"),
    .label = "Set snapshot bucket",
    .reply = &pb__file_system_snapshot_bucket_config__descriptor,
    .retries = true,
    .collect = collect_bucket,
};

static struct query *new_query(cws_client *client, cws_target *target,
                               const struct query_class *cls, uint64_t timeout_ns,
                               cws_error **error)
{
    return query_new(client, target, cls, timeout_ns ? timeout_ns : OPTIONS_REQUEST_TIMEOUT_NS,
                     error);
}

cws_op *cws_snapshot_get(cws_client *client, cws_target *target, const char *id,
                         uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &get_class, timeout_ns, error);
    if (!q || query_set_id(q, "file_system_snapshot_id", id, error) < 0) {
        cws_op_unref(q ? &q->op : NULL);
        return NULL;
    }
    Pb__GetFileSystemSnapshotRequest request = PB__GET_FILE_SYSTEM_SNAPSHOT_REQUEST__INIT;
    request.file_system_snapshot_id = q->id;
    return query_submit(q, &request, error);
}

cws_op *cws_snapshot_list(cws_client *client, cws_target *target, const char *source_sandbox_id,
                          cws_snapshot_status status, uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &list_class, timeout_ns, error);
    if (!q)
        return NULL;
    q->filter_number = (int)status;
    if (source_sandbox_id && !(q->filter_text = strdup(source_sandbox_id))) {
        (void)error_give(error, &error_nomem);
        cws_op_unref(&q->op);
        return NULL;
    }
    Pb__ListFileSystemSnapshotsRequest request = PB__LIST_FILE_SYSTEM_SNAPSHOTS_REQUEST__INIT;
    return query_submit(q, &request, error);
}

cws_op *cws_snapshot_delete(cws_client *client, cws_target *target, const char *id,
                            int missing_ok, uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &delete_class, timeout_ns, error);
    if (!q || query_set_id(q, "file_system_snapshot_id", id, error) < 0) {
        cws_op_unref(q ? &q->op : NULL);
        return NULL;
    }
    q->missing_ok = missing_ok != 0;
    Pb__DeleteFileSystemSnapshotRequest request = PB__DELETE_FILE_SYSTEM_SNAPSHOT_REQUEST__INIT;
    request.file_system_snapshot_id = q->id;
    return query_submit(q, &request, error);
}

cws_op *cws_bucket_config_get(cws_client *client, cws_target *target, uint64_t timeout_ns,
                              cws_error **error)
{
    struct query *q = new_query(client, target, &bucket_get_class, timeout_ns, error);
    Pb__GetFileSystemSnapshotBucketConfigRequest request =
        PB__GET_FILE_SYSTEM_SNAPSHOT_BUCKET_CONFIG_REQUEST__INIT;
    return q ? query_submit(q, &request, error) : NULL;
}

cws_op *cws_bucket_config_set(cws_client *client, cws_target *target, const char *bucket_name,
                              const char *region, uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &bucket_set_class, timeout_ns, error);
    Pb__FileSystemSnapshotBucketConfig config = PB__FILE_SYSTEM_SNAPSHOT_BUCKET_CONFIG__INIT;
    if (bucket_name)
        config.bucket_name = (char *)bucket_name;
    if (region)
        config.region = (char *)region;
    Pb__UpdateFileSystemSnapshotBucketConfigRequest request =
        PB__UPDATE_FILE_SYSTEM_SNAPSHOT_BUCKET_CONFIG_REQUEST__INIT;
    request.file_system_snapshot_bucket_config = &config;
    return q ? query_submit(q, &request, error) : NULL;
}

size_t cws_op_n_snapshots(const cws_op *op)
{
    const struct query *q = query_of(op, &get_class, &list_class);
    return q ? q->n_items : 0;
}

const cws_snapshot *cws_op_snapshot(const cws_op *op, size_t i)
{
    const struct query *q = query_of(op, &get_class, &list_class);
    return q && i < q->n_items ? &((const cws_snapshot *)q->items)[i] : NULL;
}

const cws_bucket_config *cws_op_bucket_config(const cws_op *op)
{
    const struct query *q = query_of(op, &bucket_get_class, &bucket_set_class);
    return q && q->n_items ? q->items : NULL;
}
