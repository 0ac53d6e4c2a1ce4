/* What a SandboxSpec may ask for, and how a refusal names the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "privproto/machine-path.h"
#include "server/services.h"
#include "server/spec.h"
#include "wire/host-directory.h"

#define NAME_63 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-012345678"

/* A spec with one container; each test bends one thing. */
struct fixture {
    Pb__SandboxSpec spec;
    struct services_offer offer; /* nothing */
    Pb__Container container;
    Pb__Container *containers[2];
    Pb__ResourceRequirements requirements;
    Pb__Resources requests, limits;
    Pb__FileMount files[2];
    Pb__FileMount *file_pointers[2];
};

static void fixture_init(struct fixture *f)
{
    f->spec = (Pb__SandboxSpec)PB__SANDBOX_SPEC__INIT;
    f->offer = (struct services_offer){0};
    f->container = (Pb__Container)PB__CONTAINER__INIT;
    f->requirements = (Pb__ResourceRequirements)PB__RESOURCE_REQUIREMENTS__INIT;
    f->requests = (Pb__Resources)PB__RESOURCES__INIT;
    f->limits = (Pb__Resources)PB__RESOURCES__INIT;
    f->container.name = "main";
    f->container.image = "python:3.11";
    f->container.command = "/bin/sh";
    f->containers[0] = f->containers[1] = &f->container;
    f->spec.containers = f->containers;
    f->spec.n_containers = 1;
    f->requirements.requests = &f->requests;
    f->requirements.limits = &f->limits;
    for (size_t i = 0; i < 2; i++) {
        f->files[i] = (Pb__FileMount)PB__FILE_MOUNT__INIT;
        f->files[i].path = i == 0 ? "/a" : "/b";
        f->file_pointers[i] = &f->files[i];
    }
    f->container.files = f->file_pointers;
}

static void expect(struct fixture *f, enum err_code code, const char *field)
{
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(spec_check(&f->spec, "here", &f->offer, &err), code == ERR_OK ? 0 : -1);
    assert_int_equal(err.code, code);
    if (code != ERR_OK && strstr(err_text(&err), field) == NULL)
        fail_msg("`%s` does not name `%s`", err_text(&err), field);
    if (code == ERR_INVALID_ARGUMENT) {
        assert_int_equal(err.n_violations, 1);
        assert_non_null(strstr(err.violations[0].key, field));
    }
}

#define BEND(code, field, ...) \
    do { \
        struct fixture f; \
        fixture_init(&f); \
        __VA_ARGS__; \
        expect(&f, code, field); \
    } while (0)

static void test_what_existing_clients_send_is_accepted(void **state)
{
    Pb__NetworkOptions network = PB__NETWORK_OPTIONS__INIT;
    network.opt_deny_egress_case = PB__NETWORK_OPTIONS__OPT_DENY_EGRESS_DENY_EGRESS;
    char *tags[] = {"team-a", "team-a", "v1.2_x"};
    char *runners[] = {"there", "here"};
    BEND(ERR_OK, "", (void)0);
    BEND(ERR_OK, "", f.spec.network = &network);
    BEND(ERR_OK, "", f.spec.tags = tags; f.spec.n_tags = 3);
    BEND(ERR_OK, "", f.spec.runner_ids = runners; f.spec.n_runner_ids = 2);
    BEND(ERR_OK, "", f.spec.mode = PB__SANDBOX_MODE__SANDBOX_MODE_CKS);
    BEND(ERR_OK, "", f.container.n_files = 2);
    BEND(ERR_OK, "", f.container.command = "");
    BEND(ERR_OK, "", f.container.command = ""; f.container.args = tags; f.container.n_args = 1);
    BEND(ERR_OK, "", f.container.name = "");
    BEND(ERR_OK, "", f.container.name = NAME_63);
    BEND(ERR_OK, "", f.spec.runtime_class = SPEC_RUNTIME_CLASS);
    BEND(ERR_OK, "", f.container.opt_primary_case = PB__CONTAINER__OPT_PRIMARY_PRIMARY;
         f.container.primary = true);
}

