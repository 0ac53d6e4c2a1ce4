/* What is asked of launch for each kind of root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/cell.h"
#include "runtime/mounts.h"

static bool has(const struct launch_create *create, enum mount_kind kind, const char *target)
{
    for (uint32_t i = 0; i < create->n_mounts; i++) {
        if (create->mounts[i].kind == kind && strcmp(create->mounts[i].target, target) == 0)
            return true;
    }
    return false;
}

static void assert_has_what_every_root_has(const struct launch_create *create)
{
    assert_true(has(create, MOUNT_DEV, "/dev"));
    assert_true(has(create, MOUNT_SPACE, "/dev/shm"));
    assert_true(has(create, MOUNT_SPACE, "/tmp"));
    assert_true(has(create, MOUNT_PROC, "/proc"));
    for (uint32_t i = 0; i < create->n_mounts; i++)
        assert_true(mount_op_valid(&create->mounts[i]));
}

static void test_only_the_host_has_the_machines_directories(void **state)
{
    struct launch_create create = {.root.host = true};

    mounts_plan(&create, NULL, 0, NULL);
    assert_has_what_every_root_has(&create);
    assert_int_equal(create.mounts[0].kind, MOUNT_HOST); /* /dev and the rest on top of them */
    create.root.host = false;
    mounts_plan(&create, NULL, 0, NULL);
    assert_has_what_every_root_has(&create);
    assert_false(has(&create, MOUNT_HOST, ""));
    assert_true(has(&create, MOUNT_FILE, "/etc/hosts"));
    create.root.host = true; /* an image that stands on it */
    create.root.n_layers = 1;
    mounts_plan(&create, NULL, 0, NULL);
    assert_int_equal(create.mounts[0].kind, MOUNT_HOST);
    assert_true(has(&create, MOUNT_FILE, "/etc/hosts"));
}

static void test_an_images_directories_are_there(void **state)
{
    char longest[LAUNCH_MAX_TARGET + 1] = "/";
    const char *points[CELL_MAX_POINTS] = {"/app/src", "/data", "relative", longest};
    struct launch_create create = {0};

    (void)state;
    (void)memset(longest + 1, 'x', LAUNCH_MAX_TARGET - 1);
    for (size_t i = 4; i < CELL_MAX_POINTS; i++)
        points[i] = "/more";
    mounts_plan(&create, points, CELL_MAX_POINTS, NULL);
    assert_true(has(&create, MOUNT_POINT, "/app/src"));
    assert_true(has(&create, MOUNT_POINT, "/data"));
    assert_has_what_every_root_has(&create);
    assert_false(has(&create, MOUNT_POINT, longest));    /* launch would not believe it, */
    assert_false(has(&create, MOUNT_POINT, "relative")); /* nor this */
}

static void test_shm_is_mounted_on_dev_not_below_it(void **state)
{
    struct launch_create create = {.root.host = true};
    uint32_t dev = 0, shm = 0;

    mounts_plan(&create, NULL, 0, NULL);
    for (uint32_t i = 0; i < create.n_mounts; i++) {
        if (strcmp(create.mounts[i].target, "/dev") == 0)
            dev = i;
        if (strcmp(create.mounts[i].target, "/dev/shm") == 0)
            shm = i;
    }
    assert_true(dev < shm);
}

static void test_its_own_mounts_lie_on_those_of_every_root(void **state)
{
    struct launch_create create = {.root.host = true};
    char name[] = "v", target[] = "/tmp";
    struct mount_op given[] = {{MOUNT_MEMORY, name, "", 4096, false},
                               {MOUNT_VOLUME, name, target, 0, true}};
    struct mount_list list = {given, ARRAY_SIZE(given)};
    CLEANUP_FREE struct mount_op *own = mounts_copy(&list);

    (void)state;
    name[0] = target[1] = 'x'; /* whoever gave them is gone */
    list.ops = own;
    mounts_plan(&create, NULL, 0, &list);
    assert_has_what_every_root_has(&create);
    const struct mount_op *last = &create.mounts[create.n_mounts - 1];
    assert_int_equal(last[-1].kind, MOUNT_MEMORY);
    assert_int_equal(last[-1].size_bytes, 4096);
    assert_int_equal(last->kind, MOUNT_VOLUME);
    assert_string_equal(last->source, "v");
    assert_string_equal(last->target, "/tmp");
    assert_true(last->read_only);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_host_has_the_machines_directories),
        cmocka_unit_test(test_an_images_directories_are_there),
        cmocka_unit_test(test_shm_is_mounted_on_dev_not_below_it),
        cmocka_unit_test(test_its_own_mounts_lie_on_those_of_every_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
