/*
 * What the sandbox has written, as a layer of an image: [child] of FILES_CHANGES (base/files-words.h). It is in the upper directories of
 * the sandbox's overlays, which have no name inside; their descriptor is the one that init keeps for its view of the limits, whose
 * parent they are in.
 *
 *   upper        of the root               -> ""
 *   upper-usr    of the machine's /usr     -> "usr"      (image `host`; likewise others that are no links there)
 *
 * We are root inside, under the limits, so owners come out as they are seen inside, and who makes the reading slow or breaks it
 * has broken this alone. What overlayfs notes becomes what a layer says: `.wh.NAME`, `.wh..wh..opq`.
 *
 * Left out: sockets; the three files of /etc that every sandbox of an image is given anew. A name `.wh.…` of the sandbox's own cannot be told.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/tree.h"
#include "init/init.h"

#define UPPER "upper"
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define RECORDS_MAX \
    (256u \
     << 10) /* chosen: two names and the attributes of a file; a block of ext4 holds 4 KiB of them */
#define VALUE_MAX 65536 /* XATTR_SIZE_MAX of Linux */
#define N_BUCKETS 65536
#define LINKS_BYTES \
    (UINT64_C(256) \
     << 20) /* chosen: a million of files with several names; what is not used is no memory */

/* A file with several names: where the first of them was sent. */
struct link {
    uint64_t inode;
    uint32_t next; /* offset of another in the bucket; 0: none */
    char path[];
};

static uint32_t g_buckets[N_BUCKETS];
static char *g_links;
static size_t g_n_links = sizeof(struct link); /* used; 0 is no offset of any */
static char g_records[RECORDS_MAX];
static size_t g_n_records;

/* ---- hard links ---- */

/* NULL: it was not sent yet, and is remembered as s->path. -1 in *ret_r: with a fault. */
static const char *find_link(struct tree_sender *s, const struct stat *st, int *ret_r)
{
    uint32_t *bucket = &g_buckets[st->st_ino % N_BUCKETS];
    size_t size = (sizeof(struct link) + s->path_len + 1 + 7) / 8 * 8;
    struct link *l;

    *ret_r = 0;
    if (!g_links) {
        void *memory = mmap(NULL, LINKS_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED) {
            *ret_r = tree_fault(s, errno, NULL);
            return NULL;
        }
        g_links = memory;
    }
    for (uint32_t at = *bucket; at; at = l->next) {
        l = (struct link *)(void *)(g_links + at);
        if (l->inode == st->st_ino)
            return l->path;
    }
    if (size > LINKS_BYTES - g_n_links) {
        *ret_r = tree_fault(s, 0, "is one of too many hard links");
        return NULL;
    }
    l = (struct link *)(void *)(g_links + g_n_links);
    *l = (struct link){.inode = st->st_ino, .next = *bucket};
    memcpy(l->path, s->path, s->path_len + 1);
    *bucket = (uint32_t)g_n_links;
    g_n_links += size;
    return NULL;
}

/* ---- heads ---- */

static int add_record(struct tree_sender *s, const char *keyword, const void *value, size_t n)
{
    size_t len = tree_record_write(g_records + g_n_records, RECORDS_MAX - g_n_records, keyword,
                                   value, n);

    if (len == 0)
        return tree_fault(s, 0, "has too many attributes");
    g_n_records += len;
    return 0;
}

