/* The file of records, on a real disk: every test has a directory of its own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/util.h"
#include "runtime/ledger.h"

#define IN_PAGE (LEDGER_PAGE_BYTES - LEDGER_HEAD_BYTES)
#define MAX_SEEN 256

struct seen {
    char id[LAUNCH_MAX_ID];
    struct ledger_slot slot;
    size_t head_bytes, body_bytes;
    uint8_t head0, body0;
    bool uniform; /* every byte of the head is head0, of the body body0 */
};

struct place {
    char dir[PATH_MAX], ledger[PATH_MAX + 16];
    struct ledger l;
    struct seen seen[MAX_SEEN];
    size_t n_seen, n_damaged;
    char damage[1024];
    bool refuse; /* what on_record says */
};

static bool all_equal(const uint8_t *data, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (data[i] != data[0])
            return false;
    return true;
}

static bool on_record(void *user, const struct ledger_slot *slot,
                      const struct ledger_record *record)
{
    struct place *p = user;
    if (p->refuse)
        return false;
    assert_true(p->n_seen < MAX_SEEN);
    struct seen *s = &p->seen[p->n_seen++];
    *s = (struct seen){.slot = *slot,
                       .head_bytes = record->head_bytes,
                       .body_bytes = record->body_bytes,
                       .head0 = record->head[0],
                       .body0 = record->body_bytes > 0 ? record->body[0] : 0,
                       .uniform = all_equal(record->head, record->head_bytes) &&
                                  all_equal(record->body, record->body_bytes)};
    (void)snprintf(s->id, sizeof(s->id), "%s", record->id);
    return true;
}

static struct seen *find_seen(struct place *p, const char *id)
{
    for (size_t i = 0; i < p->n_seen; i++)
        if (strcmp(p->seen[i].id, id) == 0)
            return &p->seen[i];
    return NULL;
}

static bool is_known(void *user, const char *id)
{
    return find_seen(user, id) != NULL;
}

static void on_damage(void *user, const struct err *what)
{
    struct place *p = user;
    p->n_damaged++;
    (void)snprintf(p->damage, sizeof(p->damage), "%s", err_text(what));
}

static int load(struct place *p, struct err *err)
{
    struct ledger_events events = {
        .on_record = on_record, .is_known = is_known, .on_damage = on_damage, .user = p};
    p->n_seen = p->n_damaged = 0;
    if (ledger_open(&p->l, p->ledger, err) < 0)
        return -1;
    return ledger_load(&p->l, &events, err);
}

