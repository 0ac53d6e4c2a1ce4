/*
 * Images for the runtime, from the store beside us: `images` in the working directory, of which we may read refs/ and configs/
 * (docs/images.md). What is missing there is brought as the operator allows it (pulls.h). A pair: images-none.c where the build has no room `image`.
 */
#ifndef CWS_SERVER_IMAGES_H
#define CWS_SERVER_IMAGES_H

#include "runtime/runtime.h"

struct service;

/* The three of runtime_config; @service: struct service. */
int images_find(void *service, const char *name, bool brought, struct runtime_image *ret,
                struct err *err);
int images_get(void *service, const struct sandbox *sb, struct image_wait *wait,
               struct err *err);
void images_drop(void *service, struct image_wait *wait);

#endif
