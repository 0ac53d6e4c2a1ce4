#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "image/testtar.h"
#include "image/tree.h"
#include "image/unpack.h"

/* Unpacks and consumes @b with these caps. */
static int unpack(struct buf *b, uint64_t max_bytes, uint64_t max_entries,
                  struct unpack_result *ret, struct err *err)
{
    char path[] = "/tmp/cws-unpack-XXXXXX";
    struct unpack_options o = {.max_bytes = max_bytes, .max_entries = max_entries};
    struct buf_source source;
    assert_non_null(mkdtemp(path));
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    buf_source_init(&source, b);
    int r = unpack_layer(dir, &source.source, &o, ret, err);
    (void)close(dir);
    assert_int_equal(tree_remove(AT_FDCWD, path), 0);
    return r;
}

static void expect_cap(void (*fill)(struct buf *), uint64_t bytes, uint64_t entries, bool fits)
{
    CLEANUP_BUF struct buf b = {0};
    CLEANUP_ERR struct err err = {0};
    struct unpack_result r = {0};
    fill(&b);
    if (unpack(&b, bytes, entries, &r, &err) == 0) {
        assert_true(fits);
        return;
    }
    assert_false(fits);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err_text(&err), "`last`"));
}

static void two_files(struct buf *b)
{
    testtar_entry(b, '0', "first", "", "12345");
    testtar_entry(b, '0', "last", "", "123");
    testtar_end(b);
}

static void test_bytes_of_all_files_have_a_cap(void **state)
{
    expect_cap(two_files, 8, 10, true);
    expect_cap(two_files, 7, 10, false);
    expect_cap(two_files, 5, 10, false);
}

static void test_entries_have_a_cap(void **state)
{
    expect_cap(two_files, 8, 2, true);
    expect_cap(two_files, 8, 1, false);
}

static void deep(struct buf *b)
{
    testtar_entry(b, '0', "a/b/c/d/f", "", "");
    testtar_entry(b, '0', "last", "", "");
    testtar_end(b);
}

static void test_directories_that_no_entry_names_count_too(void **state)
{
    expect_cap(deep, 8, 6, true);
    expect_cap(deep, 8, 5, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_all_files_have_a_cap),
        cmocka_unit_test(test_entries_have_a_cap),
        cmocka_unit_test(test_directories_that_no_entry_names_count_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
