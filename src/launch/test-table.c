/* The table that one cwsandbox-launch leaves to the next: what it reads, and that it reads nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "launch/table.h"

struct thing {
    char name[8];
    uint32_t number, other;
    int fd;
};

static const struct table_row rows[] = {TABLE_ROW(1, struct thing, name),
                                        TABLE_ROW(2, struct thing, number),
                                        TABLE_FD(3, struct thing, fd)};
static const struct table_shape shape = TABLE_SHAPE(TABLE_CELL, rows);
static const struct table_shape fewer = {TABLE_CELL, 1, rows};

static int write_things(int fd)
{
    CLEANUP(table_done) struct table t = {0};
    const struct thing a = {"a", 1, 9, fd}, b = {"b", 2, 9, -1};

    assert_int_equal(table_put(&t, &shape, &a), 0);
    assert_int_equal(table_put(&t, &shape, &b), 0);
    int file = table_write(&t);
    assert_true(file >= 0);
    assert_int_equal(fcntl(file, F_GETFD), 0); /* for another program */
    return file;
}

static void test_what_is_put_is_got_again(void **state)
{
    CLEANUP(table_done) struct table t = {0};
    CLEANUP_FD int fd = open("/dev/null", O_RDONLY);
    struct thing got = {.other = 5};
    (void)state;

    assert_int_equal(table_read(&t, write_things(fd)), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    table_leave_open(&t, true);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    assert_int_equal(table_next(&t), TABLE_CELL);
    assert_int_equal(table_get(&t, &shape, &got), 0);
    assert_string_equal(got.name, "a");
    assert_int_equal(got.number, 1);
    assert_int_equal(got.fd, fd);
    assert_int_equal(got.other, 5); /* what has no row stays */
    assert_int_equal(table_get(&t, &shape, &got), 0);
    assert_string_equal(got.name, "b");
    assert_int_equal(got.fd, -1);
    assert_int_equal(table_next(&t), 0);
}

static void test_another_version_is_refused(void **state)
{
    static const uint32_t others[] = {TABLE_OLDEST - 1, TABLE_VERSION + 1};
    (void)state;

    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        CLEANUP(table_done) struct table t = {0};
        int file = write_things(-1);

        assert_int_equal(pwrite(file, &others[i], sizeof(others[i]), 8), sizeof(others[i]));
        assert_int_equal(table_read(&t, file), -EPROTONOSUPPORT);
    }
}

static void test_an_unknown_member_is_refused(void **state)
{
    CLEANUP(table_done) struct table t = {0};
    struct thing got = {0};
    (void)state;

    assert_int_equal(table_read(&t, write_things(-1)), 0);
    assert_int_equal(table_get(&t, &fewer, &got), -EBADMSG);
}

static void test_a_closed_descriptor_is_refused(void **state)
{
    CLEANUP(table_done) struct table t = {0};
    int fd = open("/dev/null", O_RDONLY), file = write_things(fd);
    (void)state;

    (void)close(fd);
    assert_int_equal(table_read(&t, file), -EBADF);
}

/* Two whole things, or an error. */
static int read_both(int file)
{
    CLEANUP(table_done) struct table t = {0};
    struct thing got;
    int r = table_read(&t, file);

    for (int i = 0; i < 2 && r == 0; i++)
        r = table_next(&t) == TABLE_CELL ? table_get(&t, &shape, &got) : -EBADMSG;
    return r;
}

static void test_a_table_that_was_cut_is_refused(void **state)
{
    CLEANUP_FD int whole = write_things(-1);
    off_t size = lseek(whole, 0, SEEK_END);
    (void)state;

    for (off_t cut = 0; cut < size; cut++) {
        int file = write_things(-1);

        assert_int_equal(ftruncate(file, cut), 0);
        assert_int_equal(read_both(file), -EBADMSG);
    }
    assert_int_equal(read_both(write_things(-1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_is_got_again),
        cmocka_unit_test(test_another_version_is_refused),
        cmocka_unit_test(test_an_unknown_member_is_refused),
        cmocka_unit_test(test_a_closed_descriptor_is_refused),
        cmocka_unit_test(test_a_table_that_was_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