static void test_a_missing_or_wrong_field_is_named(void **state)
{
    char *long_tag[] = {
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}; /* 60 */
    char *bad_tag[] = {"ends-"}, *empty[] = {""}, *other[] = {"there"};
    BEND(ERR_INVALID_ARGUMENT, "containers", f.spec.n_containers = 0);
    BEND(ERR_INVALID_ARGUMENT, "containers[0].name", f.container.name = "Main");
    BEND(ERR_INVALID_ARGUMENT, "containers[0].name", f.container.name = "-a");
    BEND(ERR_INVALID_ARGUMENT, "containers[0].name", f.container.name = "a-");
    BEND(ERR_INVALID_ARGUMENT, "containers[0].name", f.container.name = NAME_63 "a");
    BEND(ERR_INVALID_ARGUMENT, "containers[0].name", f.container.name = "dns-egress");
    BEND(ERR_INVALID_ARGUMENT, "containers[0].name",
         f.container.name = "cw-object-store-agent-restore-x");
    BEND(ERR_INVALID_ARGUMENT, "tags", f.spec.tags = long_tag; f.spec.n_tags = 1);
    BEND(ERR_INVALID_ARGUMENT, "tags", f.spec.tags = bad_tag; f.spec.n_tags = 1);
    BEND(ERR_INVALID_ARGUMENT, "tags", f.spec.tags = empty; f.spec.n_tags = 1);
    char long_path[SPEC_MAX_PULL_WORD + 2];
    memset(long_path, 'p', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    Pb__SecretSource source = PB__SECRET_SOURCE__INIT;
    Pb__ImagePullCredentials pull = PB__IMAGE_PULL_CREDENTIALS__INIT;
    pull.registry = "r";
    BEND(ERR_INVALID_ARGUMENT, "image_pull_credentials",
         f.container.image_pull_credentials = &pull);
    pull.credentials = &source;
    source.store_name = "s";
    BEND(ERR_INVALID_ARGUMENT, "image_pull_credentials",
         f.container.image_pull_credentials = &pull);
    source.path = long_path;
    BEND(ERR_INVALID_ARGUMENT, "image_pull_credentials",
         f.container.image_pull_credentials = &pull);
    BEND(ERR_INVALID_ARGUMENT, "mode", f.spec.mode = (Pb__SandboxMode)9);
    BEND(ERR_INVALID_ARGUMENT, "max_lifetime_seconds", f.spec.max_lifetime_seconds = -1);
    BEND(ERR_INVALID_ARGUMENT, "working_dir", f.container.working_dir = "relative");
    BEND(ERR_INVALID_ARGUMENT, "files", f.files[0].path = "relative"; f.container.n_files = 1);
    BEND(ERR_INVALID_ARGUMENT, "files", f.files[0].path = "/"; f.container.n_files = 1);
    BEND(ERR_INVALID_ARGUMENT, "files", f.files[0].path = "/dir/"; f.container.n_files = 1);
    BEND(ERR_INVALID_ARGUMENT, "files", f.files[1].path = "/a"; f.container.n_files = 2);
    BEND(ERR_FAILED_PRECONDITION, "runner_ids", f.spec.runner_ids = other;
         f.spec.n_runner_ids = 1);
}

static void test_services_without_an_address_are_ports_by_name(void **state)
{
    Pb__Service one = PB__SERVICE__INIT, two = PB__SERVICE__INIT, *services[] = {&one, &two};
    Pb__Service *many[SPEC_MAX_SERVICES + 1];
    Pb__Service each[SPEC_MAX_SERVICES + 1];
    one.port = 1;
    two.port = 65535;
    BEND(ERR_OK, "", f.spec.n_services = 2; f.spec.services = services);
    two.port = 1;
    BEND(ERR_INVALID_ARGUMENT, "services.port", f.spec.n_services = 2;
         f.spec.services = services);
    two.protocol = PB__SERVICE_PROTOCOL__SERVICE_PROTOCOL_UDP;
    BEND(ERR_OK, "", f.spec.n_services = 2; f.spec.services = services);
    two.port = 0;
    BEND(ERR_INVALID_ARGUMENT, "services.port", f.spec.n_services = 2;
         f.spec.services = services);
    two.port = 65536;
    BEND(ERR_INVALID_ARGUMENT, "services.port", f.spec.n_services = 2;
         f.spec.services = services);
    two.port = 2;
    two.protocol = (Pb__ServiceProtocol)4;
    BEND(ERR_INVALID_ARGUMENT, "services.protocol", f.spec.n_services = 2;
         f.spec.services = services);
    for (int i = 0; i <= SPEC_MAX_SERVICES; i++) {
        each[i] = (Pb__Service)PB__SERVICE__INIT;
        each[i].port = i + 1;
        many[i] = &each[i];
    }
    BEND(ERR_OK, "", f.spec.n_services = SPEC_MAX_SERVICES; f.spec.services = many);
    BEND(ERR_INVALID_ARGUMENT, "services", f.spec.n_services = SPEC_MAX_SERVICES + 1;
         f.spec.services = many);
}

static void test_what_is_not_built_is_refused_by_name(void **state)
{
    Pb__Gpu gpu = PB__GPU__INIT;
    Pb__SecurityContext security = PB__SECURITY_CONTEXT__INIT;
    ProtobufCMessageUnknownField init_containers = {.tag = 12};
    Pb__Probe probe = PB__PROBE__INIT;
    Pb__SandboxVolume volume = PB__SANDBOX_VOLUME__INIT, *volumes[] = {&volume};
    Pb__ScratchVolume scratch = PB__SCRATCH_VOLUME__INIT;
    Pb__Service service = PB__SERVICE__INIT, *services[] = {&service};
    Pb__EndpointSpec endpoint = PB__ENDPOINT_SPEC__INIT;
    Pb__NetworkOptions dns = PB__NETWORK_OPTIONS__INIT;
    dns.dns_egress = PB__DNSEGRESS_MODE__DNS_EGRESS_MODE_ALLOW;
    security.opt_privileged_case = PB__SECURITY_CONTEXT__OPT_PRIVILEGED_PRIVILEGED;
    security.privileged = true;
    BEND(ERR_UNIMPLEMENTED, "containers[1]", f.spec.n_containers = 2);
    volume.name = "v";
    volume.source_case = PB__SANDBOX_VOLUME__SOURCE_SCRATCH;
    volume.scratch = &scratch;
    scratch.restore_from_snapshot_id = "snapshot";
    BEND(ERR_UNIMPLEMENTED, "volumes.scratch.restore_from_snapshot_id", f.spec.n_volumes = 1;
         f.spec.volumes = volumes);
    service.port = 80;
    service.visibility = PB__VISIBILITY__VISIBILITY_PUBLIC;
    BEND(ERR_UNIMPLEMENTED, "services.visibility", f.spec.n_services = 1;
         f.spec.services = services);
    endpoint.kind = PB__ENDPOINT_KIND__ENDPOINT_KIND_HTTPS;
    service.endpoint = &endpoint;
    BEND(ERR_UNIMPLEMENTED, "services.endpoint", f.spec.n_services = 1;
         f.spec.services = services);
    BEND(ERR_UNIMPLEMENTED, "init_containers", f.spec.base.n_unknown_fields = 1;
         f.spec.base.unknown_fields = &init_containers);
    BEND(ERR_UNIMPLEMENTED, "startup_probe", f.container.startup_probe = &probe);
    BEND(ERR_UNIMPLEMENTED, "network_config_id", f.spec.network_config_id = "n");
    BEND(ERR_UNIMPLEMENTED, "network.dns_egress", f.spec.network = &dns);
    BEND(ERR_UNIMPLEMENTED, "runtime_class_selection",
         f.spec.runtime_class_selection = PB__RUNTIME_CLASS__RUNTIME_CLASS_CPU_DEFAULT);
    BEND(ERR_UNIMPLEMENTED, "secret_stores", f.container.n_secret_stores = 1);
    BEND(ERR_UNIMPLEMENTED, "runtime_class", f.spec.runtime_class = "gvisor");
    BEND(ERR_UNIMPLEMENTED, "gpu", f.container.resource_requirements = &f.requirements;
         f.limits.gpu = &gpu);
    BEND(ERR_UNIMPLEMENTED, "security_context.privileged",
         f.container.security_context = &security);
}

static void test_limits_win_over_requests(void **state)
{
    struct fixture f;
    CLEANUP_ERR struct err err = {0};
    uint64_t memory;
    uint32_t cpu;
    fixture_init(&f);
    f.container.resource_requirements = &f.requirements;
    f.requests.cpu = "250m";
    f.requests.memory = "64Mi";
    assert_int_equal(spec_limits(&f.container, &memory, &cpu, &err), 0);
    assert_int_equal(cpu, 250);
    assert_int_equal(memory, 64u << 20);
    f.limits.cpu = "1.5";
    f.limits.memory = "1Gi";
    assert_int_equal(spec_limits(&f.container, &memory, &cpu, &err), 0);
    assert_int_equal(cpu, 1500);
    assert_int_equal(memory, 1u << 30);
}

static void test_quantities_that_make_no_sense_are_named(void **state)
{
    BEND(ERR_INVALID_ARGUMENT, "requests.cpu",
         f.container.resource_requirements = &f.requirements;
         f.requests.cpu = "2"; f.limits.cpu = "1");
    BEND(ERR_INVALID_ARGUMENT, "limits.memory",
         f.container.resource_requirements = &f.requirements;
         f.limits.memory = "lots");
    BEND(ERR_INVALID_ARGUMENT, "limits.memory",
         f.container.resource_requirements = &f.requirements;
         f.limits.memory = "1Ki");
    BEND(ERR_INVALID_ARGUMENT, "limits.cpu",
         f.container.resource_requirements = &f.requirements;
         f.limits.cpu = "0");
}

static void test_translation_keeps_order_and_content(void **state)
{
    struct fixture f;
    CLEANUP_ERR struct err err = {0};
    CLEANUP(spec_plan_done) struct spec_plan plan = {0};
    Pb__Container__EnvironmentVariablesEntry entry =
        PB__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT;
    Pb__Container__EnvironmentVariablesEntry *entries[] = {&entry};
    char *args[] = {"-c", "true"};
    fixture_init(&f);
    entry.key = "A";
    entry.value = "1=2";
    f.container.args = args;
    f.container.n_args = 2;
    f.container.environment_variables = entries;
    f.container.n_environment_variables = 1;
    f.container.n_files = 2;
    f.files[1].content = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"xyz"};
    f.spec.max_lifetime_seconds = 60;
    assert_int_equal(spec_translate(&f.spec, &plan, &err), 0);
    assert_int_equal(plan.spec.n_args, 2);
    assert_string_equal(plan.spec.args[1], "true");
    assert_string_equal(plan.spec.env[0].value, "1=2");
    assert_int_equal(plan.spec.files[1].size, 3);
    assert_true(plan.spec.lifetime_ns == 60 * NS_PER_SEC);
    spec_plan_done(&plan);
    entry.key = "A=B";
    assert_int_equal(spec_translate(&f.spec, &plan, &err), -1);
    assert_non_null(strstr(err_text(&err), "environment_variables"));
}