static void place_open(struct place *p)
{
    CLEANUP_ERR struct err err = {0};
    const char *tmp = getenv("TMPDIR");
    *p = (struct place){.l = {.fd = -1, .dir_fd = -1}};
    (void)snprintf(p->dir, sizeof(p->dir), "%s/test-ledger-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->ledger, sizeof(p->ledger), "%s/ledger", p->dir);
    assert_int_equal(load(p, &err), 0);
}

/* As the end of a process leaves it: nothing is written or removed. */
static void place_drop(struct place *p)
{
    p->l.n_records = MAX(p->l.n_records, 1u);
    ledger_close(&p->l);
}

static void place_reopen(struct place *p)
{
    CLEANUP_ERR struct err err = {0};
    place_drop(p);
    assert_int_equal(load(p, &err), 0);
}

static size_t n_files(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        (void)closedir(d);
    return n;
}

static void place_done(struct place *p)
{
    ledger_close(&p->l);
    char command[PATH_MAX + 16];
    (void)snprintf(command, sizeof(command), "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
}

static uint8_t *filled(size_t n, uint8_t byte)
{
    uint8_t *data = malloc(n + 1);
    assert_non_null(data);
    memset(data, byte, n + 1);
    return data;
}

typedef int write_record(struct ledger *l, const struct ledger_record *record,
                         struct ledger_slot *slot, struct err *err);

static int write_with(write_record *write, struct place *p, const char *id, uint8_t byte,
                      size_t body_bytes, struct ledger_slot *slot, struct err *err)
{
    CLEANUP_FREE uint8_t *head = filled(LEDGER_MAX_HEAD, byte);
    CLEANUP_FREE uint8_t *body = filled(body_bytes, byte);
    struct ledger_record record = {.id = id,
                                   .head = head,
                                   .head_bytes = LEDGER_MAX_HEAD,
                                   .body = body,
                                   .body_bytes = body_bytes};
    return write(&p->l, &record, slot, err);
}

static int put(struct place *p, const char *id, uint8_t byte, size_t body_bytes,
               struct ledger_slot *ret, struct err *err)
{
    return write_with(ledger_put, p, id, byte, body_bytes, ret, err);
}

static int update(struct place *p, const char *id, uint8_t byte, const struct ledger_slot *slot,
                  struct err *err)
{
    CLEANUP_FREE uint8_t *head = filled(LEDGER_MAX_HEAD, byte);
    struct ledger_record record = {.id = id, .head = head, .head_bytes = LEDGER_MAX_HEAD};
    return ledger_update(&p->l, slot, &record, err);
}

static int records_fd(const struct place *p)
{
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof(path), "%s/records", p->ledger);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void flip_byte(const struct place *p, off_t at)
{
    CLEANUP_FD int fd = records_fd(p);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* ---- the tests ---- */

static void test_records_come_back_as_last_written(void **state)
{
    CLEANUP_ERR struct err err = {0};
    static const size_t sizes[] = {0, 1, IN_PAGE, IN_PAGE + 1, 1 << 20};
    struct place p;
    struct ledger_slot slots[ARRAY_SIZE(sizes)] = {0};
    place_open(&p);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char id[] = {'s', 'b', '-', (char)('a' + i), 0};
        assert_int_equal(put(&p, id, (uint8_t)(10 + i), sizes[i], &slots[i], &err), 0);
        assert_int_equal(update(&p, id, (uint8_t)(20 + i), &slots[i], &err), 0);
    }
    ledger_remove(&p.l, &slots[1], "sb-b");
    ledger_remove(&p.l, &slots[3], "sb-d");
    assert_int_equal(slots[3].page, 0);
    place_reopen(&p);
    assert_int_equal(p.n_seen, 3);
    assert_int_equal(p.n_damaged, 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i += 2) {
        char id[] = {'s', 'b', '-', (char)('a' + i), 0};
        const struct seen *s = find_seen(&p, id);
        assert_non_null(s);
        assert_true(s->uniform && s->head0 == 20 + i);
        assert_int_equal(s->body_bytes, sizes[i]);
        assert_true(sizes[i] == 0 || s->body0 == 10 + i);
        assert_memory_equal(&s->slot, &slots[i], sizeof(s->slot));
    }
    place_done(&p);
}

static void test_a_replaced_record_is_the_new_one_whole(void **state)
{
    CLEANUP_ERR struct err err = {0};
    static const size_t sizes[][2] = {
        {10, 20}, {10, 2 * IN_PAGE}, {2 * IN_PAGE, 10}, {2 * IN_PAGE, 3 * IN_PAGE}};
    struct place p;
    place_open(&p);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char id[] = {'s', 'b', '-', (char)('a' + i), 0};
        struct ledger_slot slot;
        assert_int_equal(put(&p, id, 1, sizes[i][0], &slot, &err), 0);
        assert_int_equal(write_with(ledger_replace, &p, id, 2, sizes[i][1], &slot, &err), 0);
        assert_int_equal(update(&p, id, 3, &slot, &err), 0);
    }
    place_reopen(&p);
    assert_int_equal(p.n_seen, ARRAY_SIZE(sizes));
    assert_int_equal(p.n_damaged, 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char id[] = {'s', 'b', '-', (char)('a' + i), 0};
        const struct seen *s = find_seen(&p, id);
        assert_non_null(s);
        assert_true(s->uniform && s->head0 == 3 && s->body0 == 2);
        assert_int_equal(s->body_bytes, sizes[i][1]);
    }
    assert_int_equal(n_files(p.ledger), 1 + 2); /* a body only beside those that need it */
    place_done(&p);
}

static void test_removed_pages_are_used_again(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot slot;
    place_open(&p);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(put(&p, "sb-a", 1, 10, &slot, &err), 0);
        if (i == 50)
            ledger_remove(&p.l, &slot, "sb-a"), place_reopen(&p);
        else
            ledger_remove(&p.l, &slot, "sb-a");
    }
    CLEANUP_FD int fd = records_fd(&p);
    assert_int_equal(lseek(fd, 0, SEEK_END), 2 * LEDGER_PAGE_BYTES);
    place_done(&p);
}

static void test_without_records_nothing_stays_on_disk(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot slot;
    place_open(&p);
    assert_int_equal(put(&p, "sb-a", 1, 2 * IN_PAGE, &slot, &err), 0);
    ledger_remove(&p.l, &slot, "sb-a");
    ledger_close(&p.l);
    assert_int_equal(n_files(p.dir), 0);
    place_done(&p);
}

