/* The parts that need no service: retries, lines, quoting, errors, targets, options,
 * handles, queues. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/field-words.h"
#include "client/lines.h"
#include "client/op.h"
#include "client/options-request.h"
#include "client/options.h"
#include "client/retry.h"
#include "client/shellquote.h"
#include "client/target.h"
#include "wire/status.h"

#include <cmocka.h>

/* ---- lines ---- */

static int collect(void *user, const uint8_t *line, size_t n)
{
    struct buf *out = user;
    return buf_put(out, line, n) < 0 || buf_put_str(out, "|") < 0 ? -ENOMEM : 0;
}

static void test_lines_are_the_same_however_the_bytes_are_cut(void **state)
{
    static const char text[] = "one\n\ntwo and more\nlast";
    for (size_t cut = 1; cut < sizeof(text); cut++) {
        struct lines l = {0};
        CLEANUP_BUF struct buf out = {0};
        for (size_t i = 0; i < sizeof(text) - 1; i += cut)
            assert_int_equal(lines_feed(&l, (const uint8_t *)text + i,
                                        MIN(cut, sizeof(text) - 1 - i), collect, &out),
                             0);
        assert_int_equal(lines_flush(&l, collect, &out), 0);
        lines_drop(&l);
        assert_int_equal(buf_put(&out, "", 1), 0);
        assert_string_equal((const char *)buf_head(&out), "one\n|\n|two and more\n|last|");
    }
}

static void test_a_line_has_a_limit(void **state)
{
    static uint8_t text[LINES_MAX_BYTES + 2];
    memset(text, 'x', sizeof(text));
    struct lines l = {0};
    CLEANUP_BUF struct buf out = {0};
    assert_int_equal(lines_feed(&l, text, LINES_MAX_BYTES, collect, &out), 0);
    assert_int_equal(lines_feed(&l, (const uint8_t *)"\n", 1, collect, &out),
                     0); /* exactly at the limit */
    assert_int_equal(lines_feed(&l, text, LINES_MAX_BYTES, collect, &out), 0);
    assert_int_equal(lines_feed(&l, text, 1, collect, &out), -EMSGSIZE);
    lines_drop(&l);
    text[1] = '\n'; /* lines before the long one arrive */
    buf_clear(&out);
    assert_int_equal(lines_feed(&l, text, 2, collect, &out), 0);
    memset(text, 'x', 3);
    assert_int_equal(lines_feed(&l, text, LINES_MAX_BYTES + 1, collect, &out), -EMSGSIZE);
    assert_int_equal(buf_len(&out), 3);
    lines_drop(&l);
}

static void test_quoting_survives_a_shell(void **state)
{
    char *words[] = {(char *)"plain", (char *)"",   (char *)"a b", (char *)"it's",
                     (char *)"$x",    (char *)"-n", (char *)"ü"};
    char *line = shell_quote_join(words, ARRAY_SIZE(words));
    assert_string_equal(line, "plain '' 'a b' 'it'\"'\"'s' '$x' -n 'ü'");
    free(line);
}

/* ---- errors ---- */

static cws_error_kind kind_of(enum err_code code, const char *reason, const char *domain,
                              bool is_exec)
{
    CLEANUP_ERR struct err err = {0};
    (void)err_set(&err, code, "why");
    if (reason)
        err_set_peer_reason(&err, reason, domain);
    struct cws_error *e =
        error_from_status(&err, &(struct error_site){.label = "Do", .is_exec = is_exec});
    cws_error_kind kind = cws_error_get_kind(e);
    assert_int_equal(cws_error_status(e), code);
    assert_non_null(strstr(cws_error_message(e), "Do: "));
    assert_non_null(strstr(cws_error_message(e), "why"));
    cws_error_free(e);
    return kind;
}

