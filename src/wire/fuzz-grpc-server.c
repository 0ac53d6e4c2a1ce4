/* Any bytes from a client against a server that echoes. */
#include "wire/fuzz-conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return fuzz_conn(GRPC_SERVER, data, n);
}
