/* See tar.h. */
#include "image/tar.h"

#include <string.h>

#include "base/util.h"

#define BLOCK 512

/* Source: POSIX pax, "ustar Interchange Format". */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8];
    char type;
    char link[100], magic[8], owner[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

/* Which keywords of an extended header were seen. */
enum {
    SEEN_PATH = 1 << 0,
    SEEN_LINK = 1 << 1,
    SEEN_SIZE = 1 << 2,
    SEEN_UID = 1 << 3,
    SEEN_GID = 1 << 4,
    SEEN_MTIME = 1 << 5,
    SEEN_EXTENDED = 1 << 6,
};

void tar_init(struct tar *t, struct source *source)
{
    *t = (struct tar){.source = source};
}

static void forget_entry(struct tar *t)
{
    free(t->path);
    free(t->link);
    free(t->extended);
    t->path = t->link = t->extended = NULL;
    t->entry = (struct tar_entry){.xattrs = t->xattrs};
}

void tar_done(struct tar *t)
{
    forget_entry(t);
}

static int damaged(struct tar *t, struct err *err, const char *what)
{
    return err_set(err, ERR_DATA_LOSS, "entry %llu%s%.200s%s: %s",
                   (unsigned long long)t->n_entries, t->path ? " (`" : "",
                   t->path ? t->path : "", t->path ? "`)" : "", what);
}

/* Octal with blanks or NULs around it, or, with the highest bit set, a big-endian number. */
static bool parse_number(const char *field, size_t n, uint64_t *ret)
{
    const uint8_t *p = (const uint8_t *)field, *end = p + n;
    uint64_t value = 0;
    if (*p & 0x80) {
        if (*p & 0x7f) /* negative, or larger than any of ours */
            return false;
        for (p++; p < end; p++) {
            if (value >> 55)
                return false;
            value = value << 8 | *p;
        }
        *ret = value;
        return true;
    }
    while (p < end && *p == ' ')
        p++;
    for (; p < end && *p >= '0' && *p <= '7'; p++)
        value = value << 3 | (uint64_t)(*p - '0'); /* 12 digits at most: 36 bits */
    for (; p < end; p++)
        if (*p != ' ' && *p != '\0')
            return false;
    *ret = value;
    return true;
}

/* Sum of the block with blanks for the sum itself; some old programs summed signed bytes. */
static bool checksum_fits(const struct header *h)
{
    const uint8_t *bytes = (const uint8_t *)h;
    uint64_t wanted;
    int64_t plain = 0, with_sign = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        bool own = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);
        plain += own ? ' ' : bytes[i];
        with_sign += own ? ' ' : (int8_t)bytes[i];
    }
    return parse_number(h->checksum, sizeof(h->checksum), &wanted) &&
           ((int64_t)wanted == plain || (int64_t)wanted == with_sign);
}

static bool is_zero(const struct header *h)
{
    static const struct header zero;
    return memcmp(h, &zero, BLOCK) == 0;
}

static int skip(struct tar *t, struct err *err)
{
    uint8_t bytes[8192];
    uint64_t n = t->left + t->padding;
    if (t->source->skip)
        n -= t->source->skip(t->source, n);
    while (n > 0) {
        ssize_t got = t->source->read(t->source, bytes, MIN(sizeof(bytes), n), err);
        if (got <= 0)
            return got < 0 ? -1 : damaged(t, err, "the archive ends within it");
        n -= (uint64_t)got;
    }
    t->left = t->padding = 0;
    return 0;
}

/* 1, or 0 at the end: two blocks of zeros, or nothing more (some writers leave the marker out). */
static int read_header(struct tar *t, struct header *h, struct err *err)
{
    for (int zeros = 0; zeros < 2; zeros++) {
        ssize_t got = source_read_full(t->source, h, BLOCK, err);
        if (got <= 0)
            return (int)got;
        if (got < BLOCK)
            return damaged(t, err, "the archive ends within a header");
        if (!is_zero(h)) {
            if (zeros)
                return damaged(t, err, "something follows a block of zeros");
            return checksum_fits(h) ? 1 : damaged(t, err, "its header is damaged (checksum)");
        }
    }
    t->marked = true;
    return 0;
}

