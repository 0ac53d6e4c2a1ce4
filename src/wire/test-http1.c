#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "wire/http1.h"

#include <cmocka.h>

static struct http_head head;

static ssize_t request(const char *text)
{
    return http_parse_request(text, strlen(text), &head);
}

static ssize_t answer_to(const char *method, const char *text)
{
    return http_parse_answer(text, strlen(text), (struct http_text){method, strlen(method)},
                             &head);
}

static void assert_text(struct http_text t, const char *text)
{
    assert_int_equal(t.n, strlen(text));
    assert_memory_equal(t.data, text, t.n);
}

static void test_a_request_has_its_parts(void **state)
{
    const char *text = "POST /a?b=c HTTP/1.1\r\nHost: x.localhost:80\r\nA: \t b c \r\n"
                       "Content-Length: 12\r\nConnection: close\r\n\r\n";
    assert_int_equal(request(text), strlen(text));
    assert_text(head.method, "POST");
    assert_text(head.target, "/a?b=c");
    assert_text(head.host, "x.localhost:80");
    assert_text(http_find(&head, "a")->value, "b c");
    assert_int_equal(head.framing, HTTP_LENGTH);
    assert_int_equal(head.length, 12);
    assert_true(head.close);
    assert_false(head.upgrade);
}

static void test_a_head_in_parts_is_waited_for(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
    size_t size = strlen(text) - 4;
    for (size_t n = 0; n < size; n++)
        assert_int_equal(http_parse_request(text, n, &head), 0);
    assert_int_equal(request(text), size);
}

static void test_a_head_is_at_most_so_large(void **state)
{
    char *text = malloc(HTTP_MAX_HEAD + 1);
    int n = sprintf(text, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
    memset(text + n, 'a', HTTP_MAX_HEAD + 1 - (size_t)n);
    assert_int_equal(http_parse_request(text, HTTP_MAX_HEAD - 1, &head), 0);
    assert_int_equal(http_parse_request(text, HTTP_MAX_HEAD, &head), -431);
    memcpy(text + HTTP_MAX_HEAD - 4, "\r\n\r\n", 4);
    assert_int_equal(http_parse_request(text, HTTP_MAX_HEAD, &head), HTTP_MAX_HEAD);
    free(text);
}

static void test_there_are_at_most_so_many_fields(void **state)
{
    for (size_t n = HTTP_MAX_FIELDS - 1; n <= HTTP_MAX_FIELDS; n++) { /* and a Host */
        char text[HTTP_MAX_FIELDS * 8 + 64] = "GET / HTTP/1.1\r\nHost: x\r\n";
        for (size_t i = 0; i < n; i++)
            strcat(text, "A: b\r\n");
        strcat(text, "\r\n");
        ssize_t expected = n < HTTP_MAX_FIELDS ? (ssize_t)strlen(text) : -431;
        assert_int_equal(request(text), expected);
    }
}

/* What two readers could understand differently. */
static void test_ambiguous_requests_are_refused(void **state)
{
    static const struct {
        const char *text;
        int status;
    } all[] = {
        {"GET / HTTP/1.1\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", -400},
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", -400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", -400},
        {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", -400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", -400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", -505},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", -505},
        {"GET / http/1.1\r\nHost: a\r\n\r\n", -505},
        {"GET /\r\nHost: a\r\n\r\n", -505},
        {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", -400},
        {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", -400},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", -501},
        {"G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n", -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         -400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", -501},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n", -400},
        {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (request(all[i].text) != all[i].status)
            fail_msg("%s: %zd", all[i].text, request(all[i].text));
}

static void test_an_upgrade_needs_both_fields(void **state)
{
    (void)request("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                  "Upgrade: websocket\r\n\r\n");
    assert_true(head.upgrade);
    (void)request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
    assert_false(head.upgrade);
    (void)request("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\n");
    assert_false(head.upgrade);
}

static void test_an_answer_says_how_long_it_is(void **state)
{
    assert_true(answer_to("GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP_LENGTH);
    assert_false(head.close);
    assert_true(answer_to("GET", "HTTP/1.0 200\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP_UNTIL_CLOSE);
    assert_true(head.close);
    assert_true(answer_to("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP_EMPTY);
    assert_int_equal(head.length, 3);
    assert_true(answer_to("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP_EMPTY);
    assert_true(answer_to("GET", "HTTP/1.1 100 Continue\r\n\r\n") > 0);
    assert_int_equal(head.framing, HTTP_EMPTY);
    assert_int_equal(answer_to("GET", "HTTP/1.1 20 OK\r\n\r\n"), -EPROTO);
    assert_int_equal(answer_to("GET", "SSH-2.0-OpenSSH\r\n\r\n"), -EPROTO);
    assert_int_equal(answer_to("GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
                                      "Content-Length: 4\r\n\r\n"),
                     -EPROTO);
}

/* All of @text in steps of @step bytes; the body, or NULL when it is refused or unfinished. */
static const char *read_body(const char *text, size_t step)
{
    static char out[256];
    struct http_body b;
    struct http_text part;
    size_t n = strlen(text), at = 0, n_out = 0;
    head = (struct http_head){.framing = HTTP_CHUNKED};
    http_body_init(&b, &head);
    while (at < n && !b.done) {
        ssize_t r = http_body_next(&b, text + at, MIN(step, n - at), &part);
        if (r <= 0)
            return NULL;
        memcpy(out + n_out, part.data, part.n);
        n_out += part.n;
        at += (size_t)r;
    }
    out[n_out] = '\0';
    return b.done && at == n ? out : NULL;
}

static void test_chunks_are_one_body(void **state)
{
    const char *text = "3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    for (size_t step = 1; step <= strlen(text); step++)
        assert_string_equal(read_body(text, step), "abc0123456789");
    assert_string_equal(read_body("0\r\n\r\n", 99), "");
}

static void test_bad_chunks_are_refused(void **state)
{
    static const char *const all[] = {
        "\r\n\r\n",
        "-1\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1000000000000000\r\n",
        "1;\n\r\na\r\n0\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\n\rX",
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (size_t step = 1; step < 20; step++)
            assert_null(read_body(all[i], step));
}

static void test_a_body_of_a_length_ends_there(void **state)
{
    struct http_body b;
    struct http_text part;
    head = (struct http_head){.framing = HTTP_LENGTH, .length = 4};
    http_body_init(&b, &head);
    assert_int_equal(http_body_next(&b, "abc", 3, &part), 3);
    assert_false(b.done);
    assert_int_equal(http_body_next(&b, "defg", 4, &part), 1);
    assert_text(part, "d");
    assert_true(b.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_has_its_parts),
        cmocka_unit_test(test_a_head_in_parts_is_waited_for),
        cmocka_unit_test(test_a_head_is_at_most_so_large),
        cmocka_unit_test(test_there_are_at_most_so_many_fields),
        cmocka_unit_test(test_ambiguous_requests_are_refused),
        cmocka_unit_test(test_an_upgrade_needs_both_fields),
        cmocka_unit_test(test_an_answer_says_how_long_it_is),
        cmocka_unit_test(test_chunks_are_one_body),
        cmocka_unit_test(test_bad_chunks_are_refused),
        cmocka_unit_test(test_a_body_of_a_length_ends_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