static void expect_dir(struct fixture *f, const char *path, const char *refused)
{
    static char *listed[] = {(char *)"/data", (char *)"/srv/x"};
    const struct text_list allowed = {listed, 2};
    const struct spec_room room = {.bytes = 1, .host_directories = &allowed};
    CLEANUP(spec_plan_done) struct spec_plan plan = {0};
    CLEANUP_ERR struct err err = {0};
    static ProtobufCMessageUnknownField field;
    static uint8_t bytes[64];
    host_directory_set(f->spec.volumes[0], path, &field, bytes);
    assert_int_equal(spec_plan_volumes(&f->spec, &room, &plan, &err), refused ? -1 : 0);
    if (refused) {
        assert_non_null(strstr(err_text(&err), refused));
        return;
    }
    for (uint32_t i = 0; i < plan.spec.mounts.n; i++) {
        assert_int_equal(plan.spec.mounts.ops[i].kind, MOUNT_DIR);
        assert_string_equal(plan.spec.mounts.ops[i].source, path);
        assert_true(mount_op_valid(&plan.spec.mounts.ops[i]));
    }
}

static void test_directories_of_the_machine_are_below_the_list(void **state)
{
    struct fixture f;
    Pb__SandboxVolume volume = PB__SANDBOX_VOLUME__INIT, *volumes[] = {&volume};
    Pb__VolumeMount mounts[MACHINE_DIRS_MAX + 1], *pointers[ARRAY_SIZE(mounts)];
    char paths[ARRAY_SIZE(mounts)][8];
    fixture_init(&f);
    volume.name = (char *)"d";
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "/in%zu", i);
        mounts[i] = (Pb__VolumeMount)PB__VOLUME_MOUNT__INIT;
        mounts[i].volume = volume.name;
        mounts[i].mount_path = paths[i];
        mounts[i].read_only = true;
        pointers[i] = &mounts[i];
    }
    f.spec.volumes = volumes;
    f.spec.n_volumes = 1;
    f.container.volume_mounts = pointers;
    f.container.n_volume_mounts = MACHINE_DIRS_MAX;
    expect(&f, ERR_OK, "");
    expect_dir(&f, "/data", NULL);
    expect_dir(&f, "/srv/x/y", NULL);
    expect_dir(&f, "/srv", "--host-directories");
    expect_dir(&f, "/data2", "--host-directories");
    expect_dir(&f, "/data/../etc", "volumes.host_directory");
    f.container.n_volume_mounts++;
    expect_dir(&f, "/data", "more than 8");
    f.container.n_volume_mounts = 1;
    mounts[0].sub_path = (char *)"x";
    expect(&f, ERR_INVALID_ARGUMENT, "sub_path");
    mounts[0].sub_path = (char *)"";
    mounts[0].read_only = false;
    expect(&f, ERR_INVALID_ARGUMENT, "read_only");
}