/* The content of an extended header, with a NUL behind it. */
static int read_extended(struct tar *t, uint64_t size, char **ret_text, struct err *err)
{
    if (size > TAR_EXTENDED_MAX)
        return damaged(t, err, "its extended header is larger than 1 MiB");
    CLEANUP_FREE char *text = malloc(size + 1);
    if (text == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    ssize_t got = source_read_full(t->source, text, size, err);
    if (got < 0)
        return -1;
    if ((uint64_t)got < size)
        return damaged(t, err, "the archive ends within an extended header");
    text[size] = '\0';
    t->padding = (uint32_t)(-size & (BLOCK - 1));
    *ret_text = TAKE_PTR(text);
    return skip(t, err);
}

static int see(struct tar *t, unsigned *seen, unsigned what, struct err *err)
{
    if (*seen & what)
        return damaged(t, err, "it has two extended headers that say the same");
    *seen |= what;
    return 0;
}

static int take_text(struct tar *t, char **slot, const char *text, size_t n, struct err *err)
{
    if (n == 0 || n > TAR_PATH_MAX || memchr(text, '\0', n) != NULL)
        return damaged(t, err,
                       "a name in its extended header is empty, too long or has a NUL in it");
    free(*slot);
    *slot = strndup(text, n);
    return *slot ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

/* GNU's `L` and `K`: the name with NULs behind it. */
static int take_long_name(struct tar *t, char type, uint64_t size, unsigned *seen,
                          struct err *err)
{
    CLEANUP_FREE char *text = NULL;
    if (see(t, seen, type == 'L' ? SEEN_PATH : SEEN_LINK, err) < 0 ||
        read_extended(t, size, &text, err) < 0)
        return -1;
    size_t n = strlen(text);
    for (size_t i = n; i < size; i++)
        if (text[i] != '\0')
            return damaged(t, err, "its long name has a NUL in it");
    return take_text(t, type == 'L' ? &t->path : &t->link, text, n, err);
}

/* Seconds with a fraction, possibly negative. */
static bool parse_time(const char *text, int64_t *ret_s, uint32_t *ret_ns)
{
    bool negative = *text == '-';
    const char *p = text + negative;
    int64_t s = 0;
    uint32_t ns = 0, unit = 100000000;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (s > INT64_C(1) << 40)
            return false;
        s = s * 10 + (*p - '0');
    }
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            ns += (uint32_t)(*p - '0') * unit;
    if (*p != '\0')
        return false;
    *ret_s = negative ? -s - (ns > 0) : s;
    *ret_ns = negative && ns > 0 ? 1000000000 - ns : ns;
    return true;
}

static int take_xattr(struct tar *t, const char *name, const char *value, size_t n,
                      struct err *err)
{
    if (t->entry.n_xattrs == TAR_XATTRS_MAX)
        return damaged(t, err, "it has more than 256 attributes");
    for (size_t i = 0; i < t->entry.n_xattrs; i++)
        if (strcmp(t->xattrs[i].name, name) == 0)
            return damaged(t, err, "it has an attribute twice");
    t->xattrs[t->entry.n_xattrs++] = (struct tar_xattr){name, (const uint8_t *)value, n};
    return 0;
}

/* One `keyword=value` of a pax header; both end in a NUL, @value may have more in it. */
static int take_record(struct tar *t, const char *keyword, const char *value, size_t n,
                       unsigned *seen, struct err *err)
{
    static const struct {
        const char *keyword;
        unsigned seen;
    } numbers[] = {{"size", SEEN_SIZE}, {"uid", SEEN_UID}, {"gid", SEEN_GID}};
    uint64_t *const slots[] = {&t->entry.size, &t->entry.uid, &t->entry.gid};
    const char *attribute = str_startswith(keyword, "SCHILY.xattr.");
    if (attribute)
        return take_xattr(t, attribute, value, n, err);
    if (str_startswith(keyword, "GNU.sparse."))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "entry %llu is a sparse file: pack it without --sparse",
                       (unsigned long long)t->n_entries);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (strcmp(keyword, numbers[i].keyword) != 0)
            continue;
        if (strlen(value) != n || parse_u64(value, INT64_MAX, slots[i]) < 0)
            return damaged(t, err, "a number in its extended header is none");
        return see(t, seen, numbers[i].seen, err);
    }
    if (strcmp(keyword, "path") == 0)
        return see(t, seen, SEEN_PATH, err) < 0 ? -1 : take_text(t, &t->path, value, n, err);
    if (strcmp(keyword, "linkpath") == 0)
        return see(t, seen, SEEN_LINK, err) < 0 ? -1 : take_text(t, &t->link, value, n, err);
    if (strcmp(keyword, "mtime") == 0) {
        if (strlen(value) != n || !parse_time(value, &t->entry.mtime_s, &t->entry.mtime_ns))
            return damaged(t, err, "the time in its extended header is none");
        return see(t, seen, SEEN_MTIME, err);
    }
    return 0; /* comments, other times, names of owners: ids decide */
}

/* "LENGTH KEYWORD=VALUE\n", again and again; LENGTH counts all of it. */
static int take_pax(struct tar *t, uint64_t size, unsigned *seen, struct err *err)
{
    if (see(t, seen, SEEN_EXTENDED, err) < 0 || read_extended(t, size, &t->extended, err) < 0)
        return -1;
    for (char *p = t->extended, *end = p + size; p < end;) {
        char *keyword = p;
        uint64_t n = 0;
        while (keyword < end && *keyword >= '0' && *keyword <= '9' && n <= size)
            n = n * 10 + (uint64_t)(*keyword++ - '0');
        if (keyword == p || keyword == end || *keyword != ' ' || n > (uint64_t)(end - p) ||
            n < (uint64_t)(keyword - p) + 4 || p[n - 1] != '\n')
            return damaged(t, err, "its extended header is damaged");
        keyword++;
        char *last = p + n - 1;
        char *equals = memchr(keyword, '=', (size_t)(last - keyword));
        if (equals == NULL || equals == keyword)
            return damaged(t, err, "its extended header is damaged");
        *equals = *last = '\0';
        if (take_record(t, keyword, equals + 1, (size_t)(last - equals - 1), seen, err) < 0)
            return -1;
        p += n;
    }
    return 0;
}

