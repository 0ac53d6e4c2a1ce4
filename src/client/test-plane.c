/*
 * Straight to a sandbox: a gateway on TCP that answers ConnectSandbox, and an endpoint with TLS. Time is what this file says, so
 * that a cool-down of ten minutes passes at once. What the answers mean in detail is tested with gRPC's own peers, in tests/python.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/util.h"
#include "client/testworld.h"
#include "transport/testcert.h"

#include <cmocka.h>

#define SECONDS(n) ((n)*UINT64_C(1000000000))

static _Atomic uint64_t skipped_ns; /* by which the monotonic clock is ahead */

uint64_t __real_clock_now_ns(void);
uint64_t __wrap_clock_now_ns(void);
uint64_t __wrap_clock_now_ns(void)
{
    return __real_clock_now_ns() + atomic_load(&skipped_ns);
}

static struct world gateway;
static struct peer endpoint;
static enum err_code refusal; /* of ConnectSandbox; ERR_OK: it grants */
static EVP_PKEY *signer;

/* ---- the two peers ---- */

static void handle_exec(struct peer_call *c)
{
    if (c->n == 1 && !c->half_closed) {
        peer_send_exit(c, 0);
        peer_finish(c);
    }
}

static void endpoint_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    assert_string_equal(c->path, PROTO_PATH_DATA_PLANE("StreamExec"));
    assert_string_equal(c->authorization, "");
    handle_exec(c);
}

/* A certificate for whoever asks; PEM, to be freed. */
static BIO *certify(const ProtobufCBinaryData *csr_der)
{
    const unsigned char *der = csr_der->data;
    X509_REQ *csr = d2i_X509_REQ(NULL, &der, (long)csr_der->len);
    X509 *cert = X509_new();
    assert_true(csr && cert && X509_REQ_verify(csr, X509_REQ_get0_pubkey(csr)) == 1);
    assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(csr)), 0);
    assert_true(X509_set_pubkey(cert, X509_REQ_get0_pubkey(csr)) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(cert), -60) &&
                X509_gmtime_adj(X509_getm_notAfter(cert), 3600) &&
                X509_sign(cert, signer, EVP_sha256()) > 0);
    BIO *pem = BIO_new(BIO_s_mem());
    assert_true(pem && PEM_write_bio_X509(pem, cert) == 1);
    X509_free(cert);
    X509_REQ_free(csr);
    return pem;
}

static ProtobufCBinaryData bytes_of(BIO *pem)
{
    char *data;
    long n = BIO_get_mem_data(pem, &data);
    return (ProtobufCBinaryData){(size_t)n, (uint8_t *)data};
}

static void grant(struct peer_call *c, const Pb__ConnectSandboxRequest *request)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/endpoint-ca.pem", endpoint.dir);
    BIO *roots = BIO_new(BIO_s_mem()), *file = BIO_new_file(path, "r");
    BIO *chain = certify(&request->csr_der);
    X509 *ca = file ? PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;
    assert_true(roots && ca && PEM_write_bio_X509(roots, ca) == 1);
    Pb__Timestamp expires = PB__TIMESTAMP__INIT;
    expires.seconds = (int64_t)(clock_wall_ns() / NS_PER_SEC) + 3600;
    Pb__SandboxConnection answer = PB__SANDBOX_CONNECTION__INIT;
    answer.endpoint_uri = endpoint.url;
    answer.client_certificate_chain_pem = bytes_of(chain);
    answer.server_ca_bundle_pem = bytes_of(roots);
    answer.expires_at = &expires;
    answer.transport = PB__SANDBOX_DATA_TRANSPORT__SANDBOX_DATA_TRANSPORT_DIRECT_MTLS;
    answer.protocol = PB__SANDBOX_DATA_PROTOCOL__SANDBOX_DATA_PROTOCOL_CONNECT_H2_V1;
    answer.granted_permissions = request->requested_permissions;
    answer.n_granted_permissions = request->n_requested_permissions;
    peer_reply(c, &answer);
    X509_free(ca);
    BIO_free(file);
    BIO_free(roots);
    BIO_free(chain);
}

static void gateway_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "StreamExec")) {
        handle_exec(c);
    } else if (!peer_is(c, "ConnectSandbox")) {
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    } else if (refusal != ERR_OK) {
        peer_fail(c, refusal, NULL, "no");
    } else {
        Pb__ConnectSandboxRequest *request =
            proto_unpack(&pb__connect_sandbox_request__descriptor, data, n, NULL);
        assert_non_null(request);
        grant(c, request);
        proto_free(request);
    }
}

static cws_sandbox *begin(enum err_code how, cws_data_plane mode)
{
    refusal = how;
    signer = EVP_EC_gen("P-256");
    endpoint = (struct peer){.kind = PEER_TLS};
    peer_begin(&endpoint, false, endpoint_handler, NULL);
    gateway = (struct world){.peer = {.kind = PEER_TCP}};
    world_begin(&gateway, false, gateway_handler);
    cws_sandbox *sb = world_sandbox(&gateway);
    cws_sandbox_set_data_plane(sb, mode);
    return sb;
}

static void end(cws_sandbox *sb)
{
    cws_sandbox_unref(sb);
    world_end(&gateway);
    peer_end(&endpoint);
    EVP_PKEY_free(signer);
}

static cws_error_kind run(cws_sandbox *sb)
{
    const char *argv[] = {"x"};
    cws_process *p = cws_sandbox_exec(sb, argv, 1, NULL, NULL);
    assert_non_null(p);
    cws_op *op = cws_process_op(p);
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    const cws_error *e = cws_op_error(op);
    cws_error_kind kind = e ? cws_error_get_kind(e) : 0;
    cws_process_unref(p);
    return kind;
}

