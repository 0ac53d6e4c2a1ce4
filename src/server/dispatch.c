/*
 * Which path is served by what: the one table. Sorted by path, searched by bisection;
 * test-dispatch checks the order and that every method of the contract (wire/descriptors.h) is
 * in it.
 */
#include <string.h>

#include "server/dispatch.h"

#define MIB ((size_t)1 << 20)
#define WORD (4u << 10)   /* what strangers may send: the name of a service */
#define SMALL (64u << 10) /* requests that hold ids and a few words */
#define COMMAND \
    (8 * MIB) /* argv and environment: Linux's own limit is 2 MiB by default, 6 MiB at most */
#define SPEC (64 * MIB)     /* mounted files travel in it */
#define CONTENT (101 * MIB) /* 100 MiB and the other fields */

#define TODO_METHOD(p) \
    { \
        .path = (p), .max_request_bytes = CONTENT, .on_request = call_not_implemented \
    }
/* Clients tell "this service has no snapshots" from other failures by its reason. */
#define NO_SNAPSHOTS(p) \
    { \
        .path = (p), .max_request_bytes = SMALL, .on_request = snapshots_not_supported \
    }
#define UNARY(p, max, type, handler, ...) \
    { \
        .path = (p), .kind = METHOD_UNARY, .max_request_bytes = (max), \
        .request = &type##__descriptor, .on_request = (handler), __VA_ARGS__ \
    }

#define REFLECTION(p) \
    { \
        .path = (p), .kind = METHOD_BIDI, .max_request_bytes = SMALL, \
        .on_message = reflection_on_message, .on_half_close = reflection_on_half_close \
    }

