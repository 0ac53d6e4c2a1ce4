/* The file of records; see ledger.h. */
#include "runtime/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/util.h"

#define RECORDS "records"
#define DAMAGED "damaged-"
#define BODY_SUFFIX ".body" /* no id has a dot */
#define BODY_IN_PAGE (LEDGER_PAGE_BYTES - LEDGER_HEAD_BYTES)
#define LOAD_PAGES 256 /* chosen: 1 MiB at a time */

static const char g_file_magic[16] = "cwsandboxledger";
static const char g_page_magic[8] = "cwsrec\r\n";

struct file_head { /* page 0 */
    char magic[sizeof(g_file_magic)];
    uint32_t format; /* 0x01000000 of the other byte order is "newer" */
    uint32_t page_bytes;
};

struct page_head {
    char magic[sizeof(g_page_magic)]; /* all zero: free */
    uint64_t sum;                     /* of all that follows in the LEDGER_HEAD_BYTES */
    char id[LAUNCH_MAX_ID];
    uint32_t head_bytes, body_bytes;
    uint64_t body_sum;
    uint8_t head[LEDGER_MAX_HEAD];
};
_Static_assert(sizeof(struct page_head) <= LEDGER_HEAD_BYTES, "a head fits its part of a page");

union page {
    struct page_head head;
    uint8_t bytes[LEDGER_PAGE_BYTES];
};

/* Finds what a disk or a stray write did, not what somebody forged: the directory is ours
 * alone. Eight bytes a step; CRC-32 by table would be half of the cost of a write. */
static uint64_t checksum(const uint8_t *data, size_t n)
{
    uint64_t sum = 0x9e3779b97f4a7c15ULL ^ n;
    for (size_t at = 0; at < n; at += 8) {
        uint64_t word = 0;
        memcpy(&word, data + at, MIN(n - at, (size_t)8));
        sum = (sum ^ word) * 0xff51afd7ed558ccdULL;
        sum ^= sum >> 32;
    }
    return sum;
}

static uint64_t head_checksum(const struct page_head *h)
{
    size_t from = offsetof(struct page_head, id);
    return checksum((const uint8_t *)h + from, sizeof(*h) - from);
}

static enum err_code code_of(int error)
{
    return error == ENOSPC || error == EDQUOT || error == ENOMEM || error == EFBIG
               ? ERR_RESOURCE_EXHAUSTED
               : ERR_INTERNAL;
}

/* 0 or -errno; a short write is a disk that became full. */
static int write_at(int fd, const void *data, size_t n, off_t at)
{
    ssize_t r = pwrite(fd, data, n, at);
    if (r < 0)
        return -errno;
    return (size_t)r == n ? 0 : -ENOSPC;
}

static int write_page(struct ledger *l, uint32_t page, const void *data, size_t n)
{
    return write_at(l->fd, data, n, (off_t)page * LEDGER_PAGE_BYTES);
}

/* ---- open ---- */

static int open_error(const struct ledger *l, int error, const char *what, struct err *err)
{
    return err_set_errno(err, ERR_FAILED_PRECONDITION, error,
                         "%s the ledger %s/" RECORDS
                         " (give the service a data directory that it can write: --data-dir)",
                         what, l->name);
}

