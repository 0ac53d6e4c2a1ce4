/* Registered volumes: what outlives a sandbox and is mounted by its id. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/options-times.h"
#include "client/query.h"

#define WAIT_RPC_NS (15 * NS_PER_SEC) /* of one question; as the published client */
#define WAIT_POLL_NS (NS_PER_SEC / 5) /* between two; the same */

static void fill(cws_volume *to, const Pb__Volume *from)
{
    static const Pb__VolumeSpec no_spec = PB__VOLUME_SPEC__INIT;
    static const Pb__VolumeStatus no_status = PB__VOLUME_STATUS__INIT;
    const Pb__VolumeSpec *spec = from->spec ? from->spec : &no_spec;
    const Pb__VolumeStatus *status = from->status ? from->status : &no_status;
    *to = (cws_volume){
        .id = from->volume_id,
        .read_only = spec->read_only != 0,
        .description = spec->description,
        .state = (cws_volume_state)status->state,
        .state_reason = status->state_reason,
        .locality = (cws_volume_locality)status->locality,
        .access_modes = (const char *const *)status->access_modes,
        .n_access_modes = status->n_access_modes,
        .capacity = status->capacity,
        .attached_sandbox_count = status->attached_sandbox_count,
        .created_ns = query_time(status->create_time),
        .updated_ns = query_time(status->update_time),
        .validated_ns = query_time(status->last_validated_time),
    };
    if (spec->source_case == PB__VOLUME_SPEC__SOURCE_PVC) {
        to->has_pvc = 1;
        to->pvc = (cws_pvc_source){spec->pvc->runner_id, spec->pvc->namespace_,
                                   spec->pvc->claim_name, spec->pvc->sub_path};
    }
}

/* None when it was missing and may be. */
static int collect_one(struct query *q)
{
    if (q->n_replies == 0)
        return 0;
    q->items = query_alloc(q, 1, sizeof(cws_volume));
    if (!q->items)
        return -ENOMEM;
    fill(q->items, q->replies[0]);
    q->n_items = 1;
    return 0;
}

static int collect_list(struct query *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n_replies; i++)
        n += ((Pb__ListVolumesResponse *)q->replies[i])->n_volumes;
    cws_volume *items = query_alloc(q, n, sizeof(*items));
    if (!items)
        return -ENOMEM;
    for (size_t i = 0; i < q->n_replies; i++) {
        const Pb__ListVolumesResponse *page = q->replies[i];
        for (size_t k = 0; k < page->n_volumes; k++)
            fill(&items[q->n_items++], page->volumes[k]);
    }
    q->items = items;
    return 0;
}

static const char *next_page(const void *reply)
{
    return ((const Pb__ListVolumesResponse *)reply)->next_page_token;
}

static struct cws_error *wait_timeout(const struct query *q)
{
    struct cws_error *e =
        error_new(CWS_E_VOLUME_WAIT_TIMEOUT, "volume '%s' is not ready after %.3g s", q->id,
                  (double)q->wait_ns / (double)NS_PER_SEC);
    error_add_volume_id(e, q->id);
    return e;
}

static bool wait_verdict(const struct query *q, struct cws_error **ret_error)
{
    const Pb__Volume *v = q->replies[0];
    int state = v->status ? (int)v->status->state : 0;
    *ret_error = NULL;
    if (state == PB__VOLUME_STATE__VOLUME_STATE_READY)
        return true;
    if (state != PB__VOLUME_STATE__VOLUME_STATE_ERROR &&
        state != PB__VOLUME_STATE__VOLUME_STATE_DELETING)
        return false;
    const char *reason = v->status->state_reason;
    *ret_error = error_new(CWS_E_VOLUME, "volume '%s' %s%s%s", q->id,
                           state == PB__VOLUME_STATE__VOLUME_STATE_ERROR ? "has an error"
                                                                         : "is being deleted",
                           *reason ? ": " : "", reason);
    error_add_volume_id(*ret_error, q->id);
    return true;
}

static const struct query_wait wait_rules = {
    .poll_ns = WAIT_POLL_NS, .verdict = wait_verdict, .timed_out = wait_timeout};

