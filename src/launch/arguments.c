#include "launch/arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "privproto/handover.h"

int arguments_write(int n, char *const *items)
{
    CLEANUP_FD int fd = memfd_create("argv", MFD_CLOEXEC);

    for (int i = 0; i < n && fd >= 0; i++) {
        if (fd_write_all(fd, items[i], strlen(items[i]) + 1) < 0)
            return -EIO;
    }
    return fd < 0 ? -errno : TAKE_FD(fd);
}

int arguments_read(struct arguments *ret, int take_fd)
{
    CLEANUP_FD int fd = take_fd;

    *ret = (struct arguments){.text = malloc(HANDOVER_MAX_ARGV_BYTES)};
    if (!ret->text)
        return -ENOMEM;
    ssize_t n =
        lseek(fd, 0, SEEK_SET) < 0 ? -1 : fd_read_all(fd, ret->text, HANDOVER_MAX_ARGV_BYTES);
    if (n <= 0 || ret->text[n - 1] != 0)
        return -EBADMSG;
    for (ssize_t i = 0; i < n; i++)
        ret->n += ret->text[i] == 0;
    ret->items = calloc((size_t)ret->n + 1, sizeof(*ret->items));
    if (!ret->items)
        return -ENOMEM;
    char *at = ret->text;
    for (int i = 0; i < ret->n; i++) {
        ret->items[i] = at;
        at += strlen(at) + 1;
    }
    return 0;
}

int arguments_execute(const struct arguments *a, const char *path, int program,
                      const char *option, int fd)
{
    CLEANUP_FREE const char **argv = calloc((size_t)a->n + 3, sizeof(*argv));
    char number[16];

    if (!argv || a->n == 0)
        return -ENOMEM;
    (void)snprintf(number, sizeof(number), "%d", fd);
    argv[0] = a->items[0];
    argv[1] = option;
    argv[2] = number;
    for (int i = 1; i < a->n; i++)
        argv[2 + i] = a->items[i];
    if (path)
        (void)execv(path, (char *const *)argv);
    else
        (void)syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
    return -errno;
}

void arguments_done(struct arguments *a)
{
    free(a->items);
    free(a->text);
    *a = (struct arguments){0};
}