/* What they mean says the image. */
static void test_arguments_without_a_command_stay_arguments(void **state)
{
    struct fixture f;
    CLEANUP(spec_plan_done) struct spec_plan plan = {0};
    char *args[] = {"printf", "x"};
    fixture_init(&f);
    f.container.command = "";
    f.container.args = args;
    f.container.n_args = 2;
    assert_int_equal(spec_translate(&f.spec, &plan, NULL), 0);
    assert_string_equal(plan.spec.command, "");
    assert_int_equal(plan.spec.n_args, 2);
    assert_string_equal(plan.spec.args[0], "printf");
    spec_plan_done(&plan);
    f.container.n_args = 0;
    assert_int_equal(spec_translate(&f.spec, &plan, NULL), 0);
    assert_string_equal(plan.spec.command, "");
    assert_int_equal(plan.spec.n_args, 0);
}

/* At the limit and one byte past it. */
static void test_strings_that_no_program_could_be_given_are_named(void **state)
{
    struct fixture f;
    CLEANUP_FREE char *text = malloc(EXEC_MAX_STRING + 1);
    Pb__Container__EnvironmentVariablesEntry entry =
        PB__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT;
    Pb__Container__EnvironmentVariablesEntry *entries[] = {&entry};
    char *args[] = {text};
    assert_non_null(text);
    memset(text, 'x', EXEC_MAX_STRING);
    entry.key = "BIG";
    entry.value = text;
    fixture_init(&f);
    f.container.environment_variables = entries;
    f.container.args = args;
    for (size_t over = 0; over <= 1; over++) {
        CLEANUP_ERR struct err err = {0};
        CLEANUP(spec_plan_done) struct spec_plan plan = {0};
        text[EXEC_MAX_STRING - sizeof("BIG=") + over] = '\0';
        f.container.n_environment_variables = 1;
        assert_int_equal(spec_translate(&f.spec, &plan, &err), over ? -1 : 0);
        assert_true(!over || strstr(err_text(&err), "`BIG` is longer than 131071 bytes"));
        text[EXEC_MAX_STRING - sizeof("BIG=") + over] = 'x';
    }
    for (size_t over = 0; over <= 1; over++) {
        CLEANUP_ERR struct err err = {0};
        CLEANUP(spec_plan_done) struct spec_plan plan = {0};
        text[EXEC_MAX_STRING - 1 + over] = '\0';
        f.container.n_environment_variables = 0;
        f.container.n_args = 1;
        assert_int_equal(spec_translate(&f.spec, &plan, &err), over ? -1 : 0);
        assert_true(!over || strstr(err_text(&err), "index 0"));
        text[EXEC_MAX_STRING - 1 + over] = 'x';
    }
}

