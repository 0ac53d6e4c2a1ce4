/*
 * Images into files: one archive that is an OCI layout and what `docker load` reads, or a plain root file system as
 * `docker export` writes it.
 */
#ifndef CWS_IMAGE_EXPORT_H
#define CWS_IMAGE_EXPORT_H

#include "image/store.h"

enum export_as { EXPORT_IMAGE, EXPORT_ROOTFS };

/**
 * export_image() - write @reference to @out, which nothing is written to before the image is known to be there
 *
 * Layers are packed anew from what was unpacked, so the archive's image has other digests than the one that was pulled; packed
 * again they are the same. The store must be held shared. Errors: NOT_FOUND, DATA_LOSS, those of pack().
 */
int export_image(const struct store *s, const char *reference, enum export_as as, int out,
                 struct err *err);

#endif
