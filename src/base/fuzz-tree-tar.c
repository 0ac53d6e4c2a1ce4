/* Heads of a tree's stream. */
#include <string.h>

#include "base/tree-tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tree_head_reader r;
    struct tree_entry e;

    r = (struct tree_head_reader){.why = ""};
    for (; n >= TAR_BLOCK; data += TAR_BLOCK, n -= TAR_BLOCK) {
        enum tree_head_result result = tree_head_read(&r, data, &e);

        if (result == TREE_HEAD_BAD)
            return 0;
        if (result != TREE_HEAD_PAX)
            continue;
        size_t part = MIN((size_t)e.size, n - TAR_BLOCK);
        memcpy(r.pax, data + TAR_BLOCK, part);
        if (!tree_pax_read(&r, part))
            return 0;
    }
    return 0;
}
