/* [child] The directories that a root is made of. What is opened here is what overlayfs takes: no name is walked a second
 * time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "launch/launch.h"

int lowers_add(struct lower_dirs *dirs, int from, const char *path, uint64_t resolve)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = resolve};
    int fd = (int)syscall(SYS_openat2, from, path, &how, sizeof(how));

    if (fd < 0)
        return -errno;
    dirs->fds[dirs->n++] = fd;
    return 0;
}

int lowers_add_layers(struct lower_dirs *dirs, const struct lean_root *lean,
                      const struct rootfs *root, const char *below)
{
    CLEANUP_FD int images = -1;

    if (root->n_layers == 0)
        return 0;
    /* Owned by nobody that exists inside, they could not even be entered. */
    if (!lean->images_owned)
        return -EOPNOTSUPP;
    images = open(LEAN_IMAGES, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (images < 0)
        return -errno;
    for (uint32_t i = root->n_layers; i > 0; i--) {
        char path[sizeof("layers//") + LAUNCH_LAYER_DIGITS + 32];
        int r;

        (void)snprintf(path, sizeof(path), "layers/%s/%s", root->layers[i - 1], below);
        r = lowers_add(dirs, images, path,
                       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
        if (r < 0 && !(*below && r == -ENOENT))
            return r;
    }
    return 0;
}

int lowers_open(const struct lean_root *lean, const struct rootfs *root, struct lower_dirs *ret)
{
    int r;

    ret->n = 0;
    r = lowers_add_layers(ret, lean, root, "");
    return r == 0 && root->host ? lowers_add(ret, AT_FDCWD, LEAN_SKEL, 0) : r;
}

void lowers_done(struct lower_dirs *dirs)
{
    while (dirs->n > 0)
        (void)close(dirs->fds[--dirs->n]);
}
