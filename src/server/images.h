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
/**
 * images_commit() - begin an image of what @sb has written; @words: its name, and what else follows it in base/files-words.h
 * @ret_layer: the caller's: what the layer is written into, which is whole with its end marker; closed without one it ends the commit
 * wait->cb follows, with the image's id as its answer. Errors: UNIMPLEMENTED (the operator allows none), INVALID_ARGUMENT (the name),
 * FAILED_PRECONDITION (the sandbox's image is not known), RESOURCE_EXHAUSTED; then it does not follow.
 */
int images_commit(struct service *s, const struct sandbox *sb, char *const *words, size_t n,
                  struct image_wait *wait, int *ret_layer, struct err *err);

#endif
