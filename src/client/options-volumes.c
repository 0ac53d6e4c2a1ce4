/* Volumes: scratch ones, which may be snapshotted, existing ones, and directories of the service's machine. */
#include "client/options-request.h"
#include "client/options.h"

#include <errno.h>
#include <string.h>

void option_volume_done(struct option_volume *v)
{
    free(v->name);
    free(v->mount_path);
    free(v->size);
    free(v->restore_from);
    free(v->volume_id);
    free(v->host_path);
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

/* "/data/" is what a shell completes. */
static void trim_slashes(char *path)
{
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
}

int cws_options_add_host_directory(cws_options *o, const char *path, const char *mount_path,
                                   cws_error **error)
{
    CLEANUP(option_volume_done) struct option_volume v = {0};
    char name[40];
    (void)snprintf(name, sizeof(name), "host-directory-%zu", o->volumes.n);
    if (option_check_given("host directory path", path, error) < 0)
        return -1;
    if (path[0] != '/')
        return error_set(error, CWS_E_INVALID,
                         "host directory path `%s` is not an absolute path", path);
    if (check_mount_path(mount_path, error) < 0 ||
        option_set_text(&v.name, "volume name", name, error) < 0 ||
        option_set_text(&v.host_path, "host directory path", path, error) < 0 ||
        option_set_text(&v.mount_path, "volume mount_path", mount_path, error) < 0)
        return -1;
    trim_slashes(v.host_path);
    trim_slashes(v.mount_path);
    return add_volume(o, &v, error);
}

static int add_name(char **names, size_t *n, const char *name)
{
    names[*n] = strdup(name);
    return names[*n] ? (int)(*n)++ : -ENOMEM;
}

int options_scratch_names(const cws_options *o, char ***ret_names, size_t *ret_n)
{
    const struct option_volume *volumes = o ? o->volumes.items : NULL;
    size_t n_plain = o ? o->volumes.n : 0;
    size_t n_given = o ? cws_record_count(o->spec, "volumes") : 0;
    *ret_n = 0;
    *ret_names = n_plain + n_given ? calloc(n_plain + n_given, sizeof(char *)) : NULL;
    if (n_plain + n_given && !*ret_names)
        return -ENOMEM; /* below: the caller frees what is there */
    for (size_t i = 0; i < n_plain; i++)
        if (!volumes[i].volume_id && !volumes[i].host_path &&
            add_name(*ret_names, ret_n, volumes[i].name) < 0)
            return -ENOMEM;
    for (size_t i = 0; i < n_given; i++) {
        const cws_record *v = cws_record_record(o->spec, "volumes", i);
        if (!cws_record_count(v, "volume_id") &&
            add_name(*ret_names, ret_n, cws_record_text(v, "name", 0)) < 0)
            return -ENOMEM;
    }
    return 0;
}