static void test_a_reason_counts_only_from_a_trusted_domain(void **state)
{
    assert_int_equal(kind_of(ERR_INTERNAL, "CWSANDBOX_FILE_TOO_LARGE", STATUS_DOMAIN, false),
                     CWS_E_FILE);
    assert_int_equal(kind_of(ERR_INTERNAL, "CWSANDBOX_FILE_TOO_LARGE", "example.com", false),
                     CWS_E_SANDBOX);
    assert_int_equal(kind_of(ERR_NOT_FOUND, "CWSANDBOX_FILE_NOT_FOUND", STATUS_DOMAIN, false),
                     CWS_E_FILE);
    assert_int_equal(kind_of(ERR_NOT_FOUND, "FILE_NOT_FOUND", STATUS_DOMAIN, false),
                     CWS_E_NOT_FOUND);
    assert_int_equal(kind_of(ERR_NOT_FOUND, "CWSANDBOX_NEWER_REASON", STATUS_DOMAIN, false),
                     CWS_E_NOT_FOUND);
    assert_int_equal(kind_of(ERR_UNKNOWN, "CWSANDBOX_COMMAND_TIMEOUT", STATUS_DOMAIN, true),
                     CWS_E_COMMAND_TIMEOUT);
    assert_int_equal(
        kind_of(ERR_FAILED_PRECONDITION, "CWSANDBOX_FSS_WAIT_TIMEOUT", STATUS_DOMAIN, false),
        CWS_E_SNAPSHOT_WAIT_TIMEOUT);
}

static void test_every_status_has_a_kind(void **state)
{
    static const cws_error_kind want[ERR_CODE_MAX] = {
        [ERR_CANCELLED] = CWS_E_NOT_RUNNING,
        [ERR_UNKNOWN] = CWS_E_SANDBOX,
        [ERR_INVALID_ARGUMENT] = CWS_E_SANDBOX,
        [ERR_DEADLINE_EXCEEDED] = CWS_E_REQUEST_TIMEOUT,
        [ERR_NOT_FOUND] = CWS_E_NOT_FOUND,
        [ERR_ALREADY_EXISTS] = CWS_E_SANDBOX,
        [ERR_PERMISSION_DENIED] = CWS_E_AUTHENTICATION,
        [ERR_RESOURCE_EXHAUSTED] = CWS_E_RESOURCE_EXHAUSTED,
        [ERR_FAILED_PRECONDITION] = CWS_E_SANDBOX,
        [ERR_ABORTED] = CWS_E_SANDBOX,
        [ERR_OUT_OF_RANGE] = CWS_E_SANDBOX,
        [ERR_UNIMPLEMENTED] = CWS_E_SANDBOX,
        [ERR_INTERNAL] = CWS_E_SANDBOX,
        [ERR_UNAVAILABLE] = CWS_E_UNAVAILABLE,
        [ERR_DATA_LOSS] = CWS_E_SANDBOX,
        [ERR_UNAUTHENTICATED] = CWS_E_AUTHENTICATION,
    };
    for (int code = 1; code < ERR_CODE_MAX; code++)
        assert_int_equal(kind_of((enum err_code)code, NULL, NULL, false), want[code]);
    assert_int_equal(kind_of(ERR_DEADLINE_EXCEEDED, NULL, NULL, true), CWS_E_TIMEOUT);
}

static void test_violations_make_a_validation_error(void **state)
{
    CLEANUP_ERR struct err err = {0};
    (void)err_set(&err, ERR_INVALID_ARGUMENT, "bad");
    err_add_violation(&err, "spec.image", "too long");
    err_add_violation(&err, "", "something else");
    struct cws_error *e =
        error_from_status(&err, &(struct error_site){.label = "Create sandbox"});
    assert_int_equal(cws_error_get_kind(e), CWS_E_VALIDATION);
    assert_string_equal(cws_error_message(e),
                        "Create sandbox: spec.image: too long; something else");
    assert_int_equal(cws_error_n_violations(e), 2);
    const char *field, *text;
    cws_error_violation(e, 0, &field, &text);
    assert_string_equal(field, "spec.image");
    cws_error_free(e);
}

