/* A name lies inside the bytes. */
#include <stdlib.h>

#include "wire/client-hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct http_text name = {0};
    if (client_hello_name(data, n, &name) == 1 && name.n > n)
        abort();
    return 0;
}
