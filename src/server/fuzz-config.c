/* The configuration file's parser, with any text. */
#include <string.h>

#include "server/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP(options_done) struct options o = {0};
    CLEANUP_ERR struct err err = {0};
    CLEANUP_FREE char *text = n < 65536 ? strndup((const char *)data, n) : NULL;
    if (text != NULL)
        (void)options_parse_config(&o, "fuzz", text, &err);
    return 0;
}
