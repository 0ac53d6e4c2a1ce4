/* [child] The directories that a root is made of. Layers of an image are absolute paths as the daemon knows them, accepted only
 * below <state dir>/images. What is opened here is what overlayfs takes: no name is walked a second time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "launch/launch.h"

/* The part of @path below the images directory, or NULL. */
static const char *below_images(const struct lean_root *lean, const char *path)
{
    size_t n = strlen(lean->images_prefix);

    if (!lean->images || strncmp(path, lean->images_prefix, n) != 0 || path[n] != '/')
        return NULL;
    while (path[n] == '/')
        n++;
    return path[n] ? path + n : NULL;
}

int lowers_add(struct lower_dirs *dirs, int from, const char *path, uint64_t resolve)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = resolve};
    int fd = (int)syscall(SYS_openat2, from, path, &how, sizeof(how));

    if (fd < 0)
        return -errno;
    dirs->fds[dirs->n++] = fd;
    return 0;
}

int lowers_open(const struct lean_root *lean, const struct rootfs *root, struct lower_dirs *ret)
{
    CLEANUP_FD int images = -1;

    ret->n = 0;
    if (root->host)
        return lowers_add(ret, AT_FDCWD, LEAN_SKEL, 0);
    /* Owned by nobody that exists inside, they could not even be entered. */
    if (!lean->images_owned)
        return -EOPNOTSUPP;
    images = open(LEAN_IMAGES, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (images < 0)
        return -errno;
    for (uint32_t i = 0; i < root->n_lowers; i++) {
        const char *below = below_images(lean, root->lowers[i]);
        int r = below
                    ? lowers_add(ret, images, below,
                                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
                    : -EPERM;

        if (r < 0)
            return r;
    }
    return 0;
}

void lowers_done(struct lower_dirs *dirs)
{
    while (dirs->n > 0)
        (void)close(dirs->fds[--dirs->n]);
}
