/* What the service reads of a store, behind its filter of system calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "image/value.h"
#include "runtime/image.h"
#include "server/confine.h"
#include "server/images.h"

#define LAYER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* The working directory is one with an empty store. */
static int enter(void **state)
{
    static char dir[32];
    CLEANUP_ERR struct err err = {0};
    CLEANUP(store_close) struct store store;
    (void)snprintf(dir, sizeof(dir), "/tmp/cws-images-XXXXXX");
    *state = mkdtemp(dir);
    CLEANUP_FREE char *path = str_dup_printf("%s/images", dir);
    return chdir(dir) < 0 || store_open(&store, path, &err) < 0;
}

static int leave(void **state)
{
    CLEANUP_FREE char *command = str_dup_printf("rm -rf %s", (char *)*state);
    return chdir("/") < 0 || system(command) != 0;
}

static void put(void **state, const char *reference, const char *start)
{
    CLEANUP(store_close) struct store store;
    CLEANUP_FREE char *path = str_dup_printf("%s/images", (char *)*state);
    CLEANUP_FREE char *platform = strdup(manifest_platform());
    char hex[DIGEST_HEX + 1], *slash = strchr(platform, '/');
    *slash = '\0';
    CLEANUP_FREE char *config =
        str_dup_printf("{\"os\": \"%s\", \"architecture\": \"%s\", \"config\": %s, "
                       "\"rootfs\": {\"diff_ids\": [\"sha256:" LAYER "\"]}}",
                       platform, slash + 1, start);
    assert_int_equal(store_open(&store, path, NULL), 0);
    assert_int_equal(hash_bytes(config, strlen(config), hex, NULL), 0);
    assert_int_equal(store_put(&store, STORE_CONFIG, hex, config, strlen(config), NULL), 0);
    assert_int_equal(store_put_ref(&store, reference, hex, hex, NULL), 0);
}

static void test_an_image_is_found_by_every_name_that_means_it(void **state)
{
    put(state, "docker.io/library/tool:latest",
        "{\"Env\": [\"A=1\"], \"Entrypoint\": [\"/e\"], \"Cmd\": [\"c\", \"d\"], "
        "\"User\": \"app\", \"WorkingDir\": \"/srv\"}");
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"tool", "tool:latest",
                                            "docker.io/library/tool:latest"};
        CLEANUP_IMAGE struct runtime_image image = {0};
        assert_int_equal(images_find(NULL, names[i], &image, NULL), 0);
        assert_string_equal(image.layers[0], LAYER);
        assert_null(image.layers[1]);
        assert_string_equal(image.env[0], "A=1");
        assert_null(image.env[1]);
        assert_string_equal(image.entrypoint[0], "/e");
        assert_int_equal(strings_count(image.cmd), 2);
        assert_string_equal(image.user, "app");
        assert_string_equal(image.working_dir, "/srv");
    }
}

static void test_what_cannot_be_had_is_named(void **state)
{
    CLEANUP_IMAGE struct runtime_image image = {0};
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(images_find(NULL, "tool:2", &image, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err_text(&err), "`cwsandbox image pull tool:2`"));
    assert_int_equal(images_find(NULL, "../tool", &image, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    put(state, "docker.io/library/other:latest", "{\"Env\": [\"no variable\"]}");
    assert_int_equal(images_find(NULL, "other", &image, &err), -1);
    assert_int_equal(err.code, ERR_DATA_LOSS);
    assert_null(image.layers);
}

static void test_the_filter_lets_a_store_be_read(void **state)
{
    int status = 0;
    put(state, "docker.io/library/tool:latest", "{}");
    pid_t pid = fork();
    if (pid == 0) {
        CLEANUP_IMAGE struct runtime_image image = {0};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine(NULL) < 0)
            _exit(99);
        _exit(images_find(NULL, "tool", &image, NULL) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_image_is_found_by_every_name_that_means_it,
                                        enter, leave),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_had_is_named, enter, leave),
        cmocka_unit_test_setup_teardown(test_the_filter_lets_a_store_be_read, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
