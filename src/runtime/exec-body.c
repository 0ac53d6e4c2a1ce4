/* What travels in an EXEC packet: working directory, arguments, environment; and the words for
 * its failure. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "runtime/plan.h"

#define N_SOURCES 3 /* of variables: defaults, sandbox, process */

/* By which libraries that start a thread for each CPU are told how many; they look at the machine, or at the CPUs that a process may
 * use, which it can change. */
static const char *const thread_counts[] = {
    "GOMAXPROCS",      "MKL_NUM_THREADS",      "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS",
};

/* A variable, from wherever. `value` NULL: `key` is a whole "KEY=value". */
struct variable {
    const char *key;
    size_t key_size;
    const char *value;
};

struct environment {
    struct variable *all;
    size_t n;
};

/* Later ones win; they keep the place of the first. Quadratic in their number: PLAN_MAX_ENV
 * bounds it. */
static void add(struct environment *env, struct variable v)
{
    for (size_t i = 0; i < env->n; i++) {
        struct variable *old = &env->all[i];
        if (old->key_size == v.key_size && memcmp(old->key, v.key, v.key_size) == 0) {
            *old = v;
            return;
        }
    }
    env->all[env->n++] = v;
}

static void add_string(struct environment *env, const char *text)
{
    add(env, (struct variable){.key = text, .key_size = strcspn(text, "=")});
}

static void add_defaults(struct environment *env, bool tty, bool is_root)
{
    add_string(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    if (is_root)
        add_string(env, "HOME=/root"); /* else init knows */
    if (!tty)
        return;
    /* A person types and reads here. Elsewhere a set LANG makes every program load twelve
     * locale files, a fifth of the time of a small command (docs/performance.md); CPython turns
     * "C" into UTF-8 by itself (PEP 538). */
    add_string(env, "LANG=C.UTF-8");
    add_string(env, "TERM=xterm");
}

static void add_thread_counts(struct environment *env, const char *count)
{
    for (size_t i = 0; *count != 0 && i < ARRAY_SIZE(thread_counts); i++)
        add(env, (struct variable){thread_counts[i], strlen(thread_counts[i]), count});
}

static int put_variable(struct buf *out, const struct variable *v)
{
    if (!v->value)
        return buf_put(out, v->key, strlen(v->key) + 1);
    int r = buf_put(out, v->key, v->key_size);
    if (r == 0)
        r = buf_put(out, "=", 1);
    if (r == 0)
        r = buf_put(out, v->value, strlen(v->value) + 1);
    return r;
}

/* Files are read and written as root, whoever the image's processes are. */
static const char *user_of(const struct plan *plan, const struct process_spec *spec)
{
    bool said = spec && spec->user && *spec->user;
    if (spec && spec->files)
        return said ? spec->user : "";
    return said ? spec->user : plan->user;
}

static int put_environment(struct exec_body *body, const struct plan *plan,
                           const struct process_spec *spec, const char *hostname)
{
    size_t n = 8 + ARRAY_SIZE(thread_counts); /* the defaults and HOSTNAME */
    char count[12] = "";
    for (size_t i = 0; plan->env[i]; i++)
        n++;
    CLEANUP_FREE struct variable *all = calloc(n + (spec ? spec->n_env : 0), sizeof(*all));
    struct environment env = {.all = all};
    if (!all)
        return -ENOMEM;
    add_defaults(&env, spec && spec->tty, !*user_of(plan, spec));
    if (plan->n_cpus > 0)
        (void)snprintf(count, sizeof(count), "%u", plan->n_cpus);
    add_thread_counts(&env, count);
    add(&env, (struct variable){"HOSTNAME", strlen("HOSTNAME"), hostname});
    for (size_t i = 0; plan->env[i]; i++)
        add_string(&env, plan->env[i]);
    for (size_t i = 0; spec && i < spec->n_env; i++)
        add(&env,
            (struct variable){spec->env[i].key, strlen(spec->env[i].key), spec->env[i].value});
    for (size_t i = 0; i < env.n; i++) {
        int r = put_variable(&body->bytes, &env.all[i]);
        if (r < 0)
            return r;
    }
    body->n_envs = (uint32_t)env.n;
    return 0;
}

static int put_command(struct exec_body *body, const char *cwd, const char *user,
                       const char *const *argv, size_t n)
{
    int r = buf_put(&body->bytes, cwd, strlen(cwd) + 1);
    if (r == 0)
        r = buf_put(&body->bytes, user, strlen(user) + 1);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = buf_put(&body->bytes, argv[i], strlen(argv[i]) + 1);
    body->n_args = (uint32_t)n;
    return r;
}

/* As execve(2) counts: a pointer for each string, too. @n_ours: what it does not get. */
static size_t size_in_memory(const struct exec_body *body, size_t n_ours)
{
    return buf_len(&body->bytes) - n_ours + (body->n_args + body->n_envs) * sizeof(char *);
}

static int say_too_long(struct err *err)
{
    static const char text[] = "arguments and environment, the sandbox's variables among them, "
                               "are longer together than "
                               "%zu bytes, which is the most that Linux passes to a program";
    char what[sizeof(text) + 20];
    (void)snprintf(what, sizeof(what), text, exec_max_bytes());
    (void)err_set(err, ERR_INVALID_ARGUMENT, "command: %s", what);
    err_add_violation(err, "command", "%s", what);
    return -1;
}

int exec_body_compose(struct exec_body *ret, const struct plan *plan,
                      const struct process_spec *spec, const char *hostname, struct err *err)
{
    struct exec_body body = {0};
    const char *const *argv = spec ? spec->argv : (const char *const *)plan->argv;
    size_t n = spec ? spec->n_argv : 0;
    while (!spec && argv[n])
        n++;
    const char *cwd = spec && spec->cwd && spec->cwd[0] ? spec->cwd : plan->cwd;
    int r = put_command(&body, cwd, user_of(plan, spec), argv, n);
    if (r == 0)
        r = put_environment(&body, plan, spec, hostname);
    size_t n_ours = strlen(cwd) + strlen(user_of(plan, spec)) + 2;
    if (r == 0 &&
        size_in_memory(&body, n_ours) > MIN(exec_max_bytes(), (size_t)INIT_MAX_MEMFD_BODY)) {
        exec_body_done(&body);
        return say_too_long(err);
    }
    if (r < 0) {
        exec_body_done(&body);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "compose the command: out of memory");
    }
    *ret = body;
    ret->cwd = (const char *)buf_head(&ret->bytes);
    ret->user = ret->cwd + strlen(ret->cwd) + 1;
    ret->name = ret->user + strlen(ret->user) + 1;
    return 0;
}

