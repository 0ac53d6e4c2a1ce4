/*
 * Images for the runtime, from the store beside us: `images` in the working directory, of which we may read refs/ and configs/
 * (docs/images.md). A pair: images-none.c where the build has no room `image`.
 */
#ifndef CWS_SERVER_IMAGES_H
#define CWS_SERVER_IMAGES_H

#include "runtime/runtime.h"

/** images_find() - runtime_config.find_image; @user is not used. */
int images_find(void *user, const char *name, struct runtime_image *ret, struct err *err);

#endif
