/* See program.h. */
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/util.h"

extern char **environ;

/* A program that prints more than this when it was asked one thing is broken. */
#define ANSWER_MAX ((size_t)1 << 20)

static char *executable_in(const char *dir, const char *name)
{
    char *path = text_printf("%s/%s", dir, name);
    if (path_is_executable(path))
        return path;
    free(path);
    return NULL;
}

/* The directory that @path is in, cut in place. */
static const char *directory_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return ".";
    *slash = '\0';
    return path;
}

static char *own_directory(void)
{
    char *path = realpath("/proc/self/exe", NULL);
    if (path)
        (void)directory_of(path);
    return path;
}

static char *find_by_environment(const char *place, const char *name)
{
    struct stat st;
    if (stat(place, &st) == 0 && S_ISDIR(st.st_mode))
        return executable_in(place, name);
    if (strcmp(name, "cwsandboxd") == 0)
        return path_is_executable(place) ? text_dup(place) : NULL;
    CLEANUP_FREE char *copy = text_dup(place);
    return executable_in(directory_of(copy), name);
}

char *program_find(const char *name)
{
    const char *place = getenv("CWSANDBOX_SERVICE_PATH");
    if (place && *place)
        return find_by_environment(place, name);
    CLEANUP_FREE char *own = own_directory();
    char *found = own ? executable_in(own, name) : NULL;
    if (!found && own) {
        CLEANUP_FREE char *libexec = text_printf("%s/../libexec/cwsandbox", own);
        found = executable_in(libexec, name);
    }
    if (!found)
        found = executable_in(CWS_LIBEXECDIR, name);
    return found ? found : executable_in(CWS_BINDIR, name);
}

char *program_places(void)
{
    const char *place = getenv("CWSANDBOX_SERVICE_PATH");
    if (place && *place)
        return text_printf("CWSANDBOX_SERVICE_PATH=%s", place);
    CLEANUP_FREE char *own = own_directory();
    return text_printf("%s, %s/../libexec/cwsandbox, %s, %s", own ? own : "?", own ? own : "?",
                       CWS_LIBEXECDIR, CWS_BINDIR);
}

/* Everything until end of file. */
static char *read_answer(int fd)
{
    char *text = must(malloc(ANSWER_MAX + 1));
    size_t n = 0;
    while (n < ANSWER_MAX) {
        ssize_t got = read(fd, text + n, ANSWER_MAX - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    text[n] = '\0';
    return text;
}

/* posix_spawn() with @out_fd as both outputs, no input, and the signals as a program expects to
 * find them. */
static int spawn(const char *path, const char *argument, int out_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return -failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -failed;
    }
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    failed = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
    char *const argv[] = {(char *)path, (char *)argument, NULL};
    if (!failed)
        failed = posix_spawn(ret_pid, path, &actions, &attributes, argv, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -failed;
}

int program_ask(const char *path, const char *argument, char **ret_text, int *ret_status)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    CLEANUP_FD int read_end = ends[0];
    pid_t pid;
    int failed = spawn(path, argument, ends[1], &pid);
    (void)close(ends[1]);
    if (failed < 0)
        return failed;
    *ret_text = read_answer(read_end);
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        ;
    return 0;
}