static void test_messages_speak_of_arguments(void **state)
{
    static const struct {
        const char *wire, *said;
    } texts[] = {
        {"sandbox.spec.containers[0].resource_requirements.limits.cpu: `x` is no quantity",
         "resources.limits.cpu: `x` is no quantity"},
        {"sandbox.spec.containers[0].image: and overrides.mode",
         "container_image: and placement_mode"},
        {"sandbox.spec.containers[1].image", "containers[1].image"},
        {"sandbox.spec.containers[0]", "containers[0]"},
        {"sandbox.spec.filesystem is another word", "filesystem is another word"},
        {"my_sandbox.spec.image, sandbox. and sandbox.spec. are left",
         "my_sandbox.spec.image, sandbox. and sandbox.spec. are left"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        CLEANUP_FREE char *said = field_words(texts[i].wire);
        assert_string_equal(said, texts[i].said);
    }
    CLEANUP_ERR struct err err = {0};
    (void)err_set(&err, ERR_INVALID_ARGUMENT, "bad");
    err_add_violation(&err, "path", "`x` is not an absolute path");
    struct cws_error *e = error_from_status(&err, &(struct error_site){.label = "Read file"});
    assert_string_equal(cws_error_message(e),
                        "Read file: filepath: `x` is not an absolute path");
    const char *field, *text;
    cws_error_violation(e, 0, &field, &text);
    assert_string_equal(field, "path");
    cws_error_free(e);
}

/* ---- targets ---- */

static void test_targets_check_their_url_and_headers(void **state)
{
    static const struct {
        const char *url, *text;
    } bad[] = {{"ftp://x", "URL must use http or https scheme"},
               {"http://x/path", "gRPC does not support URL paths"},
               {"https://", "URL must have a hostname"}};
    cws_error *e = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_null(cws_target_new(bad[i].url, NULL, 0, &e));
        assert_int_equal(cws_error_get_kind(e), CWS_E_INVALID);
        assert_non_null(strstr(cws_error_message(e), bad[i].text));
        cws_error_free(e);
    }
    cws_header evil = {"x", "a\r\nb"};
    assert_null(cws_target_new("http://x", &evil, 1, &e));
    assert_int_equal(cws_error_get_kind(e), CWS_E_INVALID);
    cws_error_free(e);
    cws_header upper = {"X-Some", "v"};
    cws_target *t = cws_target_new("http://x:81/", &upper, 1, NULL);
    assert_string_equal(cws_target_url(t), "http://x:81");
    assert_string_equal(t->headers[0].name, "x-some");
    cws_target_unref(t);
    (void)setenv("CWSANDBOX_API_KEY", "secret", 1);
    t = cws_target_new(NULL, NULL, 0, NULL);
    assert_string_equal(cws_target_url(t), TARGET_HOSTED_URL);
    assert_string_equal(t->headers[0].value, "Bearer secret");
    assert_false(t->embedded);
    cws_target_unref(t);
    (void)unsetenv("CWSANDBOX_API_KEY");
    t = cws_target_new("", NULL, 0, NULL);
    assert_true(t->embedded);
    assert_int_equal(t->n_headers, 0);
    cws_target_unref(t);
}

static void test_credentials_are_asked_for_by_name(void **state)
{
    static const char key[] = "0123456789abcdef0123456789abcdef01234567";
    cws_error *e = NULL;
    for (int auth = CWS_AUTH_COREWEAVE_API_KEY; auth <= CWS_AUTH_WANDB; auth++) {
        (void)setenv("NETRC", "/nonexistent", 1);
        assert_null(cws_target_new_auth("http://x", (cws_auth)auth, &e));
        assert_int_equal(cws_error_get_kind(e), CWS_E_AUTHENTICATION);
        cws_error_free(e);
    }
    assert_null(cws_target_new_auth("http://x", (cws_auth)(CWS_AUTH_WANDB + 1), &e));
    assert_int_equal(cws_error_get_kind(e), CWS_E_INVALID);
    cws_error_free(e);
    (void)setenv("WANDB_API_KEY", key, 1);
    cws_target *t = cws_target_new_auth(NULL, CWS_AUTH_WANDB, NULL);
    assert_string_equal(cws_target_url(t), TARGET_HOSTED_URL);
    assert_int_equal(t->n_headers, 1);
    assert_string_equal(t->headers[0].name, "x-wandb-api-key");
    assert_string_equal(t->headers[0].value, key);
    cws_target_unref(t);
    t = cws_target_new_auth(NULL, CWS_AUTH_DEFAULT, NULL); /* never tries W&B */
    assert_int_equal(t->n_headers, 0);
    cws_target_unref(t);
    (void)unsetenv("WANDB_API_KEY");
    (void)unsetenv("NETRC");
}

/* ---- options ---- */

