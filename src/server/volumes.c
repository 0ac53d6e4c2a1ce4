/*
 * VolumeService of a machine that has no registered volumes: the list is empty, none exists, and
 * the only kind there is, a claim in a cluster, cannot be registered.
 */
#include "server/dispatch.h"
#include "server/spec.h"

int err_volume_not_found(struct err *err, const char *volume_id)
{
    (void)err_set_reason(err, ERR_NOT_FOUND, "CWSANDBOX_VOLUME_NOT_FOUND",
                         "volume `%s` does not exist: this service has no registered volumes",
                         volume_id);
    err_add_metadata(err, "volume_id", volume_id);
    return -1;
}

static void refuse(struct call *call, const char *volume_id)
{
    CLEANUP_ERR struct err err = {0};
    (void)err_volume_not_found(&err, volume_id);
    call_finish(call, &err);
}

void list_volumes_on_request(struct call *call, void *request)
{
    Pb__ListVolumesResponse response = PB__LIST_VOLUMES_RESPONSE__INIT;
    call_reply(call, &response);
}

void create_volume_on_request(struct call *call, void *request)
{
    const Pb__CreateVolumeRequest *req = request;
    CLEANUP_ERR struct err err = {0};
    if (req->volume == NULL || req->volume->spec == NULL)
        (void)err_invalid(&err, "volume.spec", "is required");
    else
        (void)err_set_reason(&err, ERR_FAILED_PRECONDITION,
                             "CWSANDBOX_VOLUME_TYPE_NOT_SUPPORTED",
                             "register volume `%s`: this service has no cluster whose claims "
                             "could be volumes",
                             req->volume->volume_id);
    if (req->volume != NULL && err.code == ERR_FAILED_PRECONDITION)
        err_add_metadata(&err, "volume_id", req->volume->volume_id);
    call_finish(call, &err);
}

void get_volume_on_request(struct call *call, void *request)
{
    refuse(call, ((const Pb__GetVolumeRequest *)request)->volume_id);
}

void update_volume_on_request(struct call *call, void *request)
{
    refuse(call, ((const Pb__UpdateVolumeRequest *)request)->volume_id);
}

void validate_volume_on_request(struct call *call, void *request)
{
    refuse(call, ((const Pb__ValidateVolumeRequest *)request)->volume_id);
}

void delete_volume_on_request(struct call *call, void *request)
{
    const Pb__DeleteVolumeRequest *req = request;
    Pb__Volume gone = PB__VOLUME__INIT;
    gone.volume_id = req->volume_id;
    if (req->allow_missing)
        call_reply(call, &gone);
    else
        refuse(call, req->volume_id);
}
