/* Volumes: scratch ones, which may be snapshotted, and existing ones. */
#include "client/options-internal.h"

#include <errno.h>
#include <string.h>

void option_volume_done(struct option_volume *v)
{
    free(v->name);
    free(v->mount_path);
    free(v->size);
    free(v->restore_from);
    free(v->volume_id);
}

static int check_mount_path(const char *path, cws_error **error)
{
    if (option_check_given("volume mount_path", path, error) < 0)
        return -1;
    if (path[0] != '/' || path[1] == '\0')
        return error_set(error, CWS_E_INVALID,
                         "volume mount_path `%s` is not an absolute path below /", path);
    return 0;
}

static int add_volume(cws_options *o, struct option_volume *take, cws_error **error)
{
    struct option_volume *item = array_add(&o->volumes, sizeof(*item));
    if (!item)
        return error_give(error, &error_nomem);
    *item = *take;
    *take = (struct option_volume){0};
    o->volumes.n++;
    return 0;
}

int cws_options_add_scratch_volume(cws_options *o, const char *name, const char *mount_path,
                                   const char *size, const char *restore_from_snapshot_id,
                                   cws_error **error)
{
    CLEANUP(option_volume_done) struct option_volume v = {0};
    if (option_check_given("volume name", name, error) < 0 ||
        check_mount_path(mount_path, error) < 0 ||
        option_set_text(&v.name, "volume name", name, error) < 0 ||
        option_set_text(&v.mount_path, "volume mount_path", mount_path, error) < 0 ||
        option_set_text(&v.size, "volume size", size, error) < 0 ||
        option_set_text(&v.restore_from, "restore_from_snapshot_id", restore_from_snapshot_id,
                        error) < 0)
        return -1;
    return add_volume(o, &v, error);
}

int cws_options_add_volume(cws_options *o, const char *name, const char *volume_id,
                           const char *mount_path, cws_error **error)
{
    CLEANUP(option_volume_done) struct option_volume v = {0};
    if (option_check_given("volume name", name, error) < 0 ||
        option_check_given("volume_id", volume_id, error) < 0 ||
        (mount_path && check_mount_path(mount_path, error) < 0) ||
        option_set_text(&v.name, "volume name", name, error) < 0 ||
        option_set_text(&v.volume_id, "volume_id", volume_id, error) < 0 ||
        option_set_text(&v.mount_path, "volume mount_path", mount_path, error) < 0)
        return -1;
    return add_volume(o, &v, error);
}

int options_scratch_names(const cws_options *o, char ***ret_names, size_t *ret_n)
{
    const struct option_volume *volumes = o ? o->volumes.items : NULL;
    *ret_n = 0;
    *ret_names = o && o->volumes.n ? calloc(o->volumes.n, sizeof(char *)) : NULL;
    if (o && o->volumes.n && !*ret_names)
        return -ENOMEM;
    for (size_t i = 0; o && i < o->volumes.n; i++) {
        if (volumes[i].volume_id)
            continue;
        char *copy = strdup(volumes[i].name);
        if (!copy)
            return -ENOMEM; /* the caller frees what is there */
        (*ret_names)[(*ret_n)++] = copy;
    }
    return 0;
}
