/*
 * Any text is either refused with INVALID_ARGUMENT or gives an address whose parts hold what
 * transport.h promises.
 */
#include <string.h>

#include "transport/transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP_FREE char *url = strndup((const char *)data, n);
    CLEANUP(address_done) struct address a = {0};
    CLEANUP_ERR struct err err = {0};
    if (address_parse(url, &a, &err) < 0) {
        CHECK(err.code == ERR_INVALID_ARGUMENT && !a.authority);
        return 0;
    }
    CHECK(a.authority && a.authority[0]);
    CHECK(a.kind == ADDRESS_UNIX ? a.path && a.path[0] && !a.tls
                                 : a.host && a.host[0] && a.port);
    return 0;
}
