/* See disk.h. */
#include "launch/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "launch/mounttree.h"

#define BLOCK 4096
#define CONFIGURE_TRIES 64     /* chosen: others take loop devices, too */
#define FASTEST_MB_PER_S 4096u /* chosen: no machine of ours writes faster */
#define WAIT_MIN_MS 50
#define WAIT_MAX_MS 60000
#define MKFS "/sbin/mkfs.ext4"

/* A file without a name: it goes with its last user. */
static int make_file(int dir, uint64_t size_bytes)
{
    CLEANUP_FD int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* mkfs.ext4 of e2fsprogs, once a start: 40 ms. No journal: a disk does not outlive the machine's run, let alone a crash. */
static int run_mkfs(int file, uid_t owner)
{
    char path[32], extended[128];
    int status;
    pid_t pid;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    (void)snprintf(extended, sizeof(extended),
                   "lazy_itable_init=1,nodiscard,packed_meta_blocks=1,root_owner=%u:%u", owner,
                   owner);
    pid = fork();
    if (pid == 0) {
        char *const env[] = {NULL};
        int null = open("/dev/null", O_RDWR);

        for (int i = 0; i < 3; i++)
            (void)dup2(null, i);
        (void)fcntl(file, F_SETFD, 0);
        (void)execle(MKFS, "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-O",
                     "^has_journal,^resize_inode,^metadata_csum,sparse_super2", "-E", extended,
                     path, NULL, env);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -errno;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
    return 0;
}

static int add_block(struct disks *disks, off_t at, const uint8_t *block)
{
    struct disk_part *last = disks->n_parts ? &disks->parts[disks->n_parts - 1] : NULL;

    if (!last || last->at + (off_t)last->size != at) {
        struct disk_part *parts =
            realloc(disks->parts, (disks->n_parts + 1) * sizeof(*disks->parts));

        if (!parts)
            return -ENOMEM;
        disks->parts = parts;
        last = &parts[disks->n_parts++];
        *last = (struct disk_part){.at = at};
    }
    uint8_t *bytes = realloc(last->bytes, last->size + BLOCK);

    if (!bytes)
        return -ENOMEM;
    last->bytes = bytes;
    memcpy(bytes + last->size, block, BLOCK);
    last->size += BLOCK;
    return 0;
}

/* What mkfs wrote, 0.4 MB of 10 GiB: a disk is made by writing that. */
static int read_template(struct disks *disks, int file)
{
    static const uint8_t zeros[BLOCK];
    uint8_t block[BLOCK];
    off_t at = 0;

    while ((at = lseek(file, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(file, at, SEEK_HOLE);

        for (; at < end; at += BLOCK) {
            int r = pread(file, block, BLOCK, at) == BLOCK ? 0 : -EIO;

            if (r == 0 && memcmp(block, zeros, BLOCK) != 0)
                r = add_block(disks, at, block);
            if (r < 0)
                return r;
        }
    }
    return errno == ENXIO ? 0 : -errno;
}

static int write_template(const struct disks *disks, int file)
{
    for (uint32_t i = 0; i < disks->n_parts; i++) {
        const struct disk_part *part = &disks->parts[i];

        if (pwrite(file, part->bytes, part->size, part->at) != (ssize_t)part->size)
            return errno ? -errno : -EIO;
    }
    return 0;
}

/* A loop device over @file; its descriptor. It goes when nobody has it open or mounted any more. */
static int make_loop(const struct disks *disks, int file, int32_t *ret_number)
{
    struct loop_config config = {.fd = (uint32_t)file,
                                 .block_size = BLOCK,
                                 /* Not twice in memory. */
                                 .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO};

    (void)snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "cwsandbox");
    for (int i = 0; i < CONFIGURE_TRIES; i++) {
        CLEANUP_FD int loop = -1;
        char name[24];
        int number = ioctl(disks->control, LOOP_CTL_GET_FREE);

        if (number < 0)
            return -errno;
        (void)snprintf(name, sizeof(name), "loop%d", number);
        loop = openat(disks->dev, name, O_RDWR | O_CLOEXEC);
        if (loop < 0)
            return -errno;
        if (ioctl(loop, LOOP_CONFIGURE, &config) == 0) {
            *ret_number = number;
            return TAKE_FD(loop);
        }
        if (errno != EBUSY) /* somebody else was quicker */
            return -errno;
    }
    return -EBUSY;
}

static int mount_loop(int loop)
{
    CLEANUP_FD int fs = fs_open("ext4");
    char path[32];
    int r;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", loop);
    r = fs < 0 ? fs : fs_set(fs, "source", path);
    if (r == 0)
        r = fs_set(fs, "noinit_itable", NULL); /* the file is zeros where nothing is */
    if (r == 0)
        r = fs_set(fs, "nobarrier", NULL); /* as with the journal */
    return r < 0 ? r : fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

/* What programs have written and no disk has yet: it will have it, whoever is told to stop now. */
static uint64_t unwritten_bytes(void)
{
    CLEANUP_FD int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    char text[4096];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    const char *dirty;

    if (n < 0)
        return 0;
    text[n] = 0;
    dirty = strstr(text, "\nDirty:");
    return dirty ? strtoull(dirty + strlen("\nDirty:"), NULL, 10) * 1024 : 0;
}

/* Free on the machine's file system, but for the reserve; < 0: not even that is left. */
static int64_t room(const struct disks *disks)
{
    struct statfs st;

    if (fstatfs(disks->dir, &st) < 0)
        return 0;
    return (int64_t)((uint64_t)st.f_bavail * (uint64_t)st.f_bsize) -
           (int64_t)(disks->reserve_bytes + unwritten_bytes());
}

bool disks_full(const struct disks *disks)
{
    return room(disks) < 0;
}

int disk_make(const struct disks *disks, struct disk *ret)
{
    CLEANUP_FD int file = -1;
    CLEANUP_FD int loop = -1;
    int32_t number = -1;
    int r;

    if (disks->size_bytes == 0)
        return -EOPNOTSUPP;
    if (disks_full(disks))
        return -ENOSPC;
    file = make_file(disks->dir, disks->size_bytes);
    if (file < 0)
        return file;
    r = write_template(disks, file);
    if (r < 0)
        return r;
    loop = make_loop(disks, file, &number);
    if (loop < 0)
        return loop;
    r = mount_loop(loop);
    if (r < 0)
        return r;
    *ret = (struct disk){.mount = r, .loop = number};
    return 0;
}

int disks_wait_ms(const struct disks *disks)
{
    int64_t ms = (room(disks) >> 20) * 1000 / FASTEST_MB_PER_S;

    return (int)MIN(MAX(ms, WAIT_MIN_MS), WAIT_MAX_MS);
}

void disk_hold(const struct disks *disks, int32_t loop, bool hold)
{
    CLEANUP_FD int fd = -1;
    char path[64], text[24];

    (void)snprintf(path, sizeof(path), "loop%d/reserved_clusters", loop);
    fd = openat(disks->sys, path, O_WRONLY | O_CLOEXEC);
    (void)snprintf(text, sizeof(text), "%llu",
                   hold ? (unsigned long long)(disks->size_bytes / BLOCK - 1) : 0);
    if (fd >= 0) /* else it is gone, or about to be */
        (void)write(fd, text, strlen(text));
}

static int open_all(struct disks *disks, const char *dir, uint64_t size_bytes, uid_t owner,
                    const char **ret_why)
{
    CLEANUP_FD int file = -1;
    struct disk first;
    int r;

    *ret_why = "the data directory's file system has no files without a name (O_TMPFILE)";
    disks->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    file = disks->dir < 0 ? -1 : make_file(disks->dir, size_bytes);
    if (file < 0)
        return -EOPNOTSUPP;
    *ret_why = "no " MKFS ": install e2fsprogs";
    r = run_mkfs(file, owner);
    if (r == 0)
        r = read_template(disks, file);
    if (r < 0)
        return r;
    *ret_why =
        "no loop devices: load the kernel's module loop, give a container /dev/loop-control";
    disks->control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    disks->dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
    disks->sys = open("/sys/fs/ext4", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (disks->control < 0 || disks->dev < 0 || disks->sys < 0)
        return -errno;
    *ret_why = "mounting one failed (a container needs the loop devices, and to be allowed to "
               "mount them); or the disk has no more than its reserve";
    disks->size_bytes = size_bytes;
    r = disk_make(disks, &first);
    if (r == 0)
        (void)close(first.mount);
    return r;
}

int disks_open(struct disks *disks, const char *dir, uint64_t size_bytes, uid_t owner,
               const char **ret_why)
{
    int r = 0;

    if (size_bytes > 0)
        r = open_all(disks, dir, size_bytes, owner, ret_why);
    disks->size_bytes = r < 0 ? 0 : size_bytes;
    return r;
}

void disks_done(struct disks *disks)
{
    for (uint32_t i = 0; i < disks->n_parts; i++)
        free(disks->parts[i].bytes);
    free(disks->parts);
    disks->parts = NULL;
    disks->n_parts = 0;
    cleanup_fd(&disks->dir);
    cleanup_fd(&disks->control);
    cleanup_fd(&disks->dev);
    cleanup_fd(&disks->sys);
}
