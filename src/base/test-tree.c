/* Trees through a stream: what arrives, and everything that must not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/tree.h"

struct bytes {
    struct tree_sink sink;
    struct tree_source source;
    uint8_t data[1 << 20];
    size_t n, at;
};

static struct tree_sender sender; /* too large for a stack */
static struct tree_receiver receiver;
static struct bytes bytes;

static int keep(struct tree_sink *sink, const void *data, size_t n)
{
    struct bytes *b = CONTAINER_OF(sink, struct bytes, sink);

    if (b->n + n > sizeof(b->data))
        return -ENOSPC;
    memcpy(b->data + b->n, data, n);
    b->n += n;
    return 0;
}

/* In odd pieces. */
static ssize_t give(struct tree_source *source, void *data, size_t n)
{
    struct bytes *b = CONTAINER_OF(source, struct bytes, source);

    n = MIN(MIN(n, (size_t)777), b->n - b->at);
    memcpy(data, b->data + b->at, n);
    b->at += n;
    return (ssize_t)n;
}

struct place {
    char path[64];
    int fd;
};

static void place_make(struct place *p)
{
    (void)strcpy(p->path, "/tmp/cws-test-tree-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(p->fd >= 0);
}

static void place_remove(struct place *p)
{
    char command[192];

    (void)snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", p->path, p->path);
    assert_int_equal(system(command), 0);
    (void)close(p->fd);
}

static void put_file(int dir, const char *name, const char *text, mode_t mode)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static void expect_file(int dir, const char *name, const char *text, mode_t mode)
{
    char got[256];
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW);

    assert_true(fd >= 0);
    ssize_t n = read(fd, got, sizeof(got) - 1);
    assert_true(n >= 0);
    got[n] = 0;
    assert_string_equal(got, text);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    (void)close(fd);
}

static void begin(void)
{
    bytes = (struct bytes){.sink = {keep}, .source = {give}};
    (void)umask(022);
}

static void add(enum tree_kind kind, const char *path, const char *text, uint32_t mode)
{
    static uint8_t head[TREE_HEAD_MAX], zeros[TAR_BLOCK];
    bool file = kind == TREE_FILE;
    struct tree_entry e = {.kind = kind,
                           .path = path,
                           .link = text,
                           .mode_bits = mode,
                           .size = file ? strlen(text) : 0};
    size_t n = tree_head_write(head, &e);

    assert_true(n > 0);
    assert_int_equal(keep(&bytes.sink, head, n), 0);
    if (!file)
        return;
    assert_int_equal(keep(&bytes.sink, text, e.size), 0);
    assert_int_equal(keep(&bytes.sink, zeros, (TAR_BLOCK - e.size % TAR_BLOCK) % TAR_BLOCK), 0);
}

static void finish(void)
{
    static const uint8_t zeros[2 * TAR_BLOCK];

    assert_int_equal(keep(&bytes.sink, zeros, sizeof(zeros)), 0);
}

static void refused(struct place *to, const char *why)
{
    finish();
    assert_int_equal(tree_receive(&receiver, to->fd, &bytes.source, TREE_LINKS_WITHIN), -1);
    assert_non_null(receiver.fault.why);
    assert_non_null(strstr(receiver.fault.why, why));
}

