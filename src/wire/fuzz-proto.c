/* Any bytes as any of our messages; what unpacks must pack, and what was packed must unpack. */
#include "wire/proto.h"

#define D(name) &pb__##name##__descriptor
static const ProtobufCMessageDescriptor *const all[] = {
    D(create_sandbox_request),
    D(sandbox),
    D(exec_request),
    D(exec_stream_request),
    D(exec_stream_response),
    D(list_sandboxes_request),
    D(stream_logs_request),
    D(write_file_request),
    D(log_entry),
    D(create_sandbox_from_template_request),
    D(list_volumes_request),
    D(update_secret_store_request),
    D(list_available_runners_response),
    &rpc__status__descriptor,
    &grpc__server_reflection_request__descriptor};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0 || n > 65536)
        return 0;
    const ProtobufCMessageDescriptor *desc = all[data[0] % ARRAY_SIZE(all)];
    CLEANUP_ERR struct err err = {0};
    CLEANUP_PROTO void *msg = proto_unpack(desc, data + 1, n - 1, &err);
    CLEANUP_BUF struct buf again = {0};
    CHECK((msg == NULL) == (err.code != ERR_OK));
    if (msg && proto_pack(msg, &again) == 0)
        CHECK(proto_check(desc, buf_head(&again), buf_len(&again), &err) == 0);
    return 0;
}
