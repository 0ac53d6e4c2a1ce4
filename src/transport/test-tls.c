/*
 * Two sessions joined in memory. The peers without ALPN are bare OpenSSL objects, because our
 * own always ask for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "transport/testcert.h"
#include "transport/tls.h"
#include "transport/transport.h"

static char g_dir[64];

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", g_dir, name);
    return path;
}

static int set_up(void **state)
{
    (void)strcpy(g_dir, "/tmp/cws-test-tls-XXXXXX");
    if (!mkdtemp(g_dir))
        return -1;
    testcert_make(g_dir, "good", "DNS:localhost,DNS:*.example.com,IP:127.0.0.1,IP:::1");
    testcert_make(g_dir, "other", "DNS:localhost");
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"good-ca.pem",  "good.pem",  "good.key",
                                        "other-ca.pem", "other.pem", "other.key"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void)unlink(in_dir(names[i]));
    return rmdir(g_dir);
}

struct pair {
    struct tls *client, *server;
    struct err client_err, server_err;
    int client_done, server_done;
};

static void move(struct tls *from, struct tls *to)
{
    CLEANUP_BUF struct buf wire = {0};
    assert_int_equal(tls_pull(from, &wire), 0);
    assert_int_equal(tls_feed(to, buf_head(&wire), buf_len(&wire)), 0);
}

/* Until both are done or one fails; 8 flights are more than any handshake has. */
static void shake(struct pair *p)
{
    for (int i = 0; i < 8 && p->client_done >= 0 && p->server_done >= 0; i++) {
        p->client_done = tls_handshake(p->client, &p->client_err);
        move(p->client, p->server);
        p->server_done = tls_handshake(p->server, &p->server_err);
        move(p->server, p->client);
    }
    if (p->client_done >= 0)
        p->client_done =
            tls_handshake(p->client, &p->client_err); /* the server's alert, if any */
}

static void pair_begin(struct pair *p, const char *ca, const char *host)
{
    *p = (struct pair){0};
    struct err err = {0};
    struct tls_config *server = tls_server_new(in_dir("good.pem"), in_dir("good.key"), &err);
    struct tls_config *client = tls_client_new(in_dir(ca), &err);
    assert_non_null(server);
    assert_non_null(client);
    p->server = tls_new(server, NULL, &err);
    p->client = tls_new(client, host, &err);
    assert_non_null(p->server);
    assert_non_null(p->client);
    tls_config_unref(server); /* the sessions keep them */
    tls_config_unref(client);
    shake(p);
}

static void pair_done(struct pair *p)
{
    tls_free(p->client);
    tls_free(p->server);
    err_done(&p->client_err);
    err_done(&p->server_err);
}

static void send_text(struct tls *from, struct tls *to, const char *a, const char *b)
{
    struct iovec iov[2] = {{(void *)a, strlen(a)}, {(void *)b, strlen(b)}};
    char got[64];
    assert_int_equal(tls_write(from, iov, 2, NULL), 0);
    move(from, to);
    ssize_t n = tls_read(to, got, sizeof(got), NULL); /* one record carried both pieces */
    assert_int_equal(n, strlen(a) + strlen(b));
    assert_memory_equal(got, a, strlen(a));
    assert_memory_equal(got + strlen(a), b, strlen(b));
    assert_int_equal(tls_read(to, got, sizeof(got), NULL), -EAGAIN);
}

static void test_handshake_then_text_both_ways(void **state)
{
    struct pair p;
    pair_begin(&p, "good-ca.pem", "localhost");
    assert_int_equal(p.client_done, 1);
    assert_int_equal(p.server_done, 1);
    send_text(p.client, p.server, "hel", "lo");
    send_text(p.server, p.client, "wor", "ld");
    pair_done(&p);
}

static void test_names_wildcards_and_addresses_are_accepted(void **state)
{
    static const char *const hosts[] = {"localhost", "a.example.com", "127.0.0.1", "::1"};
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        struct pair p;
        pair_begin(&p, "good-ca.pem", hosts[i]);
        assert_int_equal(p.client_done, 1);
        pair_done(&p);
    }
}