#define VOLUME_CALL(method, text) \
    .path = PROTO_PATH_VOLUME(method), .label = text, .reply = &pb__volume__descriptor, \
    .volume = true, .retries = true, .collect = collect_one

static const struct query_class create_class = {VOLUME_CALL("CreateVolume", "Create volume")};
static const struct query_class get_class = {VOLUME_CALL("GetVolume", "Get volume")};
static const struct query_class update_class = {VOLUME_CALL("UpdateVolume", "Update volume")};
static const struct query_class validate_class = {
    VOLUME_CALL("ValidateVolume", "Validate volume")};
static const struct query_class delete_class = {VOLUME_CALL("DeleteVolume", "Delete volume"),
                                                .deletes = true};
static const struct query_class wait_class = {VOLUME_CALL("GetVolume", "Wait for volume"),
                                              .wait = &wait_rules};
static const struct query_class list_class = {
    .path = PROTO_PATH_VOLUME("ListVolumes"),
    .label = "List volumes",
    .reply = &pb__list_volumes_response__descriptor,
    .page_token_field = 2,
    .next_page = next_page,
    .volume = true,
    .retries = true,
    .collect = collect_list,
};

static struct query *new_query(cws_client *client, cws_target *target,
                               const struct query_class *cls, const char *id,
                               uint64_t timeout_ns, cws_error **error)
{
    struct query *q = query_new(client, target, cls,
                                timeout_ns ? timeout_ns : OPTIONS_REQUEST_TIMEOUT_NS, error);
    if (q && query_set_id(q, "volume_id", id, error) < 0) {
        cws_op_unref(&q->op);
        return NULL;
    }
    return q;
}

static int check_text(const char *what, const char *text, bool required, cws_error **error)
{
    if (required && (!text || !*text))
        return error_set(error, CWS_E_INVALID, "%s cannot be empty", what);
    if (text && !utf8_valid(text, strlen(text)))
        return error_set(error, CWS_E_INVALID, "%s is not valid UTF-8", what);
    return 0;
}

static char *wire_text(const char *text)
{
    return text ? (char *)text : (char *)protobuf_c_empty_string;
}

static int check_create(const cws_volume_create_options *o, cws_error **error)
{
    if (check_text("runner_id", o->pvc.runner_id, true, error) < 0 ||
        check_text("namespace", o->pvc.namespace_name, true, error) < 0 ||
        check_text("claim_name", o->pvc.claim_name, true, error) < 0 ||
        check_text("sub_path", o->pvc.sub_path, false, error) < 0 ||
        check_text("description", o->description, false, error) < 0)
        return -1;
    return check_text("request_id", o->request_id, false, error);
}

cws_op *cws_volume_create(cws_client *client, cws_target *target, const char *id,
                          const cws_volume_create_options *o, uint64_t timeout_ns,
                          cws_error **error)
{
    if (check_create(o, error) < 0)
        return NULL;
    struct query *q = new_query(client, target, &create_class, id, timeout_ns, error);
    if (!q)
        return NULL;
    Pb__PvcVolumeSource pvc = PB__PVC_VOLUME_SOURCE__INIT;
    pvc.runner_id = wire_text(o->pvc.runner_id);
    pvc.namespace_ = wire_text(o->pvc.namespace_name);
    pvc.claim_name = wire_text(o->pvc.claim_name);
    pvc.sub_path = wire_text(o->pvc.sub_path);
    Pb__VolumeSpec spec = PB__VOLUME_SPEC__INIT;
    spec.source_case = PB__VOLUME_SPEC__SOURCE_PVC;
    spec.pvc = &pvc;
    spec.read_only = o->read_only != 0;
    spec.description = wire_text(o->description);
    Pb__Volume volume = PB__VOLUME__INIT;
    volume.volume_id = q->id;
    volume.spec = &spec;
    char uuid[37];
    random_uuid(uuid);
    Pb__CreateVolumeRequest request = PB__CREATE_VOLUME_REQUEST__INIT;
    request.volume = &volume;
    request.request_id = o->request_id && *o->request_id ? (char *)o->request_id : uuid;
    return query_submit(q, &request, error);
}

