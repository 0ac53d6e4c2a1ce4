/* The table of methods: every method of every service we describe is in it, and nothing is
 * found that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "server/dispatch.h"

static const char *const paths[] = {
    PROTO_PATH_SANDBOX("CreateSandbox"),
    PROTO_PATH_SANDBOX("CreateSandboxFromTemplate"),
    PROTO_PATH_SANDBOX("CreateSandboxFromFile"),
    PROTO_PATH_SANDBOX("ConnectSandbox"),
    PROTO_PATH_SANDBOX("GetSandboxBuildLogs"),
    PROTO_PATH_DATA_PLANE("Exec"),
    PROTO_PATH_DATA_PLANE("StreamExec"),
    PROTO_PATH_DATA_PLANE("StreamLogs"),
    PROTO_PATH_DATA_PLANE("WriteFile"),
    PROTO_PATH_DATA_PLANE("ReadFile"),
    PROTO_PATH_SETTINGS("GetBuildStorageConfig"),
    PROTO_PATH_SETTINGS("UpdateBuildStorageConfig"),
    PROTO_PATH_SANDBOX("GetSandbox"),
    PROTO_PATH_SANDBOX("ListSandboxes"),
    PROTO_PATH_SANDBOX("DeleteSandbox"),
    PROTO_PATH_SANDBOX("PurgeSandboxes"),
    PROTO_PATH_SANDBOX("Exec"),
    PROTO_PATH_SANDBOX("StreamExec"),
    PROTO_PATH_SANDBOX("StreamLogs"),
    PROTO_PATH_SANDBOX("WriteFile"),
    PROTO_PATH_SANDBOX("ReadFile"),
    PROTO_PATH_SANDBOX("CreateFileSystemSnapshot"),
    PROTO_PATH_SANDBOX("GetFileSystemSnapshot"),
    PROTO_PATH_SANDBOX("ListFileSystemSnapshots"),
    PROTO_PATH_SANDBOX("DeleteFileSystemSnapshot"),
    PROTO_PATH_DISCOVERY("ListAvailableRunners"),
    PROTO_PATH_DISCOVERY("GetAvailableRunner"),
    PROTO_PATH_TEMPLATE("CreateSandboxTemplate"),
    PROTO_PATH_TEMPLATE("GetSandboxTemplate"),
    PROTO_PATH_TEMPLATE("ListSandboxTemplates"),
    PROTO_PATH_TEMPLATE("UpdateSandboxTemplate"),
    PROTO_PATH_TEMPLATE("DeleteSandboxTemplate"),
    PROTO_PATH_VOLUME("CreateVolume"),
    PROTO_PATH_VOLUME("GetVolume"),
    PROTO_PATH_VOLUME("ListVolumes"),
    PROTO_PATH_VOLUME("UpdateVolume"),
    PROTO_PATH_VOLUME("DeleteVolume"),
    PROTO_PATH_VOLUME("ValidateVolume"),
    PROTO_PATH_SETTINGS("GetObjectStorageWifConfig"),
    PROTO_PATH_SETTINGS("UpdateObjectStorageWifConfig"),
    PROTO_PATH_SETTINGS("DeleteObjectStorageWifConfig"),
    PROTO_PATH_SETTINGS("GetFileSystemSnapshotBucketConfig"),
    PROTO_PATH_SETTINGS("UpdateFileSystemSnapshotBucketConfig"),
    PROTO_PATH_SETTINGS("CreateSecretStore"),
    PROTO_PATH_SETTINGS("GetSecretStore"),
    PROTO_PATH_SETTINGS("ListSecretStores"),
    PROTO_PATH_SETTINGS("UpdateSecretStore"),
    PROTO_PATH_SETTINGS("DeleteSecretStore"),
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
};

static void test_every_method_of_the_contract_is_found(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        const struct method *m = method_find(paths[i]);
        assert_non_null(m);
        assert_string_equal(m->path, paths[i]);
        /* Only health answers strangers. */
        assert_int_equal(m->open, str_startswith(paths[i], "/grpc.health.") != NULL);
    }
}

static void test_other_paths_are_not_found(void **state)
{
    assert_null(method_find(""));
    assert_null(method_find("/"));
    assert_null(method_find(PROTO_PATH_SANDBOX("")));
    assert_null(method_find(PROTO_PATH_SANDBOX("Exec2")));
    assert_null(method_find(PROTO_PATH_SANDBOX("exec")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_method_of_the_contract_is_found),
        cmocka_unit_test(test_other_paths_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
