/* See tree-tar.h. Source: POSIX pax, "ustar Interchange Format" and "pax Extended Header". */
#include "base/tree-tar.h"

#include <string.h>

struct header {
    char name[TREE_NAME_MAX], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8];
    char type;
    char link[TREE_NAME_MAX], magic[6], version[2], owner[32], group[32], major[8], minor[8],
        prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is one block");

#define NUMBER_MAX 20 /* digits of a 64 bit number */

/* ---- writing ---- */

/* Octal digits that fill @n - 1 bytes, and a NUL. */
static void put_octal(char *field, size_t n, uint64_t value)
{
    field[--n] = 0;
    while (n > 0) {
        field[--n] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

static uint32_t checksum(const struct header *h)
{
    const uint8_t *bytes = (const uint8_t *)h;
    uint32_t sum = 0;

    for (size_t i = 0; i < TAR_BLOCK; i++) {
        bool own = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);

        sum += own ? ' ' : bytes[i];
    }
    return sum;
}

void tree_block_write(uint8_t ret[static TAR_BLOCK], const struct tree_entry *e, char type,
                      uint64_t size)
{
    struct header h = {.type = type, .magic = "ustar", .version = {'0', '0'}};

    /* A longer one stands in the pax record before. */
    memcpy(h.name, e->path, MIN(strlen(e->path), sizeof(h.name)));
    if (e->kind == TREE_LINK)
        memcpy(h.link, e->link, MIN(strlen(e->link), sizeof(h.link)));
    put_octal(h.mode, sizeof(h.mode), e->mode_bits & 07777);
    put_octal(h.uid, sizeof(h.uid), e->uid);
    put_octal(h.gid, sizeof(h.gid), e->gid);
    put_octal(h.size, sizeof(h.size), size <= TREE_SIZE_MAX ? size : 0);
    put_octal(h.mtime, sizeof(h.mtime),
              e->mtime_s > 0 ? (uint64_t)e->mtime_s & TREE_SIZE_MAX : 0);
    put_octal(h.checksum, 7, checksum(&h)); /* six digits, NUL, blank */
    h.checksum[7] = ' ';
    memcpy(ret, &h, TAR_BLOCK);
}

/* LEN counts itself. */
size_t tree_record_write(char *out, size_t cap, const char *keyword, const void *value,
                         size_t n)
{
    size_t rest = 1 + strlen(keyword) + 1 + n + 1, len = rest + 1;
    char digits[NUMBER_MAX + 1];
    int head;

    while (rest + (size_t)snprintf(digits, sizeof(digits), "%zu", len) != len)
        len++;
    if (len >= cap) /* with snprintf's NUL */
        return 0;
    head = snprintf(out, cap, "%zu %s=", len, keyword);
    memcpy(out + head, value, n);
    out[len - 1] = '\n';
    return len;
}

static size_t put_record(char *out, const char *keyword, const char *value)
{
    return tree_record_write(out, TREE_PAX_MAX, keyword, value, strlen(value));
}

size_t tree_head_write(uint8_t ret[static TREE_HEAD_MAX], const struct tree_entry *e)
{
    char *pax = (char *)ret + TAR_BLOCK, text[NUMBER_MAX + 1];
    const char *link = e->kind == TREE_LINK ? e->link : "";
    uint64_t size = e->kind == TREE_FILE ? e->size : 0;
    char type = e->kind == TREE_FILE ? '0' : e->kind == TREE_LINK ? '2' : '5';
    size_t n = 0;

    if (strlen(e->path) > TREE_PATH_MAX || strlen(link) > TREE_PATH_MAX)
        return 0;
    memset(ret, 0, TREE_HEAD_MAX);
    if (strlen(e->path) > TREE_NAME_MAX)
        n += put_record(pax + n, "path", e->path);
    if (strlen(link) > TREE_NAME_MAX)
        n += put_record(pax + n, "linkpath", link);
    if (size > TREE_SIZE_MAX) {
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
        n += put_record(pax + n, "size", text);
    }
    if (n == 0) {
        tree_block_write(ret, e, type, size);
        return TAR_BLOCK;
    }
    tree_block_write(ret, e, 'x', n);
    n = TAR_BLOCK + (n + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    tree_block_write(ret + n, e, type, size);
    return n + TAR_BLOCK;
}

/* ---- reading ---- */

/* Octal with blanks or NULs behind it. Larger numbers have a pax record; GNU's binary form is refused. */
static bool parse_octal(const char *field, size_t n, uint64_t *ret)
{
    size_t i = 0;
    uint64_t value = 0;

    while (i < n && field[i] == ' ')
        i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    for (; i < n; i++) {
        if (field[i] != ' ' && field[i] != 0)
            return false;
    }
    *ret = value;
    return true;
}

static enum tree_head_result bad(struct tree_head_reader *r, const char *why)
{
    r->why = why;
    return TREE_HEAD_BAD;
}

static const char *refused_type(char type)
{
    switch (type) {
    case '1':
        return "is a hard link";
    case '3':
    case '4':
        return "is a device";
    case '6':
        return "is a FIFO";
    case 'S':
        return "is a sparse file";
    case 'g':
    case 'x':
    case 'L':
    case 'K':
        return "has an extended header of a kind that is not taken";
    default:
        return "is of a kind that is not taken";
    }
}

static void take_text(char *to, const char *field, size_t n)
{
    n = strnlen(field, n);
    memcpy(to, field, n);
    to[n] = 0;
}

static enum tree_head_result read_entry(struct tree_head_reader *r, const struct header *h,
                                        struct tree_entry *ret)
{
    uint64_t mode, mtime;

    if (!r->has_path)
        take_text(r->path, h->name, sizeof(h->name));
    if (h->prefix[0] != 0)
        return bad(r, "has a name in two parts");
    if (!r->has_link)
        take_text(r->link, h->link, sizeof(h->link));
    if (!r->has_size && !parse_octal(h->size, sizeof(h->size), &r->size))
        return bad(r, "has a size that is no number");
    if (!parse_octal(h->mode, sizeof(h->mode), &mode) ||
        !parse_octal(h->mtime, sizeof(h->mtime), &mtime))
        return bad(r, "has a mode or a time that is no number");
    *ret = (struct tree_entry){
        .path = r->path,
        .link = r->link,
        .size = r->size,
        .mode_bits = (uint32_t)mode & 07777,
        .mtime_s = (int64_t)mtime,
    };
    r->has_path = r->has_link = r->has_size = r->in_pax = false;
    if (h->type == '0' || h->type == 0)
        ret->kind = TREE_FILE;
    else if (h->type == '5')
        ret->kind = TREE_DIRECTORY;
    else if (h->type == '2')
        ret->kind = TREE_LINK;
    else
        return bad(r, refused_type(h->type));
    if (ret->kind != TREE_FILE && ret->size != 0)
        return bad(r, "has content and is no file");
    if (ret->size > INT64_MAX)
        return bad(r, "is larger than a file can be");
    return TREE_HEAD_ENTRY;
}

enum tree_head_result tree_head_read(struct tree_head_reader *r,
                                     const uint8_t block[static TAR_BLOCK],
                                     struct tree_entry *ret)
{
    static const struct header zero;
    struct header h;
    uint64_t wanted;

    memcpy(&h, block, sizeof(h));
    if (memcmp(&h, &zero, sizeof(h)) == 0)
        return r->in_pax ? bad(r, "ends behind its extended header") : TREE_HEAD_ZERO;
    if (!parse_octal(h.checksum, sizeof(h.checksum), &wanted) || wanted != checksum(&h) ||
        memcmp(h.magic, "ustar", 6) != 0)
        return bad(r, "has a damaged header");
    if (h.type != 'x')
        return read_entry(r, &h, ret);
    if (r->in_pax)
        return bad(r, "has two extended headers");
    if (!parse_octal(h.size, sizeof(h.size), &ret->size) || ret->size == 0 ||
        ret->size > TREE_PAX_MAX)
        return bad(r, "has an extended header that is too large");
    r->in_pax = true;
    return TREE_HEAD_PAX;
}

/* What a record may say: once each. */
static bool take_record(struct tree_head_reader *r, const char *text, size_t n)
{
    static const char path[] = "path=", link[] = "linkpath=", size[] = "size=";
    const char *value = memchr(text, '=', n);
    size_t len = value ? n - (size_t)(value + 1 - text) : 0;
    bool is_path = n > sizeof(path) - 1 && memcmp(text, path, sizeof(path) - 1) == 0;
    bool is_link = n > sizeof(link) - 1 && memcmp(text, link, sizeof(link) - 1) == 0;

    if (is_path || is_link) {
        bool *has = is_path ? &r->has_path : &r->has_link;

        if (*has || len > TREE_PATH_MAX || memchr(value + 1, 0, len))
            return false;
        memcpy(is_path ? r->path : r->link, value + 1, len);
        (is_path ? r->path : r->link)[len] = 0;
        return *has = true;
    }
    if (n <= sizeof(size) - 1 || memcmp(text, size, sizeof(size) - 1) != 0)
        return true; /* times, owners: not asked for */
    if (r->has_size || len > NUMBER_MAX - 1)
        return false;
    r->size = 0;
    for (size_t i = 0; i < len; i++) {
        if (value[1 + i] < '0' || value[1 + i] > '9')
            return false;
        r->size = r->size * 10 + (uint64_t)(value[1 + i] - '0');
    }
    return r->has_size = true;
}

bool tree_pax_read(struct tree_head_reader *r, size_t n)
{
    r->why = "has an extended header that cannot be read";
    for (size_t at = 0; at < n;) {
        size_t size = 0, i = at;

        for (; i < n && r->pax[i] >= '0' && r->pax[i] <= '9' && size <= n; i++)
            size = size * 10 + (size_t)(r->pax[i] - '0');
        if (i == at || i >= n || r->pax[i] != ' ' || size > n - at || size < i - at + 3 ||
            r->pax[at + size - 1] != '\n')
            return false;
        if (!take_record(r, r->pax + i + 1, size - (i - at) - 2))
            return false;
        at += size;
    }
    return true;
}