static void test_tree_arrives_as_it_was(void **state)
{
    struct place from, to;
    char long_name[201], got[64], path[4096];
    struct stat st;

    begin();
    place_make(&from);
    place_make(&to);
    memset(long_name, 'n', 200);
    long_name[200] = 0;
    put_file(from.fd, "plain", "text", 0640);
    put_file(from.fd, "run", "#!/bin/sh\n", 0755);
    put_file(from.fd, "line\nbreak \xff\xfe", "odd", 0600);
    put_file(from.fd, "empty", "", 0444);
    assert_int_equal(mkdirat(from.fd, "closed", 0700), 0);
    assert_int_equal(mkdirat(from.fd, "closed/deep", 0755), 0);
    put_file(from.fd, "closed/deep/file", "x", 0644);
    assert_int_equal(fchmodat(from.fd, "closed", 0500, 0), 0);
    assert_int_equal(mkdirat(from.fd, long_name, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/%s", long_name, long_name);
    put_file(from.fd, path, "long", 0644);
    assert_int_equal(symlinkat("closed/deep", from.fd, "link"), 0);
    assert_int_equal(symlinkat(long_name, from.fd, "to-long"), 0);
    assert_int_equal(mkfifoat(from.fd, "pipe", 0600), 0);

    assert_int_equal(tree_send(&sender, from.fd, &bytes.sink), 0);
    assert_int_equal(tree_receive(&receiver, to.fd, &bytes.source, TREE_LINKS_WITHIN), 0);

    expect_file(to.fd, "plain", "text", 0640);
    expect_file(to.fd, "run", "#!/bin/sh\n", 0755);
    expect_file(to.fd, "line\nbreak \xff\xfe", "odd", 0600);
    expect_file(to.fd, "empty", "", 0444);
    expect_file(to.fd, "closed/deep/file", "x", 0644);
    expect_file(to.fd, path, "long", 0644);
    assert_int_equal(fstatat(to.fd, "closed", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0500);
    assert_int_equal(readlinkat(to.fd, "link", got, sizeof(got)), strlen("closed/deep"));
    assert_int_equal(readlinkat(to.fd, "to-long", path, sizeof(path)), 200);
    assert_int_equal(fstatat(to.fd, "pipe", &st, AT_SYMLINK_NOFOLLOW), -1);
    place_remove(&from);
    place_remove(&to);
}

static void test_file_that_is_there_keeps_its_mode(void **state)
{
    struct place to;
    struct stat before, after;

    begin();
    place_make(&to);
    put_file(to.fd, "there", "a longer text", 0604);
    assert_int_equal(fstatat(to.fd, "there", &before, 0), 0);
    add(TREE_FILE, "there", "new", 0777);
    finish();
    assert_int_equal(tree_receive(&receiver, to.fd, &bytes.source, 0), 0);
    expect_file(to.fd, "there", "new", 0604);
    assert_int_equal(fstatat(to.fd, "there", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    place_remove(&to);
}

static void test_planted_links_are_not_followed(void **state)
{
    struct place to, outside;
    char target[128];

    place_make(&to);
    place_make(&outside);
    put_file(outside.fd, "victim", "safe", 0644);
    (void)snprintf(target, sizeof(target), "%s/victim", outside.path);
    assert_int_equal(symlinkat(target, to.fd, "file"), 0);
    assert_int_equal(symlinkat(outside.path, to.fd, "dir"), 0);
    begin();
    add(TREE_FILE, "file", "new", 0644); /* takes the link's place */
    finish();
    assert_int_equal(tree_receive(&receiver, to.fd, &bytes.source, 0), 0);
    expect_file(to.fd, "file", "new", 0644);
    begin();
    add(TREE_DIRECTORY, "dir", NULL, 0755);
    add(TREE_FILE, "dir/victim", "bad", 0644);
    refused(&to, "is no directory");
    begin();
    add(TREE_FILE, "dir/victim", "bad", 0644);
    refused(&to, "leads elsewhere");
    expect_file(outside.fd, "victim", "safe", 0644);
    place_remove(&to);
    place_remove(&outside);
}

static void test_paths_that_lead_out_are_refused(void **state)
{
    static const char *const paths[] = {"..",   "../x", "/x", "a/../../x",
                                        "a//x", "",     "a/", "./x"};
    struct place to;

    place_make(&to);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        begin();
        add(TREE_DIRECTORY, "a", NULL, 0755);
        add(TREE_FILE, paths[i], "bad", 0644);
        refused(&to, i == 0 || i == 5 || i == 6 ? "is no name" : "leads elsewhere");
    }
    place_remove(&to);
}

static void test_links_that_lead_out_are_refused(void **state)
{
    static const struct {
        const char *path, *target;
        bool fine;
    } cases[] = {
        {"a/l", "b/..", false},       {"a/l", "/etc/passwd", false},
        {"a/l", "../../x", false},    {"l", "..", false},
        {"a/l", "../a/..", false},    {"a/l", "./../..", false},
        {"a/l", "b/../../..", false}, {"a/l", "..", true},
        {"a/l", "../x/y", true},      {"l", "a", true},
        {"a/l", ".././b", true},      {"a/l", "...", true},
        {"l", "./a/./b", true},
    };
    struct place to;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        place_make(&to);
        begin();
        add(TREE_DIRECTORY, "a", NULL, 0755);
        add(TREE_LINK, cases[i].path, cases[i].target, 0777);
        if (cases[i].fine) {
            finish();
            assert_int_equal(tree_receive(&receiver, to.fd, &bytes.source, TREE_LINKS_WITHIN),
                             0);
        } else {
            refused(&to, "leads out of the tree");
        }
        place_remove(&to);
    }
}

/* Byte 156 of a header is its type; the checksum is put right. */
static void change_type(char type)
{
    unsigned sum = 0;

    bytes.data[156] = (uint8_t)type;
    memset(bytes.data + 148, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += bytes.data[i];
    (void)snprintf((char *)bytes.data + 148, 8, "%06o", sum);
}

static void test_kinds_that_are_not_taken_are_refused(void **state)
{
    static const struct {
        char type;
        const char *why;
    } cases[] = {{'1', "hard link"}, {'3', "device"}, {'4', "device"},
                 {'6', "FIFO"},      {'S', "sparse"}, {'L', "extended header"},
                 {'g', "extended"},  {'7', "kind"}};
    struct place to;

    place_make(&to);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        begin();
        add(TREE_FILE, "f", "", 0644);
        change_type(cases[i].type);
        refused(&to, cases[i].why);
    }
    begin();
    add(TREE_FILE, "f", "", 0644);
    bytes.data[0] = 'g';
    refused(&to, "damaged");
    place_remove(&to);
}

static void test_extended_headers_are_bounded(void **state)
{
    static struct tree_head_reader reader;
    static const char *const bad[] = {"9 path=a",
                                      "99 path=a\n",
                                      "9path=ab\n",
                                      "0 path=a\n",
                                      "10 path=a\n10 path=b\n",
                                      " path=a\n",
                                      "18446744073709551625 path=a\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        reader = (struct tree_head_reader){.why = ""};
        memcpy(reader.pax, bad[i], strlen(bad[i]));
        assert_false(tree_pax_read(&reader, strlen(bad[i])));
    }
    reader = (struct tree_head_reader){.why = ""};
    memcpy(reader.pax, "10 path=a\n", 10);
    assert_true(tree_pax_read(&reader, 10));
    assert_string_equal(reader.path, "a");
}

static void test_a_stream_that_ends_early_is_told(void **state)
{
    struct place to;

    place_make(&to);
    begin();
    add(TREE_FILE, "f", "content", 0644);
    assert_int_equal(tree_receive(&receiver, to.fd, &bytes.source, 0), -1);
    assert_non_null(strstr(receiver.fault.why, "end marker"));
    bytes.at = 0;
    bytes.n = TAR_BLOCK + 3;
    assert_int_equal(tree_receive(&receiver, to.fd, &bytes.source, 0), -1);
    assert_non_null(strstr(receiver.fault.why, "is cut"));
    place_remove(&to);
}

static void test_depth_is_bounded(void **state)
{
    struct place to;
    char path[2 * TREE_DEPTH_MAX + 2] = "";

    place_make(&to);
    begin();
    for (size_t i = 0; i < TREE_DEPTH_MAX; i++) {
        (void)strcat(path, i ? "/d" : "d");
        add(TREE_DIRECTORY, path, NULL, 0755);
    }
    refused(&to, "deeper");
    place_remove(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_arrives_as_it_was),
        cmocka_unit_test(test_file_that_is_there_keeps_its_mode),
        cmocka_unit_test(test_planted_links_are_not_followed),
        cmocka_unit_test(test_paths_that_lead_out_are_refused),
        cmocka_unit_test(test_links_that_lead_out_are_refused),
        cmocka_unit_test(test_kinds_that_are_not_taken_are_refused),
        cmocka_unit_test(test_extended_headers_are_bounded),
        cmocka_unit_test(test_a_stream_that_ends_early_is_told),
        cmocka_unit_test(test_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
