/*
 * Finding and starting the embedded service. See embedded.h.
 *
 * The service is started as a grandchild in its own session, so that it is nobody's zombie and no terminal's victim. The
 * start uses vfork twice: the caller may be a Python process of several GiB, where fork alone costs tens of milliseconds,
 * and vfork runs none of the program's atfork handlers.
 */
#include "client/embedded.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/rundir.h"
#include "base/util.h"
#include "cwsandbox.h"

#define READY_FD 3
#define SERVICE_NAME "cwsandboxd"
/* A service that lost the race for the lock says "running" once the winner answers; only if that one ends right then
 * is another look needed. How long until it: */
#define RACE_WAIT_MS 5
#define ANSWER_MS 1000 /* chosen */
/* Chosen: so many services that end before they say a word are a fault of the program. */
#define MAX_SILENT_STARTS 3

/* AddressSanitizer's vfork() keeps the return address in one place per thread: a vfork inside a vfork returns to the
 * wrong line. Its builds pay for copies of page tables instead. */
#if defined(__SANITIZE_ADDRESS__)
#define vfork fork
#endif

extern char **environ;

static pthread_mutex_t service_dir_lock = PTHREAD_MUTEX_INITIALIZER;
static char *service_dir; /* [service_dir_lock] */

int cws_set_service_dir(const char *dir)
{
    char *copy = strdup(dir);
    if (!copy)
        return -1;
    (void)pthread_mutex_lock(&service_dir_lock);
    free(service_dir);
    service_dir = copy;
    (void)pthread_mutex_unlock(&service_dir_lock);
    return 0;
}

/* ---- where the socket is ---- */

/* Our own, private, real directory: somebody else's could listen to us. */
static int check_directory(const char *dir, struct err *err)
{
    struct stat st;
    if (lstat(dir, &st) < 0)
        return errno == ENOENT
                   ? 0
                   : err_set_errno(err, ERR_UNAVAILABLE, errno, "look at `%s`", dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_FAILED_PRECONDITION, "use `%s`: it is not a directory", dir);
    if (st.st_uid != geteuid())
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "use `%s`: it belongs to user %u, not to you (%u); remove it or set "
                       "XDG_RUNTIME_DIR",
                       dir, (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & 077)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "use `%s`: others may enter it (mode %03o, want 700)", dir,
                       (unsigned)st.st_mode & 0777);
    return 0;
}

int embedded_socket_path(char **ret, struct err *err)
{
    CLEANUP_FREE char *dir = rundir_path();
    if (!dir)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (check_directory(dir, err) < 0)
        return -1;
    char *path = str_dup_printf("%s/" RUNDIR_SOCKET, dir);
    if (!path)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        (void)err_set(err, ERR_FAILED_PRECONDITION, "use `%s`: too long for a Unix socket",
                      path);
        free(path);
        return -1;
    }
    *ret = path;
    return 0;
}

/* ---- where the program is ---- */

static char *executable_at(const char *dir, const char *below)
{
    char *path = str_dup_printf("%s%s/" SERVICE_NAME, dir, below);
    if (path && access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

/* The directory of the file that this code was loaded from; NULL if the loader does not know. */
static char *library_directory(void)
{
    Dl_info info;
    if (!dladdr((const void *)&embedded_ensure, &info) || !info.dli_fname)
        return NULL;
    char *path = realpath(info.dli_fname, NULL);
    char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash) {
        free(path);
        return NULL;
    }
    *slash = '\0';
    return path;
}

static char *service_program(struct err *err)
{
    const char *env = getenv("CWSANDBOX_SERVICE_PATH");
    if (env && *env) {
        struct stat st;
        char *found = stat(env, &st) == 0 && S_ISDIR(st.st_mode) ? executable_at(env, "")
                      : access(env, X_OK) == 0                   ? strdup(env)
                                                                 : NULL;
        if (!found)
            (void)err_set(
                err, ERR_UNAVAILABLE,
                "start the service: CWSANDBOX_SERVICE_PATH=`%s` is neither an executable "
                "nor a directory with " SERVICE_NAME,
                env);
        return found;
    }
    (void)pthread_mutex_lock(&service_dir_lock);
    char *found = service_dir ? executable_at(service_dir, "") : NULL;
    (void)pthread_mutex_unlock(&service_dir_lock);
    CLEANUP_FREE char *library = library_directory();
    static const char *const below[] = {"", "/../libexec/cwsandbox", "/../bin",
                                        "/../../libexec/cwsandbox", "/../../bin"};
    for (size_t i = 0; !found && library && i < ARRAY_SIZE(below); i++)
        found = executable_at(library, below[i]);
    if (!found)
        found = executable_at(CWS_LIBEXECDIR, "");
    if (!found)
        found = executable_at(CWS_BINDIR, "");
    if (!found)
        (void)err_set(err, ERR_UNAVAILABLE,
                      "start the service: " SERVICE_NAME
                      " found neither beside the library nor in "
                      "%s; install it, or set CWSANDBOX_SERVICE_PATH or CWSANDBOX_BASE_URL",
                      CWS_LIBEXECDIR);
    return found;
}

/* ---- starting it ---- */

/* That the connection is accepted is not enough: the kernel does that also for a service that is
 * just ending. A service speaks first (its SETTINGS). One that is silent for ANSWER_MS is alive but
 * busy. */
static bool answers(const char *socket_path)
{
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, socket_path, strlen(socket_path) + 1); /* length checked above */
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return false;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, ANSWER_MS) <= 0)
        return true;
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
}