/* Looking at each for each takes minutes. */
static void test_many_variables_are_added_one_by_one(void **state)
{
    enum { N = 300000 };
    cws_options *o = cws_options_new(NULL);
    char name[16];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            (void)snprintf(name, sizeof(name), "V%d", i);
            assert_int_equal(cws_options_add_env(o, name, round ? "second" : "first", NULL), 0);
        }
    }
    assert_int_equal(o->env.n, N);
    assert_string_equal(((struct option_pair *)o->env.items)[N - 1].value, "second");
    cws_options_free(o);
}

static void test_options_become_one_create_request(void **state)
{
    cws_options *o = cws_options_new(NULL);
    const char *args[] = {"-c", "true"};
    assert_int_equal(cws_options_set_image(o, "python:3.11", NULL), 0);
    assert_int_equal(cws_options_set_command(o, "/bin/sh", args, 2, NULL), 0);
    assert_int_equal(cws_options_add_env(o, "A", "1", NULL), 0);
    assert_int_equal(cws_options_add_env(o, "A", "2", NULL), 0); /* the last one counts */
    assert_int_equal(cws_options_add_tag(o, "t", NULL), 0);
    assert_int_equal(cws_options_add_file(o, "/etc/x", "\0y", 2, NULL), 0);
    assert_int_equal(cws_options_set_resources(o, NULL, NULL, "500m", "1Gi", NULL), 0);
    assert_int_equal(cws_options_add_annotation(o, "k", "v", NULL), 0);
    cws_options_set_network(o, 1, -1);
    cws_options_set_max_lifetime(o, 60);
    cws_error *e = NULL;
    assert_int_equal(cws_options_add_tag(o, "\xc3", &e), -1);
    assert_int_equal(cws_error_get_kind(e), CWS_E_INVALID);
    cws_error_free(e);
    assert_int_equal(cws_options_add_file(o, "relative", "", 0, NULL), -1);
    CLEANUP_BUF struct buf bytes = {0};
    assert_int_equal(options_pack(o, &bytes, NULL), 0);
    cws_options_free(o);
    CLEANUP_PROTO Pb__CreateSandboxRequest *r = proto_unpack(
        &pb__create_sandbox_request__descriptor, buf_head(&bytes), buf_len(&bytes), NULL);
    assert_non_null(r);
    assert_int_equal(strlen(r->request_id), 36);
    const Pb__SandboxSpec *spec = r->sandbox->spec;
    const Pb__Container *c = spec->containers[0];
    assert_string_equal(c->name, "main");
    assert_string_equal(c->args[1], "true");
    assert_int_equal(c->n_environment_variables, 1);
    assert_string_equal(c->environment_variables[0]->value, "2");
    assert_int_equal(c->files[0]->content.len, 2);
    assert_string_equal(c->resource_requirements->requests->memory, "1Gi"); /* mirrored */
    assert_int_equal(spec->max_lifetime_seconds, 60);
    assert_true(PROTO_HAS(spec->network, deny_egress) && spec->network->deny_egress);
    assert_false(PROTO_HAS(spec->network, deny_ingress));
}

static void test_template_requests_hold_only_what_was_asked_for(void **state)
{
    cws_options *o = cws_options_new(NULL);
    CLEANUP_BUF struct buf empty = {0}, full = {0};
    assert_int_equal(cws_options_set_template(o, "tpl", NULL), 0);
    assert_int_equal(options_pack(o, &empty, NULL), 0);
    assert_int_equal(cws_options_set_image(o, "img", NULL), 0);
    assert_int_equal(cws_options_add_runner_id(o, "r", NULL), 0);
    assert_int_equal(cws_options_add_scratch_volume(o, "v", "/v", NULL, NULL, NULL), 0);
    assert_int_equal(options_pack(o, &full, NULL), 0);
    cws_options_free(o);
    const ProtobufCMessageDescriptor *type =
        &pb__create_sandbox_from_template_request__descriptor;
    CLEANUP_PROTO Pb__CreateSandboxFromTemplateRequest *r =
        proto_unpack(type, buf_head(&empty), buf_len(&empty), NULL);
    assert_non_null(r);
    assert_string_equal(r->template_id, "tpl");
    assert_int_equal(strlen(r->request_id), 36);
    assert_int_equal(protobuf_c_message_get_packed_size(&r->overrides->base), 0);
    CLEANUP_PROTO Pb__CreateSandboxFromTemplateRequest *f =
        proto_unpack(type, buf_head(&full), buf_len(&full), NULL);
    assert_non_null(f);
    assert_int_equal(f->overrides->mode, 0); /* a template may say it */
    assert_string_equal(f->overrides->containers[0]->image, "img");
    assert_string_equal(f->overrides->containers[0]->volume_mounts[0]->volume, "v");
}