void exec_body_done(struct exec_body *body)
{
    buf_done(&body->bytes);
    *body = (struct exec_body){0};
}

static int make_memfd(const struct exec_body *body)
{
    CLEANUP_FD int fd = memfd_create("exec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, buf_head(&body->bytes), buf_len(&body->bytes));
    if (r < 0)
        return r;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int exec_body_attach(const struct exec_body *body, struct control_request *request,
                     int fds[static CONTROL_MAX_FDS], int *ret_memfd)
{
    *ret_memfd = -1;
    if (buf_len(&body->bytes) <= INIT_MAX_BODY) {
        request->body = buf_head(&body->bytes);
        request->body_size = buf_len(&body->bytes);
        return 0;
    }
    int fd = make_memfd(body);
    if (fd < 0)
        return fd;
    request->head.flags |= INIT_BODY_IN_MEMFD;
    request->head.body_size = (uint32_t)buf_len(&body->bytes);
    fds[request->n_fds++] = fd;
    *ret_memfd = fd;
    return 0;
}

int exec_failure_text(const struct exec_body *body, const struct init_packet *started,
                      char *ret_text, size_t size)
{
    int error = -started->value;
    char detail[128]; /* strerror_r texts of glibc and musl are under 80 bytes */
    const char *why = strerror_r(error, detail, sizeof(detail));

    if (strcmp(started->stage, "chdir") == 0) {
        (void)snprintf(ret_text, size, "cd: %s: %s\n", body->cwd, why);
        return 1;
    }
    if (strcmp(started->stage, "execve") != 0 || error == ENOMEM || error == EAGAIN)
        return 0;
    bool found = error != ENOENT && error != ENOTDIR;
    if (!found && !strchr(body->name, '/'))
        why = "command not found";
    (void)snprintf(ret_text, size, "%s: %s\n", body->name, why);
    return found ? 126 : 127;
}

static void say_user(struct err *err, const char *what, const char *user)
{
    (void)err_set(err, ERR_INVALID_ARGUMENT, "user: `%s` %s", user, what);
    err_add_violation(err, "user", "`%s` %s", user, what);
}

bool exec_request_error(const struct exec_body *body, const struct init_packet *started,
                        struct err *err)
{
    if (started->value == -E2BIG && strcmp(started->stage, "execve") == 0) {
        (void)say_too_long(
            err); /* an interpreter's line adds its words, somebody lowered the limit */
        return true;
    }
    bool user = strcmp(started->stage, "user") == 0,
         group = strcmp(started->stage, "group") == 0;
    if (!user && !group && strcmp(started->stage, "setuid") != 0)
        return false;
    if ((user || group) && started->value == -ENOENT)
        say_user(err,
                 user ? "is not in the sandbox's /etc/passwd"
                      : "has a group that is not in the sandbox's /etc/group",
                 body->user);
    else if (user || group)
        say_user(err,
                 "cannot be looked up: /etc/passwd or /etc/group of the sandbox is no plain "
                 "file of at most 256 KiB",
                 body->user);
    else if (started->value == -EPERM)
        say_user(
            err,
            "cannot be had: a sandbox of a service that an ordinary user runs has only root",
            body->user);
    else
        say_user(err, "is beyond the ids that a sandbox has, 0 to 65535", body->user);
    return true;
}
