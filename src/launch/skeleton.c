/*
 * The root of image `host` without /usr: empty system directories and a small /etc, synthesized
 * or copied from the machine. Copied is only what programs in /usr need to work and what every
 * user of the machine may read; never accounts, hosts, keys or configuration of services.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "launch/launch.h"

#define MAX_COPY_BYTES \
    (8u << 20) /* chosen: largest known file is ld.so.cache or ca-certificates.crt, under 1 \
                  MiB */
#define MAX_COPY_DEPTH 6

struct skel_dir {
    const char *path;
    mode_t mode_bits;
};

struct skel_file {
    const char *path, *text;
};

/* clang-format off */
static const struct skel_dir dirs[] = {
    {"dev", 0755}, {"etc", 0755}, {"etc/maven", 0755}, {"etc/ssl", 0755}, {"home", 0755}, {"mnt", 0755},
    {"opt", 0755}, {"proc", 0555}, {"root", 0700}, {"run", 0755}, {"run/lock", 01777}, {"srv", 0755}, {"sys", 0555},
    {"tmp", 01777}, {"var", 0755}, {"var/cache", 0755}, {"var/lib", 0755}, {"var/log", 0755},
    {"var/tmp", 01777},
};

static const struct skel_file files[] = {
    {"etc/group", "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\n"
                  "www-data:x:33:\nutmp:x:43:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n"},
    {"etc/hostname", HOSTNAME "\n"},
    {"etc/hosts", "127.0.0.1 localhost " HOSTNAME "\n::1 localhost ip6-localhost ip6-loopback\n"},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
                          "networks: files\nprotocols: files\nservices: files\n"},
    {"etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
                   "bin:x:2:2:bin:/bin:/usr/sbin/nologin\nsys:x:3:3:sys:/dev:/usr/sbin/nologin\n"
                   "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
                   "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"etc/profile", "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\numask 022\n"},
    /* Nobody has a password; su asks whether the account is still good (pam_unix). */
    {"etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nbin:*:19000:0:99999:7:::\n"
                   "sys:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n"},
    {"etc/shells", "/bin/sh\n/bin/bash\n"},
};

static const char *const links[][2] = {
    {"/proc/self/mounts", "etc/mtab"}, {"/run", "var/run"}, {"/run/lock", "var/lock"},
};

/* Names below /etc, sorted; patterns as fnmatch(3). Files, links and whole directories. Missing ones are skipped. */
static const char *const copies[] = {
    "alternatives",    /* half of Debian's /usr/bin are links into it */
    "bash.bashrc",
    "debian_version",
    "fonts",           /* fontconfig */
    "gai.conf",
    "java*",           /* /usr/lib/jvm points into it */
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "lsb-release",
    "login.defs",      /* su, useradd */
    "magic",
    "magic.mime",
    "manpath.config",  /* man */
    "matplotlibrc",    /* Debian's matplotlib starts with it or not at all */
    "mime.types",
    "os-release",
    "pam.conf",
    "pam.d",           /* su, runuser */
    "perl",
    "protocols",
    "python*",         /* sitecustomize of Debian's interpreters */
    "rpc",
    "security",        /* limits and environment for pam.d */
    "services",
    "terminfo",
    "timezone",
};
static const char *const ssl_copies[] = {"certs", "openssl.cnf"};
/* mvn starts with these or not at all. settings.xml stays out: people keep passwords of repositories there. */
static const char *const maven_copies[] = {"logging", "m2*.conf"};
/* clang-format on */

/* @from and @to are directory descriptors; a file that not everybody may read is left out. */
static int copy_file(int from, int to, const char *name, const struct stat *st)
{
    CLEANUP_FD int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_FD int out = -1;
    char block[16384];
    ssize_t n;

    if (in < 0 || !(st->st_mode & S_IROTH) || st->st_size > MAX_COPY_BYTES)
        return 0;
    out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 0755);
    if (out < 0)
        return -errno;
    while ((n = read(in, block, sizeof(block))) > 0) {
        int r = fd_write_all(out, block, (size_t)n);

        if (r < 0)
            return r;
    }
    return n < 0 ? -errno : 0;
}

