/* Statuses on the wire: details, percent encoding, timeouts, base64, code mappings. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "wire/proto.h"
#include "wire/status.h"

static void assert_buf(const struct buf *b, const char *text)
{
    assert_int_equal(buf_len(b), strlen(text));
    if (*text)
        assert_memory_equal(buf_head(b), text, strlen(text));
}

static void test_percent_encoding_escapes_what_headers_cannot_carry(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    assert_int_equal(status_percent_encode(" a b%\n\xc3\xa9~ ", &b), 0);
    assert_buf(&b, "%20a b%25%0A%C3%A9~%20");
    CLEANUP_BUF struct buf back = {0};
    assert_int_equal(buf_put(&b, "", 1), 0);
    assert_int_equal(status_percent_decode((const char *)buf_head(&b), &back), 0);
    assert_buf(&back, " a b%\n\xc3\xa9~ ");
}

static void test_percent_decoding_keeps_malformed_escapes(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    assert_int_equal(status_percent_decode("%4a%4A%zz%4%%41%", &b), 0);
    assert_buf(&b, "JJ%zz%4%A%");
    buf_clear(&b);
    assert_int_equal(status_percent_decode("", &b), 0);
    assert_int_equal(buf_len(&b), 0);
}

static void test_timeouts_round_up_and_use_at_most_eight_digits(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "1n"},
        {99999999, "99999999n"},
        {100000000, "100000u"},
        {100000001, "100001u"},
        {60 * NS_PER_SEC, "60000000u"},
        {100 * NS_PER_SEC, "100000m"},
        {3600 * NS_PER_SEC, "3600000m"},
        {UINT64_MAX, "5124096H"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[16];
        uint64_t back = 0;
        status_format_timeout(cases[i].ns, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(status_parse_timeout(text, &back), 0);
        assert_true(back >= cases[i].ns);
    }
}

static void test_timeouts_of_other_shapes_are_refused(void **state)
{
    static const char *const bad[] = {"",    "S",   "1",          "1s",   "1SS",  "-1S",
                                      " 1S", "1 S", "123456789S", "1.5S", "1\xc3"};
    uint64_t ns = 7;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(status_parse_timeout(bad[i], &ns), -EINVAL);
    assert_int_equal(ns, 7);
    assert_int_equal(status_parse_timeout("99999999H", &ns), 0);
    assert_int_equal(ns, UINT64_MAX);
    assert_int_equal(status_parse_timeout("0S", &ns), 0);
    assert_int_equal(ns, 0);
}

static void test_base64_is_written_without_and_read_with_or_without_padding(void **state)
{
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"",       "Zg",      "Zm8",     "Zm9v",
                                        "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
    static const char *const padded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                         "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        CLEANUP_BUF struct buf e = {0}, d1 = {0}, d2 = {0};
        assert_int_equal(base64_encode(plain[i], strlen(plain[i]), &e), 0);
        assert_buf(&e, coded[i]);
        assert_int_equal(base64_decode(coded[i], strlen(coded[i]), &d1), 0);
        assert_buf(&d1, plain[i]);
        assert_int_equal(base64_decode(padded[i], strlen(padded[i]), &d2), 0);
        assert_buf(&d2, plain[i]);
    }
    static const char *const bad[] = {"Z", "Zg=a", "Z===", "Zm9v!", "Zm 9v", "Zm-_"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        CLEANUP_BUF struct buf d = {0};
        assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &d), -EINVAL);
        assert_int_equal(buf_len(&d), 0);
    }
}

static void test_an_error_without_details_encodes_to_nothing(void **state)
{
    CLEANUP_ERR struct err e = {0};
    CLEANUP_BUF struct buf b = {0};
    (void)err_set(&e, ERR_ABORTED, "plain");
    assert_int_equal(status_encode_details(&e, &b), 0);
    assert_int_equal(buf_len(&b), 0);
}

static void test_details_survive_the_wire(void **state)
{
    CLEANUP_ERR struct err e = {0}, back = {0};
    CLEANUP_BUF struct buf b = {0};
    (void)err_set_reason(&e, ERR_INVALID_ARGUMENT, "CWSANDBOX_X", "bad");
    err_add_metadata(&e, "k1", "v1");
    err_add_metadata(&e, "k2", "");
    err_add_violation(&e, "a.b", "too %s", "long");
    err_add_violation(&e, "c", "missing");
    e.retry_delay_ns = 3 * NS_PER_SEC + 5;
    assert_int_equal(status_encode_details(&e, &b), 0);
    status_decode_details(buf_head(&b), buf_len(&b), &back);
    assert_string_equal(back.reason, "CWSANDBOX_X");
    assert_string_equal(back.domain, STATUS_DOMAIN);
    assert_string_equal(err_metadata(&back, "k1"), "v1");
    assert_string_equal(err_metadata(&back, "k2"), "");
    assert_int_equal(back.n_violations, 2);
    assert_string_equal(back.violations[0].key, "a.b");
    assert_string_equal(back.violations[0].value, "too long");
    assert_int_equal(back.retry_delay_ns, 3 * NS_PER_SEC + 5);
}

/* A Status with one detail of our making. */
static void encode_one(const char *type_url, const void *msg, struct buf *out)
{
    struct buf inner = {0};
    assert_int_equal(proto_pack(msg, &inner), 0);
    Pb__Any any = PB__ANY__INIT;
    any.type_url = (char *)type_url;
    any.value.data = inner.data;
    any.value.len = buf_len(&inner);
    Pb__Any *list[] = {&any};
    Rpc__Status st = RPC__STATUS__INIT;
    st.n_details = 1;
    st.details = list;
    assert_int_equal(proto_pack(&st, out), 0);
    buf_done(&inner);
}