static int kind_of(struct tar *t, char type, enum tar_kind *ret, struct err *err)
{
    switch (type) {
    case '0':
    case '\0':
    case '7':
        *ret = TAR_FILE;
        return 0;
    case '1':
        *ret = TAR_HARDLINK;
        return 0;
    case '2':
        *ret = TAR_SYMLINK;
        return 0;
    case '3':
    case '4':
        *ret = TAR_DEVICE;
        return 0;
    case '5':
        *ret = TAR_DIRECTORY;
        return 0;
    case '6':
        *ret = TAR_FIFO;
        return 0;
    case 'S':
        return err_set(err, ERR_UNIMPLEMENTED,
                       "entry `%.200s` is a sparse file: pack it without --sparse", t->path);
    default:
        return err_set(err, ERR_UNIMPLEMENTED, "entry `%.200s` is of the unknown type 0x%02x",
                       t->path, (unsigned)(uint8_t)type);
    }
}

/* POSIX's headers have more of the name in `prefix`; GNU's have times there. */
static char *header_name(const struct header *h)
{
    int n = (int)strnlen(h->name, sizeof(h->name));
    int n_prefix = memcmp(h->magic,
                          "ustar\0"
                          "00",
                          8) == 0
                       ? (int)strnlen(h->prefix, sizeof(h->prefix))
                       : 0;
    return str_dup_printf("%.*s%s%.*s", n_prefix, h->prefix, n_prefix ? "/" : "", n, h->name);
}

/* What the extended headers did not say comes from the header itself. */
static int finish_entry(struct tar *t, const struct header *h, uint64_t size, unsigned seen,
                        struct err *err)
{
    struct tar_entry *e = &t->entry;
    uint64_t mode, uid, gid, mtime;
    if (!(seen & SEEN_PATH) && (t->path = header_name(h)) == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (!(seen & SEEN_LINK) && (t->link = strndup(h->link, sizeof(h->link))) == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (t->path[0] == '\0')
        return damaged(t, err, "it has no name");
    if (!parse_number(h->mode, sizeof(h->mode), &mode) ||
        !parse_number(h->uid, sizeof(h->uid), &uid) ||
        !parse_number(h->gid, sizeof(h->gid), &gid) ||
        !parse_number(h->mtime, sizeof(h->mtime), &mtime))
        return damaged(t, err, "a number in its header is none");
    if (kind_of(t, h->type, &e->kind, err) < 0)
        return -1;
    size_t n = strlen(t->path);
    if (e->kind == TAR_FILE &&
        t->path[n - 1] == '/') /* how tar wrote directories before it had a type for them */
        e->kind = TAR_DIRECTORY;
    e->path = t->path;
    e->link = e->kind == TAR_HARDLINK || e->kind == TAR_SYMLINK ? t->link : "";
    e->mode_bits = (uint32_t)mode & 07777;
    e->uid = seen & SEEN_UID ? e->uid : uid;
    e->gid = seen & SEEN_GID ? e->gid : gid;
    e->mtime_s = seen & SEEN_MTIME ? e->mtime_s : (int64_t)MIN(mtime, (uint64_t)1 << 40);
    /* Whatever a header says, only files have content. */
    e->size = e->kind != TAR_FILE ? 0 : seen & SEEN_SIZE ? e->size : size;
    t->left = e->size;
    t->padding = (uint32_t)(-e->size & (BLOCK - 1));
    return 1;
}

int tar_next(struct tar *t, const struct tar_entry **ret_entry, struct err *err)
{
    unsigned seen = 0;
    if (skip(t, err) < 0)
        return -1;
    forget_entry(t);
    t->n_entries++;
    for (;;) {
        struct header h;
        uint64_t size;
        int r = read_header(t, &h, err);
        if (r <= 0)
            return r < 0 ? -1 : seen ? damaged(t, err, "an extended header has no entry") : 0;
        if (!parse_number(h.size, sizeof(h.size), &size) || size > INT64_MAX - BLOCK)
            return damaged(t, err, "its size is none");
        if (h.type == 'g') {
            t->left = size;
            t->padding = (uint32_t)(-size & (BLOCK - 1));
            r = skip(t, err);
        } else if (h.type == 'x') {
            r = take_pax(t, size, &seen, err);
        } else if (h.type == 'L' || h.type == 'K') {
            r = take_long_name(t, h.type, size, &seen, err);
        } else {
            r = finish_entry(t, &h, size, seen, err);
            if (r > 0)
                *ret_entry = &t->entry;
            return r;
        }
        if (r < 0)
            return -1;
    }
}

ssize_t tar_read(struct tar *t, void *data, size_t n, struct err *err)
{
    n = MIN(n, t->left);
    if (n == 0)
        return 0;
    ssize_t got = t->source->read(t->source, data, n, err);
    if (got == 0)
        return damaged(t, err, "the archive ends within it");
    if (got > 0)
        t->left -= (uint64_t)got;
    return got;
}
