/*
 * [child] Volumes: directories of the sandbox's space, which root and everybody else inside may write, as /tmp: nobody removes what
 * another one has. They share the room of the space.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "launch/launch.h"

#define VOLUMES "volumes" /* of the space */
#define MODE 01777

/* umask is 0 here: make_space(). */
static int enter(int above, const char *name, mode_t mode)
{
    int fd;

    if (mkdirat(above, name, mode) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(above, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int volume_dir(int box, const char *path)
{
    CLEANUP_FD int dir = enter(box, VOLUMES, 0755);

    for (size_t n; dir >= 0 && *path; path += n + (path[n] == '/')) {
        char name[LAUNCH_MAX_TARGET]; /* volume_path_valid() proved that it fits */
        int next;

        n = strcspn(path, "/");
        memcpy(name, path, n);
        name[n] = 0;
        next = enter(dir, name, MODE);
        (void)close(dir);
        dir = next;
    }
    return TAKE_FD(dir);
}