static void test_violation_texts_fall_back_and_blank_ones_are_dropped(void **state)
{
    Rpc__LocalizedMessage local = RPC__LOCALIZED_MESSAGE__INIT;
    local.message = (char *)"localized";
    Rpc__BadRequest__FieldViolation v[3] = {RPC__BAD_REQUEST__FIELD_VIOLATION__INIT,
                                            RPC__BAD_REQUEST__FIELD_VIOLATION__INIT,
                                            RPC__BAD_REQUEST__FIELD_VIOLATION__INIT};
    v[0].field = v[1].field = v[2].field = (char *)"f";
    v[0].localized_message = &local;
    v[1].reason = (char *)"REASON";
    v[2].description = (char *)"  ";
    Rpc__BadRequest__FieldViolation *list[] = {&v[0], &v[1], &v[2]};
    Rpc__BadRequest bad = RPC__BAD_REQUEST__INIT;
    bad.n_field_violations = 3;
    bad.field_violations = list;
    CLEANUP_BUF struct buf b = {0};
    encode_one("type.googleapis.com/google.rpc.BadRequest", &bad, &b);
    CLEANUP_ERR struct err e = {0};
    status_decode_details(buf_head(&b), buf_len(&b), &e);
    assert_int_equal(e.n_violations, 2);
    assert_string_equal(e.violations[0].value, "localized");
    assert_string_equal(e.violations[1].value, "REASON");
}

static void test_retry_delays_out_of_range_are_ignored(void **state)
{
    static const struct {
        int64_t s;
        int32_t ns;
        uint64_t expect;
    } cases[] = {{-1, 0, 0},
                 {0, -1, 0},
                 {0, 1000000000, 0},
                 {315576000001, 0, 0},
                 {1, 1, NS_PER_SEC + 1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Pb__Duration d = PB__DURATION__INIT;
        d.seconds = cases[i].s;
        d.nanos = cases[i].ns;
        Rpc__RetryInfo retry = RPC__RETRY_INFO__INIT;
        retry.retry_delay = &d;
        CLEANUP_BUF struct buf b = {0};
        encode_one("type.googleapis.com/google.rpc.RetryInfo", &retry, &b);
        CLEANUP_ERR struct err e = {0};
        status_decode_details(buf_head(&b), buf_len(&b), &e);
        assert_int_equal(e.retry_delay_ns, cases[i].expect);
    }
}

static void test_damaged_details_are_ignored(void **state)
{
    CLEANUP_ERR struct err e = {0};
    CLEANUP_BUF struct buf b = {0};
    (void)err_set_reason(&e, ERR_INVALID_ARGUMENT, "CWSANDBOX_X", "bad");
    err_add_violation(&e, "a.b", "long");
    assert_int_equal(status_encode_details(&e, &b), 0);
    for (size_t i = 0; i < buf_len(&b); i++) {
        CLEANUP_ERR struct err back = {0};
        b.data[i] ^= 0xff;
        status_decode_details(buf_head(&b), buf_len(&b), &back); /* must not crash or leak */
        b.data[i] ^= 0xff;
        status_decode_details(buf_head(&b), i, &back);
    }
}

static void test_codes_follow_the_published_mappings(void **state)
{
    assert_int_equal(status_from_http(400), ERR_INTERNAL);
    assert_int_equal(status_from_http(401), ERR_UNAUTHENTICATED);
    assert_int_equal(status_from_http(403), ERR_PERMISSION_DENIED);
    assert_int_equal(status_from_http(404), ERR_UNIMPLEMENTED);
    assert_int_equal(status_from_http(429), ERR_UNAVAILABLE);
    assert_int_equal(status_from_http(500), ERR_UNKNOWN);
    assert_int_equal(status_from_http(502), ERR_UNAVAILABLE);
    assert_int_equal(status_from_http(504), ERR_UNAVAILABLE);
    assert_int_equal(status_from_h2_error(0), ERR_INTERNAL);
    assert_int_equal(status_from_h2_error(7), ERR_UNAVAILABLE);
    assert_int_equal(status_from_h2_error(8), ERR_CANCELLED);
    assert_int_equal(status_from_h2_error(11), ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(status_from_h2_error(12), ERR_PERMISSION_DENIED);
    assert_int_equal(status_from_h2_error(99), ERR_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent_encoding_escapes_what_headers_cannot_carry),
        cmocka_unit_test(test_percent_decoding_keeps_malformed_escapes),
        cmocka_unit_test(test_timeouts_round_up_and_use_at_most_eight_digits),
        cmocka_unit_test(test_timeouts_of_other_shapes_are_refused),
        cmocka_unit_test(test_base64_is_written_without_and_read_with_or_without_padding),
        cmocka_unit_test(test_an_error_without_details_encodes_to_nothing),
        cmocka_unit_test(test_details_survive_the_wire),
        cmocka_unit_test(test_violation_texts_fall_back_and_blank_ones_are_dropped),
        cmocka_unit_test(test_retry_delays_out_of_range_are_ignored),
        cmocka_unit_test(test_damaged_details_are_ignored),
        cmocka_unit_test(test_codes_follow_the_published_mappings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
