/* A layer as it comes: packed or not, then a tar that is walked to its end. */
#include <string.h>

#include "image/inflate.h"
#include "image/tar.h"

struct memory_source {
    struct source source;
    const uint8_t *data;
    size_t n;
};

static ssize_t memory_read(struct source *source, void *data, size_t n, struct err *err)
{
    struct memory_source *m = CONTAINER_OF(source, struct memory_source, source);
    (void)err;
    n = MIN(n, m->n);
    if (n > 0)
        memcpy(data, m->data, n);
    m->data += n;
    m->n -= n;
    return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    struct memory_source memory = {{.read = memory_read}, data, n};
    CLEANUP(hash_source_done) struct hash_source limit = {0};
    CLEANUP_INFLATE struct inflate *z = inflate_new(&memory.source, &err);
    if (z == NULL || hash_source_init(&limit, inflate_source(z), 1 << 20, &err) < 0)
        return 0;
    CLEANUP(tar_done) struct tar t;
    tar_init(&t, &limit.source);
    const struct tar_entry *e;
    while (tar_next(&t, &e, &err) > 0) {
        char content[64];
        CHECK(e->path[0] != '\0' && strlen(e->path) <= TAR_PATH_MAX);
        (void)tar_read(&t, content, sizeof(content), &err);
    }
    return 0;
}
