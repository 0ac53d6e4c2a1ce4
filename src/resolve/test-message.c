#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "resolve/message.h"

#define HEAD "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define TAIL "\x00\x01\x00\x01" /* A IN */

static int ask(const char *bytes, size_t n, struct question *ret)
{
    return message_question((const uint8_t *)bytes, n, ret);
}
#define ASK(text, ret) ask(text, sizeof(text) - 1, ret)

static void test_a_question_is_read(void **state)
{
    struct question q;
    (void)state;
    assert_int_equal(ASK(HEAD "\3WwW\7example\3org\0" TAIL "rest", &q), 0);
    assert_string_equal(q.name, "www.example.org");
    assert_true(q.plain);
    assert_int_equal(q.type, 1);
    assert_int_equal(q.class, 1);
    assert_int_equal(q.end, MESSAGE_HEADER + 17 + 4);
    assert_int_equal(ASK(HEAD "\0" TAIL, &q), 0);
    assert_string_equal(q.name, "");
}

static void test_a_label_that_is_no_text_is_not_plain(void **state)
{
    struct question q;
    (void)state;
    assert_int_equal(ASK(HEAD "\5a.b\0c\0" TAIL, &q), 0);
    assert_false(q.plain);
}

static void test_what_is_no_question_is_refused(void **state)
{
    struct question q;
    (void)state;
    assert_int_equal(ASK("", &q), -EBADMSG);
    assert_int_equal(ASK(HEAD, &q), -EBADMSG);
    assert_int_equal(ASK(HEAD "\3www", &q), -EBADMSG);
    assert_int_equal(ASK(HEAD "\3www\0\0\1\0", &q), -EBADMSG);
    assert_int_equal(ASK(HEAD "\4www\0" TAIL, &q), -EBADMSG);
    assert_int_equal(ASK(HEAD "\300\14" TAIL, &q), -EBADMSG); /* a reference to itself */
    assert_int_equal(ASK("\1\2\x81\0\0\1\0\0\0\0\0\0\0" TAIL, &q), -EBADMSG); /* an answer */
    assert_int_equal(ASK("\1\2\x28\0\0\1\0\0\0\0\0\0\0" TAIL, &q), -EBADMSG); /* an update */
    assert_int_equal(ASK("\1\2\1\0\0\2\0\0\0\0\0\0\0" TAIL, &q), -EBADMSG);   /* two */
}

/* RFC 1035: 255 bytes, of which one is the length of the first label and one the root. */
static void test_names_end_at_their_limit(void **state)
{
    uint8_t bytes[512];
    struct question q;
    (void)state;
    for (size_t last = 61; last <= 62; last++) {
        size_t at = MESSAGE_HEADER;
        memset(bytes, 'a', sizeof(bytes));
        memcpy(bytes, HEAD, MESSAGE_HEADER);
        for (int i = 0; i < 3; i++, at += 64)
            bytes[at] = 63;
        bytes[at] = (uint8_t)last;
        at += 1 + last;
        bytes[at] = 0;
        memcpy(bytes + at + 1, TAIL, 4);
        assert_int_equal(message_question(bytes, at + 5, &q), last == 61 ? 0 : -EBADMSG);
    }
}

static void test_only_the_answer_to_a_question_answers_it(void **state)
{
    static const char query[] = HEAD "\1a\0" TAIL;
    struct {
        const char *bytes;
        bool fine;
    } rows[] = {
        {"\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1a\0" TAIL, true},
        {"\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1A\0" TAIL, true},
        {"\x12\x35\x81\x80\0\1\0\0\0\0\0\0\1a\0" TAIL, false},      /* another number */
        {"\x12\x34\x01\x80\0\1\0\0\0\0\0\0\1a\0" TAIL, false},      /* a question */
        {"\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1b\0" TAIL, false},      /* another name */
        {"\x12\x34\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\x1c\0\1", false}, /* another type */
        {"\x12\x34\x81\x80\0\0\0\0\0\0\0\0\1a\0" TAIL, false},      /* none */
    };
    struct question q;
    (void)state;
    assert_int_equal(ASK(query, &q), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const uint8_t *bytes = (const uint8_t *)rows[i].bytes;
        assert_int_equal(message_answers(bytes, q.end, (const uint8_t *)query, &q),
                         rows[i].fine);
        assert_false(message_answers(bytes, q.end - 1, (const uint8_t *)query, &q));
    }
}

#define ROW "\xc0\x0c\0\1\0\1"

static void test_addresses_of_an_answer(void **state)
{
    uint8_t bytes[] = "\x12\x34\x81\x80\0\1\0\3\0\0\0\0\1a\0" TAIL
                      "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\3\1b\0"     /* a is b */
                      "\1b\0\0\1\0\1\0\1\0\0\0\4\xc6\x33\x64\7" /* for 65,536 s */
        ROW "\0\0\0\1\0\4\1\2\3\4";
    struct question q;
    uint32_t got[4];
    size_t n = sizeof(bytes) - 1;
    (void)state;
    bytes[2] &= 0x7f;
    assert_int_equal(message_question(bytes, n, &q), 0);
    assert_int_equal(message_addresses(bytes, n, &q, 3600, got, 4), 2);
    assert_int_equal(got[0], 0xc6336407);
    assert_int_equal(got[1], 0x01020304);
    assert_int_equal(message_u16(bytes + n - 26), 0); /* time to live of the second row */
    assert_int_equal(message_u16(bytes + n - 24), 3600);
    assert_int_equal(message_addresses(bytes, n, &q, 3600, got, 1), 1);
    for (size_t cut = q.end; cut < n; cut++)
        assert_int_equal(message_addresses(bytes, cut, &q, 3600, got, 4), -EBADMSG);
}

static void test_a_refusal_is_an_answer(void **state)
{
    uint8_t bytes[] = HEAD "\1a\0" TAIL "options";
    const uint8_t query[] = HEAD "\1a\0" TAIL;
    struct question q;
    (void)state;
    assert_int_equal(message_question(bytes, sizeof(bytes) - 1, &q), 0);
    size_t n = message_refuse(bytes, &q, MESSAGE_REFUSED);
    assert_int_equal(n, q.end);
    assert_true(message_answers(bytes, n, query, &q));
    assert_int_equal(bytes[3] & 15, MESSAGE_REFUSED);
    assert_int_equal(message_u16(bytes + 6) | message_u16(bytes + 8) | message_u16(bytes + 10),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_question_is_read),
        cmocka_unit_test(test_a_label_that_is_no_text_is_not_plain),
        cmocka_unit_test(test_what_is_no_question_is_refused),
        cmocka_unit_test(test_names_end_at_their_limit),
        cmocka_unit_test(test_only_the_answer_to_a_question_answers_it),
        cmocka_unit_test(test_addresses_of_an_answer),
        cmocka_unit_test(test_a_refusal_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
