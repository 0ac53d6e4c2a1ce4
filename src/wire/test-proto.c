/* The checks before unpacking, and the hand-made forms of bulk messages against the generated
 * encoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/descriptors.h"
#include "wire/host-directory.h"
#include "wire/proto.h"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static void assert_rejected(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
                            size_t n, const char *text)
{
    CLEANUP_ERR struct err e = {0};
    assert_null(proto_unpack(desc, data, n, &e));
    assert_int_equal(e.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(e.message, text);
}

static void test_a_message_survives_packing_and_unpacking(void **state)
{
    Pb__Container c = PB__CONTAINER__INIT;
    c.name = (char *)"main";
    c.image = (char *)"h\xc3\xa9";
    Pb__Container *list[] = {&c};
    Pb__SandboxSpec spec = PB__SANDBOX_SPEC__INIT;
    spec.n_containers = 1;
    spec.containers = list;
    CLEANUP_BUF struct buf b = {0};
    assert_int_equal(buf_put_str(&b, "x"), 0); /* appends */
    assert_int_equal(proto_pack(&spec, &b), 0);
    CLEANUP_PROTO Pb__SandboxSpec *back =
        proto_unpack(&pb__sandbox_spec__descriptor, buf_head(&b) + 1, buf_len(&b) - 1, NULL);
    assert_non_null(back);
    assert_string_equal(back->containers[0]->image, "h\xc3\xa9");
}

static void test_an_empty_message_is_fine(void **state)
{
    CLEANUP_PROTO Pb__SandboxSpec *m =
        proto_unpack(&pb__sandbox_spec__descriptor, NULL, 0, NULL);
    assert_non_null(m);
    assert_string_equal(m->network_config_id, "");
}

static void test_optional_fields_tell_zero_from_absent(void **state)
{
    CLEANUP_PROTO Pb__SandboxStatus *with =
        proto_unpack(&pb__sandbox_status__descriptor, BYTES("\x48\0"), NULL);
    CLEANUP_PROTO Pb__SandboxStatus *without =
        proto_unpack(&pb__sandbox_status__descriptor, BYTES(""), NULL);
    assert_true(PROTO_HAS(with, exit_code));
    assert_int_equal(with->exit_code, 0);
    assert_false(PROTO_HAS(without, exit_code));
}

static void test_bad_text_is_rejected_with_its_path(void **state)
{
    assert_rejected(&pb__get_sandbox_request__descriptor, BYTES("\x0a\2a\0"),
                    "decode `sandbox_id`: text with a NUL character");
    assert_rejected(&pb__get_sandbox_request__descriptor, BYTES("\x0a\2a\xff"),
                    "decode `sandbox_id`: text that is not UTF-8");
    /* CreateSandboxRequest.sandbox.spec.containers.environment_variables.value */
    assert_rejected(
        &pb__create_sandbox_request__descriptor,
        BYTES("\x0a\x0b\x12\x09\x0a\x07\x2a\5\x12\3\xed\xa0\x80"),
        "decode `sandbox.spec.containers.environment_variables.value`: text that is not UTF-8");
}

static void test_malformed_bytes_are_rejected(void **state)
{
    const ProtobufCMessageDescriptor *d = &pb__exec_request__descriptor;
    assert_rejected(d, BYTES("\x0a\5ab"), "decode `sandbox_id`: length past the end");
    assert_rejected(d, BYTES("\x0a"), "decode `sandbox_id`: length past the end");
    assert_rejected(d, BYTES("\x20\xff"), "decode `max_output_bytes`: malformed number");
    assert_rejected(d, BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\2"),
                    "decode `max_output_bytes`: malformed number");
    assert_rejected(d, BYTES("\x22\1a"), "decode `max_output_bytes`: wrong wire type");
    assert_rejected(d, BYTES("\x08\1"), "decode `sandbox_id`: wrong wire type");
    assert_rejected(d, BYTES("\0\1"), "decode `message`: malformed field tag");
    assert_rejected(d, BYTES("\x80"), "decode `message`: malformed field tag");
    assert_rejected(d, BYTES("\xff\xff\xff\xff\x7f\1"),
                    "decode `message`: malformed field tag");
    assert_rejected(d, BYTES("\xf3\7"), "decode `(unknown)`: unknown wire type");
    assert_rejected(d, BYTES("\xf1\7abc"), "decode `(unknown)`: truncated");
    assert_rejected(d, BYTES("\xf5\7abc"), "decode `(unknown)`: truncated");
}

static void test_unknown_fields_are_accepted(void **state)
{
    CLEANUP_PROTO Pb__ExecRequest *m =
        proto_unpack(&pb__exec_request__descriptor,
                     BYTES("\xf8\7\1\xf1\7abcdefgh\xf2\7\2\xff\xff\xf5\7abcd"), NULL);
    assert_non_null(m);
}

