/*
 * Walks a tar archive: ustar, pax, GNU long names; nothing of the file system here. Names, links and attributes come byte for
 * byte as the archive has them (a library that converts character sets would turn one spelling of é into another).
 *
 * Whatever is ambiguous is refused, because what two programs read differently hides things from one of them: a second
 * extended header for one entry, a keyword twice in one, a checksum that is wrong, an end without end marker in the middle of
 * an entry. Sparse files are refused; global extended headers are skipped, as Docker does.
 */
#ifndef CWS_IMAGE_TAR_H
#define CWS_IMAGE_TAR_H

#include "base/buf.h"
#include "image/source.h"

#define TAR_PATH_MAX 4095 /* bytes of a name or a link. Source: PATH_MAX less the NUL */
#define TAR_EXTENDED_MAX \
    (1u \
     << 20) /* bytes of one extended header. Chosen: a name, a link and 64 KiB of attributes fit */
#define TAR_XATTRS_MAX 256 /* attributes of one entry. Chosen */

enum tar_kind {
    TAR_FILE,
    TAR_DIRECTORY,
    TAR_SYMLINK,
    TAR_HARDLINK, /* `link` is the name of an earlier entry */
    TAR_FIFO,
    TAR_DEVICE, /* character or block: nobody here makes them */
    TAR_KIND_MAX,
};

struct tar_xattr {
    const char *name;
    const uint8_t *value;
    size_t n;
};

struct tar_entry { /* valid until the next tar_next() */
    enum tar_kind kind;
    const char *path;   /* as written: may be anything but empty */
    const char *link;   /* "" unless a link */
    uint64_t size;      /* of a file; else 0 */
    uint32_t mode_bits; /* 07777 at most */
    uint64_t uid, gid;
    int64_t mtime_s;
    uint32_t mtime_ns;
    struct tar_xattr *xattrs;
    size_t n_xattrs;
};

struct tar {
    struct source *source; /* borrowed */
    uint64_t left;         /* unread bytes of the entry's content */
    uint32_t padding;      /* behind them */
    uint64_t n_entries;
    bool marked; /* the end was, by blocks of zeros */
    struct tar_entry entry;
    char *path, *link; /* heap */
    char *extended;    /* heap: content of the pax header, into which the attributes point */
    struct tar_xattr xattrs[TAR_XATTRS_MAX];
};

void tar_init(struct tar *t, struct source *source);
/**
 * tar_next() - the next entry; what was not read of the last one is skipped
 * Return: 1 with *@ret_entry, 0 at the end, -1. Errors: DATA_LOSS (cut, damaged, ambiguous), UNIMPLEMENTED (sparse, a type
 * nobody knows), RESOURCE_EXHAUSTED. The message names the entry where there is a name.
 */
int tar_next(struct tar *t, const struct tar_entry **ret_entry, struct err *err);
/** tar_read() - content of the entry; 0 at its end; -1 (DATA_LOSS when the archive ends first). */
ssize_t tar_read(struct tar *t, void *data, size_t n, struct err *err);
void tar_done(struct tar *t);

#endif