static void expect_client_refuses(const char *ca, const char *host, const char *reason)
{
    struct pair p;
    pair_begin(&p, ca, host);
    assert_int_equal(p.client_done, -1);
    assert_int_equal(p.client_err.code, ERR_UNAVAILABLE);
    if (!strstr(err_text(&p.client_err), reason))
        fail_msg("got `%s`", err_text(&p.client_err));
    /* and the server learns why from the alert */
    move(p.client, p.server);
    char byte;
    if (p.server_done == 1)
        assert_int_equal(tls_read(p.server, &byte, 1, &p.server_err), -EPROTO);
    else if (p.server_done == 0)
        assert_int_equal(tls_handshake(p.server, &p.server_err), -1);
    assert_non_null(strstr(err_text(&p.server_err), "alert"));
    pair_done(&p);
}

static void test_wrong_host_is_refused(void **state)
{
    expect_client_refuses("good-ca.pem", "example.org", "hostname mismatch");
    expect_client_refuses("good-ca.pem", "a.b.example.com", "hostname mismatch");
    expect_client_refuses("good-ca.pem", "127.0.0.2", "IP address mismatch");
}

static void test_wrong_ca_is_refused(void **state)
{
    expect_client_refuses("other-ca.pem", "localhost", "certificate verify failed");
}

/* A peer that knows TLS but not our rules. */
struct bare {
    SSL_CTX *ctx;
    SSL *ssl;
};

static void bare_begin(struct bare *b, bool server)
{
    b->ctx = SSL_CTX_new(TLS_method());
    assert_int_equal(SSL_CTX_use_certificate_file(b->ctx, in_dir("good.pem"), SSL_FILETYPE_PEM),
                     1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(b->ctx, in_dir("good.key"), SSL_FILETYPE_PEM),
                     1);
    b->ssl = SSL_new(b->ctx);
    SSL_set_bio(b->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server)
        SSL_set_accept_state(b->ssl);
    else
        SSL_set_connect_state(b->ssl);
}

static void bare_done(struct bare *b)
{
    SSL_free(b->ssl);
    SSL_CTX_free(b->ctx);
}

/* Handshake of @ours with @theirs; the result of ours. */
static int bare_shake(struct tls *ours, struct bare *theirs, struct err *err)
{
    int r = 0;
    for (int i = 0; i < 8 && r == 0; i++) {
        CLEANUP_BUF struct buf wire = {0};
        char bytes[8192];
        r = tls_handshake(ours, err);
        assert_int_equal(tls_pull(ours, &wire), 0);
        if (buf_len(&wire) > 0)
            (void)BIO_write(SSL_get_rbio(theirs->ssl), buf_head(&wire), (int)buf_len(&wire));
        (void)SSL_do_handshake(theirs->ssl);
        int n = BIO_read(SSL_get_wbio(theirs->ssl), bytes, sizeof(bytes));
        if (n > 0)
            assert_int_equal(tls_feed(ours, bytes, (size_t)n), 0);
    }
    return r;
}

static void expect_no_alpn_refused(bool ours_is_server)
{
    CLEANUP_ERR struct err err = {0};
    struct tls_config *config =
        ours_is_server ? tls_server_new(in_dir("good.pem"), in_dir("good.key"), &err)
                       : tls_client_new(in_dir("good-ca.pem"), &err);
    struct tls *ours = tls_new(config, ours_is_server ? NULL : "localhost", &err);
    struct bare theirs;
    bare_begin(&theirs, !ours_is_server);
    assert_int_equal(bare_shake(ours, &theirs, &err), -1);
    assert_non_null(strstr(err_text(&err), "ALPN h2"));
    bare_done(&theirs);
    tls_free(ours);
    tls_config_unref(config);
}

static void test_server_without_alpn_is_refused(void **state)
{
    expect_no_alpn_refused(false);
}

static void test_client_without_alpn_is_refused(void **state)
{
    expect_no_alpn_refused(true);
}