cws_op *cws_volume_get(cws_client *client, cws_target *target, const char *id,
                       uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &get_class, id, timeout_ns, error);
    Pb__GetVolumeRequest request = PB__GET_VOLUME_REQUEST__INIT;
    if (q)
        request.volume_id = q->id;
    return q ? query_submit(q, &request, error) : NULL;
}

cws_op *cws_volume_wait(cws_client *client, cws_target *target, const char *id,
                        uint64_t wait_ns, uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &wait_class, id,
                                timeout_ns ? timeout_ns : WAIT_RPC_NS, error);
    if (!q)
        return NULL;
    q->wait_ns = wait_ns;
    Pb__GetVolumeRequest request = PB__GET_VOLUME_REQUEST__INIT;
    request.volume_id = q->id;
    return query_submit(q, &request, error);
}

cws_op *cws_volume_list(cws_client *client, cws_target *target,
                        const cws_volume_list_options *o, uint64_t timeout_ns,
                        cws_error **error)
{
    for (size_t i = 0; i < o->n_runner_ids; i++)
        if (check_text("runner_id", o->runner_ids[i], true, error) < 0)
            return NULL;
    struct query *q = query_new(client, target, &list_class,
                                timeout_ns ? timeout_ns : OPTIONS_REQUEST_TIMEOUT_NS, error);
    if (!q)
        return NULL;
    Pb__ListVolumesRequest request = PB__LIST_VOLUMES_REQUEST__INIT;
    request.states = (Pb__VolumeState *)o->states; /* the same numbers */
    request.n_states = o->n_states;
    request.runner_ids = (char **)o->runner_ids;
    request.n_runner_ids = o->n_runner_ids;
    return query_submit(q, &request, error);
}

cws_op *cws_volume_update(cws_client *client, cws_target *target, const char *id,
                          const char *description, uint64_t timeout_ns, cws_error **error)
{
    if (check_text("description", description, false, error) < 0)
        return NULL;
    struct query *q = new_query(client, target, &update_class, id, timeout_ns, error);
    if (!q)
        return NULL;
    char *path = (char *)"spec.description";
    Pb__FieldMask mask = PB__FIELD_MASK__INIT;
    mask.paths = &path;
    mask.n_paths = 1;
    Pb__VolumeSpec spec = PB__VOLUME_SPEC__INIT;
    spec.description = wire_text(description);
    Pb__Volume volume = PB__VOLUME__INIT;
    volume.spec = &spec;
    Pb__UpdateVolumeRequest request = PB__UPDATE_VOLUME_REQUEST__INIT;
    request.volume_id = q->id;
    request.volume = &volume;
    request.update_mask = &mask;
    return query_submit(q, &request, error);
}

cws_op *cws_volume_delete(cws_client *client, cws_target *target, const char *id,
                          int allow_missing, int force, uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &delete_class, id, timeout_ns, error);
    if (!q)
        return NULL;
    q->missing_ok = allow_missing != 0;
    Pb__DeleteVolumeRequest request = PB__DELETE_VOLUME_REQUEST__INIT;
    request.volume_id = q->id;
    request.allow_missing = allow_missing != 0;
    request.force = force != 0;
    return query_submit(q, &request, error);
}

cws_op *cws_volume_validate(cws_client *client, cws_target *target, const char *id,
                            uint64_t timeout_ns, cws_error **error)
{
    struct query *q = new_query(client, target, &validate_class, id, timeout_ns, error);
    Pb__ValidateVolumeRequest request = PB__VALIDATE_VOLUME_REQUEST__INIT;
    if (q)
        request.volume_id = q->id;
    return q ? query_submit(q, &request, error) : NULL;
}

static const struct query *volumes_of(const cws_op *op)
{
    static const struct query_class *const classes[] = {
        &create_class, &get_class,  &update_class, &validate_class,
        &delete_class, &wait_class, &list_class};
    const struct query *q = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(classes) && !q; i++)
        q = query_of(op, classes[i], classes[i]);
    return q;
}

size_t cws_op_n_volumes(const cws_op *op)
{
    const struct query *q = volumes_of(op);
    return q ? q->n_items : 0;
}

const cws_volume *cws_op_volume(const cws_op *op, size_t i)
{
    const struct query *q = volumes_of(op);
    return q && i < q->n_items ? &((const cws_volume *)q->items)[i] : NULL;
}
