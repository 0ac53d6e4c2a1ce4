/* The parser of API key files, and a look-up in what it made. */
#include <string.h>

#include "server/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_FREE char *text = n < 65536 ? strndup((const char *)data, n) : NULL;
    struct keys *keys = text != NULL ? keys_parse("fuzz", text, &err) : NULL;
    (void)keys_find(keys, "presented-key");
    keys_free(keys);
    return 0;
}
