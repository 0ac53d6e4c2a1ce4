/* See image.h. */
#include "runtime/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

size_t strings_count(char *const *strings)
{
    size_t n = 0;
    while (strings && strings[n])
        n++;
    return n;
}

size_t strings_bytes(char *const *strings)
{
    size_t bytes = 0;
    for (size_t i = 0; strings && strings[i]; i++)
        bytes += sizeof(strings[i]) + strlen(strings[i]) + 1;
    return bytes;
}

void strings_free(char **strings)
{
    str_free_all(strings, strings_count(strings));
}

size_t runtime_image_bytes(const struct runtime_image *image)
{
    return strings_bytes(image->env) + strings_bytes(image->entrypoint) +
           strings_bytes(image->cmd);
}

void runtime_image_done(struct runtime_image *image)
{
    strings_free(image->layers);
    strings_free(image->env);
    strings_free(image->entrypoint);
    strings_free(image->cmd);
    strings_free(image->volumes);
    free(image->id);
    free(image->user);
    free(image->working_dir);
    *image = (struct runtime_image){0};
}