/* Runs between vfork and execve, sharing memory with the suspended caller: system calls only. */
__attribute__((noreturn)) static void service_exec(const char *program, char *const *argv,
                                                   int null_fd, int ready_fd)
{
    sigset_t none;
    (void)sigemptyset(&none);
    /* The order matters: ready_fd may be 0..2 in a program that closed its stdio. */
    int ready = fcntl(ready_fd, F_DUPFD, 10);
    int null = fcntl(null_fd, F_DUPFD, 10);
    if (ready < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
        dup2(ready, READY_FD) < 0)
        _exit(127);
#ifdef __linux__
    (void)close_range(READY_FD + 1, ~0u, 0); /* 5.9; older kernels: our own fds are CLOEXEC */
#endif
    (void)chdir("/");
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(program, argv, environ);
    _exit(127);
}

/* Starts @program as a grandchild in its own session. 0 or -errno. */
__attribute__((noinline)) static int spawn_detached(const char *program, char *const *argv,
                                                    int null_fd, int ready_fd)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all,
                          &old); /* no handler may run on the shared memory */
    pid_t child = vfork();
    if (child == 0) {
        (void)setsid();
        pid_t grandchild = vfork();
        if (grandchild == 0)
            service_exec(program, argv, null_fd, ready_fd);
        _exit(grandchild < 0 ? 1 : 0);
    }
    int failed = child < 0 ? errno : 0;
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR) {
            status =
                0; /* the program ignores SIGCHLD: nothing to learn, the ready line decides */
            break;
        }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return -failed;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EAGAIN;
}

/* Reads what the service says on its ready descriptor until it closes it. */
static int read_ready(int fd, uint64_t deadline_ns, char *text, size_t cap)
{
    size_t n = 0;
    for (;;) {
        uint64_t now = clock_now_ns();
        if (now >= deadline_ns)
            return -ETIMEDOUT;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int r = poll(&p, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
        if (r <= 0)
            continue;
        ssize_t got = read(fd, text + n, cap - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || n + (size_t)got == cap - 1) {
            text[n + (got > 0 ? (size_t)got : 0)] = '\0';
            return 0;
        }
        n += (size_t)got;
    }
}

enum start_result { START_READY, START_RUNNING, START_KILLED, START_FAILED };

static int err_ended_early(const char *program, struct err *err)
{
    CLEANUP_FREE char *dir = rundir_path();
    return err_set(err, ERR_UNAVAILABLE,
                   "start the service: `%s` ended before it was ready; its log, if it came to "
                   "one, is `%s/%s`",
                   program, dir ? dir : "", RUNDIR_LOG);
}

static enum start_result service_start(const char *program, uint64_t deadline_ns,
                                       struct err *err)
{
    int pipe_fds[2] = {-1, -1};
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        (void)err_set_errno(err, ERR_UNAVAILABLE, errno, "start the service: make a pipe");
        return START_FAILED;
    }
    CLEANUP_FD int read_end = pipe_fds[0];
    CLEANUP_FD int write_end = pipe_fds[1];
    CLEANUP_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    char *const argv[] = {(char *)program, "--embedded", "--ready-fd", "3", NULL};
    int r = null_fd < 0 ? -errno : spawn_detached(program, argv, null_fd, write_end);
    if (r < 0) {
        (void)err_set_errno(err, ERR_UNAVAILABLE, -r, "start the service: run `%s`", program);
        return START_FAILED;
    }
    cleanup_fd(&write_end); /* so that the service's end is the last one */
    char text[2048];
    r = read_ready(read_end, deadline_ns, text, sizeof(text));
    if (r < 0) {
        (void)err_set_errno(err, ERR_UNAVAILABLE, -r, "wait for the service `%s`", program);
        return START_FAILED;
    }
    text[strcspn(text, "\n")] = '\0'; /* the first line says it */
    if (strcmp(text, "ready") == 0)
        return START_READY;
    if (strcmp(text, "running") == 0)
        return START_RUNNING;
    if (!*text)
        return START_KILLED;
    (void)err_set(err, ERR_UNAVAILABLE, "start the service: %s", text);
    return START_FAILED;
}

int embedded_ensure(struct err *err)
{
    CLEANUP_FREE char *socket_path = NULL;
    if (embedded_socket_path(&socket_path, err) < 0)
        return -1;
    CLEANUP_FREE char *program = NULL;
    uint64_t deadline_ns = clock_now_ns() + EMBEDDED_START_TIMEOUT_NS;
    unsigned n_silent = 0;
    while (!answers(socket_path)) {
        if (clock_now_ns() >= deadline_ns)
            return err_set(err, ERR_UNAVAILABLE,
                           "start the service: another process holds its lock, but nothing "
                           "answers on `%s`",
                           socket_path);
        if (!program && !(program = service_program(err)))
            return -1;
        switch (service_start(program, deadline_ns, err)) {
        case START_READY:
            return 0;
        case START_KILLED: /* it is not what this service does: another one may live */
            if (++n_silent < MAX_SILENT_STARTS)
                break;
            return err_ended_early(program, err);
        case START_FAILED:
            return -1;
        case START_RUNNING: /* the winner answers by now, unless it is just ending */
            (void)poll(NULL, 0, RACE_WAIT_MS);
            break;
        }
    }
    return 0;
}
