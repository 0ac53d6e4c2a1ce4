/*
 * Files by name, out of a directory or out of a tar: what OCI layouts and `docker save` archives are. A tar that is packed, or
 * comes from a pipe, is unpacked into a nameless file of the store first.
 */
#ifndef CWS_IMAGE_ARCHIVE_H
#define CWS_IMAGE_ARCHIVE_H

#include "image/source.h"

#define ARCHIVE_MEMBERS_MAX \
    65536 /* that have a name we may ask for. Chosen; more are not indexed */

struct archive_member {
    char *name;
    uint64_t offset, size;
};

struct archive {
    int fd; /* borrowed, or own: directory or tar */
    bool is_directory, is_owned;
    struct archive_member *members; /* of a tar */
    size_t n_members;
};

/** archive_open() - @store: where a file without a name can be made; @max_bytes of it. */
int archive_open(struct archive *a, int fd, int store, uint64_t max_bytes, struct err *err);
/**
 * archive_member() - find a file
 * @ret_fd: to be closed by the caller after the source was used; -1 when the archive owns it
 * Errors: NOT_FOUND. No link is followed.
 */
int archive_member(const struct archive *a, const char *name, struct file_source *ret,
                   int *ret_fd, struct err *err);
/** archive_text() - a small file; NOT_FOUND, DATA_LOSS above @max. */
int archive_text(const struct archive *a, const char *name, size_t max, char **ret,
                 size_t *ret_n, struct err *err);
void archive_done(struct archive *a);
#define CLEANUP_ARCHIVE CLEANUP(archive_done)

#endif
