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
#include "server/service.h"

#define LAYER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct options options;
static struct service service = {.options = &options};

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

static void put_config(void **state, const char *reference, const char *start, const char *more)
{
    CLEANUP(store_close) struct store store;
    CLEANUP_FREE char *path = str_dup_printf("%s/images", (char *)*state);
    CLEANUP_FREE char *platform = strdup(manifest_platform());
    char hex[DIGEST_HEX + 1], *slash = strchr(platform, '/');
    *slash = '\0';
    CLEANUP_FREE char *config =
        str_dup_printf("{\"os\": \"%s\", \"architecture\": \"%s\", \"config\": %s, "
                       "\"rootfs\": {\"diff_ids\": [\"sha256:" LAYER "\"]}%s}",
                       platform, slash + 1, start, more);
    assert_int_equal(store_open(&store, path, NULL), 0);
    assert_int_equal(hash_bytes(config, strlen(config), hex, NULL), 0);
    assert_int_equal(store_put(&store, STORE_CONFIG, hex, config, strlen(config), NULL), 0);
    assert_int_equal(store_put_ref(&store, reference, hex, hex, NULL), 0);
}

static void put(void **state, const char *reference, const char *start)
{
    put_config(state, reference, start, "");
}

static void test_an_image_is_found_by_every_name_that_means_it(void **state)
{
    put(state, "docker.io/library/tool:latest",
        "{\"Env\": [\"A=1\"], \"Entrypoint\": [\"/e\"], \"Cmd\": [\"c\", \"d\"], "
        "\"User\": \"app\", \"WorkingDir\": \"/srv\", \"StopSignal\": \"SIGINT\"}");
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"tool", "tool:latest",
                                            "docker.io/library/tool:latest"};
        CLEANUP_IMAGE struct runtime_image image = {0};
        assert_int_equal(images_find(&service, names[i], false, &image, NULL), 0);
        assert_string_equal(image.layers[0], LAYER);
        assert_null(image.layers[1]);
        assert_string_equal(image.env[0], "A=1");
        assert_null(image.env[1]);
        assert_string_equal(image.entrypoint[0], "/e");
        assert_int_equal(strings_count(image.cmd), 2);
        assert_string_equal(image.user, "app");
        assert_string_equal(image.working_dir, "/srv");
        assert_int_equal(strlen(image.id), DIGEST_HEX);
        assert_false(image.host);
        assert_int_equal(image.stop_signal, 2);
    }
}

static void test_an_image_may_stand_on_the_machine(void **state)
{
    CLEANUP_IMAGE struct runtime_image image = {0};
    put_config(state, "docker.io/library/tool:host", "{}", ", \"cwsandbox.base\": \"host\"");
    assert_int_equal(images_find(&service, "tool:host", false, &image, NULL), 0);
    assert_true(image.host);
    CLEANUP_IMAGE struct runtime_image none = {0};
    CLEANUP_ERR struct err err = {0};
    put_config(state, "docker.io/library/tool:else", "{}", ", \"cwsandbox.base\": \"else\"");
    assert_int_equal(images_find(&service, "tool:else", false, &none, &err), -1);
    assert_non_null(strstr(err_text(&err), "stands on `else`"));
}

static void test_what_cannot_be_had_is_named(void **state)
{
    CLEANUP_IMAGE struct runtime_image image = {0};
    CLEANUP_ERR struct err err = {0};
    options.image_pull = IMAGE_PULL_NEVER;
    assert_int_equal(images_find(&service, "tool:2", false, &image, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err_text(&err), "`cwsandbox image pull tool:2`"));
    assert_int_equal(images_find(&service, "../tool", false, &image, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    put(state, "docker.io/library/other:latest", "{\"Env\": [\"no variable\"]}");
    assert_int_equal(images_find(&service, "other", false, &image, &err), -1);
    assert_int_equal(err.code, ERR_DATA_LOSS);
    assert_null(image.layers);
}

static void test_when_an_image_must_be_brought(void **state)
{
    static const struct {
        enum image_pull pull;
        bool there, brought;
        int answer;
    } rows[] = {
        {IMAGE_PULL_MISSING, true, false, 0}, {IMAGE_PULL_MISSING, false, false, 1},
        {IMAGE_PULL_MISSING, true, true, 0},  {IMAGE_PULL_MISSING, false, true, -1},
        {IMAGE_PULL_ALWAYS, true, false, 1},  {IMAGE_PULL_ALWAYS, false, false, 1},
        {IMAGE_PULL_ALWAYS, true, true, 0},   {IMAGE_PULL_ALWAYS, false, true, -1},
        {IMAGE_PULL_NEVER, true, false, 0},   {IMAGE_PULL_NEVER, false, false, -1},
    };
    put(state, "docker.io/library/tool:latest", "{}");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_IMAGE struct runtime_image image = {0};
        CLEANUP_ERR struct err err = {0};
        options.image_pull = rows[i].pull;
        assert_int_equal(images_find(&service, rows[i].there ? "tool" : "none", rows[i].brought,
                                     &image, &err),
                         rows[i].answer);
        assert_true((err.code != ERR_OK) == (rows[i].answer < 0));
        assert_true((image.layers != NULL) == (rows[i].answer == 0));
    }
    options.image_pull = IMAGE_PULL_MISSING;
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
        _exit(images_find(&service, "tool", false, &image, NULL) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_image_is_found_by_every_name_that_means_it,
                                        enter, leave),
        cmocka_unit_test_setup_teardown(test_an_image_may_stand_on_the_machine, enter, leave),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_had_is_named, enter, leave),
        cmocka_unit_test_setup_teardown(test_when_an_image_must_be_brought, enter, leave),
        cmocka_unit_test_setup_teardown(test_the_filter_lets_a_store_be_read, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
