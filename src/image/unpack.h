/*
 * One layer: from a tar into a directory that overlayfs can take as a lower one (docs/images.md, "The store").
 *
 * The archive is an enemy's. Every name is taken apart here, its directory is opened by openat2 without links, and what is
 * made there is made by its last component alone, with O_EXCL. Nothing outside the directory can be reached, read or linked
 * to. Names: relative, no "..", at most TREE_DEPTH_MAX deep, components of 255 bytes.
 */
#ifndef CWS_IMAGE_UNPACK_H
#define CWS_IMAGE_UNPACK_H

#include "image/source.h"

#define UNPACK_ENTRIES_MAX \
    (UINT64_C(1) << 22)         /* of a layer. Chosen: ten times what large images have */
#define UNPACK_OWNER_MAX 65535u /* ids of a sandbox: docs/architecture.md */

struct unpack_options {
    bool
        keep_owners; /* chown, set-ID bits, security.capability: who unpacks has the capabilities */
    uint64_t max_bytes; /* of all files together */
    bool whole;         /* an archive without its end marker is cut: its writer may have died */
    uint64_t max_entries; /* and directories that no entry names */
};

struct unpack_result {
    uint64_t n_bytes; /* of files */
    uint64_t n_entries;
};

/**
 * unpack_layer() - fill the empty directory @dir from @tar, which is read until its end marker
 * Errors: DATA_LOSS (damaged), FAILED_PRECONDITION (an entry that is refused), RESOURCE_EXHAUSTED (a cap, no room),
 * UNIMPLEMENTED (a kind of entry), INTERNAL. Messages name the entry. On failure the caller removes the directory.
 */
int unpack_layer(int dir, struct source *tar, const struct unpack_options *o,
                 struct unpack_result *ret, struct err *err);

#endif
