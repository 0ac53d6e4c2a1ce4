/* Names of images: what is accepted is written the one way, and read again as the same. */
#include <string.h>

#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP_REFERENCE struct reference r = {0}, again = {0};
    CLEANUP_ERR struct err err = {0};
    CLEANUP_FREE char *text = n < 1024 ? strndup((const char *)data, n) : NULL;
    if (text == NULL || reference_parse(text, &r, &err) < 0)
        return 0;
    CLEANUP_FREE char *once = reference_format(&r);
    CHECK(once != NULL && reference_parse(once, &again, &err) == 0);
    CLEANUP_FREE char *twice = reference_format(&again);
    CHECK(twice != NULL && strcmp(once, twice) == 0);
    return 0;
}