/* Messages on the heap, as they come from the wire. */
static Pb__CreateSandboxRequest *wire_request(const char *a, const char *b, size_t n_content)
{
    struct fixture f;
    Pb__Sandbox sandbox = PB__SANDBOX__INIT;
    Pb__CreateSandboxRequest request = PB__CREATE_SANDBOX_REQUEST__INIT;
    Pb__NetworkOptions network = PB__NETWORK_OPTIONS__INIT;
    Pb__Container__EnvironmentVariablesEntry
        x = PB__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT,
        y = PB__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT;
    Pb__Container__EnvironmentVariablesEntry *entries[] = {&x, &y};
    CLEANUP_FREE uint8_t *content = calloc(1, n_content + 1);
    CLEANUP_BUF struct buf bytes = {0};
    fixture_init(&f);
    x.key = (char *)a;
    y.key = (char *)b;
    f.container.name = "";
    f.container.environment_variables = entries;
    f.container.n_environment_variables = 2;
    f.container.n_files = 1;
    f.files[0].content = (ProtobufCBinaryData){.len = n_content, .data = content};
    f.spec.network = &network;
    sandbox.spec = &f.spec;
    request.sandbox = &sandbox;
    assert_int_equal(proto_pack(&request, &bytes), 0);
    return proto_unpack(&pb__create_sandbox_request__descriptor, buf_head(&bytes),
                        buf_len(&bytes), NULL);
}