static int open_files(struct ledger *l, struct err *err)
{
    struct stat st;
    if (mkdir(l->dir, 0700) < 0 && errno != EEXIST)
        return open_error(l, errno, "make the directory of", err);
    l->dir_fd = open(l->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (l->dir_fd < 0)
        return open_error(l, errno, "open the directory of", err);
    l->fd = openat(l->dir_fd, RECORDS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->fd < 0 || fstat(l->fd, &st) < 0)
        return open_error(l, errno, "open", err);
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return err_set(
            err, ERR_FAILED_PRECONDITION,
            "the ledger %s/" RECORDS
            " belongs to uid %u, the service runs as uid %u: run it as its owner, or "
            "give it another --data-dir",
            l->name, (unsigned)st.st_uid, (unsigned)geteuid());
    l->n_pages = (uint32_t)((st.st_size + LEDGER_PAGE_BYTES - 1) / LEDGER_PAGE_BYTES);
    return 0;
}

static int start_file(struct ledger *l, struct err *err)
{
    union page page = {0};
    struct file_head head = {.format = LEDGER_FORMAT, .page_bytes = LEDGER_PAGE_BYTES};
    memcpy(head.magic, g_file_magic, sizeof(head.magic));
    memcpy(page.bytes, &head, sizeof(head));
    int r = write_page(l, 0, page.bytes, sizeof(page));
    if (r < 0)
        return open_error(l, -r, "begin", err);
    l->n_pages = 1;
    return 0;
}

static int check_file(struct ledger *l, struct err *err)
{
    struct file_head head = {0};
    if (l->n_pages == 0)
        return start_file(l, err);
    ssize_t n = pread(l->fd, &head, sizeof(head), 0);
    if (n < 0)
        return open_error(l, errno, "read", err);
    if (n < (ssize_t)sizeof(head) || memcmp(head.magic, g_file_magic, sizeof(head.magic)) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "%s/" RECORDS " is not a ledger of sandboxes, or its beginning is "
                       "damaged: move it away; the sandboxes recorded in it are then forgotten",
                       l->name);
    if (head.format != LEDGER_FORMAT || head.page_bytes != LEDGER_PAGE_BYTES)
        return err_set(
            err, ERR_FAILED_PRECONDITION,
            "the ledger %s/" RECORDS
            " has format %u, this service knows %u: start the version that wrote it, "
            "or move the file away; the sandboxes recorded in it are then forgotten",
            l->name, head.format, LEDGER_FORMAT);
    return 0;
}

/* What people are told: they do not know our working directory. */
static char *absolute_name(const char *dir)
{
    CLEANUP_FREE char *here = dir[0] == '/' ? NULL : getcwd(NULL, 0);
    const char *rest = str_startswith(dir, "./");
    return here ? str_dup_printf("%s/%s", here, rest ? rest : dir) : strdup(dir);
}

int ledger_open(struct ledger *l, const char *dir, struct err *err)
{
    *l =
        (struct ledger){.dir_fd = -1, .fd = -1, .dir = strdup(dir), .name = absolute_name(dir)};
    if (!l->dir || !l->name)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "open the ledger: out of memory");
    if (open_files(l, err) == 0 && check_file(l, err) == 0)
        return 0;
    cleanup_fd(&l->fd);
    cleanup_fd(&l->dir_fd);
    free(TAKE_PTR(l->dir));
    free(TAKE_PTR(l->name));
    return -1;
}

void ledger_close(struct ledger *l)
{
    if (!l->dir)
        return;
    if (l->n_records == 0) {
        (void)unlinkat(l->dir_fd, RECORDS, 0);
        (void)rmdir(l->dir); /* with damaged records in it it stays */
    }
    cleanup_fd(&l->fd);
    cleanup_fd(&l->dir_fd);
    free(l->dir);
    free(l->name);
    free(l->free_pages);
    *l = (struct ledger){.dir_fd = -1, .fd = -1};
}

/* ---- pages ---- */

static int add_free(struct ledger *l, uint32_t page)
{
    if (l->n_free == l->cap_free) {
        size_t cap = l->cap_free ? l->cap_free * 2 : 64;
        uint32_t *grown = realloc(l->free_pages, cap * sizeof(*grown));
        if (!grown)
            return -ENOMEM; /* it stays unused until the next start */
        l->free_pages = grown;
        l->cap_free = cap;
    }
    l->free_pages[l->n_free++] = page;
    return 0;
}

static void free_page(struct ledger *l, uint32_t page)
{
    static const uint8_t zero[LEDGER_HEAD_BYTES];
    if (write_page(l, page, zero, sizeof(zero)) == 0)
        (void)add_free(l, page);
}

/* ---- writing ---- */

static void fill_head(struct page_head *h, const struct ledger_slot *slot,
                      const struct ledger_record *record)
{
    memcpy(h->magic, g_page_magic, sizeof(h->magic));
    (void)snprintf(h->id, sizeof(h->id), "%s", record->id);
    h->head_bytes = (uint32_t)record->head_bytes;
    h->body_bytes = slot->body_bytes;
    h->body_sum = slot->body_sum;
    memcpy(h->head, record->head, record->head_bytes);
    h->sum = head_checksum(h);
}

struct body_name {
    char text[LAUNCH_MAX_ID + sizeof(BODY_SUFFIX)];
};

static struct body_name body_name(const char *id)
{
    struct body_name name;
    (void)snprintf(name.text, sizeof(name.text), "%s" BODY_SUFFIX, id);
    return name;
}

static void remove_long_body(struct ledger *l, const struct ledger_slot *slot, const char *id)
{
    if (slot->body_bytes > BODY_IN_PAGE)
        (void)unlinkat(l->dir_fd, body_name(id).text, 0); /* else the next start does */
}

