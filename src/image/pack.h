/*
 * A tar of directories, the reverse of unpack.h: names sorted, numeric owners, pax headers where a field is too small or there
 * are attributes, hard links within the archive. The same tree gives the same bytes.
 */
#ifndef CWS_IMAGE_PACK_H
#define CWS_IMAGE_PACK_H

#include "base/err.h"
#include "image/tarwrite.h"

#define PACK_DIRS_MAX 127 /* that are merged: MANIFEST_LAYERS_MAX */

enum pack_as {
    PACK_LAYER, /* one directory of a store: whiteouts as files `.wh.…` */
    PACK_TREE,  /* several, merged as overlayfs does; or one that is a plain root file system */
};

/**
 * pack() - write a tar of @dirs (from the lowest to the topmost) to @out
 * Sockets and device nodes are left out. Errors: INTERNAL, RESOURCE_EXHAUSTED, UNAVAILABLE (@out is closed).
 */
int pack(const int *dirs, size_t n_dirs, enum pack_as as, int out, struct tar_written *ret,
         struct err *err);

#endif
