/*
 * Images from files: OCI layouts (a directory or a tar), `docker save` archives, plain root file systems (a directory, a tar,
 * what `docker export` writes). A tar may be packed.
 */
#ifndef CWS_IMAGE_IMPORT_H
#define CWS_IMAGE_IMPORT_H

#include "image/store.h"

enum import_as { IMPORT_AUTO, IMPORT_ROOTFS, IMPORT_AS_MAX };

struct import_args {
    int input; /* a descriptor: directory, file or pipe */
    enum import_as
        as; /* AUTO: an archive of images when it has their index, else a root file system */
    const char
        *reference; /* written as reference_format() does; NULL: the names in the archive */
};

/**
 * import_image() - all images of an archive under their names; or the one there is under @reference
 * @on_image: called for each with the reference it has now
 * Errors: INVALID_ARGUMENT (no name, or a name for several), DATA_LOSS, and those of unpack_layer().
 */
int import_image(const struct store *s, const struct import_args *args,
                 void (*on_image)(void *context, const char *reference), void *context,
                 struct err *err);

#endif