static int write_long_body(struct ledger *l, const struct ledger_record *record)
{
    CLEANUP_FD int fd = openat(l->dir_fd, body_name(record->id).text,
                               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : write_at(fd, record->body, record->body_bytes, 0);
}

/* The page of a record that could not be written becomes what it was: free, or not there. */
static void undo_page(struct ledger *l, const struct ledger_slot *slot)
{
    if (slot->page == l->n_pages)
        (void)ftruncate(l->fd, (off_t)l->n_pages * LEDGER_PAGE_BYTES);
    else
        free_page(l, slot->page);
}

static int put_error(const struct ledger *l, const char *id, int error, struct err *err)
{
    return err_set_errno(err, code_of(error), error, "record the sandbox %s in %s/" RECORDS, id,
                         l->name);
}

int ledger_put(struct ledger *l, const struct ledger_record *record, struct ledger_slot *ret,
               struct err *err)
{
    CHECK(record->head_bytes <= LEDGER_MAX_HEAD && launchproto_id_valid(record->id));
    union page page = {0};
    if (record->body_bytes > LEDGER_MAX_BODY)
        return put_error(l, record->id, EFBIG, err);
    struct ledger_slot slot = {.page = l->n_pages,
                               .body_bytes = (uint32_t)record->body_bytes,
                               .body_sum = checksum(record->body, record->body_bytes)};
    int r = 0;
    if (record->body_bytes <= BODY_IN_PAGE)
        memcpy(page.bytes + LEDGER_HEAD_BYTES, record->body, record->body_bytes);
    else
        r = write_long_body(l, record);
    fill_head(&page.head, &slot, record);
    if (r == 0) {
        if (l->n_free > 0)
            slot.page = l->free_pages[--l->n_free];
        r = write_page(l, slot.page, page.bytes, sizeof(page));
        if (r < 0)
            undo_page(l, &slot);
    }
    if (r < 0) {
        remove_long_body(l, &slot, record->id);
        return put_error(l, record->id, -r, err);
    }
    if (slot.page == l->n_pages)
        l->n_pages++;
    l->n_records++;
    *ret = slot;
    return 0;
}

/* One write of the page; a long body is in its file before. SIGKILL between the two leaves a record that is damaged. */
int ledger_replace(struct ledger *l, const struct ledger_record *record,
                   struct ledger_slot *slot, struct err *err)
{
    CHECK(slot->page > 0 && record->head_bytes <= LEDGER_MAX_HEAD);
    union page page = {0};
    if (record->body_bytes > LEDGER_MAX_BODY)
        return put_error(l, record->id, EFBIG, err);
    const struct ledger_slot old = *slot;
    struct ledger_slot new = {.page = old.page,
                              .body_bytes = (uint32_t)record->body_bytes,
                              .body_sum = checksum(record->body, record->body_bytes)};
    bool in_page = record->body_bytes <= BODY_IN_PAGE;
    int r = in_page ? 0 : write_long_body(l, record);
    if (in_page)
        memcpy(page.bytes + LEDGER_HEAD_BYTES, record->body, record->body_bytes);
    fill_head(&page.head, &new, record);
    if (r == 0)
        r = write_page(l, new.page, page.bytes, sizeof(page));
    if (r < 0)
        return put_error(l, record->id, -r, err);
    if (in_page)
        remove_long_body(l, &old, record->id);
    *slot = new;
    return 0;
}

int ledger_update(struct ledger *l, const struct ledger_slot *slot,
                  const struct ledger_record *record, struct err *err)
{
    CHECK(slot->page > 0 && record->head_bytes <= LEDGER_MAX_HEAD);
    union {
        struct page_head head;
        uint8_t bytes[LEDGER_HEAD_BYTES];
    } part = {0};
    fill_head(&part.head, slot, record);
    int r = write_page(l, slot->page, part.bytes, sizeof(part));
    return r < 0 ? put_error(l, record->id, -r, err) : 0;
}

void ledger_remove(struct ledger *l, struct ledger_slot *slot, const char *id)
{
    if (slot->page == 0)
        return;
    free_page(l, slot->page);
    remove_long_body(l, slot, id);
    l->n_records--;
    *slot = (struct ledger_slot){0};
}

/* ---- loading ---- */

static bool page_is_free(const union page *page)
{
    static const char zero[sizeof(g_page_magic)];
    return memcmp(page->head.magic, zero, sizeof(zero)) == 0;
}

static bool head_is_whole(const struct page_head *h)
{
    return memcmp(h->magic, g_page_magic, sizeof(h->magic)) == 0 &&
           h->sum == head_checksum(h) && h->head_bytes <= LEDGER_MAX_HEAD &&
           h->body_bytes <= LEDGER_MAX_BODY && memchr(h->id, '\0', sizeof(h->id)) &&
           launchproto_id_valid(h->id);
}

/* @long_body: owns what does not lie in the page. False: not there, or not what was written. */
static bool find_body(const struct ledger *l, const union page *page, struct buf *long_body,
                      const uint8_t **ret)
{
    const struct page_head *h = &page->head;
    *ret = page->bytes + LEDGER_HEAD_BYTES;
    if (h->body_bytes > BODY_IN_PAGE) {
        CLEANUP_FD int fd =
            openat(l->dir_fd, body_name(h->id).text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || buf_reserve(long_body, h->body_bytes) < 0 ||
            fd_read_all(fd, buf_tail(long_body), h->body_bytes) != (ssize_t)h->body_bytes)
            return false;
        *ret = buf_tail(long_body);
    }
    return checksum(*ret, h->body_bytes) == h->body_sum;
}

/* Copied first, then forgotten; what cannot be copied stays where it is. */
static void set_aside(struct ledger *l, uint32_t number, const union page *page,
                      const struct ledger_events *events)
{
    CLEANUP_ERR struct err err = {0};
    char name[64]; /* two numbers */
    char id[LAUNCH_MAX_ID] = "unknown";
    (void)snprintf(name, sizeof(name), DAMAGED "%u-%llu", number,
                   (unsigned long long)(clock_wall_ns() / NS_PER_MS));
    if (memchr(page->head.id, '\0', sizeof(page->head.id)) &&
        launchproto_id_valid(page->head.id))
        (void)snprintf(id, sizeof(id), "%s", page->head.id);
    CLEANUP_FD int fd =
        openat(l->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : write_at(fd, page->bytes, sizeof(*page), 0);
    if (r == 0)
        free_page(l, number);
    if (r < 0)
        (void)err_set_errno(&err, ERR_INTERNAL, -r,
                            "record %u (sandbox %s) of the ledger %s/" RECORDS
                            " is damaged and cannot be set aside as %s",
                            number, id, l->name, name);
    else
        (void)err_set(&err, ERR_INTERNAL,
                      "record %u (sandbox %s) of the ledger %s/" RECORDS
                      " is damaged: set aside as %s/%s; the sandbox is forgotten",
                      number, id, l->name, l->name, name);
    events->on_damage(events->user, &err);
}

static void load_page(struct ledger *l, uint32_t number, const union page *page,
                      const struct ledger_events *events)
{
    CLEANUP_BUF struct buf long_body = {0};
    struct ledger_record record = {.id = page->head.id,
                                   .head = page->head.head,
                                   .head_bytes = page->head.head_bytes,
                                   .body_bytes = page->head.body_bytes};
    if (page_is_free(page)) {
        (void)add_free(l, number);
        return;
    }
    struct ledger_slot slot = {
        .page = number, .body_bytes = page->head.body_bytes, .body_sum = page->head.body_sum};
    if (!head_is_whole(&page->head) || !find_body(l, page, &long_body, &record.body) ||
        !events->on_record(events->user, &slot, &record)) {
        set_aside(l, number, page, events);
        return;
    }
    l->n_records++;
}

/* A body without record: its service was killed while it made or removed one. */
static void remove_orphans(struct ledger *l, const struct ledger_events *events)
{
    int fd = dup(l->dir_fd);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        cleanup_fd(&fd);
        return; /* they cost some room until the next start */
    }
    for (const struct dirent *e; (e = readdir(d));) {
        char id[LAUNCH_MAX_ID];
        const char *suffix = strchr(e->d_name, '.');
        size_t n = suffix ? (size_t)(suffix - e->d_name) : 0;
        if (n == 0 || n >= sizeof(id) || strcmp(suffix, BODY_SUFFIX) != 0)
            continue;
        memcpy(id, e->d_name, n);
        id[n] = '\0';
        if (!events->is_known(events->user, id))
            (void)unlinkat(l->dir_fd, e->d_name, 0);
    }
    (void)closedir(d);
}

int ledger_load(struct ledger *l, const struct ledger_events *events, struct err *err)
{
    CLEANUP_BUF struct buf data = {0};
    if (buf_reserve(&data, LOAD_PAGES * sizeof(union page)) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "read the ledger: out of memory");
    uint32_t n_pages = l->n_pages;
    for (uint32_t at = 1; at < n_pages;) {
        uint8_t *bytes = buf_tail(&data);
        size_t max = MIN(n_pages - at, (uint32_t)LOAD_PAGES) * sizeof(union page);
        memset(bytes, 0, max); /* the last page may be cut */
        ssize_t n = pread(l->fd, bytes, max, (off_t)at * LEDGER_PAGE_BYTES);
        if (n <= 0)
            return open_error(l, n < 0 ? errno : EIO, "read", err);
        size_t n_read = ((size_t)n + sizeof(union page) - 1) / sizeof(union page);
        for (size_t i = 0; i < n_read; i++)
            load_page(l, at + (uint32_t)i, (const union page *)(bytes + i * sizeof(union page)),
                      events);
        at += (uint32_t)n_read;
    }
    remove_orphans(l, events);
    return 0;
}
