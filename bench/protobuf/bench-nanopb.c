/* nanopb with pointer fields (dynamic memory), the form that fits messages without fixed
 * bounds: see run. */
#include <pb_decode.h>
#include <pb_encode.h>

#include "bench.h"
#include "pb.pb.h"

static pb_Sandbox sandbox;

static size_t decode_sandbox(void)
{
    pb_Sandbox m = pb_Sandbox_init_zero;
    pb_istream_t in = pb_istream_from_buffer(input, input_len);
    bool ok = pb_decode(&in, pb_Sandbox_fields, &m);
    pb_release(pb_Sandbox_fields, &m);
    return ok;
}

static size_t encode_sandbox(void)
{
    pb_ostream_t out = pb_ostream_from_buffer(output, sizeof(output));
    return pb_encode(&out, pb_Sandbox_fields, &sandbox) && out.bytes_written == input_len;
}

static pb_bytes_array_t *frame_bytes;

static size_t encode_frame(void)
{
    pb_ExecStreamOutput_Stream stream = pb_ExecStreamOutput_Stream_STREAM_STDOUT;
    pb_ExecStreamOutput o = {.stream = &stream, .data = frame_bytes};
    pb_ExecStreamResponse m = {.which_message = pb_ExecStreamResponse_output_tag};
    m.message.output = &o;
    pb_ostream_t out = pb_ostream_from_buffer(frame_message, sizeof(frame_message));
    bool ok = pb_encode(&out, pb_ExecStreamResponse_fields, &m);
    frame_message_len = out.bytes_written;
    return ok;
}

static size_t decode_frame(void)
{
    pb_ExecStreamResponse m = pb_ExecStreamResponse_init_zero;
    pb_istream_t in = pb_istream_from_buffer(frame_message, frame_message_len);
    bool ok = pb_decode(&in, pb_ExecStreamResponse_fields, &m);
    pb_release(pb_ExecStreamResponse_fields, &m);
    return ok;
}

int main(int argc, char **argv)
{
    load(argv[argc - 1]);
    frame_bytes = malloc(PB_BYTES_ARRAY_T_ALLOCSIZE(FRAME_BYTES));
    frame_bytes->size = FRAME_BYTES;
    memcpy(frame_bytes->bytes, frame, FRAME_BYTES);
    pb_istream_t in = pb_istream_from_buffer(input, input_len);
    if (!pb_decode(&in, pb_Sandbox_fields, &sandbox)) {
        printf("nanopb: %s\n", PB_GET_ERROR(&in));
        return 1;
    }
    measure("nanopb", "decode Sandbox", decode_sandbox);
    measure("nanopb", "encode Sandbox", encode_sandbox);
    measure("nanopb", "encode 64 KiB", encode_frame);
    measure("nanopb", "decode 64 KiB", decode_frame);
    return 0;
}
