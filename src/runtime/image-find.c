/* See image-find.h. */
#include "runtime/image-find.h"

#include <string.h>

#include "runtime/room.h"

/* Chosen: what the service takes of a specification, for the same reason: every sandbox keeps it as long as it is readable. */
#define IMAGE_MAX_WORDS_BYTES (1u << 20)

/* overlayfs takes no directory twice, and builders repeat layers that are empty. What the upper one has covers all that the
 * lower one could show. */
static void drop_repeated(char **layers)
{
    size_t n = strings_count(layers), kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool again = false;
        for (size_t above = i + 1; above < n && !again; above++)
            again = strcmp(layers[i], layers[above]) == 0;
        if (again)
            free(layers[i]);
        else
            layers[kept++] = layers[i];
    }
    layers[kept] = NULL;
}

static int check(const char *name, const struct runtime_image *image, struct err *err)
{
    size_t n = strings_count(image->layers);
    if (n == 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "image `%s` has no layers", name);
    size_t max = LAUNCH_MAX_LAYERS - (image->host ? LAUNCH_HOST_LOWERS : 0);
    if (n > max)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "image `%s` has %zu layers, and a sandbox can have %zu", name, n, max);
    if (runtime_image_bytes(image) > IMAGE_MAX_WORDS_BYTES)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "image `%s` has more than %u bytes of environment, entry point and "
                       "arguments",
                       name, IMAGE_MAX_WORDS_BYTES);
    if (strings_count(image->volumes) >= CELL_MAX_POINTS)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "image `%s` has %zu volumes, and a sandbox can have %d", name,
                       strings_count(image->volumes), CELL_MAX_POINTS - 1);
    for (size_t i = 0; i < n; i++)
        if (!launchproto_layer_valid(image->layers[i]))
            return err_set(err, ERR_FAILED_PRECONDITION, "image `%s`: `%s` is no layer", name,
                           image->layers[i]);
    return 0;
}

int image_find(const struct runtime *rt, const char *name, bool brought,
               struct runtime_image *ret, struct err *err)
{
    CLEANUP_IMAGE struct runtime_image image = {0};
    *ret = image;
    if (strcmp(name, DEFAULT_IMAGE) == 0)
        return 0;
    if (!rt->config.find_image)
        return err_set(err, ERR_NOT_FOUND,
                       "image `%s` is not available on this service: only `%s` and the names "
                       "mapped to it (--image-alias) are",
                       name, DEFAULT_IMAGE);
    int r = rt->config.find_image(rt->config.user, name, brought, &image, err);
    if (r != 0)
        return r;
    if (image.layers)
        drop_repeated(image.layers);
    if (check(name, &image, err) < 0)
        return -1;
    /* Where there is only one user every file is its, whatever the image says: docs/images.md, "Owners". */
    if (!rt->features.root)
        free(TAKE_PTR(image.user));
    *ret = image;
    image = (struct runtime_image){0};
    return 0;
}

/* With its copy behind the others. */
static void add_point(struct cell_kind *kind, const char *dir, char **at)
{
    kind->points[kind->n_points++] = strcpy(*at, dir);
    *at += strlen(dir) + 1;
}

struct cell_kind *image_kind(const struct runtime *rt, const struct runtime_image *image,
                             bool network)
{
    size_t n = strings_count(image->layers), size = LAUNCH_LAYER_DIGITS + 1;
    const char *dir = image->working_dir;
    struct cell_kind *kind = malloc(sizeof(*kind) + n * size + (dir ? strlen(dir) + 1 : 0) +
                                    strings_bytes(image->volumes));
    if (!kind)
        return NULL;
    *kind = *pool_kind(rt, network);
    kind->root.host = image->host;
    kind->root.n_layers = (uint32_t)n;
    char *names = (char *)(kind + 1);
    for (size_t i = 0; i < n; i++) {
        kind->root.layers[i] = memcpy(names, image->layers[i], size);
        names += size;
    }
    if (dir)
        add_point(kind, dir, &names);
    for (size_t i = 0; image->volumes && image->volumes[i]; i++)
        add_point(kind, image->volumes[i], &names);
    return kind;
}
