/* Layers of the store that sandboxes stand on: one shared flock for each, which keeps them from being removed
 * (docs/images.md, "The store"). Of several sandboxes on one layer all have the same. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "launch/cell.h"

/* With its lock, and with its name still: who removes one takes the lock, and then the name. */
static int open_locked(const char *name)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    char path[sizeof("layers/") + LAUNCH_LAYER_DIGITS];
    struct stat own, named;
    CLEANUP_FD int images = open(LEAN_IMAGES, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_FD int fd = -1;

    if (images < 0)
        return -errno;
    (void)snprintf(path, sizeof(path), "layers/%s", name);
    fd = (int)syscall(SYS_openat2, images, path, &how, sizeof(how));
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_SH | LOCK_NB) < 0) /* it is being removed */
        return errno == EWOULDBLOCK ? -ENOENT : -errno;
    if (fstat(fd, &own) < 0 || fstatat(images, path, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (own.st_dev != named.st_dev || own.st_ino != named.st_ino)
        return -ENOENT;
    return cell_park(fd);
}

static int layer_hold(struct engine *e, const char *name, struct layer **ret)
{
    struct layer *layer = strmap_get(&e->layers, name);
    int r;

    if (layer) {
        layer->n_cells++;
        *ret = layer;
        return 0;
    }
    layer = calloc(1, sizeof(*layer));
    if (!layer)
        return -ENOMEM;
    (void)snprintf(layer->name, sizeof(layer->name), "%s", name);
    layer->n_cells = 1;
    r = layer->fd = open_locked(name);
    if (r >= 0)
        r = strmap_put(&e->layers, layer->name, layer);
    if (r < 0) {
        cleanup_fd(&layer->fd);
        free(layer);
        return r;
    }
    *ret = layer;
    return 0;
}

int layers_hold(struct engine *e, struct cell *cell, const struct rootfs *root)
{
    if (root->n_layers == 0)
        return 0;
    if (!e->lean.images_owned) /* lowers.c */
        return -EOPNOTSUPP;
    cell->layers = calloc(root->n_layers, sizeof(struct layer *));
    if (!cell->layers)
        return -ENOMEM;
    for (; cell->n_layers < root->n_layers; cell->n_layers++) {
        int r = layer_hold(e, root->layers[cell->n_layers], &cell->layers[cell->n_layers]);

        if (r < 0)
            return r;
    }
    return 0;
}

int layers_take_again(struct engine *e, struct cell *cell, const struct layer *layer)
{
    struct layer *held = strmap_get(&e->layers, layer->name);
    struct layer **all = realloc(cell->layers, (cell->n_layers + 1) * sizeof(struct layer *));
    int r = 0;

    if (!all)
        return -ENOMEM;
    cell->layers = all;
    if (!held) {
        held = malloc(sizeof(*held));
        if (!held)
            return -ENOMEM;
        *held = *layer;
        held->n_cells = 0;
        r = strmap_put(&e->layers, held->name, held);
        if (r < 0) {
            free(held);
            return r;
        }
    }
    held->n_cells++;
    all[cell->n_layers++] = held;
    return 0;
}

void layers_release(struct engine *e, struct cell *cell)
{
    while (cell->n_layers > 0) {
        struct layer *layer = cell->layers[--cell->n_layers];

        if (--layer->n_cells > 0)
            continue;
        (void)strmap_remove(&e->layers, layer->name);
        cleanup_fd(&layer->fd);
        free(layer);
    }
    free(cell->layers);
    cell->layers = NULL;
}