static int add_text(struct tree_sender *s, const char *keyword, const char *value)
{
    return add_record(s, keyword, value, strlen(value));
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Those that an image can have (docs/images.md, "The store"). */
static int add_attributes(struct tree_sender *s, int fd)
{
    static char names[VALUE_MAX], value[VALUE_MAX], keyword[300];
    ssize_t n = flistxattr(fd, names, sizeof(names));

    if (n < 0)
        return errno == ENOTSUP ? 0 : tree_fault(s, errno, NULL);
    for (const char *name = names; name < names + n; name += strlen(name) + 1) {
        bool own = starts_with(name, "user.") && !starts_with(name, "user.overlay.");
        ssize_t len;

        if (!own && strcmp(name, "security.capability") != 0)
            continue;
        len = fgetxattr(fd, name, value, sizeof(value));
        if (len < 0)
            return tree_fault(s, errno, NULL);
        (void)snprintf(keyword, sizeof(keyword), "SCHILY.xattr.%.255s", name);
        if (add_record(s, keyword, value, (size_t)len) < 0)
            return -1;
    }
    return 0;
}

/* What the fields of a header are too small for. */
static int add_long(struct tree_sender *s, const struct tree_entry *e, uint64_t size,
                    const struct timespec *mtime)
{
    char text[48];
    int r = strlen(e->path) > TREE_NAME_MAX ? add_text(s, "path", e->path) : 0;

    if (r == 0 && e->kind == TREE_LINK && strlen(e->link) > TREE_NAME_MAX)
        r = add_text(s, "linkpath", e->link);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
    if (r == 0 && size > TREE_SIZE_MAX)
        r = add_text(s, "size", text);
    (void)snprintf(text, sizeof(text), "%lld.%09ld", (long long)mtime->tv_sec, mtime->tv_nsec);
    if (r == 0 && mtime->tv_nsec != 0 && mtime->tv_sec >= 0)
        r = add_text(s, "mtime", text);
    return r;
}

/* The header of @e, behind an extended one when there are records. */
static int put_entry(struct tree_sender *s, const struct tree_entry *e, char type,
                     uint64_t size, const struct timespec *mtime)
{
    static const uint8_t zeros[TAR_BLOCK];
    uint8_t block[TAR_BLOCK];
    int r = add_long(s, e, size, mtime);

    if (r == 0 && g_n_records > 0) {
        tree_block_write(block, e, 'x', g_n_records);
        r = tree_put(s, block, sizeof(block));
        if (r == 0)
            r = tree_put(s, g_records, g_n_records);
        if (r == 0)
            r = tree_put(s, zeros, -g_n_records % TAR_BLOCK);
    }
    g_n_records = 0;
    if (r < 0)
        return r;
    tree_block_write(block, e, type, size);
    return tree_put(s, block, sizeof(block));
}

static struct tree_entry describe(const struct tree_sender *s, enum tree_kind kind,
                                  const struct stat *st)
{
    return (struct tree_entry){
        .kind = kind,
        .path = s->path_len > 0 ? s->path : ".",
        .link = s->link,
        .mode_bits = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime_s = st->st_mtime,
    };
}

/* An empty file, by whose name a layer says what it removes: @prefix and @name in the directory that is @n bytes of s->path. */
static int put_mark(struct tree_sender *s, size_t n, const char *prefix, const char *name)
{
    static char path[2 * TREE_PATH_MAX];
    struct tree_entry e = {.kind = TREE_FILE, .path = path};
    bool slash = n > 0 && s->path[n - 1] != '/';

    (void)snprintf(path, sizeof(path), "%.*s%s%s%s", (int)n, s->path, slash ? "/" : "", prefix,
                   name);
    return strlen(path) > TREE_PATH_MAX ? tree_fault(s, ENAMETOOLONG, NULL)
                                        : put_entry(s, &e, '0', 0, &(struct timespec){0});
}

static const char *last_name(const struct tree_sender *s)
{
    const char *slash = strrchr(s->path, '/');

    return slash ? slash + 1 : s->path;
}

static bool is_opaque(int fd)
{
    char value;

    return fgetxattr(fd, "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static int put_directory(struct tree_sender *s, int fd, const struct tree_entry *e,
                         const struct timespec *mtime)
{
    if (put_entry(s, e, '5', 0, mtime) < 0)
        return -1;
    return is_opaque(fd) ? put_mark(s, s->path_len, OPAQUE, "") : 0;
}

static int layer_head(struct tree_sender *s, enum tree_kind kind, int fd, const struct stat *st)
{
    struct tree_entry e = describe(s, kind, st);
    const char *known = NULL;
    int r = 0;

    if (starts_with(last_name(s), WHITEOUT))
        return tree_fault(s, 0, "has a name that means a removal in a layer");
    if (kind == TREE_FILE && st->st_nlink > 1)
        known = find_link(s, st, &r);
    if (known) {
        e.kind = TREE_LINK;
        e.link = known;
        return put_entry(s, &e, '1', 0, &st->st_mtim) < 0 ? -1 : 1;
    }
    if (r == 0 && kind != TREE_LINK)
        r = add_attributes(s, fd);
    if (r < 0)
        return r;
    switch (kind) {
    case TREE_FILE:
        return put_entry(s, &e, '0', (uint64_t)st->st_size, &st->st_mtim);
    case TREE_DIRECTORY:
        return put_directory(s, fd, &e, &st->st_mtim);
    case TREE_LINK:
        return put_entry(s, &e, '2', 0, &st->st_mtim);
    }
    return -1;
}

static int layer_other(struct tree_sender *s, const struct stat *st)
{
    struct tree_entry e = describe(s, TREE_FILE, st);
    const char *name = last_name(s);

    if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0))
        return put_mark(s, (size_t)(name - s->path), WHITEOUT, name);
    return S_ISFIFO(st->st_mode) ? put_entry(s, &e, '6', 0, &st->st_mtim) : 0;
}

static bool layer_skip(const struct tree_sender *s)
{
    static const char *const given[] = {"etc/hostname", "etc/hosts", "etc/resolv.conf"};

    for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
        if (strcmp(s->path, given[i]) == 0)
            return true;
    }
    return false;
}

static const struct tree_sender_format layer_format = {layer_head, layer_other, layer_skip};

/* ---- the directories ---- */

int changes_send(struct tree_sender *s, int space_fd)
{
    static const char *const below[] = {"bin",    "lib",  "lib32", "lib64",
                                        "libx32", "sbin", "usr"};
    CLEANUP_FD int upper = openat(space_fd, UPPER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    s->format = &layer_format;
    if (upper < 0)
        return tree_fault(s, errno, NULL);
    if (tree_send_part(s, upper, "") < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        char name[32];
        int r;

        (void)snprintf(name, sizeof(name), UPPER "-%s", below[i]);
        CLEANUP_FD int fd = openat(space_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue;
        r = fd < 0 ? tree_fault(s, errno, NULL) : tree_send_part(s, fd, below[i]);
        if (r < 0)
            return r;
    }
    return tree_send_end(s);
}
