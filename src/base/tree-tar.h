/*
 * The tar stream in which a tree travels (tree.h): head and number codec, no I/O, no allocation. What is written is ustar, with
 * a pax record for what does not fit; what is read is exactly that. Names are bytes: nothing is converted.
 *
 * Layers of images are written with the same pieces (tree_block_write(), tree_record_write()) by whoever knows what else they say.
 *
 * The reader takes little on purpose: files, directories, symbolic links. Hard links, devices, FIFOs, sparse files, GNU's own
 * headers and global headers are refused by name, and so is everything ambiguous (a wrong checksum, a keyword twice).
 */
#ifndef CWS_BASE_TREE_TAR_H
#define CWS_BASE_TREE_TAR_H

#include "base/macros.h"

#define TAR_BLOCK 512
#define TREE_PATH_MAX 4095 /* bytes of a path or a link. Source: PATH_MAX less the NUL */
/* The records of a path and of a link, each with its length, keyword and newline, and one of a size. */
#define TREE_PAX_MAX 8704                /* a whole number of blocks */
#define TREE_NAME_MAX 100                /* bytes of a name or a link without a record */
#define TREE_SIZE_MAX ((1ULL << 33) - 1) /* without a record: eleven octal digits */
#define TREE_HEAD_MAX (TAR_BLOCK + TREE_PAX_MAX + TAR_BLOCK)

enum tree_kind { TREE_FILE, TREE_DIRECTORY, TREE_LINK };

struct tree_entry {
    enum tree_kind kind;
    const char *path; /* relative; "." is the tree itself */
    const char *link; /* of a TREE_LINK */
    uint64_t size;    /* of a TREE_FILE */
    uint32_t mode_bits;
    uint32_t uid, gid; /* not read */
    int64_t mtime_s;   /* before 1970 is 1970 */
};

/** tree_block_write() - the header of @e with the type @type of tar and @size bytes behind it. What is too long for it belongs into
 * records before. */
void tree_block_write(uint8_t ret[static TAR_BLOCK], const struct tree_entry *e, char type,
                      uint64_t size);
/** tree_record_write() - "LEN keyword=value\n"; its bytes, or 0 when they are more than @cap. */
size_t tree_record_write(char *out, size_t cap, const char *keyword, const void *value,
                         size_t n);

/** tree_head_write() - the bytes in front of the content of @e; their number, or 0: the path or the link is too long. */
size_t tree_head_write(uint8_t ret[static TREE_HEAD_MAX], const struct tree_entry *e);

enum tree_head_result { TREE_HEAD_ENTRY, TREE_HEAD_PAX, TREE_HEAD_ZERO, TREE_HEAD_BAD };

struct tree_head_reader { /* zeroed before the first block */
    const char *why;      /* after TREE_HEAD_BAD: static text */
    bool in_pax, has_path, has_link, has_size;
    uint64_t size;
    char path[TREE_PATH_MAX + 1], link[TREE_PATH_MAX + 1];
    char pax[TREE_PAX_MAX];
};

/** tree_head_read() - one block. TREE_HEAD_PAX: @ret->size bytes follow, which belong into @r->pax, and go to tree_pax_read(). */
enum tree_head_result tree_head_read(struct tree_head_reader *r,
                                     const uint8_t block[static TAR_BLOCK],
                                     struct tree_entry *ret);
/** tree_pax_read() - the first @n bytes of @r->pax. False: @r->why. */
bool tree_pax_read(struct tree_head_reader *r, size_t n);

#endif
