/* Which addresses a service that is shared may ask for images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "base/macros.h"
#include "image/address.h"

static bool is_public(const char *text)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return address_is_public((struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return address_is_public((struct sockaddr *)&six);
}

static void test_what_everybody_can_ask_is_public(void **state)
{
    static const char *const names[] = {
        "1.0.0.0",     "9.255.255.255", "11.0.0.0",       "100.63.255.255", "100.128.0.0",
        "126.0.0.1",   "128.0.0.1",     "169.253.0.1",    "172.15.255.255", "172.32.0.0",
        "192.0.1.1",   "192.167.0.1",   "198.17.255.255", "198.20.0.0",     "223.255.255.255",
        "2606:4700::", "2a00:1450::1",  "::ffff:8.8.8.8", "2002:808:808::", "64:ff9b::8.8.8.8",
        "2001:200::1", "2001:db7::1",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!is_public(names[i]))
            fail_msg("%s is public", names[i]);
}

static void test_what_is_inside_or_special_is_not(void **state)
{
    static const char *const names[] = {
        "0.0.0.0",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:c0a8:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001::1",
        "2001:db8::1",
        "100::1",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (is_public(names[i]))
            fail_msg("%s is not public", names[i]);
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_false(address_is_public(&other));
}

static void test_what_only_looks_like_loopback_is_another_machine(void **state)
{
    static const char *const here[] = {"localhost",      "localhost:5000", "127.0.0.1",
                                       "127.0.0.1:5000", "127.9.8.7:1",    "[::1]",
                                       "[::1]:5000"};
    static const char *const there[] = {"127.evil.example",
                                        "127.0.0.1.evil.example:5000",
                                        "localhost.evil.example",
                                        "localhostess",
                                        "[::1].evil.example",
                                        "[::2]:5000",
                                        "128.0.0.1",
                                        ""};
    for (size_t i = 0; i < ARRAY_SIZE(here); i++)
        assert_true(address_names_loopback(here[i]));
    for (size_t i = 0; i < ARRAY_SIZE(there); i++)
        assert_false(address_names_loopback(there[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_everybody_can_ask_is_public),
        cmocka_unit_test(test_what_is_inside_or_special_is_not),
        cmocka_unit_test(test_what_only_looks_like_loopback_is_another_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
