/* Records of files. */
#include <stdlib.h>
#include <string.h>

#include "client/file-info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    cws_file_info *all;
    size_t n_all;

    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    if (file_infos_parse(text, n + 1, &all, &n_all) == 0)
        for (size_t i = 0; i < n_all; i++)
            if (strlen(all[i].name) == 0)
                abort();
    free(all);
    free(text);
    return 0;
}
