/*
 * Volumes of a SandboxSpec: scratch ones, which are empty at the start and go with the sandbox. On disk, or where nobody says, they are
 * directories of the sandbox's writable space and share its room, so their sizes together may not be more than it. What asks for
 * memory is a file system of its own of that size; so is, where sandboxes write to memory, what asks for more than all have.
 * And directories of this machine, read-only, below those that the operator lists.
 */
#include <stdlib.h>
#include <string.h>

#include "privproto/machine-path.h"
#include "server/quantity.h"
#include "server/spec.h"
#include "wire/host-directory.h"

#define VOLUMES "sandbox.spec.volumes."
#define MOUNTS "sandbox.spec.containers[0].volume_mounts."
#define MACHINE_PATH_ROOM (MACHINE_PATH_MAX + 1)
#define MEMORY_BYTES (UINT64_C(1) << 30) /* chosen: as /dev/shm has */

/* One that was cut is too long to be valid. */
static bool machine_path(const Pb__SandboxVolume *v, char ret[static MACHINE_PATH_ROOM])
{
    return host_directory_get(v, ret, MACHINE_PATH_ROOM);
}

static bool is_machine(const Pb__SandboxVolume *v)
{
    char path[MACHINE_PATH_ROOM];
    return machine_path(v, path);
}

static int check_source(const Pb__SandboxVolume *v, struct err *err)
{
    const Pb__ScratchVolume *scratch =
        v->source_case == PB__SANDBOX_VOLUME__SOURCE_SCRATCH ? v->scratch : NULL;
    uint64_t size;
    if (v->source_case == PB__SANDBOX_VOLUME__SOURCE_VOLUME_ID)
        return err_volume_not_found(err, v->volume_id);
    if (scratch == NULL)
        return 0;
    if (is_machine(v))
        return err_invalid(err, VOLUMES "scratch", "`%s` has two sources", v->name);
    if (scratch->restore_from_snapshot_id[0] != '\0')
        return err_not_built(err, "CWSANDBOX_FSS_NOT_SUPPORTED",
                             VOLUMES "scratch.restore_from_snapshot_id");
    if ((unsigned)scratch->medium > PB__STORAGE_MEDIUM__STORAGE_MEDIUM_MEMORY)
        return err_invalid(err, VOLUMES "scratch.medium", "unknown medium %d",
                           (int)scratch->medium);
    if (scratch->size[0] != '\0' && (quantity_parse(scratch->size, 1, &size) < 0 || size == 0))
        return err_invalid(err, VOLUMES "scratch.size",
                           "`%s` is not a size such as 512Mi or 10G", scratch->size);
    return 0;
}

static Pb__SandboxVolume *find_volume(const Pb__SandboxSpec *s, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(s->volumes[i]->name, name) == 0)
            return s->volumes[i];
    return NULL;
}

