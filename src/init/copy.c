/*
 * READ and WRITE: the bytes of a file of the sandbox, to or from a pipe of the daemon. A child of init does it, with the
 * sandbox's identity and under its limits: whatever holds it up (a lock on the inode, a file system that hangs, memory
 * that is not there) holds up nobody else, and what it writes is the sandbox's. It is an exec like others: it has a row
 * and a slot, is killed and reaped as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "init/init.h"

#define PIECE (1u << 20) /* as much as a pipe can hold */
#define COPIER_OOM_SCORE \
    "1000" /* when the sandbox has no memory for the file, it is the copy that fails */

void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0755);
        *slash = '/';
    }
}

static int open_file(struct packet *p, bool write, struct stat *ret)
{
    struct open_how how = {
        /* Neither a FIFO nor a lease may keep the open waiting. */
        .flags = (write ? O_WRONLY | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        .mode = write ? p->head.aux & 07777 : 0,
        /* Magic links of /proc would lead to descriptors of ours. */
        .resolve = RESOLVE_NO_MAGICLINKS,
    };
    int fd;

    if (strlen(p->body) + 1 < p->head.body_size || p->body[0] == 0)
        return -EINVAL; /* empty, or a NUL inside */
    (void)chdir("/");   /* cannot fail; relative paths start here */
    if (write)
        make_parents(p->body);
    fd = (int)syscall(SYS_openat2, AT_FDCWD, p->body, &how, sizeof(how));
    if (fd < 0)
        return -errno;
    return fstat(fd, ret) < 0 ? -errno : fd;
}

/* splice(2), or by hand where the file cannot: some files of procfs. */
static ssize_t move(struct init *in, int from, int to, size_t max)
{
    ssize_t n = splice(from, NULL, to, NULL, max, 0);

    if (n >= 0 || errno != EINVAL)
        return n < 0 ? -errno : n;
    n = read(from, in->stack, MIN(max, sizeof(in->stack)));
    if (n < 0)
        return -errno;
    for (ssize_t done = 0, r; done < n; done += r) {
        r = write(to, in->stack + done, (size_t)(n - done));
        if (r < 0)
            return -errno;
    }
    return n;
}

/* All of the file into the pipe. One byte more than allowed shows that it is too large; files of procfs say size 0. */
static int read_file(struct init *in, int fd, const struct stat *st, struct init_packet *answer)
{
    uint64_t max = in->packet.head.size_bytes, size = (uint64_t)st->st_size;
    ssize_t n;

    answer->size_bytes = size;
    if (size > max)
        return -EFBIG;
    for (size = 0; (n = move(in, fd, in->packet.fds[0], PIECE)) > 0;) {
        size += (uint64_t)n;
        answer->size_bytes = size;
        if (size > max)
            return -EFBIG;
    }
    return (int)n;
}

/*
 * All of the pipe into the file. Space for the new content before the first byte of the old one is touched; KEEP_SIZE: a
 * failure leaves the size, too.
 */
static int write_file(struct init *in, int fd, const struct stat *st)
{
    uint64_t size = in->packet.head.size_bytes;
    struct statfs fs;
    int r = 0;

    /* /proc/1 is init: its files are no place to put bytes into, whatever link led here. */
    if (fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC))
        return -EPERM;
    if (size > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0)
        r = -errno;
    if (r < 0 && r != -EOPNOTSUPP) {
        (void)ftruncate(fd, st->st_size); /* gives back what was reserved past the end */
        return r;
    }
    for (uint64_t left = size; left > 0;) {
        ssize_t n = move(in, in->packet.fds[0], fd, MIN(left, PIECE));

        if (n <= 0)
            return n < 0 ? (int)n : -EPIPE; /* the daemon is gone */
        left -= (uint64_t)n;
    }
    return (uint64_t)st->st_size > size && ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static void rank(void)
{
    CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) /* missing files of /proc cost the ranking only */
        (void)write(fd, COPIER_OOM_SCORE, sizeof(COPIER_OOM_SCORE) - 1);
}

void copy_main(struct init *in, const struct memory_slot *memory, struct init_packet *ret)
{
    struct packet *p = &in->packet;
    bool write = p->head.type == INIT_WRITE;
    struct stat st;
    int r;

    rank();
    r = limits_enter(&in->limits, memory);
    if (r < 0)
        (void)snprintf(ret->stage, sizeof(ret->stage), "limits");
    else
        r = p->n_fds == 1 ? open_file(p, write, &st) : -EPROTO;
    if (r >= 0 && !S_ISREG(st.st_mode)) {
        ret->aux = st.st_mode; /* the daemon has words for each kind */
        r = -EINVAL;
    } else if (r >= 0) {
        r = write ? write_file(in, r, &st) : read_file(in, r, &st, ret);
    }
    ret->value = r;
    ret->type = INIT_COPIED; /* init sends it when we are gone */
    _exit(0);
}
