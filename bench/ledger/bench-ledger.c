/*
 * What does keeping a record of a sandbox cost? Five ways to keep them, the same work for each:
 *
 *   sqlite   one SQLite file, WAL, synchronous=OFF (a checkpoint never waits for the disk)
 *   rename   one file a record, each change a new file renamed over the old one
 *   slot     one file a record, renamed into place once; a change rewrites its first KiB where it is
 *   journal  one file for all, changes appended
 *   pages    one file for all, a 4 KiB page a record, free pages used again; a change rewrites the page's first KiB
 *
 * usage: bench-ledger KIND DIR N_RECORDS N_ROUNDS [RECORD_BYTES]
 * With N_RECORDS in place: N_ROUNDS times put one, update it three times, remove it; then load all. Prints wall and CPU
 * (user + system) microseconds an operation. Build: cc -O2 bench-ledger.c -lsqlite3
 */
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 1024
#define N_UPDATES 3

static char g_record[1 << 20];
static size_t g_record_bytes = 1500;
static int g_dir_fd, g_journal_fd;
static sqlite3 *g_db;
static sqlite3_stmt *g_put, *g_update, *g_remove;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void sql(const char *text)
{
    char *message = NULL;
    if (sqlite3_exec(g_db, text, NULL, NULL, &message) != SQLITE_OK) {
        (void)fprintf(stderr, "%s: %s\n", text, message);
        exit(1);
    }
}

static void prepare(const char *text, sqlite3_stmt **ret)
{
    if (sqlite3_prepare_v2(g_db, text, -1, ret, NULL) != SQLITE_OK)
        fail(text);
}

static void step(sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE) {
        (void)fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(g_db));
        exit(1);
    }
    (void)sqlite3_reset(s);
}

/* ---- one record as a file ---- */

static void write_at(int fd, const void *data, size_t n)
{
    if (pwrite(fd, data, n, 0) != (ssize_t)n)
        fail("pwrite");
}

