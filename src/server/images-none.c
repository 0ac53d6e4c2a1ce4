/* See images.h. */
#include "server/images.h"

int images_find(void *service, const char *name, bool brought, struct runtime_image *ret,
                struct err *err)
{
    return err_set(err, ERR_UNIMPLEMENTED,
                   "image `%s` is not available: this service was built without images "
                   "(libjansson was missing); only `host` and the names mapped to it "
                   "(--image-alias) are there",
                   name);
}

int images_get(void *service, const struct sandbox *sb, struct image_wait *wait,
               struct err *err)
{
    return err_set(err, ERR_UNIMPLEMENTED, "images cannot be pulled");
}

int images_commit(struct service *s, const struct sandbox *sb, char *const *words, size_t n,
                  struct image_wait *wait, int *ret_layer, struct err *err)
{
    return err_set(err, ERR_UNIMPLEMENTED, "this service was built without images");
}

void images_drop(void *service, struct image_wait *wait)
{
}