static void test_client_with_only_http1_is_refused(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct tls_config *config = tls_server_new(in_dir("good.pem"), in_dir("good.key"), &err);
    struct tls *ours = tls_new(config, NULL, &err);
    struct bare theirs;
    bare_begin(&theirs, false);
    (void)SSL_set_alpn_protos(theirs.ssl, (const unsigned char *)"\x08http/1.1", 9);
    assert_int_equal(bare_shake(ours, &theirs, &err), -1);
    assert_non_null(strstr(err_text(&err), "no application protocol"));
    bare_done(&theirs);
    tls_free(ours);
    tls_config_unref(config);
}

static void test_tls_1_1_is_refused(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct tls_config *config = tls_server_new(in_dir("good.pem"), in_dir("good.key"), &err);
    struct tls *ours = tls_new(config, NULL, &err);
    struct bare theirs;
    bare_begin(&theirs, false);
    SSL_set_security_level(theirs.ssl, 0);
    assert_int_equal(SSL_set_min_proto_version(theirs.ssl, TLS1_VERSION), 1);
    assert_int_equal(SSL_set_max_proto_version(theirs.ssl, TLS1_1_VERSION), 1);
    assert_int_equal(bare_shake(ours, &theirs, &err), -1);
    assert_non_null(strstr(err_text(&err), "protocol"));
    bare_done(&theirs);
    tls_free(ours);
    tls_config_unref(config);
}

/* A client that offers only @ciphers (TLS 1.2) or @groups; does our server take it? */
static bool takes(const char *ciphers, const char *groups)
{
    CLEANUP_ERR struct err err = {0};
    struct tls_config *config = tls_server_new(in_dir("good.pem"), in_dir("good.key"), &err);
    struct tls *ours = tls_new(config, NULL, &err);
    struct bare theirs;
    bare_begin(&theirs, false);
    (void)SSL_set_alpn_protos(theirs.ssl, (const unsigned char *)"\x02h2", 3);
    if (ciphers) {
        assert_int_equal(SSL_set_max_proto_version(theirs.ssl, TLS1_2_VERSION), 1);
        assert_int_equal(SSL_set_cipher_list(theirs.ssl, ciphers), 1);
    }
    if (groups)
        assert_int_equal(SSL_set1_groups_list(theirs.ssl, groups), 1);
    int r = bare_shake(ours, &theirs, &err);
    bare_done(&theirs);
    tls_free(ours);
    tls_config_unref(config);
    return r > 0;
}

static void test_only_aead_and_ecdhe_are_taken(void **state)
{
    assert_true(takes("ECDHE-ECDSA-AES128-GCM-SHA256", NULL));
    assert_true(takes("ECDHE-ECDSA-CHACHA20-POLY1305", NULL));
    assert_false(takes("ECDHE-ECDSA-AES128-SHA", NULL));
    assert_false(takes("ECDHE-ECDSA-AES256-SHA384", NULL));
    assert_false(takes("AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256", NULL));
    assert_true(takes(NULL, "P-256"));
    assert_false(takes(NULL, "ffdhe2048")); /* TLS 1.3 */
}

static bool takes_key_of_mode(mode_t mode)
{
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(chmod(in_dir("good.key"), mode), 0);
    struct tls_config *config = tls_server_new(in_dir("good.pem"), in_dir("good.key"), &err);
    if (!config) {
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(err_text(&err), "good.key"));
        assert_non_null(strstr(err_text(&err), "chmod 600"));
    }
    bool taken = config != NULL;
    tls_config_unref(config);
    return taken;
}

static void test_a_key_that_others_may_read_is_refused_with_the_remedy(void **state)
{
    bool root = geteuid() == 0;
    static const mode_t bad[] = {0644, 0604, 0602, 0601, 0660, 0650};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(takes_key_of_mode(bad[i]));
    assert_int_equal(takes_key_of_mode(0640), root);
    assert_int_equal(takes_key_of_mode(0440), root);
    if (root) {
        assert_int_equal(chown(in_dir("good.key"), 54321, (gid_t)-1), 0);
        assert_false(takes_key_of_mode(0640));
        assert_true(takes_key_of_mode(0600));
        assert_int_equal(chown(in_dir("good.key"), 0, (gid_t)-1), 0);
    }
    assert_true(takes_key_of_mode(0400));
    assert_true(takes_key_of_mode(0600));
}

