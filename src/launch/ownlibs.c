/*
 * The loader and the C library of the sandboxes: copies, not the machine's own files.
 *
 * Each mapping of a file, each fork and each exit of who maps it takes one lock of that file. Everything maps the C library: a
 * crowd in a sandbox that passes this lock around would hold up every fork of the machine (docs/privileges.md, "Priorities").
 * So what launch itself runs on is laid over the machine's /usr, in the skeleton; sandboxes of this service share it with
 * each other, and with nobody else. When the machine's file has changed, the next create copies it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "launch/launch.h"
#include "launch/mounttree.h"

#define USR "/usr/"
#define NEW_NAME ".cwsandbox-new"
#define MAX_MAPS_BYTES (256u << 10)
#define MAX_LIB_BYTES \
    (8u << 20) /* chosen: libc has 2 MiB; a sanitizer's runtime may stay shared */

static bool is_known(const struct own_libs *libs, const char *path)
{
    for (uint32_t i = 0; i < libs->n; i++) {
        if (strcmp(libs->rows[i].path, path) == 0)
            return true;
    }
    return false;
}

/* The files below /usr that we have mapped as programs, from the text of /proc/self/maps. */
static void find_libs(struct own_libs *libs, char *text)
{
    char *rest = text, *line;

    while ((line = strsep(&rest, "\n")) && libs->n < ARRAY_SIZE(libs->rows)) {
        const char *path = strchr(line, '/');

        if (!path || !strstr(line, " r-xp ") || strncmp(path, USR, strlen(USR)) != 0)
            continue;
        path += strlen(USR);
        if (strchr(path, ' ') || strlen(path) >= sizeof(libs->rows[0].path) ||
            is_known(libs, path))
            continue;
        (void)snprintf(libs->rows[libs->n++].path, sizeof(libs->rows[0].path), "%s", path);
    }
}

static int make_parents(int dir, const char *path)
{
    char name[sizeof(((struct own_lib *)NULL)->path)];

    for (size_t i = 1; path[i]; i++) {
        if (path[i] != '/')
            continue;
        memcpy(name, path, i);
        name[i] = 0;
        if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int copy_bytes(int from, int to)
{
    char block[65536];
    ssize_t n;

    while ((n = read(from, block, sizeof(block))) > 0) {
        int r = fd_write_all(to, block, (size_t)n);

        if (r < 0)
            return r;
    }
    return n < 0 ? -errno : 0;
}

static bool is_same(const struct own_lib *lib, const struct stat *st)
{
    return lib->dev == st->st_dev && lib->ino == st->st_ino && lib->size == st->st_size &&
           lib->changed.tv_sec == st->st_ctim.tv_sec &&
           lib->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/* Into place by a rename: a sandbox sees the one or the other. What is gone or not for everybody is not copied. */
static int copy_lib(const struct own_libs *libs, struct own_lib *lib, int usr,
                    const struct id_map *map)
{
    CLEANUP_FD int from = openat(usr, lib->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_FD int to = -1;
    struct stat st;
    int r;

    if (from < 0 || fstat(from, &st) < 0)
        return 0;
    if (is_same(lib, &st) || !S_ISREG(st.st_mode) || !(st.st_mode & S_IROTH) ||
        st.st_size > MAX_LIB_BYTES)
        return 0;
    (void)unlinkat(libs->dir, NEW_NAME, 0);
    to = openat(libs->dir, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (to < 0)
        return -errno;
    r = copy_bytes(from, to);
    if (r == 0)
        r = make_parents(libs->dir, lib->path);
    if (r < 0)
        return r;
    if (map->root && fchown(to, map->base, map->base) < 0)
        return -errno;
    if (renameat(libs->dir, NEW_NAME, libs->dir, lib->path) < 0)
        return -errno;
    lib->dev = st.st_dev;
    lib->ino = st.st_ino;
    lib->size = st.st_size;
    lib->changed = st.st_ctim;
    return 1;
}

int own_libs_write(struct own_libs *libs, const char *dir, const struct id_map *map)
{
    CLEANUP_FD int usr = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FREE char *maps = NULL;
    size_t n;
    int r, n_copied = 0;

    *libs = (struct own_libs){.dir = -1};
    r = file_read("/proc/self/maps", MAX_MAPS_BYTES, &maps, &n);
    if (r < 0 || usr < 0)
        return r < 0 ? r : -errno;
    find_libs(libs, maps);
    /* A mount of its own: the one that launch sees becomes read-only. */
    libs->dir = r = mount_tree_clone(dir, NULL);
    for (uint32_t i = 0; r >= 0 && i < libs->n; i++) {
        r = copy_lib(libs, &libs->rows[i], usr, map);
        n_copied += r > 0;
    }
    return r < 0 ? r : n_copied;
}

int own_libs_refresh(struct own_libs *libs, const char *usr_path, const struct id_map *map)
{
    CLEANUP_FD int usr = open(usr_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = 0;

    if (usr < 0)
        return -errno;
    for (uint32_t i = 0; r >= 0 && i < libs->n; i++)
        r = copy_lib(libs, &libs->rows[i], usr, map);
    return r < 0 ? r : 0;
}