static void check_damage(off_t at)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot slots[3];
    place_open(&p);
    assert_int_equal(put(&p, "sb-a", 1, 100, &slots[0], &err), 0);
    assert_int_equal(put(&p, "sb-b", 2, 100, &slots[1], &err), 0);
    assert_int_equal(put(&p, "sb-c", 3, 100, &slots[2], &err), 0);
    place_drop(&p);
    flip_byte(&p, (off_t)slots[1].page * LEDGER_PAGE_BYTES + at);
    assert_int_equal(load(&p, &err), 0);
    assert_int_equal(p.n_damaged, 1);
    assert_non_null(strstr(p.damage, "/ledger/damaged-2-"));
    assert_int_equal(p.n_seen, 2);
    assert_non_null(find_seen(&p, "sb-a"));
    assert_non_null(find_seen(&p, "sb-c"));
    assert_int_equal(n_files(p.ledger), 2); /* the set-aside copy is there */
    place_reopen(&p);                       /* and is reported once */
    assert_int_equal(p.n_damaged, 0);
    assert_int_equal(p.n_seen, 2);
    place_done(&p);
}

static void test_damaged_record_is_set_aside_and_reported(void **state)
{
    check_damage(0);                      /* magic */
    check_damage(8);                      /* checksum */
    check_damage(20);                     /* id */
    check_damage(85);                     /* a size */
    check_damage(500);                    /* head */
    check_damage(LEDGER_HEAD_BYTES + 50); /* body */
}

static void test_record_that_means_nothing_is_set_aside(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot slot;
    place_open(&p);
    assert_int_equal(put(&p, "sb-a", 1, 100, &slot, &err), 0);
    p.refuse = true;
    place_reopen(&p);
    assert_int_equal(p.n_damaged, 1);
    assert_non_null(strstr(p.damage, "sandbox sb-a"));
    place_done(&p);
}

static void test_missing_or_changed_long_body_is_damage(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot slot;
    char path[PATH_MAX + 64];
    for (int cut = 0; cut < 2; cut++) {
        place_open(&p);
        assert_int_equal(put(&p, "sb-a", 1, 3 * IN_PAGE, &slot, &err), 0);
        (void)snprintf(path, sizeof(path), "%s/sb-a.body", p.ledger);
        assert_int_equal(cut ? truncate(path, IN_PAGE) : unlink(path), 0);
        place_reopen(&p);
        assert_int_equal(p.n_damaged, 1);
        assert_int_equal(p.n_seen, 0);
        place_done(&p);
    }
}

static void test_body_without_record_is_removed(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot slot;
    char path[PATH_MAX + 64];
    place_open(&p);
    assert_int_equal(put(&p, "sb-a", 1, 3 * IN_PAGE, &slot, &err), 0);
    (void)snprintf(path, sizeof(path), "%s/sb-b.body", p.ledger);
    CLEANUP_FD int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(n_files(p.ledger), 3);
    place_reopen(&p);
    assert_int_equal(n_files(p.ledger), 2);
    assert_int_equal(p.n_seen, 1);
    place_done(&p);
}

static void check_refused(struct place *p, const char *word)
{
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(load(p, &err), -1);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_non_null(strstr(err_text(&err), p->ledger));
    if (!strstr(err_text(&err), word))
        fail_msg("`%s` is not in `%s`", word, err_text(&err));
}

static void test_newer_or_foreign_file_is_refused_with_the_remedy(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot slot;
    place_open(&p);
    assert_int_equal(put(&p, "sb-a", 1, 10, &slot, &err), 0);
    place_drop(&p);
    CLEANUP_FD int fd = records_fd(&p);
    uint32_t format = LEDGER_FORMAT + 6;
    assert_int_equal(pwrite(fd, &format, sizeof(format), 16), sizeof(format));
    check_refused(&p, "has format 7, this service knows 1: start the version that wrote it");
    assert_int_equal(pwrite(fd, "SQLite", 6, 0), 6);
    check_refused(&p, "move it away");
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 2 * LEDGER_PAGE_BYTES); /* untouched */
    place_done(&p);
}

static void test_directory_that_is_not_ours_is_refused(void **state)
{
    struct place p;
    char path[PATH_MAX + 64];
    if (geteuid() != 0) {
        print_message("skip: needs root to give a file away\n");
        skip();
    }
    place_open(&p);
    place_drop(&p);
    (void)snprintf(path, sizeof(path), "%s/records", p.ledger);
    assert_int_equal(chown(path, 12345, 12345), 0);
    check_refused(&p, "belongs to uid 12345, the service runs as uid 0");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    check_refused(&p, "--data-dir");
    place_done(&p);
}

/* A small file system of its own. */
static bool mount_small(const struct place *p)
{
    return mount("ledger-test", p->dir, "tmpfs", 0, "size=64k") == 0;
}