static void test_a_directory_of_the_machine_is_a_field_of_our_own(void **state)
{
    static const uint8_t expected[] = "\xc2\x3e\5/data";
    const ProtobufCMessageDescriptor *d = &pb__sandbox_volume__descriptor;
    Pb__SandboxVolume v = PB__SANDBOX_VOLUME__INIT;
    ProtobufCMessageUnknownField field;
    uint8_t room[16], packed[16];
    char path[8];
    assert_false(host_directory_get(&v, path, sizeof(path)));
    host_directory_set(&v, "/data", &field, room);
    assert_int_equal(protobuf_c_message_pack(&v.base, packed), sizeof(expected) - 1);
    assert_memory_equal(packed, expected, sizeof(expected) - 1);

    CLEANUP_PROTO Pb__SandboxVolume *got = proto_unpack(d, BYTES("\xc2\x3e\5/data"), NULL);
    CLEANUP_PROTO Pb__SandboxVolume *number = proto_unpack(d, BYTES("\xc0\x3e\5"), NULL);
    CLEANUP_PROTO Pb__SandboxVolume *empty = proto_unpack(d, BYTES("\xc2\x3e\0"), NULL);
    assert_true(host_directory_get(got, path, sizeof(path)));
    assert_string_equal(path, "/data");
    assert_true(host_directory_get(got, path, 3)); /* cut */
    assert_string_equal(path, "/d");
    assert_false(host_directory_get(number, path, sizeof(path)));
    assert_true(host_directory_get(empty, path, sizeof(path)));
    assert_string_equal(path, "");
}

static void test_packed_numbers_are_checked(void **state)
{
    const ProtobufCMessageDescriptor *d = &pb__list_volumes_request__descriptor;
    CLEANUP_PROTO Pb__ListVolumesRequest *packed = proto_unpack(d, BYTES("\x1a\2\1\2"), NULL);
    CLEANUP_PROTO Pb__ListVolumesRequest *single = proto_unpack(d, BYTES("\x18\1\x18\2"), NULL);
    assert_int_equal(packed->n_states, 2);
    assert_int_equal(single->n_states, 2);
    assert_rejected(d, BYTES("\x1a\2\1\xff"), "decode `states`: malformed packed numbers");
}

static void test_deep_nesting_is_rejected(void **state)
{
    /* ServerReflectionResponse.original_request does not recurse, but an HttpRule-like chain
     * does not exist among our messages: a descriptor that refers to itself stands for it. */
    static ProtobufCFieldDescriptor field;
    static ProtobufCMessageDescriptor loop;
    field = (ProtobufCFieldDescriptor){.name = "again",
                                       .id = 1,
                                       .label = PROTOBUF_C_LABEL_NONE,
                                       .type = PROTOBUF_C_TYPE_MESSAGE,
                                       .descriptor = &loop};
    static const ProtobufCIntRange ranges[] = {{1, 0}, {0, 1}};
    loop = (ProtobufCMessageDescriptor){.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
                                        .n_fields = 1,
                                        .fields = &field,
                                        .n_field_ranges = 1,
                                        .field_ranges = ranges};
    uint8_t bytes[2 * PROTO_MAX_DEPTH];
    for (size_t depth = PROTO_MAX_DEPTH - 1; depth <= PROTO_MAX_DEPTH; depth++) {
        for (size_t i = 0; i < depth; i++) {
            bytes[2 * i] = 0x0a;
            bytes[2 * i + 1] = (uint8_t)(2 * (depth - 1 - i));
        }
        CLEANUP_ERR struct err e = {0};
        int r = proto_check(&loop, bytes, 2 * depth, &e);
        /* The innermost message is empty and one level deeper than the last tag. */
        assert_int_equal(r, depth == PROTO_MAX_DEPTH ? -1 : 0);
    }
}

static void test_more_elements_than_the_cap_are_rejected(void **state)
{
    CLEANUP_BUF struct buf b = {0};
    assert_int_equal(buf_reserve(&b, 2 * (PROTO_MAX_ELEMENTS + 1)), 0);
    for (size_t i = 0; i < PROTO_MAX_ELEMENTS; i++)
        assert_int_equal(buf_put(&b, "\x12\0", 2), 0); /* command: "" */
    CLEANUP_ERR struct err e = {0};
    assert_int_equal(proto_check(&pb__exec_request__descriptor, buf_head(&b), buf_len(&b), &e),
                     0);
    assert_int_equal(buf_put(&b, "\x12\0", 2), 0);
    assert_int_equal(proto_check(&pb__exec_request__descriptor, buf_head(&b), buf_len(&b), &e),
                     -1);
    assert_string_equal(e.message, "decode `command`: too many elements");
}

static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 65536, 3000000};

