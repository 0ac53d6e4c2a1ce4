/* What is read as JSON that is not ours: manifests, indexes, configs. */
#include <string.h>

#include "image/config.h"
#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP_MANIFEST struct manifest m = {0};
    CLEANUP_CONFIG struct config c = {0};
    CLEANUP_ERR struct err err = {0};
    if (manifest_parse((const char *)data, n, &m, &err) == 0 && m.is_index)
        (void)manifest_choose(&m, &err);
    if (image_config_parse((const char *)data, n, &c, &err) == 0)
        CHECK(c.working_dir[0] == '/' && c.stop_signal > 0 && c.n_diff_ids > 0);
    return 0;
}
