/* API keys and who a call belongs to. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "server/auth.h"
#include "wire/grpc.h"

static struct keys *parse(const char *text, struct err *err)
{
    CLEANUP_FREE char *copy = strdup(text);
    return keys_parse("keys", copy, err);
}

static void test_keys_belong_to_names(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct keys *keys =
        parse("# team\nalice:secret-one\n\nbob:secret-two\r\nbob:secret-2:b\n", &err);
    assert_non_null(keys);
    assert_int_equal(keys_count(keys), 3);
    assert_string_equal(keys_find(keys, "secret-one"), "alice");
    assert_string_equal(keys_find(keys, "secret-two"), "bob");
    assert_string_equal(keys_find(keys, "secret-2:b"), "bob");
    assert_null(keys_find(keys, "secret-on"));
    assert_null(keys_find(keys, "secret-one "));
    assert_null(keys_find(keys, ""));
    keys_free(keys);
}

static void test_bad_lines_are_named_by_number_and_never_shown(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"alice:secret-one\nno colon secret\n", "keys:2:"},
        {"a b:secret-one\n", "keys:1: the name"},
        {":secret-one\n", "keys:1: the name"},
        {"alice:short\n", "keys:1: the key of `alice`"},
        {"alice:has a blank\n", "keys:1: the key"},
        {"alice:secret-one\nbob:secret-one\n", "keys:2: `alice` and `bob` share a key"},
        {"anonymous:secret-one\n", "keys:1: `anonymous` means callers without a key"},
        {"# nothing\n", "no key in the file"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_ERR struct err err = {0};
        assert_null(parse(rows[i].text, &err));
        assert_non_null(strstr(err_text(&err), rows[i].part));
        assert_null(strstr(err_text(&err), "secret"));
    }
}

static void test_keys_longer_than_a_slot_are_refused_both_ways(void **state)
{
    char line[KEYS_MAX_LENGTH + 16], presented[KEYS_MAX_LENGTH + 2];
    for (int extra = 0; extra <= 1; extra++) {
        CLEANUP_ERR struct err err = {0};
        memset(presented, 'k', sizeof(presented));
        presented[KEYS_MAX_LENGTH + extra] = '\0';
        (void)snprintf(line, sizeof(line), "a:%s", presented);
        struct keys *keys = parse(line, &err);
        assert_int_equal(keys != NULL, extra == 0);
        assert_int_equal(keys_find(keys, presented) != NULL, extra == 0);
        keys_free(keys);
    }
}

static void test_a_key_file_for_everyone_is_refused(void **state)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/cws-test-keys-%d", (int)getpid());
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, "a:secret-one\n", 13), 0);
    CLEANUP_ERR struct err err = {0};
    struct keys *keys = keys_load(path, &err);
    assert_non_null(keys);
    keys_free(keys);
    assert_int_equal(fchmod(fd, 0604), 0);
    assert_null(keys_load(path, &err));
    assert_non_null(strstr(err_text(&err), "0604"));
    (void)unlink(path);
    assert_null(keys_load(path, &err));
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
}

static void test_bearer_is_found_whatever_its_case(void **state)
{
    assert_string_equal(auth_bearer("Bearer abc"), "abc");
    assert_string_equal(auth_bearer("bearer   abc"), "abc");
    assert_null(auth_bearer("Bearer "));
    assert_null(auth_bearer("Basic abc"));
    assert_null(auth_bearer("abc"));
    assert_null(auth_bearer(""));
}

struct fixture {
    struct options options;
    struct service service;
    struct transport_peer peer;
};

static enum err_code check(struct fixture *f, const char *name, const char *value, char *owner)
{
    CLEANUP_ERR struct err err = {0};
    struct grpc_header header = {name, value};
    struct grpc_request req = {.headers = &header, .n_headers = name != NULL};
    (void)auth_check(&f->service, &f->peer, &req, owner, &err);
    if (err.message != NULL && value != NULL && value[0] != '\0')
        assert_null(strstr(err.message, value)); /* what was presented is never repeated */
    return err.code;
}

static void test_tcp_callers_need_a_known_key(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct fixture f = {0};
    char owner[CALL_OWNER_MAX];
    f.service.options = &f.options;
    f.service.keys = parse("alice:secret-one\n", &err);
    assert_int_equal(check(&f, NULL, NULL, owner), ERR_UNAUTHENTICATED);
    assert_int_equal(check(&f, "authorization", "Bearer wrong-key", owner),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(check(&f, "authorization", "secret-one", owner), ERR_UNAUTHENTICATED);
    assert_int_equal(check(&f, "x-wandb-api-key", "secret-one", owner), ERR_UNAUTHENTICATED);
    assert_string_equal(owner, "-");
    assert_int_equal(check(&f, "authorization", "Bearer secret-one", owner), ERR_OK);
    assert_string_equal(owner, "alice");
    f.options.accept_wandb_keys = true;
    assert_int_equal(check(&f, "x-wandb-api-key", "secret-one", owner), ERR_OK);
    assert_string_equal(owner, "alice");
    assert_int_equal(check(&f, "x-wandb-api-key", "wrong-key", owner), ERR_UNAUTHENTICATED);
    assert_int_equal(check(&f, "x-wandb-api-key", "", owner), ERR_UNAUTHENTICATED);
    f.options.allow_unauthenticated = true;
    assert_int_equal(check(&f, "x-wandb-api-key", "wrong-key", owner), ERR_UNAUTHENTICATED);
    assert_int_equal(check(&f, NULL, NULL, owner), ERR_OK);
    assert_string_equal(owner, "anonymous");
    assert_int_equal(check(&f, "authorization", "Bearer wrong-key", owner),
                     ERR_UNAUTHENTICATED);
    keys_free(f.service.keys);
}

static void test_unix_callers_are_their_uid(void **state)
{
    struct fixture f = {.peer = {.is_unix = true, .uid = 1234}};
    char owner[CALL_OWNER_MAX];
    f.service.options = &f.options;
    assert_int_equal(check(&f, NULL, NULL, owner), ERR_OK);
    assert_string_equal(owner, "uid:1234");
}

static void test_the_embedded_socket_serves_its_own_user_only(void **state)
{
    struct fixture f = {0};
    uid_t allowed[] = {4711};
    f.service.options = &f.options;
    f.options.allowed_uids = allowed;
    f.options.n_allowed_uids = 1;
    f.service.owner_uid = geteuid();
    assert_true(service_may_connect(&f.service, geteuid()));
    assert_true(service_may_connect(&f.service, 0));
    assert_true(service_may_connect(&f.service, 4711));
    assert_false(service_may_connect(&f.service, 4712));
    f.options.embedded = true;
    assert_true(service_may_connect(&f.service, geteuid()));
    assert_int_equal(service_may_connect(&f.service, 0), geteuid() == 0);
    assert_false(service_may_connect(&f.service, 4711));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_belong_to_names),
        cmocka_unit_test(test_bad_lines_are_named_by_number_and_never_shown),
        cmocka_unit_test(test_keys_longer_than_a_slot_are_refused_both_ways),
        cmocka_unit_test(test_a_key_file_for_everyone_is_refused),
        cmocka_unit_test(test_bearer_is_found_whatever_its_case),
        cmocka_unit_test(test_tcp_callers_need_a_known_key),
        cmocka_unit_test(test_unix_callers_are_their_uid),
        cmocka_unit_test(test_the_embedded_socket_serves_its_own_user_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
