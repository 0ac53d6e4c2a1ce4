#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "image/inflate.h"
#include "image/tar.h"
#include "image/testtar.h"

/* Walks @b to its end; the number of entries, or -1. */
static int walk(struct buf *b, struct err *err)
{
    struct buf_source source;
    CLEANUP(tar_done) struct tar t;
    const struct tar_entry *e;
    int n = 0, r;
    buf_source_init(&source, b);
    tar_init(&t, &source.source);
    while ((r = tar_next(&t, &e, err)) > 0)
        n++;
    return r < 0 ? -1 : n;
}

static void expect_refused(struct buf *b, enum err_code code, const char *why)
{
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(walk(b, &err), -1);
    assert_int_equal(err.code, code);
    if (strstr(err_text(&err), why) == NULL)
        fail_msg("`%s` does not say `%s`", err_text(&err), why);
}

static void test_entries_come_with_all_that_headers_say(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    CLEANUP_ERR struct err err = {0};
    CLEANUP(tar_done) struct tar t;
    struct buf_source source;
    const struct tar_entry *e;
    char content[8];
    testtar_entry(&b, '5', "d/", "", "");
    testtar_pax(&b, "SCHILY.xattr.user.x", "v=1");
    testtar_entry(&b, '0', "d/f", "", "hello");
    testtar_pax(&b, "mtime", "-1.25");
    testtar_entry(&b, '2', "d/l", "../f", "");
    testtar_entry(&b, 'L', "././@LongLink", "", "long/name");
    testtar_entry(&b, '1', "cut", "d/f", "");
    testtar_end(&b);
    buf_source_init(&source, &b);
    tar_init(&t, &source.source);
    assert_int_equal(tar_next(&t, &e, &err), 1);
    assert_int_equal(e->kind, TAR_DIRECTORY);
    assert_int_equal(e->mode_bits, 0755);
    assert_int_equal(tar_next(&t, &e, &err), 1);
    assert_int_equal(e->kind, TAR_FILE);
    assert_int_equal(e->size, 5);
    assert_int_equal(e->n_xattrs, 1);
    assert_string_equal(e->xattrs[0].name, "user.x");
    assert_memory_equal(e->xattrs[0].value, "v=1", 3);
    assert_int_equal(tar_read(&t, content, sizeof(content), &err), 5);
    assert_memory_equal(content, "hello", 5);
    assert_int_equal(tar_next(&t, &e, &err), 1);
    assert_int_equal(e->kind, TAR_SYMLINK);
    assert_string_equal(e->link, "../f");
    assert_int_equal(e->mtime_s, -2);
    assert_int_equal(e->mtime_ns, 750000000);
    assert_int_equal(e->n_xattrs, 0);
    assert_int_equal(tar_next(&t, &e, &err), 1);
    assert_int_equal(e->kind, TAR_HARDLINK);
    assert_string_equal(e->path, "long/name");
    assert_int_equal(tar_next(&t, &e, &err), 0);
}

static void test_an_archive_that_is_cut_is_refused(void **state)
{
    for (size_t cut = 1; cut < 1024; cut += 73) {
        CLEANUP_BUF struct buf b = {0};
        CLEANUP_ERR struct err err = {0};
        testtar_entry(&b, '0', "f", "", "hello");
        b.end -= cut;
        if (cut == 512)
            continue;
        assert_int_equal(walk(&b, &err), -1);
        assert_int_equal(err.code, ERR_DATA_LOSS);
    }
}

static void test_what_can_be_read_in_two_ways_is_refused(void **state)
{
    static const char *const twice[][2] = {{"path", "a"},
                                           {"linkpath", "a"},
                                           {"size", "1"},
                                           {"uid", "1"},
                                           {"SCHILY.xattr.user.a", "1"}};
    for (size_t i = 0; i < ARRAY_SIZE(twice); i++) {
        CLEANUP_BUF struct buf b = {0};
        testtar_pax(&b, twice[i][0], twice[i][1]);
        testtar_pax(&b, twice[i][0], twice[i][1]);
        testtar_entry(&b, '0', "f", "", "");
        expect_refused(&b, ERR_DATA_LOSS, "two extended headers");
    }
    CLEANUP_BUF struct buf b = {0};
    testtar_pax(&b, "path", "a");
    testtar_end(&b);
    expect_refused(&b, ERR_DATA_LOSS, "has no entry");
    buf_clear(&b);
    testtar_entry(&b, 'L', "l", "", "name");
    testtar_entry(&b, 'L', "l", "", "name");
    expect_refused(&b, ERR_DATA_LOSS, "say the same");
}