static void test_exec_output_made_by_hand_equals_the_generated_one(void **state)
{
    CLEANUP_FREE uint8_t *data = calloc(1, 3000000);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (int stream = 0; stream <= 2; stream++) {
            Pb__ExecStreamOutput out = PB__EXEC_STREAM_OUTPUT__INIT;
            out.stream = (Pb__ExecStreamOutput__Stream)stream;
            out.data = (ProtobufCBinaryData){sizes[i], data};
            Pb__ExecStreamResponse resp = PB__EXEC_STREAM_RESPONSE__INIT;
            resp.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT;
            resp.output = &out;
            CLEANUP_BUF struct buf expect = {0}, made = {0};
            assert_int_equal(proto_pack(&resp, &expect), 0);
            uint8_t head[PROTO_HEAD_MAX];
            size_t n = proto_head_exec_output(head, out.stream, sizes[i]);
            assert_int_equal(buf_put(&made, head, n), 0);
            assert_int_equal(buf_put(&made, data, sizes[i]), 0);
            assert_int_equal(buf_len(&made), buf_len(&expect));
            assert_memory_equal(buf_head(&made), buf_head(&expect), buf_len(&expect));

            Pb__ExecStreamOutput__Stream found_stream;
            struct proto_slice found;
            bool ok =
                proto_find_exec_output(buf_head(&made), buf_len(&made), &found_stream, &found);
            assert_int_equal(ok, stream != 0 && sizes[i] > 0);
            if (ok) {
                assert_int_equal(found_stream, stream);
                assert_int_equal(found.n, sizes[i]);
                assert_ptr_equal(found.data, buf_head(&made) + n);
            }
        }
    }
}

static void test_exec_stdin_made_by_hand_equals_the_generated_one(void **state)
{
    CLEANUP_FREE uint8_t *data = calloc(1, 3000000);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        Pb__ExecStreamRequest req = PB__EXEC_STREAM_REQUEST__INIT;
        req.message_case = PB__EXEC_STREAM_REQUEST__MESSAGE_STDIN_DATA;
        req.stdin_data = (ProtobufCBinaryData){sizes[i], data};
        CLEANUP_BUF struct buf expect = {0};
        assert_int_equal(proto_pack(&req, &expect), 0);
        uint8_t head[PROTO_HEAD_MAX];
        size_t n = proto_head_exec_stdin(head, sizes[i]);
        assert_int_equal(n + sizes[i], buf_len(&expect));
        assert_memory_equal(head, buf_head(&expect), n);
        struct proto_slice found;
        assert_true(proto_find_exec_stdin(buf_head(&expect), buf_len(&expect), &found));
        assert_int_equal(found.n, sizes[i]);
    }
}

static void test_other_forms_are_left_to_the_generated_decoder(void **state)
{
    Pb__ExecStreamOutput__Stream s;
    struct proto_slice d;
    static const struct {
        const char *bytes;
        size_t n;
    } others[] = {
        {"", 0},
        {"\x12", 1},
        {"\x1a\2\x08\1", 4},              /* exit */
        {"\x12\x05\x12\1x\x08\1", 7},     /* data first */
        {"\x12\x05\x08\1\x12\1x\x12", 8}, /* more after it */
        {"\x12\x06\x08\1\x12\2x", 7},     /* truncated */
        {"\x12\x05\x08\1\x12\2x", 7},     /* inner length wrong */
        {"\x12\x06\x08\x81\0\x12\1x", 8}, /* long varint */
        {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11},
    };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_false(
            proto_find_exec_output((const uint8_t *)others[i].bytes, others[i].n, &s, &d));
    assert_true(proto_find_exec_output(BYTES("\x12\x05\x08\1\x12\1x"), &s, &d));
    assert_true(proto_find_bytes(BYTES("\x0a\2hi"), 1, &d));
    assert_false(proto_find_bytes(BYTES("\x0a\2hi"), 2, &d));
}

static void test_the_descriptor_set_describes_our_services(void **state)
{
    assert_true(descriptor_set_len > 10000);
    assert_non_null(memmem(descriptor_set, descriptor_set_len,
                           BYTES("coreweave/sandbox/v1/sandbox.proto")));
    assert_non_null(
        memmem(descriptor_set, descriptor_set_len, BYTES("grpc.reflection.v1alpha")));
    assert_non_null(
        memmem(descriptor_set, descriptor_set_len, BYTES("google/protobuf/descriptor.proto")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_survives_packing_and_unpacking),
        cmocka_unit_test(test_an_empty_message_is_fine),
        cmocka_unit_test(test_optional_fields_tell_zero_from_absent),
        cmocka_unit_test(test_bad_text_is_rejected_with_its_path),
        cmocka_unit_test(test_malformed_bytes_are_rejected),
        cmocka_unit_test(test_unknown_fields_are_accepted),
        cmocka_unit_test(test_a_directory_of_the_machine_is_a_field_of_our_own),
        cmocka_unit_test(test_packed_numbers_are_checked),
        cmocka_unit_test(test_deep_nesting_is_rejected),
        cmocka_unit_test(test_more_elements_than_the_cap_are_rejected),
        cmocka_unit_test(test_exec_output_made_by_hand_equals_the_generated_one),
        cmocka_unit_test(test_exec_stdin_made_by_hand_equals_the_generated_one),
        cmocka_unit_test(test_other_forms_are_left_to_the_generated_decoder),
        cmocka_unit_test(test_the_descriptor_set_describes_our_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
