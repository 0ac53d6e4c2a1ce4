/*
 * What runtime_config.find_image brings, checked against what a sandbox can have.
 */
#ifndef CWS_RUNTIME_IMAGE_FIND_H
#define CWS_RUNTIME_IMAGE_FIND_H

#include "base/err.h"
#include "runtime/image.h"

struct cell_kind;
struct runtime;

/**
 * image_find() - what @name, which is resolved, gives to a sandbox; of "host" nothing
 * 1: it must be brought first; @brought: it was. Else @ret is empty.
 * Errors: the callback's; FAILED_PRECONDITION when a sandbox cannot be made of it.
 */
int image_find(const struct runtime *rt, const char *name, bool brought,
               struct runtime_image *ret, struct err *err);
/** image_kind() - of the cells that sandboxes of @image are; one allocation, for free(). NULL: out of memory. */
struct cell_kind *image_kind(const struct runtime *rt, const struct runtime_image *image,
                             bool network);

#endif