static void test_megabytes_keep_their_order(void **state)
{
    enum { SIZE = 3 * 1024 * 1024 + 17, HEAD = 9 };
    struct pair p;
    pair_begin(&p, "good-ca.pem", "localhost");
    CLEANUP_FREE uint8_t *sent = malloc(SIZE);
    CLEANUP_FREE uint8_t *got = malloc(SIZE);
    random_bytes(sent, SIZE);
    struct iovec iov[3] = {{sent, HEAD},
                           {sent + HEAD, SIZE / 2},
                           {sent + HEAD + SIZE / 2, SIZE - SIZE / 2 - HEAD}};
    assert_int_equal(tls_write(p.client, iov, 3, NULL), 0);
    move(p.client, p.server);
    size_t at = 0;
    ssize_t n;
    while ((n = tls_read(p.server, got + at, SIZE - at > 0 ? SIZE - at : 1, NULL)) > 0)
        at += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    assert_int_equal(at, SIZE);
    assert_memory_equal(sent, got, SIZE);
    pair_done(&p);
}

static void test_close_notify_reads_as_end(void **state)
{
    struct pair p;
    char byte;
    pair_begin(&p, "good-ca.pem", "localhost");
    tls_close_notify(p.server);
    move(p.server, p.client);
    assert_int_equal(tls_read(p.client, &byte, 1, NULL), 0);
    pair_done(&p);
}

static void test_garbage_is_an_error_with_text(void **state)
{
    struct pair p;
    char byte;
    pair_begin(&p, "good-ca.pem", "localhost");
    assert_int_equal(tls_feed(p.server, "GET / HTTP/1.1\r\n\r\n", 18), 0);
    assert_int_equal(tls_read(p.server, &byte, 1, &p.server_err), -EPROTO);
    assert_int_equal(p.server_err.code, ERR_UNAVAILABLE);
    pair_done(&p);
}

static void expect_config_error(struct tls_config *config, struct err *err, const char *path)
{
    assert_null(config);
    assert_int_equal(err->code, ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err_text(err), path));
    err_done(err);
}

static void test_bad_files_are_named(void **state)
{
    struct err err = {0};
    expect_config_error(tls_server_new("/nonexistent.pem", in_dir("good.key"), &err), &err,
                        "No such file or directory");
    expect_config_error(tls_server_new("/nonexistent.pem", in_dir("good.key"), &err), &err,
                        "`/nonexistent.pem`");
    expect_config_error(tls_server_new(in_dir("good.pem"), in_dir("other.key"), &err), &err,
                        "other.key");
    expect_config_error(tls_client_new("/nonexistent.pem", &err), &err, "/nonexistent.pem");
    expect_config_error(tls_client_new(in_dir("good.key"), &err), &err, "good.key");
}

static void test_environment_names_the_roots(void **state)
{
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "/nonexistent.pem", 1), 0);
    assert_null(tls_client_new(NULL, &err));
    assert_int_equal(setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", in_dir("good-ca.pem"), 1), 0);
    struct tls_config *config = tls_client_new(NULL, NULL);
    assert_non_null(config);
    tls_config_unref(config);
    assert_int_equal(unsetenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_then_text_both_ways),
        cmocka_unit_test(test_names_wildcards_and_addresses_are_accepted),
        cmocka_unit_test(test_wrong_host_is_refused),
        cmocka_unit_test(test_wrong_ca_is_refused),
        cmocka_unit_test(test_server_without_alpn_is_refused),
        cmocka_unit_test(test_client_without_alpn_is_refused),
        cmocka_unit_test(test_client_with_only_http1_is_refused),
        cmocka_unit_test(test_tls_1_1_is_refused),
        cmocka_unit_test(test_only_aead_and_ecdhe_are_taken),
        cmocka_unit_test(test_a_key_that_others_may_read_is_refused_with_the_remedy),
        cmocka_unit_test(test_megabytes_keep_their_order),
        cmocka_unit_test(test_close_notify_reads_as_end),
        cmocka_unit_test(test_garbage_is_an_error_with_text),
        cmocka_unit_test(test_bad_files_are_named),
        cmocka_unit_test(test_environment_names_the_roots),
    };
    return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
