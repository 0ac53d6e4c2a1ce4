#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/rundir.h"
#include "base/strmap.h"
#include "base/util.h"

static void test_error_keeps_code_reason_and_context(void **state)
{
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(err_set_reason(&err, ERR_NOT_FOUND, "CWSANDBOX_X", "find `%s`", "a"), -1);
    (void)err_wrap(&err, "read file");
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.reason, "CWSANDBOX_X");
    assert_string_equal(err_text(&err), "read file: find `a`");
}

static void test_error_replacing_itself_may_quote_its_old_text(void **state)
{
    CLEANUP_ERR struct err err = {0};
    (void)err_set(&err, ERR_INTERNAL, "inner");
    (void)err_set(&err, ERR_UNAVAILABLE, "outer: %s", err_text(&err));
    assert_string_equal(err_text(&err), "outer: inner");
    assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static void test_error_with_errno_says_its_text(void **state)
{
    CLEANUP_ERR struct err err = {0};
    (void)err_set_errno(&err, ERR_INTERNAL, ENOSPC, "write `%s`", "f");
    assert_string_equal(err_text(&err), "write `f`: No space left on device");
    assert_int_equal(err.sys_errno, ENOSPC);
}

static void test_error_copy_is_deep(void **state)
{
    CLEANUP_ERR struct err a = {0};
    CLEANUP_ERR struct err b = {0};
    (void)err_set(&a, ERR_INVALID_ARGUMENT, "check spec");
    err_add_metadata(&a, "filepath", "/x");
    err_add_violation(&a, "spec.tags", "duplicate `%s`", "t");
    err_set_peer_reason(&a, "R", "d");
    err_copy(&b, &a);
    err_done(&a);
    assert_string_equal(err_metadata(&b, "filepath"), "/x");
    assert_null(err_metadata(&b, "other"));
    assert_string_equal(b.violations[0].key, "spec.tags");
    assert_string_equal(b.violations[0].value, "duplicate `t`");
    assert_string_equal(b.reason, "R");
    assert_string_equal(b.domain, "d");
}

static void test_buffer_grows_and_consumes_in_order(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    uint8_t expected = 0;
    for (int round = 0; round < 1000; round++) {
        uint8_t piece[37];
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = (uint8_t)((size_t)round * sizeof(piece) + i);
        assert_int_equal(buf_put(&b, piece, sizeof(piece)), 0);
        for (int k = 0; k < 30; k++) {
            assert_int_equal(buf_head(&b)[0], expected++);
            buf_consume(&b, 1);
        }
    }
    assert_int_equal(buf_len(&b), 7000);
    assert_true(b.cap < 40000);
}

static void test_buffer_take_moves_the_unread_bytes(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    assert_int_equal(buf_printf(&b, "%s-%d", "abc", 7), 0);
    buf_consume(&b, 2);
    size_t n = 0;
    uint8_t *data = buf_take(&b, &n);
    assert_int_equal(n, 3);
    assert_memory_equal(data, "c-7", 3);
    assert_null(b.data);
    free(data);
}

static void test_buffer_refuses_sizes_that_overflow(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    assert_int_equal(buf_put(&b, "x", 1), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
    assert_int_equal(buf_len(&b), 1);
}

static void test_map_finds_what_was_put_through_growth_and_removal(void **state)
{
    struct strmap m = {0};
    char keys[500][8];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        assert_int_equal(strmap_put(&m, keys[i], keys[i]), 0);
    }
    assert_int_equal(strmap_put(&m, "k7", &m), -EEXIST);
    for (int i = 0; i < 500; i += 2)
        assert_ptr_equal(strmap_remove(&m, keys[i]), keys[i]);
    assert_null(strmap_remove(&m, "k0"));
    for (int i = 0; i < 500; i++)
        assert_ptr_equal(strmap_get(&m, keys[i]), i % 2 ? keys[i] : NULL);
    size_t n = 0;
    for (size_t pos = 0; strmap_next(&m, &pos);)
        n++;
    assert_int_equal(n, 250);
    assert_int_equal(m.n_entries, 250);
    strmap_done(&m);
}

static void test_map_survives_endless_churn_without_growing(void **state)
{
    struct strmap m = {0};
    for (int i = 0; i < 20000; i++) {
        char *key = str_dup_printf("%d", i);
        assert_int_equal(strmap_put(&m, key, key), 0);
        assert_ptr_equal(strmap_remove(&m, key), key);
        free(key);
    }
    assert_true(m.n_slots <= 32);
    strmap_done(&m);
}

static void test_list_removes_while_iterating(void **state)
{
    struct list head, nodes[4];
    list_init(&head);
    for (int i = 0; i < 4; i++)
        list_append(&head, &nodes[i]);
    int n = 0;
    LIST_FOREACH_SAFE(it, &head)
    {
        list_remove(it);
        list_remove(it); /* harmless */
        n++;
    }
    assert_int_equal(n, 4);
    assert_true(list_empty(&head));
    assert_null(list_first(&head));
}

static void test_numbers_parse_whole_strings_only(void **state)
{
    uint64_t v = 9;
    assert_int_equal(parse_u64("", 10, &v), -EINVAL);
    assert_int_equal(parse_u64("1x", 10, &v), -EINVAL);
    assert_int_equal(parse_u64("-1", 10, &v), -EINVAL);
    assert_int_equal(parse_u64("11", 10, &v), -ERANGE);
    assert_int_equal(parse_u64("99999999999999999999", UINT64_MAX, &v), -ERANGE);
    assert_int_equal(v, 9);
    assert_int_equal(parse_u64("10", 10, &v), 0);
    assert_int_equal(v, 10);
}

static void test_utf8_accepts_exactly_the_legal_sequences(void **state)
{
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("aé€😀", strlen("aé€😀")));
    assert_true(utf8_valid("a\0b", 3));
    assert_false(utf8_valid("\xc0\x80", 2));         /* overlong NUL */
    assert_false(utf8_valid("\xe0\x9f\xbf", 3));     /* overlong */
    assert_false(utf8_valid("\xed\xa0\x80", 3));     /* surrogate */
    assert_false(utf8_valid("\xf4\x90\x80\x80", 4)); /* above U+10FFFF */
    assert_false(utf8_valid("\xe2\x82", 2));         /* cut */
    assert_false(utf8_valid("\x80", 1));
}

