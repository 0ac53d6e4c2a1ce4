/* [child] The layers of an image: absolute paths as the daemon knows them, accepted only below
 * <state dir>/images. */
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

/* A real directory there, reached without links or "..": overlayfs will walk the same name. */
static int verify(const char *below)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    CLEANUP_FD int images = open(LEAN_IMAGES, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int fd = -1;

    if (images < 0)
        return -errno;
    if (strpbrk(below, ":,\\"))
        return -EINVAL; /* mean something in mount options */
    fd = (int)syscall(SYS_openat2, images, below, &how, sizeof(how));
    return fd < 0 ? -errno : 0;
}

int lowers_options(const struct lean_root *lean, const struct launch_create *create, char *out,
                   size_t size)
{
    size_t at = 0;

    if (create->root.host)
        return snprintf(out, size, "lowerdir=" LEAN_SKEL) < 0 ? -EINVAL : 0;
    /* Owned by nobody that exists inside, they could not even be entered. */
    if (!lean->images_owned)
        return -EOPNOTSUPP;
    for (uint32_t i = 0; i < create->root.n_lowers; i++) {
        const char *below = below_images(lean, create->root.lowers[i]);
        int n, r = below ? verify(below) : -EPERM;

        if (r < 0)
            return r;
        n = snprintf(out + at, size - at, "%s" LEAN_IMAGES "/%s", i ? ":" : "lowerdir=", below);
        if (n < 0 || (size_t)n >= size - at)
            return -E2BIG;
        at += (size_t)n;
    }
    return 0;
}
