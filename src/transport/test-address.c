#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/un.h>

#include "base/util.h"
#include "transport/transport.h"

static void expect_tcp(const char *url, bool tls, const char *host, unsigned port,
                       const char *authority)
{
    CLEANUP(address_done) struct address a = {0};
    CLEANUP_ERR struct err err = {0};
    int r = address_parse(url, &a, &err);
    if (r < 0)
        fail_msg("%s: %s", url, err_text(&err));
    assert_int_equal(a.kind, ADDRESS_TCP);
    assert_int_equal(a.tls, tls);
    assert_string_equal(a.host, host);
    assert_int_equal(a.port, port);
    assert_string_equal(a.authority, authority);
    assert_null(a.path);
}

static void expect_unix(const char *url, const char *path)
{
    CLEANUP(address_done) struct address a = {0};
    assert_int_equal(address_parse(url, &a, NULL), 0);
    assert_int_equal(a.kind, ADDRESS_UNIX);
    assert_false(a.tls);
    assert_string_equal(a.path, path);
    assert_string_equal(a.authority, "localhost");
}

static void expect_refused(const char *url, const char *part)
{
    struct address a = {.port = 77};
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(address_parse(url, &a, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(a.port, 77); /* untouched on failure */
    if (!strstr(err_text(&err), part))
        fail_msg("%s: got `%s`, expected `%s`", url, err_text(&err), part);
}

static void test_default_ports_follow_the_scheme(void **state)
{
    expect_tcp("http://example.com", false, "example.com", 80, "example.com:80");
    expect_tcp("https://example.com", true, "example.com", 443, "example.com:443");
    expect_tcp("https://example.com:", true, "example.com", 443, "example.com:443");
    expect_tcp("http://127.0.0.1:8080", false, "127.0.0.1", 8080, "127.0.0.1:8080");
    expect_tcp("http://h:65535", false, "h", 65535, "h:65535");
}

static void test_scheme_and_host_ignore_case(void **state)
{
    expect_tcp("HTTPS://API.Example.COM", true, "api.example.com", 443, "api.example.com:443");
}

static void test_trailing_slashes_are_ignored(void **state)
{
    expect_tcp("https://h/", true, "h", 443, "h:443");
    expect_tcp("https://h:1//", true, "h", 1, "h:1");
}

static void test_ipv6_loses_its_brackets_but_not_in_the_authority(void **state)
{
    expect_tcp("http://[::1]:8080", false, "::1", 8080, "[::1]:8080");
    expect_tcp("https://[2001:DB8::1]/", true, "2001:DB8::1", 443, "[2001:DB8::1]:443");
    expect_tcp("http://[fe80::1%25eth0]", false, "fe80::1%eth0", 80, "[fe80::1]:80");
}

static void test_unix_forms_are_paths(void **state)
{
    expect_unix("unix:///run/cws.sock", "/run/cws.sock");
    expect_unix("unix:/run/cws.sock", "/run/cws.sock");
    expect_unix("unix:cws.sock", "cws.sock");
}

static void test_other_schemes_are_refused(void **state)
{
    static const char *const urls[] = {
        "", "h", "h:80", "ftp://h", "://h", "localhost:8080", "httpss://h"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_refused(urls[i], "URL must use http or https scheme");
}

static void test_paths_are_refused(void **state)
{
    static const char *const urls[] = {"http://h/v1", "https://h:1/a/b", "http://h//x",
                                       "http://h?q=1", "http://h/#f"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_refused(urls[i], "gRPC does not support URL paths");
}

static void test_a_host_is_required(void **state)
{
    static const char *const urls[] = {"http:", "http://", "https:///", "http://:80",
                                       "https:h"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_refused(urls[i], "URL must have a hostname");
}

static void test_bad_ports_are_refused(void **state)
{
    static const char *const urls[] = {
        "http://h:0",  "http://h:65536", "http://h:http",       "http://h:-1",
        "http://h: 1", "http://[::1]:x", "http://h:99999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_refused(urls[i], "URL port must be between 1 and 65535");
}

static void test_malformed_hosts_are_refused(void **state)
{
    static const char *const urls[] = {"http://a b", "http://h\n", "http://\xc3\xa9",
                                       "http://a,b", "http://[::1]x"};
    static const char *const brackets[] = {"http://[::1", "http://[]", "http://[h]",
                                           "http://[::1%]", "http://[::1%25a/b]"};
    for (size_t i = 0; i < ARRAY_SIZE(urls) - 1; i++)
        expect_refused(urls[i], "URL host is malformed");
    for (size_t i = 0; i < ARRAY_SIZE(brackets) - 1; i++)
        expect_refused(brackets[i], "IPv6");
    expect_refused("http://user:key@h", "user name");
}

static void test_host_length_is_limited(void **state)
{
    char url[300] = "http://";
    memset(url + 7, 'a', 255);
    url[7 + 255] = '\0';
    CLEANUP(address_done) struct address a = {0};
    assert_int_equal(address_parse(url, &a, NULL), 0);
    url[7 + 255] = 'a';
    expect_refused(url, "at most 255 bytes");
}

static void test_unix_paths_must_fit_the_socket_address(void **state)
{
    const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    char url[256] = "unix:";
    memset(url + 5, 'a', max);
    url[5 + max] = '\0';
    expect_unix(url, url + 5);
    url[5 + max] = 'a';
    expect_refused(url, "at most 107 bytes");
    expect_refused("unix:", "must have a path");
    expect_refused("unix://", "unix:///absolute");
    expect_refused("unix://host/path", "unix:///absolute");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_ports_follow_the_scheme),
        cmocka_unit_test(test_scheme_and_host_ignore_case),
        cmocka_unit_test(test_trailing_slashes_are_ignored),
        cmocka_unit_test(test_ipv6_loses_its_brackets_but_not_in_the_authority),
        cmocka_unit_test(test_unix_forms_are_paths),
        cmocka_unit_test(test_other_schemes_are_refused),
        cmocka_unit_test(test_paths_are_refused),
        cmocka_unit_test(test_a_host_is_required),
        cmocka_unit_test(test_bad_ports_are_refused),
        cmocka_unit_test(test_malformed_hosts_are_refused),
        cmocka_unit_test(test_host_length_is_limited),
        cmocka_unit_test(test_unix_paths_must_fit_the_socket_address),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