static size_t trimmed(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

/* Absolute, below the root, and no part of it goes anywhere but down. */
static bool is_plain(const char *path)
{
    size_t n = trimmed(path);
    if (path[0] != '/' || n < 2 || n >= LAUNCH_MAX_TARGET)
        return false;
    for (size_t at = 0; at < n;) {
        size_t part = strcspn(path + at + 1, "/");
        if (part == 0 || (part <= 2 && strncmp(path + at + 1, "..", part) == 0))
            return false;
        at += part + 1;
    }
    return true;
}

/* What launch makes, and programs inside rely on. */
static bool is_reserved_path(const char *path)
{
    static const char *const names[] = {"/dev", "/proc", "/sys"};
    size_t n = trimmed(path);
    if (n == strlen("/dev/shm") && strncmp(path, "/dev/shm", n) == 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t k = strlen(names[i]);
        if (n >= k && strncmp(path, names[i], k) == 0 && (n == k || path[k] == '/'))
            return true;
    }
    return false;
}

static bool same_path(const char *a, const char *b)
{
    return trimmed(a) == trimmed(b) && strncmp(a, b, trimmed(a)) == 0;
}

/* "name/sub/path", what launch calls it, for free(); NULL: it is too long. */
static char *volume_path(const Pb__VolumeMount *m)
{
    char *path;
    int n = m->sub_path[0] != '\0' ? asprintf(&path, "%s/%s", m->volume, m->sub_path)
                                   : asprintf(&path, "%s", m->volume);
    return n < 0 ? NULL : path;
}

static int check_machine_mount(const Pb__VolumeMount *m, struct err *err)
{
    if (!m->read_only)
        return err_invalid(err, MOUNTS "read_only",
                           "a directory of the machine is read-only: say so");
    if (m->sub_path[0] != '\0')
        return err_invalid(err, MOUNTS "sub_path", "is for volumes: name the directory itself");
    return 0;
}

static int check_mount(const Pb__SandboxSpec *s, const Pb__Container *c, size_t i,
                       struct err *err)
{
    const Pb__VolumeMount *m = c->volume_mounts[i];
    CLEANUP_FREE char *path = volume_path(m);
    if (find_volume(s, s->n_volumes, m->volume) == NULL)
        return err_invalid(err, MOUNTS "volume", "there is no volume `%s`", m->volume);
    if (!is_plain(m->mount_path))
        return err_invalid(err, MOUNTS "mount_path",
                           "`%s` is not an absolute path below / and shorter than %d bytes",
                           m->mount_path, LAUNCH_MAX_TARGET);
    if (is_reserved_path(m->mount_path))
        return err_invalid(err, MOUNTS "mount_path", "`%s` is the sandbox's own",
                           m->mount_path);
    if (is_machine(find_volume(s, s->n_volumes, m->volume)) && check_machine_mount(m, err) < 0)
        return -1;
    if (path == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (!volume_path_valid(path))
        return err_invalid(err, MOUNTS "sub_path",
                           "`%s` is not a relative path without empty, `.` and `..` parts",
                           m->sub_path);
    for (size_t k = 0; k < i; k++)
        if (same_path(m->mount_path, c->volume_mounts[k]->mount_path))
            return err_invalid(err, MOUNTS "mount_path", "`%s` is there twice", m->mount_path);
    return 0;
}

int spec_check_volumes(const Pb__SandboxSpec *s, struct err *err)
{
    const Pb__Container *c = s->containers[0];
    if (s->n_volumes > SPEC_MAX_VOLUMES)
        return err_invalid(err, "sandbox.spec.volumes", "more than %d", SPEC_MAX_VOLUMES);
    if (c->n_volume_mounts > SPEC_MAX_VOLUMES)
        return err_invalid(err, "sandbox.spec.containers[0].volume_mounts", "more than %d",
                           SPEC_MAX_VOLUMES);
    for (size_t i = 0; i < s->n_volumes; i++) {
        const char *name = s->volumes[i]->name;
        if (!spec_is_label(name))
            return err_invalid(err, VOLUMES "name",
                               "`%s` is not at most %d of [a-z0-9-] with a letter or digit at "
                               "both ends",
                               name, SPEC_MAX_NAME);
        if (find_volume(s, i, name) != NULL)
            return err_invalid(err, VOLUMES "name", "`%s` is there twice", name);
        if (check_source(s->volumes[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < c->n_volume_mounts; i++)
        if (check_mount(s, c, i, err) < 0)
            return -1;
    return 0;
}

/* 0: none is given. */
static uint64_t size_of(const Pb__SandboxVolume *v)
{
    uint64_t size = 0;
    if (v->source_case == PB__SANDBOX_VOLUME__SOURCE_SCRATCH && v->scratch->size[0] != '\0')
        (void)quantity_parse(v->scratch->size, 1, &size); /* check_source() saw it */
    return size;
}

static Pb__StorageMedium medium_of(const Pb__SandboxVolume *v)
{
    return v->source_case == PB__SANDBOX_VOLUME__SOURCE_SCRATCH
               ? v->scratch->medium
               : PB__STORAGE_MEDIUM__STORAGE_MEDIUM_UNSPECIFIED;
}

static bool is_memory(const Pb__SandboxVolume *v, const struct spec_room *room)
{
    return medium_of(v) == PB__STORAGE_MEDIUM__STORAGE_MEDIUM_MEMORY ||
           (!room->disk && size_of(v) > room->bytes);
}

static int too_large(const Pb__SandboxVolume *v, const struct spec_room *room, struct err *err)
{
    static const char field[] = VOLUMES "scratch.size";
    (void)err_set_reason(
        err, ERR_INVALID_ARGUMENT, "CWSANDBOX_RESOURCE_CEILING_EXCEEDED",
        "%s: with `%s` the volumes are larger than a sandbox's disk, which has "
        "%llu bytes (--root-size)",
        field, v->name, (unsigned long long)room->bytes);
    err_add_violation(err, field, "more than the disk of a sandbox");
    return -1;
}

static int check_room(const Pb__SandboxSpec *s, const struct spec_room *room, struct err *err)
{
    uint64_t left = room->bytes;
    for (size_t i = 0; i < s->n_volumes; i++) {
        const Pb__SandboxVolume *v = s->volumes[i];
        if (medium_of(v) == PB__STORAGE_MEDIUM__STORAGE_MEDIUM_DISK && !room->disk)
            return err_not_built(err, "CWSANDBOX_NOT_IMPLEMENTED", VOLUMES "scratch.medium");
        if (is_memory(v, room))
            continue;
        if (size_of(v) > left)
            return too_large(v, room, err);
        left -= size_of(v);
    }
    return 0;
}

static int by_length(const void *a, const void *b)
{
    const struct mount_op *x = a, *y = b;
    size_t n = strlen(x->target), k = strlen(y->target);
    return n < k ? -1 : n > k;
}

/* Their strings are the list's, whatever there is of them. */
static int add(struct mount_list *list, struct mount_op op, char *take_source,
               char *take_target)
{
    op.source = take_source;
    op.target = take_target;
    list->ops[list->n++] = op;
    return take_source != NULL && take_target != NULL ? 0 : -1;
}

static int check_allowed(const char *path, const struct text_list *allowed, struct err *err)
{
    static const char field[] = VOLUMES "host_directory";
    if (!machine_path_valid(path))
        return err_invalid(err, field,
                           "`%s` is not an absolute path without empty, `.` and `..` parts and "
                           "shorter than %d bytes",
                           path, MACHINE_PATH_MAX);
    for (size_t i = 0; i < allowed->n_items; i++)
        if (machine_path_below(path, allowed->items[i]) != NULL)
            return 0;
    return err_invalid(err, field,
                       "this service shows sandboxes nothing of its machine's `%s` (the "
                       "operator's --host-directories)",
                       path);
}

static int check_machine(const Pb__SandboxSpec *s, const struct text_list *allowed,
                         struct err *err)
{
    const Pb__Container *c = s->containers[0];
    size_t n = 0;
    for (size_t i = 0; i < s->n_volumes; i++) {
        char path[MACHINE_PATH_ROOM];
        if (machine_path(s->volumes[i], path) && check_allowed(path, allowed, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < c->n_volume_mounts; i++)
        n += is_machine(find_volume(s, s->n_volumes, c->volume_mounts[i]->volume));
    if (n > MACHINE_DIRS_MAX)
        return err_invalid(err, "sandbox.spec.containers[0].volume_mounts",
                           "more than %d directories of the machine", MACHINE_DIRS_MAX);
    return 0;
}

static int add_mount(struct mount_list *list, const Pb__SandboxSpec *s,
                     const Pb__VolumeMount *m)
{
    char path[MACHINE_PATH_ROOM];
    bool machine = machine_path(find_volume(s, s->n_volumes, m->volume), path);
    const struct mount_op op = {.kind = machine ? MOUNT_DIR : MOUNT_VOLUME,
                                .read_only = m->read_only};
    return add(list, op, machine ? strdup(path) : volume_path(m),
               strndup(m->mount_path, trimmed(m->mount_path)));
}

static int add_memory(struct mount_list *list, const Pb__SandboxVolume *v)
{
    uint64_t size = size_of(v);
    const struct mount_op op = {.kind = MOUNT_MEMORY,
                                .size_bytes = size != 0 ? size : MEMORY_BYTES};
    return add(list, op, strdup(v->name), strdup(""));
}

int spec_plan_volumes(const Pb__SandboxSpec *s, const struct spec_room *room,
                      struct spec_plan *plan, struct err *err)
{
    const Pb__Container *c = s->containers[0];
    struct mount_list *list = &plan->spec.mounts;
    if (check_room(s, room, err) < 0 || check_machine(s, room->host_directories, err) < 0)
        return -1;
    list->ops = calloc(s->n_volumes + c->n_volume_mounts + 1, sizeof(*list->ops));
    int r = list->ops == NULL ? -1 : 0;
    for (size_t i = 0; i < s->n_volumes && r == 0; i++)
        if (is_memory(s->volumes[i], room))
            r = add_memory(list, s->volumes[i]);
    uint32_t n_memory = list->n;
    for (size_t i = 0; i < c->n_volume_mounts && r == 0; i++)
        r = add_mount(list, s, c->volume_mounts[i]);
    if (r < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    /* What lies below another one's path comes after it. */
    qsort(list->ops + n_memory, list->n - n_memory, sizeof(*list->ops), by_length);
    return 0;
}
