/* See mounts.h. */
#include "runtime/mounts.h"

#include <string.h>

/* Every root has these. */
static const struct mount_op always[] = {
    {MOUNT_DEV, "", "/dev"},   {MOUNT_SPACE, "shm", "/dev/shm"}, {MOUNT_SPACE, "tmp", "/tmp"},
    {MOUNT_PROC, "", "/proc"}, {MOUNT_SYS, "", "/sys"},
};

/* An image has none of these, or those of where it was made. */
static const struct mount_op of_images[] = {
    {MOUNT_FILE, "hostname", "/etc/hostname"},
    {MOUNT_FILE, "hosts", "/etc/hosts"},
    {MOUNT_FILE, "resolv.conf", "/etc/resolv.conf"},
};

static void add(struct launch_create *create, struct mount_op op)
{
    create->mounts[create->n_mounts++] = op;
}

void mounts_plan(struct launch_create *ret, const char *const *points, size_t n_points,
                 const struct mount_list *own)
{
    bool images =
        !ret->root.host || ret->root.n_layers > 0; /* or one that stands on the host */

    ret->n_mounts = 0;
    if (ret->root.host)
        add(ret, (struct mount_op){MOUNT_HOST, "", ""});
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        add(ret, always[i]);
    for (size_t i = 0; i < ARRAY_SIZE(of_images) && images; i++)
        add(ret, of_images[i]);
    /* As builders of images expect: a directory that only the config names is there. One with a longer name is not. */
    for (size_t i = 0; i < n_points; i++) {
        const struct mount_op made = {MOUNT_POINT, "", points[i]};
        if (mount_op_valid(&made))
            add(ret, made);
    }
    for (uint32_t i = 0; own && i < own->n; i++) /* last: they lie on what the others made */
        add(ret, own->ops[i]);
}

struct mount_op *mounts_copy(const struct mount_list *list)
{
    const struct mount_op *ops = list->ops;
    size_t bytes = list->n * sizeof(*ops);

    for (uint32_t i = 0; i < list->n; i++)
        bytes += strlen(ops[i].source) + strlen(ops[i].target) + 2;
    struct mount_op *copy = malloc(bytes);
    char *at = (char *)(copy + list->n);

    for (uint32_t i = 0; copy && i < list->n; i++) {
        copy[i] = ops[i];
        copy[i].source = at;
        at = stpcpy(at, ops[i].source) + 1;
        copy[i].target = at;
        at = stpcpy(at, ops[i].target) + 1;
    }
    return copy;
}
