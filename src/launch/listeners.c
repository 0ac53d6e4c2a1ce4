#include "launch/listeners.h"

#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "privproto/handover.h"

void listeners_close(const struct options *options)
{
    static bool done;

    if (done)
        return;
    done = true;
    /* The files first: while they are there, a client may still connect and be dropped. */
    for (size_t i = 0; i < options->n_socket_files; i++)
        (void)unlink(options->socket_files[i]);
    for (int fd = HANDOVER_LISTEN; fd < HANDOVER_END; fd++)
        (void)close(fd);
}

static bool has(const struct options *options, const char *path)
{
    for (size_t i = 0; i < options->n_socket_files; i++) {
        if (strcmp(options->socket_files[i], path) == 0)
            return true;
    }
    return false;
}

void socket_files_remove(const struct options *from, const struct options *besides)
{
    for (size_t i = 0; i < from->n_socket_files; i++) {
        if (!has(besides, from->socket_files[i]))
            (void)unlink(from->socket_files[i]);
    }
}

void data_remove(int fd, const char *path)
{
    static const char *const dirs[] = {"logs", "images", "launch"};

    /* Names of ours in a directory that strangers cannot write to; one with something in it stays. */
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        (void)unlinkat(fd, dirs[i], AT_REMOVEDIR);
    /* The next service takes the lock of the runtime directory first, which is held; so nobody waits for this file. */
    (void)unlinkat(fd, "lock", 0);
    (void)rmdir(path);
}
