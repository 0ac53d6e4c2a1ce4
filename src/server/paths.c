/*
 * Defaults that depend on the machine and the user. See paths.h.
 */
#include "server/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/datadir.h"
#include "base/rundir.h"
#include "base/util.h"

/* Beside cwsandboxd (a build or an unpacked archive), ../libexec/cwsandbox (a relocated
 * installation), then where the build was told to install. */
static char *find_program(const char *name)
{
    char self[PATH_MAX]; /* readlink(2) gives no more for an existing executable */
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        *slash = '\0';
        static const char *const places[] = {"", "/../libexec/cwsandbox"};
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
            CLEANUP_FREE char *path = str_dup_printf("%s%s/%s", self, places[i], name);
            if (path != NULL && access(path, X_OK) == 0)
                return TAKE_PTR(path);
        }
    }
    return str_dup_printf("%s/%s", CWS_LIBEXECDIR, name);
}

static int fill_program(char **path, const char *name, const char *flag, struct err *err)
{
    if (*path == NULL)
        *path = find_program(name);
    if (*path == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (access(*path, X_OK) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "find `%s` (--%s)", *path,
                             flag);
    return 0;
}

static int make_dirs(const char *path, struct err *err)
{
    CLEANUP_FREE char *copy = strdup(path);
    if (copy == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char c = *p;
        *p = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "make directory `%s`",
                                 copy);
        if (c == '\0')
            return 0;
        *p = c;
    }
}

/* An account without a usable home (a service user) keeps the data in the runtime directory, and so as long as that lives. */
static int fill_embedded_data_dir(struct options *o, struct err *err)
{
    o->data_dir_chosen = true;
    o->data_dir = datadir_embedded();
    if (o->data_dir != NULL && make_dirs(o->data_dir, err) == 0)
        return 0;
    err_done(err);
    free(o->data_dir);
    CLEANUP_FREE char *rundir = rundir_path();
    o->data_dir = rundir != NULL ? str_dup_printf("%s/data", rundir) : NULL;
    return o->data_dir != NULL ? make_dirs(o->data_dir, err)
                               : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

static int fill_data_dir(struct options *o, struct err *err)
{
    if (o->data_dir == NULL && o->embedded)
        return fill_embedded_data_dir(o, err);
    if (o->data_dir == NULL)
        o->data_dir = datadir_service();
    if (o->data_dir == NULL)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "no --data-dir, CWSANDBOX_DATA_DIR or HOME");
    return make_dirs(o->data_dir, err);
}

/* The same directory gives the same name, so a restart finds the cgroups a crash left. */
static char *make_service_name(const char *data_dir)
{
    CLEANUP_FREE char *real = realpath(data_dir, NULL);
    return str_dup_printf("u%u-%012llx", (unsigned)geteuid(),
                          (unsigned long long)datadir_hash(real != NULL ? real : data_dir));
}

static char *make_runner_id(void)
{
    char name[HOST_NAME_MAX + 1] = "";
    (void)gethostname(name, sizeof(name) - 1); /* an empty name falls through */
    return strdup(name[0] != '\0' && utf8_valid(name, strlen(name)) ? name : "cwsandboxd");
}

static int fill_listen(struct options *o, struct err *err)
{
    if (o->embedded || o->listen.n_items > 0)
        return 0;
    if (geteuid() != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "--listen is needed when not run as root");
    if (mkdir(PATHS_DEFAULT_SOCKET_DIR, 0755) < 0 && errno != EEXIST)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "make directory `%s`",
                             PATHS_DEFAULT_SOCKET_DIR);
    o->listen.items = calloc(1, sizeof(*o->listen.items));
    char *url = strdup(PATHS_DEFAULT_LISTEN);
    if (o->listen.items == NULL || url == NULL) {
        free(url);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    o->listen.items[o->listen.n_items++] = url;
    return 0;
}

/* A build without libcurl has none: then images come into the store by other ways alone. */
static int fill_image_program(struct options *o, struct err *err)
{
    bool chosen = o->image_path != NULL;
    if (o->image_pull == IMAGE_PULL_NEVER && !o->image_commit && !o->embedded)
        return 0;
    if (fill_program(&o->image_path, "cwsandbox-image", "image-path", err) == 0)
        return 0;
    if (chosen || o->image_path == NULL || o->image_pull == IMAGE_PULL_ALWAYS ||
        o->image_commit)
        return -1;
    err_done(err);
    free(TAKE_PTR(o->image_path));
    free(o->image_pull_text);
    o->image_pull = IMAGE_PULL_NEVER;
    o->image_pull_text = strdup("never"); /* what the daemon is told */
    return o->image_pull_text != NULL ? 0
                                      : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

/* Where the user's own are; without HOME there are none. */
static int fill_secret_stores(struct options *o, struct err *err)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (o->secret_stores != NULL || !o->embedded)
        return 0;
    if (config != NULL && config[0] == '/')
        o->secret_stores = str_dup_printf("%s/cwsandbox/secrets", config);
    else if (home != NULL && home[0] == '/')
        o->secret_stores = str_dup_printf("%s/.config/cwsandbox/secrets", home);
    else
        return 0;
    return o->secret_stores != NULL ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

/* Its caller could read them anyway. */
static int fill_host_directories(struct options *o, struct err *err)
{
    if (!o->embedded || o->host_directories.n_items > 0)
        return 0;
    return text_list_add(&o->host_directories, "/") == 0
               ? 0
               : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

int paths_fill(struct options *o, struct err *err)
{
    if (fill_program(&o->launch_path, "cwsandbox-launch", "launch-path", err) < 0 ||
        fill_program(&o->init_path, "cwsandbox-init", "init-path", err) < 0 ||
        fill_image_program(o, err) < 0 || fill_secret_stores(o, err) < 0 ||
        fill_data_dir(o, err) < 0 || fill_listen(o, err) < 0 ||
        fill_host_directories(o, err) < 0)
        return -1;
    if (o->service_name == NULL)
        o->service_name = make_service_name(o->data_dir);
    if (o->runner_id == NULL)
        o->runner_id = make_runner_id();
    if (o->service_name == NULL || o->runner_id == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return 0;
}

int paths_lock_data(const struct options *o, struct err *err)
{
    CLEANUP_FREE char *path = str_dup_printf("%s/lock", o->data_dir);
    if (path == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    CLEANUP_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s`", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "another service uses the data directory `%s`", o->data_dir);
    return TAKE_FD(fd);
}