static void test_requests_are_told_apart_but_for_the_order_of_maps(void **state)
{
    CLEANUP_PROTO Pb__CreateSandboxRequest *r = wire_request("A", "B", 9);
    CLEANUP_PROTO Pb__CreateSandboxRequest *swapped = wire_request("B", "A", 9);
    CLEANUP_PROTO Pb__CreateSandboxRequest *other_key = wire_request("A", "C", 9);
    CLEANUP_PROTO Pb__CreateSandboxRequest *longer = wire_request("A", "B", 10);
    uint64_t hash = spec_request_hash(r);
    assert_true(hash != 0);
    assert_true(spec_request_hash(r) == hash); /* changes nothing in the message */
    assert_true(spec_request_hash(swapped) == hash);
    assert_true(spec_request_hash(other_key) != hash);
    assert_true(spec_request_hash(longer) != hash);
    longer->sandbox->spec->containers[0]->files[0]->content.len = 9;
    assert_true(spec_request_hash(longer) == hash);
    longer->sandbox->spec->containers[0]->files[0]->content.data[8] = 1;
    assert_true(spec_request_hash(longer) != hash);
}

static void test_the_echo_has_a_name_and_files_whole_or_not_at_all(void **state)
{
    for (size_t over = 0; over <= 1; over++) {
        CLEANUP_PROTO Pb__CreateSandboxRequest *r =
            wire_request("A", "B", over ? SPEC_MAX_KEPT : 1000);
        Pb__SandboxSpec *spec = r->sandbox->spec;
        assert_int_equal(spec_name_container(spec, NULL), 0);
        assert_string_equal(spec->containers[0]->name, SPEC_CONTAINER);
        spec_keep_echo(spec);
        assert_null(spec->network);
        assert_int_equal(spec->containers[0]->n_files, over ? 0 : 1);
        assert_true(over || spec->containers[0]->files[0]->content.len == 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_existing_clients_send_is_accepted),
        cmocka_unit_test(test_a_missing_or_wrong_field_is_named),
        cmocka_unit_test(test_services_without_an_address_are_ports_by_name),
        cmocka_unit_test(test_what_is_not_built_is_refused_by_name),
        cmocka_unit_test(test_limits_win_over_requests),
        cmocka_unit_test(test_quantities_that_make_no_sense_are_named),
        cmocka_unit_test(test_translation_keeps_order_and_content),
        cmocka_unit_test(test_directories_of_the_machine_are_below_the_list),
        cmocka_unit_test(test_arguments_without_a_command_stay_arguments),
        cmocka_unit_test(test_strings_that_no_program_could_be_given_are_named),
        cmocka_unit_test(test_requests_are_told_apart_but_for_the_order_of_maps),
        cmocka_unit_test(test_the_echo_has_a_name_and_files_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
