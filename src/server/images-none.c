/* See images.h. */
#include "server/images.h"

int images_find(void *user, const char *name, struct runtime_image *ret, struct err *err)
{
    return err_set(err, ERR_UNIMPLEMENTED,
                   "image `%s` is not available: this service was built without images "
                   "(libjansson was missing); only `host` and the names mapped to it "
                   "(--image-alias) are there",
                   name);
}