static const struct method methods[] = {
    UNARY(PROTO_PATH_DISCOVERY("GetAvailableRunner"), SMALL, pb__get_available_runner_request,
          get_runner_on_request),
    UNARY(PROTO_PATH_DISCOVERY("ListAvailableRunners"), SMALL,
          pb__list_available_runners_request, list_runners_on_request),
    TODO_METHOD(PROTO_PATH_DATA_PLANE("Exec")),
    TODO_METHOD(PROTO_PATH_DATA_PLANE("ReadFile")),
    TODO_METHOD(PROTO_PATH_DATA_PLANE("StreamExec")),
    TODO_METHOD(PROTO_PATH_DATA_PLANE("StreamLogs")),
    TODO_METHOD(PROTO_PATH_DATA_PLANE("WriteFile")),
    TODO_METHOD(PROTO_PATH_SANDBOX("ConnectSandbox")),
    NO_SNAPSHOTS(PROTO_PATH_SANDBOX("CreateFileSystemSnapshot")),
    UNARY(PROTO_PATH_SANDBOX("CreateSandbox"), SPEC, pb__create_sandbox_request,
          create_on_request, .on_stopping = create_on_stopping,
          .on_release = create_on_release),
    UNARY(PROTO_PATH_SANDBOX("CreateSandboxFromFile"), SPEC,
          pb__create_sandbox_from_file_request, create_from_file_on_request),
    TODO_METHOD(PROTO_PATH_SANDBOX("CreateSandboxFromTemplate")),
    NO_SNAPSHOTS(PROTO_PATH_SANDBOX("DeleteFileSystemSnapshot")),
    UNARY(PROTO_PATH_SANDBOX("DeleteSandbox"), SMALL, pb__delete_sandbox_request,
          delete_on_request),
    UNARY(PROTO_PATH_SANDBOX("Exec"), COMMAND, pb__exec_request, exec_on_request,
          .runs_command = true, .on_release = exec_on_release, .on_expire = exec_on_expire),
    NO_SNAPSHOTS(PROTO_PATH_SANDBOX("GetFileSystemSnapshot")),
    UNARY(PROTO_PATH_SANDBOX("GetSandbox"), SMALL, pb__get_sandbox_request, get_on_request,
          .on_stopping = get_on_stopping, .on_release = get_on_release),
    TODO_METHOD(PROTO_PATH_SANDBOX("GetSandboxBuildLogs")),
    NO_SNAPSHOTS(PROTO_PATH_SANDBOX("ListFileSystemSnapshots")),
    UNARY(PROTO_PATH_SANDBOX("ListSandboxes"), SMALL, pb__list_sandboxes_request,
          list_on_request, .on_release = list_on_release),
    TODO_METHOD(PROTO_PATH_SANDBOX("PurgeSandboxes")),
    UNARY(PROTO_PATH_SANDBOX("ReadFile"), SMALL, pb__read_file_request, read_file_on_request,
          .on_release = file_on_release),
    {.path = PROTO_PATH_SANDBOX("StreamExec"),
     .kind = METHOD_BIDI,
     .runs_command = true,
     .max_request_bytes = CONTENT,
     .on_message = stream_exec_on_message,
     .on_half_close = stream_exec_on_half_close,
     .on_drain = stream_exec_on_drain,
     .on_release = stream_exec_on_release,
     .on_expire = stream_exec_on_expire},
    {.path = PROTO_PATH_SANDBOX("StreamLogs"),
     .kind = METHOD_SERVER_STREAM,
     .max_request_bytes = SMALL,
     .request = &pb__stream_logs_request__descriptor,
     .on_request = logs_on_request,
     .on_drain = logs_on_drain,
     .on_release = logs_on_release},
    UNARY(PROTO_PATH_SANDBOX("WriteFile"), CONTENT, pb__write_file_request,
          write_file_on_request, .on_release = file_on_release),
    TODO_METHOD(PROTO_PATH_TEMPLATE("CreateSandboxTemplate")),
    TODO_METHOD(PROTO_PATH_TEMPLATE("DeleteSandboxTemplate")),
    TODO_METHOD(PROTO_PATH_TEMPLATE("GetSandboxTemplate")),
    TODO_METHOD(PROTO_PATH_TEMPLATE("ListSandboxTemplates")),
    TODO_METHOD(PROTO_PATH_TEMPLATE("UpdateSandboxTemplate")),
    TODO_METHOD(PROTO_PATH_SETTINGS("CreateSecretStore")),
    TODO_METHOD(PROTO_PATH_SETTINGS("DeleteObjectStorageWifConfig")),
    TODO_METHOD(PROTO_PATH_SETTINGS("DeleteSecretStore")),
    TODO_METHOD(PROTO_PATH_SETTINGS("GetBuildStorageConfig")),
    NO_SNAPSHOTS(PROTO_PATH_SETTINGS("GetFileSystemSnapshotBucketConfig")),
    TODO_METHOD(PROTO_PATH_SETTINGS("GetObjectStorageWifConfig")),
    TODO_METHOD(PROTO_PATH_SETTINGS("GetSecretStore")),
    TODO_METHOD(PROTO_PATH_SETTINGS("ListSecretStores")),
    TODO_METHOD(PROTO_PATH_SETTINGS("UpdateBuildStorageConfig")),
    NO_SNAPSHOTS(PROTO_PATH_SETTINGS("UpdateFileSystemSnapshotBucketConfig")),
    TODO_METHOD(PROTO_PATH_SETTINGS("UpdateObjectStorageWifConfig")),
    TODO_METHOD(PROTO_PATH_SETTINGS("UpdateSecretStore")),
    UNARY(PROTO_PATH_VOLUME("CreateVolume"), SMALL, pb__create_volume_request,
          create_volume_on_request),
    UNARY(PROTO_PATH_VOLUME("DeleteVolume"), SMALL, pb__delete_volume_request,
          delete_volume_on_request),
    UNARY(PROTO_PATH_VOLUME("GetVolume"), SMALL, pb__get_volume_request, get_volume_on_request),
    UNARY(PROTO_PATH_VOLUME("ListVolumes"), SMALL, pb__list_volumes_request,
          list_volumes_on_request),
    UNARY(PROTO_PATH_VOLUME("UpdateVolume"), SMALL, pb__update_volume_request,
          update_volume_on_request),
    UNARY(PROTO_PATH_VOLUME("ValidateVolume"), SMALL, pb__validate_volume_request,
          validate_volume_on_request),
    UNARY("/grpc.health.v1.Health/Check", WORD, grpc__health_check_request,
          health_check_on_request, .open = true),
    UNARY("/grpc.health.v1.Health/List", WORD, grpc__health_list_request,
          health_list_on_request, .open = true),
    {.path = "/grpc.health.v1.Health/Watch",
     .kind = METHOD_SERVER_STREAM,
     .open = true,
     .max_request_bytes = WORD,
     .request = &grpc__health_check_request__descriptor,
     .on_request = health_watch_on_request,
     .on_stopping = health_watch_on_stopping},
    REFLECTION("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    REFLECTION("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
};

static int compare_path(const void *key, const void *element)
{
    return strcmp(key, ((const struct method *)element)->path);
}

const struct method *method_find(const char *path)
{
    return bsearch(path, methods, ARRAY_SIZE(methods), sizeof(methods[0]), compare_path);
}

void call_not_implemented(struct call *call, void *request)
{
    call_refuse(call, ERR_UNIMPLEMENTED, "CWSANDBOX_NOT_IMPLEMENTED",
                "%s is not implemented by this service", strrchr(call->method->path, '/') + 1);
}

void snapshots_not_supported(struct call *call, void *request)
{
    call_refuse(call, ERR_UNIMPLEMENTED, "CWSANDBOX_FSS_NOT_SUPPORTED",
                "file system snapshots are not implemented by this service");
}
