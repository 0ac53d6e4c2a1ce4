/* Any bytes from a server against a client with two open calls. */
#include "wire/fuzz-conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return fuzz_conn(GRPC_CLIENT, data, n);
}