static int copy_link(int from, int to, const char *name)
{
    char target[1024];
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

    if (n <= 0)
        return 0;
    target[n] = 0;
    return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_any(int from, int to, const char *name, int depth);

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

static int copy_dir(int from, int to, const char *name, int depth)
{
    CLEANUP_FD int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_FD int out = -1;
    CLEANUP(close_dir) DIR *dir = NULL;
    const struct dirent *entry;

    if (in < 0 || depth == 0)
        return 0;
    if (mkdirat(to, name, 0755) < 0)
        return -errno;
    out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = fdopendir(dup(in));
    if (out < 0 || !dir)
        return -errno;
    while ((entry = readdir(dir))) {
        int r = 0;

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = copy_any(in, out, entry->d_name, depth - 1);
        if (r < 0)
            return r;
    }
    return 0;
}

static int copy_any(int from, int to, const char *name, int depth)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    switch (st.st_mode & S_IFMT) {
    case S_IFDIR:
        return copy_dir(from, to, name, depth);
    case S_IFLNK:
        return copy_link(from, to, name);
    case S_IFREG:
        return copy_file(from, to, name, &st);
    default:
        return 0;
    }
}

/* Every name in @from_path that matches one of @patterns. */
static int copy_matching(const char *from_path, const char *to_path,
                         const char *const *patterns, size_t n_patterns)
{
    CLEANUP_FD int from = open(from_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int to = open(to_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_dir) DIR *dir = from < 0 ? NULL : fdopendir(dup(from));
    const struct dirent *entry;

    if (!dir)
        return 0;
    if (to < 0)
        return -errno;
    while ((entry = readdir(dir))) {
        for (size_t i = 0; i < n_patterns; i++) {
            int r;

            if (fnmatch(patterns[i], entry->d_name, FNM_PERIOD) != 0)
                continue;
            r = copy_any(from, to, entry->d_name, MAX_COPY_DEPTH);
            if (r < 0)
                return r;
            break;
        }
    }
    return 0;
}

static int write_file(int dir, const char *path, const char *text)
{
    CLEANUP_FD int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

static int write_own(int dir, const struct lean_root *lean)
{
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        if (mkdirat(dir, dirs[i].path, dirs[i].mode_bits) < 0)
            return -errno;
    }
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int r = write_file(dir, files[i].path, files[i].text);

        if (r < 0)
            return r;
    }
    int r = write_file(dir, "etc/resolv.conf", lean->names ? "nameserver 169.254.1.1\n" : "");

    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        if (symlinkat(links[i][0], dir, links[i][1]) < 0)
            return -errno;
    }
    for (uint32_t i = 0; i < lean->n_dirs; i++) {
        const struct host_dir *host = &lean->dirs[i];

        r = host->real ? mkdirat(dir, host->name, 0755)
                       : symlinkat(host->link, dir, host->name);
        if (r < 0)
            return -errno;
    }
    return 0;
}

int skeleton_write(const char *dir, const struct lean_root *lean)
{
    CLEANUP_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[64];
    int r;

    if (fd < 0)
        return -errno;
    r = write_own(fd, lean);
    if (r < 0)
        return r;
    (void)snprintf(path, sizeof(path), "%s/etc", dir);
    r = copy_matching("/etc", path, copies, ARRAY_SIZE(copies));
    if (r < 0)
        return r;
    (void)snprintf(path, sizeof(path), "%s/etc/maven", dir);
    r = copy_matching("/etc/maven", path, maven_copies, ARRAY_SIZE(maven_copies));
    if (r < 0)
        return r;
    (void)snprintf(path, sizeof(path), "%s/etc/ssl", dir);
    return copy_matching("/etc/ssl", path, ssl_copies, ARRAY_SIZE(ssl_copies));
}

int skeleton_write_usr(const char *dir, bool *ret_any)
{
    CLEANUP_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *ret_any = false;
    if (fd < 0)
        return -errno;
    /* `python` must work where the machine only has `python3`. */
    if (faccessat(AT_FDCWD, "/usr/bin/python", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
        access("/usr/bin/python3", X_OK) < 0)
        return 0;
    if (mkdirat(fd, "bin", 0755) < 0 || symlinkat("python3", fd, "bin/python") < 0)
        return -errno;
    *ret_any = true;
    return 0;
}