static void test_read_only_directory_is_refused(void **state)
{
    struct place p;
    place_open(&p);
    ledger_close(&p.l);
    if (!mount_small(&p)) {
        place_done(&p);
        print_message("skip: may not mount\n");
        skip();
    }
    assert_int_equal(mount(NULL, p.dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    check_refused(&p, "Read-only file system");
    assert_int_equal(umount(p.dir), 0);
    place_done(&p);
}

static void fill_disk(struct place *p, struct ledger_slot *first)
{
    CLEANUP_ERR struct err err = {0};
    struct ledger_slot slot;
    char id[32];
    int n = 0, r;
    assert_int_equal(put(p, "sb-first", 7, 10, first, &err), 0);
    do {
        (void)snprintf(id, sizeof(id), "sb-%d", n++);
        r = put(p, id, 1, 10, &slot, &err);
    } while (r == 0 && n < 200);
    assert_int_equal(r, -1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err_text(&err), "/ledger/records: No space left on device"));
}

static void test_full_disk_refuses_new_records_and_takes_changes(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct place p;
    struct ledger_slot first, slot;
    place_open(&p);
    ledger_close(&p.l);
    if (!mount_small(&p)) {
        place_done(&p);
        print_message("skip: may not mount\n");
        skip();
    }
    assert_int_equal(load(&p, &err), 0);
    fill_disk(&p, &first);
    uint32_t n = p.l.n_records;
    assert_int_equal(put(&p, "sb-long", 1, 3 * IN_PAGE, &slot, &err), -1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(update(&p, "sb-first", 9, &first, &err), 0);
    place_reopen(&p);
    assert_int_equal(p.n_damaged, 0);
    assert_int_equal(p.n_seen, n);
    assert_int_equal(find_seen(&p, "sb-first")->head0, 9);
    ledger_remove(&p.l, &first, "sb-first");
    assert_int_equal(put(&p, "sb-again", 1, 10, &slot, &err), 0);
    place_drop(&p);
    assert_int_equal(umount(p.dir), 0);
    place_done(&p);
}

/* What the child acknowledged last, in memory that outlives it. */
struct shared {
    volatile uint32_t n_put, n_updated;
};

static void write_until_killed(struct place *p, struct shared *shared)
{
    struct ledger_slot slot;
    char id[32];
    for (uint32_t i = 1;; i++) {
        (void)snprintf(id, sizeof(id), "sb-%u", i % 200);
        if (put(p, id, (uint8_t)i, i % 3 == 0 ? 3 * IN_PAGE : 500, &slot, NULL) < 0)
            _exit(1);
        shared->n_put = i;
        if (update(p, id, (uint8_t)(i + 1), &slot, NULL) < 0)
            _exit(1);
        shared->n_updated = i;
        if (i % 200 != 0)
            ledger_remove(&p->l, &slot, id);
    }
}

static void check_after_kill(struct place *p, const struct shared *shared)
{
    CLEANUP_ERR struct err err = {0};
    char id[32];
    assert_int_equal(load(p, &err), 0);
    assert_int_equal(p->n_damaged, 0);
    for (size_t i = 0; i < p->n_seen; i++)
        assert_true(p->seen[i].uniform);
    /* The kept ones are all here but for the one under way, and the last has what was last said. */
    uint32_t kept = shared->n_put / 200;
    (void)kept;
    (void)snprintf(id, sizeof(id), "sb-%u", shared->n_put % 200);
    const struct seen *s = find_seen(p, id);
    if (shared->n_put == shared->n_updated)
        return; /* it may be removed already */
    assert_non_null(s);
    assert_true(s->head0 == (uint8_t)shared->n_put || s->head0 == (uint8_t)(shared->n_put + 1));
    assert_int_equal(s->body0, (uint8_t)shared->n_put);
}

static void test_sigkill_at_any_moment_damages_nothing(void **state)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct place p;
    assert_true(shared != MAP_FAILED);
    for (int round = 0; round < 60; round++) {
        place_open(&p);
        *shared = (struct shared){0};
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            write_until_killed(&p, shared);
        while (shared->n_put == 0)
            (void)usleep(100);
        (void)usleep((useconds_t)(round * 131 % 5000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        place_drop(&p);
        check_after_kill(&p, shared);
        place_done(&p);
    }
    (void)munmap(shared, sizeof(*shared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_back_as_last_written),
        cmocka_unit_test(test_a_replaced_record_is_the_new_one_whole),
        cmocka_unit_test(test_removed_pages_are_used_again),
        cmocka_unit_test(test_without_records_nothing_stays_on_disk),
        cmocka_unit_test(test_damaged_record_is_set_aside_and_reported),
        cmocka_unit_test(test_record_that_means_nothing_is_set_aside),
        cmocka_unit_test(test_missing_or_changed_long_body_is_damage),
        cmocka_unit_test(test_body_without_record_is_removed),
        cmocka_unit_test(test_newer_or_foreign_file_is_refused_with_the_remedy),
        cmocka_unit_test(test_directory_that_is_not_ours_is_refused),
        cmocka_unit_test(test_read_only_directory_is_refused),
        cmocka_unit_test(test_full_disk_refuses_new_records_and_takes_changes),
        cmocka_unit_test(test_sigkill_at_any_moment_damages_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