/* Whatever the wire has can be set by its name, and is merged with what has a setter. */
static void test_records_become_part_of_the_request(void **state)
{
    cws_options *o = cws_options_new(NULL);
    CLEANUP_BUF struct buf bytes = {0};
    cws_record *spec = cws_options_spec(o, NULL);
    cws_record *a = cws_record_add(spec, "containers", NULL);
    cws_record *b = cws_record_add(spec, "containers", NULL);
    cws_record *side = cws_record_add(a, "resource_requirements", NULL);
    assert_int_equal(
        cws_record_set_text(cws_record_add(side, "limits", NULL), "cpu", "1", NULL), 0);
    side = cws_record_add(b, "resource_requirements", NULL);
    assert_ptr_equal(cws_record_add(b, "resource_requirements", NULL), side); /* there is one */
    assert_int_equal(cws_record_set_text(a, "name", "cache", NULL), 0);
    assert_int_equal(cws_record_set_text(b, "name", "app", NULL), 0);
    assert_int_equal(cws_record_set_int(b, "primary", 1, NULL), 0);
    assert_int_equal(cws_record_set_text(b, "args", "x", NULL), 0);
    assert_int_equal(cws_record_set_text(b, "args", "", NULL), 0);
    assert_int_equal(cws_record_set_text(spec, "mode", "SANDBOX_MODE_CKS", NULL), 0);
    cws_record *rule = cws_record_add(cws_record_add(spec, "network", NULL), "egress", NULL);
    assert_int_equal(cws_record_set_text(rule, "https_hostname", "a.example", NULL), 0);
    assert_int_equal(cws_record_set_int(rule, "any", 1, NULL), 0); /* instead of the name */
    assert_int_equal(cws_options_add_scratch_volume(o, "v", "/v", NULL, NULL, NULL), 0);
    assert_int_equal(options_pack(o, &bytes, NULL), 0);
    cws_options_free(o);
    CLEANUP_PROTO Pb__CreateSandboxRequest *r = proto_unpack(
        &pb__create_sandbox_request__descriptor, buf_head(&bytes), buf_len(&bytes), NULL);
    assert_non_null(r);
    const Pb__SandboxSpec *got = r->sandbox->spec;
    assert_int_equal(got->n_containers, 2);
    assert_int_equal(got->mode, PB__SANDBOX_MODE__SANDBOX_MODE_CKS);
    assert_false(PROTO_HAS(got->containers[0], primary));
    assert_int_equal(got->containers[0]->n_volume_mounts, 0);
    assert_int_equal(got->containers[1]->n_volume_mounts, 1); /* of the primary one */
    assert_int_equal(got->containers[1]->n_args, 2);
    assert_int_equal(got->network->egress[0]->destination_case,
                     PB__EGRESS_RULE__DESTINATION_ANY);
}

static void test_records_refuse_what_the_wire_does_not_have(void **state)
{
    cws_options *o = cws_options_new(NULL);
    cws_record *spec = cws_options_spec(o, NULL);
    cws_field field;
    assert_int_equal(cws_record_set_text(spec, "no_such_field", "x", NULL), -1);
    assert_int_equal(cws_record_set_text(spec, "max_lifetime_seconds", "x", NULL), -1);
    assert_int_equal(cws_record_set_int(spec, "max_lifetime_seconds", INT64_MAX, NULL), -1);
    assert_int_equal(cws_record_set_text(spec, "mode", "SANDBOX_MODE_MOON", NULL), -1);
    assert_int_equal(cws_record_set_text(spec, "runtime_class", "\xff", NULL), -1);
    assert_null(cws_record_add(spec, "runtime_class", NULL));
    for (size_t i = 0; cws_record_field(spec, i, &field); i++)
        assert_int_equal(field.n, 0); /* nothing of it was set */
    cws_options_free(o);
}