static void test_uuids_are_version_4_and_differ(void **state)
{
    char a[37], b[37];
    random_uuid(a);
    random_uuid(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_not_equal(a, b);
}

/* Somebody else was first at the place in /tmp: as root, who can plant it. */
static void test_a_squatted_runtime_directory_is_left_alone(void **state)
{
    enum { UID = 54777 }; /* no account needed */
    char home[] = "/tmp/cws-home-XXXXXX", want[64];
    int status = 1;
    (void)state;
    if (geteuid() != 0)
        return;
    assert_non_null(mkdtemp(home));
    assert_int_equal(chown(home, UID, UID), 0);
    assert_int_equal(mkdir("/tmp/cwsandbox-54777", 0700), 0);
    (void)snprintf(want, sizeof(want), "%s/.cwsandbox", home);
    pid_t pid = fork();
    if (pid == 0) {
        if (setresuid(UID, UID, UID) < 0)
            _exit(9);
        (void)unsetenv("XDG_RUNTIME_DIR");
        (void)unsetenv("HOME");
        CLEANUP_FREE char *without = rundir_path();
        (void)setenv("HOME", home, 1);
        CLEANUP_FREE char *with = rundir_path();
        _exit((strcmp(without, "/tmp/cwsandbox-54777") != 0) | (strcmp(with, want) != 0) << 1);
    }
    (void)waitpid(pid, &status, 0);
    assert_int_equal(rmdir("/tmp/cwsandbox-54777"), 0);
    assert_int_equal(rmdir(home), 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_keeps_code_reason_and_context),
        cmocka_unit_test(test_error_replacing_itself_may_quote_its_old_text),
        cmocka_unit_test(test_error_with_errno_says_its_text),
        cmocka_unit_test(test_error_copy_is_deep),
        cmocka_unit_test(test_buffer_grows_and_consumes_in_order),
        cmocka_unit_test(test_buffer_take_moves_the_unread_bytes),
        cmocka_unit_test(test_buffer_refuses_sizes_that_overflow),
        cmocka_unit_test(test_map_finds_what_was_put_through_growth_and_removal),
        cmocka_unit_test(test_map_survives_endless_churn_without_growing),
        cmocka_unit_test(test_list_removes_while_iterating),
        cmocka_unit_test(test_numbers_parse_whole_strings_only),
        cmocka_unit_test(test_utf8_accepts_exactly_the_legal_sequences),
        cmocka_unit_test(test_uuids_are_version_4_and_differ),
        cmocka_unit_test(test_a_squatted_runtime_directory_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