static void test_headers_that_lie_are_refused(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    testtar_entry(&b, '0', "f", "", "");
    b.data[0] = 'g';
    expect_refused(&b, ERR_DATA_LOSS, "checksum");
    buf_clear(&b);
    testtar_pax(&b, "size", "99999999999999999999");
    testtar_entry(&b, '0', "f", "", "");
    expect_refused(&b, ERR_DATA_LOSS, "is none");
    buf_clear(&b);
    testtar_pax(&b, "GNU.sparse.major", "1");
    testtar_entry(&b, '0', "f", "", "");
    expect_refused(&b, ERR_UNIMPLEMENTED, "sparse");
    buf_clear(&b);
    testtar_entry(&b, 'V', "volume", "", "");
    expect_refused(&b, ERR_UNIMPLEMENTED, "unknown type 0x56");
}

static void test_extended_headers_have_a_limit(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    CLEANUP_FREE char *huge = malloc(TAR_EXTENDED_MAX + 1);
    memset(huge, 'a', TAR_EXTENDED_MAX);
    huge[TAR_EXTENDED_MAX] = '\0';
    testtar_pax(&b, "comment", huge);
    testtar_entry(&b, '0', "f", "", "");
    expect_refused(&b, ERR_DATA_LOSS, "larger than 1 MiB");
    buf_clear(&b);
    huge[TAR_PATH_MAX + 1] = '\0';
    testtar_pax(&b, "path", huge);
    expect_refused(&b, ERR_DATA_LOSS, "too long");
}

/* gzip and zstd of the same archive, whole and cut. */
static void unpack_cut(const void *packed, size_t n, size_t n_plain)
{
    for (size_t keep = 8; keep <= n; keep++) {
        CLEANUP_BUF struct buf b = {0};
        CLEANUP_ERR struct err err = {0};
        struct buf_source source;
        uint8_t plain[4096];
        assert_int_equal(buf_put(&b, packed, keep), 0);
        buf_source_init(&source, &b);
        CLEANUP_INFLATE struct inflate *z = inflate_new(&source.source, &err);
        assert_non_null(z);
        assert_true(inflate_is_packed(z));
        ssize_t got = source_read_full(inflate_source(z), plain, sizeof(plain), &err);
        assert_int_equal(got, keep == n ? (ssize_t)n_plain : -1);
        assert_int_equal(err.code, keep == n ? ERR_OK : ERR_DATA_LOSS);
    }
}

static void test_packed_streams_are_unpacked_whole_or_refused(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    uint8_t packed[4096];
    testtar_entry(&b, '0', "f", "", "hello");
    testtar_end(&b);
    size_t n = ZSTD_compress(packed, sizeof(packed), buf_head(&b), buf_len(&b), 3);
    assert_false(ZSTD_isError(n));
    unpack_cut(packed, n, buf_len(&b));
    z_stream z = {.next_in = (uint8_t *)buf_head(&b),
                  .avail_in = (uInt)buf_len(&b),
                  .next_out = packed,
                  .avail_out = sizeof(packed)};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    unpack_cut(packed, sizeof(packed) - z.avail_out, buf_len(&b));
    (void)deflateEnd(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_come_with_all_that_headers_say),
        cmocka_unit_test(test_an_archive_that_is_cut_is_refused),
        cmocka_unit_test(test_what_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test(test_headers_that_lie_are_refused),
        cmocka_unit_test(test_extended_headers_have_a_limit),
        cmocka_unit_test(test_packed_streams_are_unpacked_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