static void test_a_file_request_takes_over_the_spec_by_field_names(void **state)
{
    cws_options *o = cws_options_new(NULL);
    CLEANUP_BUF struct buf bytes = {0};
    cws_record *file = cws_options_from_file(o, NULL);
    assert_int_equal(cws_record_set_bytes(file, "contents", "a: b\0", 5, NULL), 0);
    assert_int_equal(options_pack(o, &bytes, NULL), -1); /* no primary service */
    assert_int_equal(cws_record_set_text(file, "primary_service", "web", NULL), 0);
    assert_int_equal(cws_options_add_tag(o, "t", NULL), 0);
    assert_int_equal(cws_options_add_runner_id(o, "r", NULL), 0);
    assert_int_equal(cws_options_add_annotation(o, "k", "v", NULL), 0);
    cws_options_set_max_lifetime(o, 300);
    cws_options_set_network(o, 1, -1);
    assert_int_equal(options_pack(o, &bytes, NULL), 0);
    CLEANUP_PROTO Pb__CreateSandboxFromFileRequest *r =
        proto_unpack(&pb__create_sandbox_from_file_request__descriptor, buf_head(&bytes),
                     buf_len(&bytes), NULL);
    assert_non_null(r);
    assert_int_equal(r->contents.len, 5);
    assert_string_equal(r->tags[0], "t");
    assert_string_equal(r->runner_ids[0], "r");
    assert_string_equal(r->annotations[0]->value, "v");
    assert_int_equal(r->max_lifetime_seconds, 300);
    assert_int_equal(r->mode, PB__SANDBOX_MODE__SANDBOX_MODE_CKS);
    assert_true(r->network->deny_egress);
    assert_int_equal(strlen(r->request_id), 36);
    assert_int_equal(cws_record_set_text(cws_options_spec(o, NULL), "runtime_class", "x", NULL),
                     0);
    assert_int_equal(options_pack(o, &bytes, NULL), -1); /* a file has no such thing */
    cws_options_free(o);
}

static cws_error_kind pack_result(cws_options *take_o)
{
    CLEANUP_BUF struct buf bytes = {0};
    cws_error *e = NULL;
    cws_error_kind kind = options_pack(take_o, &bytes, &e) < 0 ? cws_error_get_kind(e) : 0;
    cws_error_free(e);
    cws_options_free(take_o);
    return kind;
}

static void test_options_refuse_what_does_not_go_together(void **state)
{
    cws_options *o = cws_options_new(NULL);
    assert_int_equal(cws_options_add_egress(o, "*.example.com", NULL), 0);
    assert_int_equal(cws_options_add_egress(o, "*", NULL), -1);
    assert_int_equal(cws_options_add_egress(o, "Example.com", NULL), -1);
    assert_int_equal(cws_options_add_service(o, &(cws_service_options){.port = 0}, NULL), -1);
    cws_service_options private_endpoint = {.port = 1, .endpoint_kind = CWS_ENDPOINT_HTTPS};
    assert_int_equal(cws_options_add_service(o, &private_endpoint, NULL), -1);
    assert_int_equal(cws_options_add_secret(o, "s", "n", NULL, NULL, NULL), 0);
    assert_int_equal(cws_options_add_secret(o, "s", "n", "", "n", NULL), 0); /* the same */
    assert_int_equal(cws_options_add_secret(o, "t", "n", NULL, NULL, NULL), -1);
    assert_int_equal(cws_options_add_scratch_volume(o, "v", "/", NULL, NULL, NULL), -1);
    assert_int_equal(cws_options_add_host_directory(o, "data", "/data", NULL), -1);
    assert_int_equal(cws_options_add_host_directory(o, "", "/data", NULL), -1);
    assert_int_equal(cws_options_add_host_directory(o, "/data", "/", NULL), -1);
    assert_int_equal(cws_options_set_gpu(o, 1, "H100", 80, NULL), -1);
    assert_int_equal(pack_result(o), 0);
    o = cws_options_new(NULL);
    assert_int_equal(cws_options_add_egress(o, "api.example.org", NULL), 0);
    cws_options_set_network(o, 1, -1);
    assert_int_equal(pack_result(o), CWS_E_INVALID);
    o = cws_options_new(NULL);
    (void)cws_options_set_template(o, "t", NULL);
    (void)cws_options_add_env(o, "A", "b", NULL);
    assert_int_equal(pack_result(o), CWS_E_INVALID); /* without an image */
    o = cws_options_new(NULL);
    cws_options_set_spillover(o, CWS_SPILLOVER_SERVERLESS_THEN_CKS);
    (void)cws_options_add_runner_id(o, "r", NULL);
    assert_int_equal(pack_result(o), CWS_E_INVALID);
}