/* ---- the tests ---- */

static void test_a_service_without_it_is_asked_ever_more_rarely(void **state)
{
    cws_sandbox *sb = begin(ERR_UNIMPLEMENTED, CWS_DATA_PLANE_AUTO);
    static const unsigned cool_downs[] = {30, 60, 120, 240, 480, 600, 600};
    assert_int_equal(run(sb), 0);
    unsigned asked = 1;
    for (size_t i = 0; i < ARRAY_SIZE(cool_downs); i++) {
        uint64_t asked_ns = __wrap_clock_now_ns();
        atomic_fetch_add(&skipped_ns, SECONDS(cool_downs[i] - 29));
        assert_int_equal(run(sb), 0); /* a busy machine has the other 29 s */
        assert_true(__wrap_clock_now_ns() < asked_ns + SECONDS(cool_downs[i]));
        assert_int_equal(peer_count(&gateway.peer, "ConnectSandbox"), asked);
        atomic_fetch_add(&skipped_ns, SECONDS(29));
        assert_int_equal(run(sb), 0);
        assert_int_equal(peer_count(&gateway.peer, "ConnectSandbox"), ++asked);
    }
    assert_int_equal(peer_count(&endpoint, "StreamExec"), 0);
    end(sb);
}

static void test_auto_rests_and_direct_does_not(void **state)
{
    cws_sandbox *sb = begin(ERR_FAILED_PRECONDITION, CWS_DATA_PLANE_AUTO);
    assert_int_equal(run(sb), 0);
    refusal = ERR_OK;
    atomic_fetch_add(&skipped_ns, SECONDS(1));
    assert_int_equal(run(sb), 0);
    assert_int_equal(peer_count(&gateway.peer, "ConnectSandbox"), 1);
    atomic_fetch_add(&skipped_ns, SECONDS(30));
    assert_int_equal(run(sb), 0); /* through the API where the machine took a second for it */
    assert_int_equal(peer_count(&gateway.peer, "ConnectSandbox"), 2);
    end(sb);

    sb = begin(ERR_FAILED_PRECONDITION, CWS_DATA_PLANE_DIRECT);
    assert_int_equal(run(sb), CWS_E_UNAVAILABLE);
    assert_int_equal(run(sb), CWS_E_UNAVAILABLE);
    assert_int_equal(peer_count(&gateway.peer, "ConnectSandbox"), 2);
    assert_int_equal(peer_count(&gateway.peer, "StreamExec"), 0);
    end(sb);
}

static void test_commands_share_a_credential_and_a_connection(void **state)
{
    cws_sandbox *sb = begin(ERR_OK, CWS_DATA_PLANE_DIRECT);
    const char *argv[] = {"x"};
    cws_process *all[32];
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        all[i] = cws_sandbox_exec(sb, argv, 1, NULL, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        assert_int_equal(cws_op_wait(cws_process_op(all[i]), LONG), CWS_WAIT_DONE);
        assert_null(cws_op_error(cws_process_op(all[i])));
        cws_process_unref(all[i]);
    }
    assert_int_equal(peer_count(&gateway.peer, "ConnectSandbox"), 1);
    assert_int_equal(atomic_load(&endpoint.n_connections), 1);
    assert_int_equal(peer_count(&endpoint, "StreamExec"), ARRAY_SIZE(all));
    end(sb); /* with an idle channel */
}

/* Wherever a cancellation meets it, nothing is left: sanitizers and the client's own checks look. */
static void test_a_cancelled_command_lets_go_of_its_way(void **state)
{
    for (unsigned i = 0; i < 20; i++) {
        cws_sandbox *sb = begin(ERR_OK, CWS_DATA_PLANE_DIRECT);
        const char *argv[] = {"x"};
        cws_process *p = cws_sandbox_exec(sb, argv, 1, NULL, NULL);
        (void)cws_op_wait(cws_process_op(p), i * NS_PER_MS / 4);
        (void)cws_op_cancel(cws_process_op(p));
        cws_process_unref(p);
        if (i % 2)
            assert_int_equal(run(sb), 0);
        end(sb);
    }
}

/* @peer: kind alone. */
static void expect_no_question(struct peer peer, bool ours)
{
    refusal = ERR_UNIMPLEMENTED;
    gateway = (struct world){.peer = peer};
    world_begin(&gateway, ours, gateway_handler);
    cws_sandbox *sb = world_sandbox(&gateway);
    assert_int_equal(run(sb), 0);
    assert_int_equal(peer_count(&gateway.peer, "StreamExec"), 1);
    assert_int_equal(peer_count(&gateway.peer, "ConnectSandbox"), 0);
    cws_sandbox_unref(sb);
    world_end(&gateway);
}

static void test_a_service_on_a_local_socket_is_not_asked(void **state)
{
    expect_no_question((struct peer){0}, false);
}

static void test_a_service_of_ours_is_not_asked(void **state)
{
    expect_no_question((struct peer){.kind = PEER_TCP}, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_service_without_it_is_asked_ever_more_rarely),
        cmocka_unit_test(test_auto_rests_and_direct_does_not),
        cmocka_unit_test(test_commands_share_a_credential_and_a_connection),
        cmocka_unit_test(test_a_cancelled_command_lets_go_of_its_way),
        cmocka_unit_test(test_a_service_on_a_local_socket_is_not_asked),
        cmocka_unit_test(test_a_service_of_ours_is_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
