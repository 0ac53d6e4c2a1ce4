/* Any bytes as details, base64, grpc-message and grpc-timeout. */
#include <string.h>

#include "wire/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_BUF struct buf raw = {0}, text = {0}, coded = {0};
    uint64_t ns = 0;
    CLEANUP_FREE char *s = strndup((const char *)data, n);
    status_decode_details(data, n, &err);
    (void)base64_decode((const char *)data, n, &raw);
    if (!s || status_percent_encode(s, &coded) < 0 || buf_put(&coded, "", 1) < 0)
        return 0;
    CHECK(status_percent_decode((const char *)buf_head(&coded), &text) == 0);
    CHECK(buf_len(&text) == strlen(s) && (!*s || memcmp(text.data, s, strlen(s)) == 0));
    (void)status_parse_timeout(s, &ns);
    buf_clear(&text);
    return status_encode_details(&err, &text) < 0 ? 0 : 0;
}