static void test_a_spilled_request_differs_in_place_and_id(void **state)
{
    cws_options *o = cws_options_new(NULL);
    CLEANUP_BUF struct buf first = {0}, second = {0};
    cws_options_set_spillover(o, CWS_SPILLOVER_CKS_THEN_SERVERLESS);
    assert_int_equal(cws_options_add_runner_id(o, "r", NULL), 0);
    assert_int_equal(options_pack(o, &first, NULL), 0);
    assert_int_equal(options_pack_spilled(o, &second, NULL), 0);
    cws_options_free(o);
    options_renew_request_id(&second);
    const ProtobufCMessageDescriptor *type = &pb__create_sandbox_request__descriptor;
    CLEANUP_PROTO Pb__CreateSandboxRequest *a =
        proto_unpack(type, buf_head(&first), buf_len(&first), NULL);
    CLEANUP_PROTO Pb__CreateSandboxRequest *b =
        proto_unpack(type, buf_head(&second), buf_len(&second), NULL);
    assert_int_equal(a->sandbox->spec->mode, PB__SANDBOX_MODE__SANDBOX_MODE_CKS);
    assert_int_equal(a->sandbox->spec->n_runner_ids, 1);
    assert_int_equal(b->sandbox->spec->mode, PB__SANDBOX_MODE__SANDBOX_MODE_SERVERLESS);
    assert_int_equal(b->sandbox->spec->n_runner_ids, 0);
    assert_string_not_equal(a->request_id, b->request_id);
}

/* as the published client */
static void test_a_retry_waits_for_the_hint_or_for_a_jitter_that_grows(void **state)
{
    const uint64_t left_ns = 30 * NS_PER_SEC;
    uint64_t memory_ns = 0, high_ns = 0;
    assert_int_equal(retry_jitter(&memory_ns, 3 * NS_PER_SEC, left_ns), 3 * NS_PER_SEC);
    assert_int_equal(retry_jitter(&memory_ns, 3 * NS_PER_SEC, 7), 7);
    assert_int_equal(retry_jitter(&memory_ns, 11 * NS_PER_SEC, left_ns), 10 * NS_PER_SEC);
    assert_int_equal(memory_ns, 0); /* a hint is no part of the jitter */
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t before_ns = memory_ns ? memory_ns : RETRY_FIRST_NS;
        uint64_t delay_ns = retry_jitter(&memory_ns, 0, left_ns);
        assert_in_range(delay_ns, RETRY_FIRST_NS, MAX(RETRY_FIRST_NS, before_ns * 3 / 2));
        assert_in_range(delay_ns, RETRY_FIRST_NS, RETRY_MAX_NS);
        high_ns = MAX(high_ns, delay_ns);
    }
    assert_true(high_ns > NS_PER_SEC);
    assert_in_range(retry_jitter(&memory_ns, 0, RETRY_FIRST_NS / 2), 0, RETRY_FIRST_NS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_the_same_however_the_bytes_are_cut),
        cmocka_unit_test(test_a_line_has_a_limit),
        cmocka_unit_test(test_quoting_survives_a_shell),
        cmocka_unit_test(test_a_reason_counts_only_from_a_trusted_domain),
        cmocka_unit_test(test_every_status_has_a_kind),
        cmocka_unit_test(test_violations_make_a_validation_error),
        cmocka_unit_test(test_messages_speak_of_arguments),
        cmocka_unit_test(test_targets_check_their_url_and_headers),
        cmocka_unit_test(test_credentials_are_asked_for_by_name),
        cmocka_unit_test(test_many_variables_are_added_one_by_one),
        cmocka_unit_test(test_options_become_one_create_request),
        cmocka_unit_test(test_template_requests_hold_only_what_was_asked_for),
        cmocka_unit_test(test_records_become_part_of_the_request),
        cmocka_unit_test(test_records_refuse_what_the_wire_does_not_have),
        cmocka_unit_test(test_a_file_request_takes_over_the_spec_by_field_names),
        cmocka_unit_test(test_options_refuse_what_does_not_go_together),
        cmocka_unit_test(test_a_spilled_request_differs_in_place_and_id),
        cmocka_unit_test(test_a_retry_waits_for_the_hint_or_for_a_jitter_that_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
