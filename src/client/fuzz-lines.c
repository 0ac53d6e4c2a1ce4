/* Lines must not depend on how the bytes are cut: the first byte chooses the cut. */
#include <string.h>

#include "client/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int add(void *user, const uint8_t *line, size_t n)
{
    return buf_put(user, line, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    struct lines l = {0};
    struct buf out = {0};
    size_t cut = data[0] % 16 + 1u;
    for (size_t i = 1; i < size; i += cut)
        CHECK(lines_feed(&l, data + i, MIN(cut, size - i), add, &out) == 0);
    CHECK(lines_flush(&l, add, &out) == 0);
    CHECK(buf_len(&out) == size - 1 &&
          (size == 1 || memcmp(buf_head(&out), data + 1, size - 1) == 0));
    lines_drop(&l);
    buf_done(&out);
    return 0;
}
