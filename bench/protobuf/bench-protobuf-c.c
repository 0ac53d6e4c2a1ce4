/* protobuf-c: see run. */
#include "bench.h"
#include "pb.pb-c.h"

static Pb__Sandbox *sandbox;

static size_t decode_sandbox(void)
{
    Pb__Sandbox *m = pb__sandbox__unpack(NULL, input_len, input);
    pb__sandbox__free_unpacked(m, NULL);
    return m != NULL;
}

static size_t encode_sandbox(void)
{
    return pb__sandbox__get_packed_size(sandbox) == input_len
               ? pb__sandbox__pack(sandbox, output)
               : 0;
}

static size_t encode_frame(void)
{
    Pb__ExecStreamOutput out = PB__EXEC_STREAM_OUTPUT__INIT;
    Pb__ExecStreamResponse m = PB__EXEC_STREAM_RESPONSE__INIT;
    out.stream = PB__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDOUT;
    out.data.data = frame;
    out.data.len = sizeof(frame);
    m.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT;
    m.output = &out;
    frame_message_len = pb__exec_stream_response__get_packed_size(&m);
    return pb__exec_stream_response__pack(&m, frame_message);
}

static size_t decode_frame(void)
{
    Pb__ExecStreamResponse *m =
        pb__exec_stream_response__unpack(NULL, frame_message_len, frame_message);
    pb__exec_stream_response__free_unpacked(m, NULL);
    return m != NULL;
}

int main(int argc, char **argv)
{
    load(argv[argc - 1]);
    sandbox = pb__sandbox__unpack(NULL, input_len, input);
    measure("protobuf-c", "decode Sandbox", decode_sandbox);
    measure("protobuf-c", "encode Sandbox", encode_sandbox);
    measure("protobuf-c", "encode 64 KiB", encode_frame);
    measure("protobuf-c", "decode 64 KiB", decode_frame);
    return 0;
}