static void file_put(const char *id)
{
    int fd = openat(g_dir_fd, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("open");
    write_at(fd, g_record, g_record_bytes);
    (void)close(fd);
    if (renameat(g_dir_fd, "new", g_dir_fd, id) < 0)
        fail("rename");
}

static void slot_update(const char *id)
{
    int fd = openat(g_dir_fd, id, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        fail("open");
    write_at(fd, g_record, HEAD_BYTES);
    (void)close(fd);
}

static void file_remove(const char *id)
{
    if (unlinkat(g_dir_fd, id, 0) < 0)
        fail("unlink");
}

static size_t file_load(void)
{
    size_t n = 0;
    DIR *d = fdopendir(dup(g_dir_fd));
    for (struct dirent *e; (e = readdir(d));) {
        static char data[1 << 20];
        int fd = e->d_name[0] == '.' ? -1 : openat(g_dir_fd, e->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        n += read(fd, data, sizeof(data)) > 0;
        (void)close(fd);
    }
    (void)closedir(d);
    return n;
}

/* ---- SQLite ---- */

static void sqlite_open(const char *dir)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/ledger.db", dir);
    if (sqlite3_open(path, &g_db) != SQLITE_OK)
        fail("sqlite3_open");
    sql("PRAGMA journal_mode=WAL");
    sql("PRAGMA synchronous=OFF");
    sql("CREATE TABLE r (id TEXT PRIMARY KEY, state BLOB, spec BLOB) WITHOUT ROWID");
    prepare("INSERT INTO r VALUES (?, ?, ?)", &g_put);
    prepare("UPDATE r SET state = ? WHERE id = ?", &g_update);
    prepare("DELETE FROM r WHERE id = ?", &g_remove);
}

static void sqlite_put(const char *id)
{
    (void)sqlite3_bind_text(g_put, 1, id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_blob(g_put, 2, g_record, 200, SQLITE_STATIC);
    (void)sqlite3_bind_blob(g_put, 3, g_record, (int)g_record_bytes - 200, SQLITE_STATIC);
    step(g_put);
}

static void sqlite_update(const char *id)
{
    (void)sqlite3_bind_blob(g_update, 1, g_record, 200, SQLITE_STATIC);
    (void)sqlite3_bind_text(g_update, 2, id, -1, SQLITE_STATIC);
    step(g_update);
}

static void sqlite_remove(const char *id)
{
    (void)sqlite3_bind_text(g_remove, 1, id, -1, SQLITE_STATIC);
    step(g_remove);
}

static size_t sqlite_load(void)
{
    sqlite3_stmt *s;
    size_t n = 0;
    prepare("SELECT id, state, spec FROM r", &s);
    while (sqlite3_step(s) == SQLITE_ROW)
        n += sqlite3_column_bytes(s, 2) > 0;
    (void)sqlite3_finalize(s);
    return n;
}

/* ---- journal ---- */

static void journal_append(size_t n)
{
    if (write(g_journal_fd, g_record, n) != (ssize_t)n)
        fail("write");
}

static void journal_put(const char *id)
{
    (void)id;
    journal_append(g_record_bytes);
}

static void journal_update(const char *id)
{
    (void)id;
    journal_append(200);
}

static void journal_remove(const char *id)
{
    (void)id;
    journal_append(64);
}

static size_t journal_load(void)
{
    static char data[1 << 20];
    size_t n = 0;
    (void)lseek(g_journal_fd, 0, SEEK_SET);
    for (ssize_t r; (r = read(g_journal_fd, data, sizeof(data))) > 0;)
        n += (size_t)r;
    return n / g_record_bytes;
}

/* ---- pages ---- */

#define PAGE_BYTES 4096
static size_t g_n_pages, g_page;

static void page_write(size_t n)
{
    if (pwrite(g_journal_fd, g_record, n, (off_t)(g_page * PAGE_BYTES)) != (ssize_t)n)
        fail("pwrite");
}

static void page_put(const char *id)
{
    g_page = id[3] == 'x' ? g_n_pages : g_n_pages++; /* the rounds use one free page */
    page_write(PAGE_BYTES);
}

static void page_update(const char *id)
{
    (void)id;
    page_write(HEAD_BYTES);
}

static size_t page_load(void)
{
    static char data[1 << 20];
    size_t n = 0;
    for (ssize_t r; (r = pread(g_journal_fd, data, sizeof(data), (off_t)n)) > 0;)
        n += (size_t)r;
    return n / PAGE_BYTES;
}

/* ---- the work ---- */

static const struct kind {
    const char *name;
    void (*put)(const char *id), (*update)(const char *id), (*remove)(const char *id);
    size_t (*load)(void);
} g_kinds[] = {
    {"sqlite", sqlite_put, sqlite_update, sqlite_remove, sqlite_load},
    {"rename", file_put, file_put, file_remove, file_load},
    {"slot", file_put, slot_update, file_remove, file_load},
    {"journal", journal_put, journal_update, journal_remove, journal_load},
    {"pages", page_put, page_update, page_update, page_load},
};

struct times {
    double wall, cpu;
};

static struct times now(void)
{
    struct timespec t;
    struct rusage u;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    (void)getrusage(RUSAGE_SELF, &u);
    return (struct times){(double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3,
                          (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
                              (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec)};
}

static void add(struct times *sum, struct times from, double *worst)
{
    struct times t = now();
    double wall = t.wall - from.wall;
    sum->wall += wall;
    sum->cpu += t.cpu - from.cpu;
    if (wall > *worst)
        *worst = wall;
}

static void report(const char *kind, size_t n, const char *what, struct times sum, double n_ops,
                   double worst)
{
    (void)printf("%-8s %6zu %-7s wall %8.1f us  cpu %8.1f us  worst %9.1f us\n", kind, n, what,
                 sum.wall / n_ops, sum.cpu / n_ops, worst);
}

static void run(const struct kind *k, size_t n_records, size_t n_rounds)
{
    struct times put = {0}, update = {0}, removed = {0}, load = {0};
    double worst[4] = {0};
    char id[32];
    for (size_t i = 0; i < n_records; i++) {
        (void)snprintf(id, sizeof(id), "sb-%016zx", i * 2654435761u);
        k->put(id);
    }
    for (size_t i = 0; i < n_rounds; i++) {
        (void)snprintf(id, sizeof(id), "sb-x%015zx", i * 2654435761u);
        struct times from = now();
        k->put(id);
        add(&put, from, &worst[0]);
        for (int u = 0; u < N_UPDATES; u++) {
            from = now();
            k->update(id);
            add(&update, from, &worst[1]);
        }
        from = now();
        k->remove(id);
        add(&removed, from, &worst[2]);
    }
    struct times from = now();
    (void)k->load();
    add(&load, from, &worst[3]);
    report(k->name, n_records, "put", put, (double)n_rounds, worst[0]);
    report(k->name, n_records, "update", update, (double)n_rounds * N_UPDATES, worst[1]);
    report(k->name, n_records, "remove", removed, (double)n_rounds, worst[2]);
    report(k->name, n_records, "load", load, 1, worst[3]);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    if (argc > 5)
        g_record_bytes = (size_t)atol(argv[5]);
    memset(g_record, 'x', sizeof(g_record));
    (void)mkdir(argv[2], 0700);
    g_dir_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (g_dir_fd < 0)
        fail(argv[2]);
    if (strcmp(argv[1], "sqlite") == 0)
        sqlite_open(argv[2]);
    if (strcmp(argv[1], "journal") == 0 || strcmp(argv[1], "pages") == 0)
        g_journal_fd = openat(g_dir_fd, "all", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (size_t i = 0; i < sizeof(g_kinds) / sizeof(g_kinds[0]); i++)
        if (strcmp(g_kinds[i].name, argv[1]) == 0)
            run(&g_kinds[i], (size_t)atol(argv[3]), (size_t)atol(argv[4]));
    return 0;
}
