/*
 * A plan is a checked and owned copy of what a caller wants to run: of a sandbox_spec or of a
 * process_spec. Pure functions: no descriptor, no clock. Everything a packet to init needs is
 * composed here (exec-body.c).
 */
#ifndef CWS_RUNTIME_PLAN_H
#define CWS_RUNTIME_PLAN_H

#include "base/buf.h"
#include "base/err.h"
#include "runtime/control.h"
#include "runtime/io.h"

#define PLAN_MAX_FILES 256               /* chosen: mounted files are configuration, not data */
#define PLAN_MAX_FILES_BYTES (64u << 20) /* chosen: twice the unary file cap */
#define PLAN_MAX_ENV \
    1024 /* chosen: variables per specification; merging them is quadratic, 1 ms at the cap */
#define PLAN_MAX_USER 255  /* chosen: two names; useradd(8) allows 32 bytes */
#define PLAN_MAX_PATH 4096 /* PATH_MAX of Linux, with NUL */

struct runtime_image;

struct plan_file {
    char *path;
    struct buf content;
};

struct plan {
    char **argv; /* NULL-terminated; argv[0] == NULL: no main process */
    bool
        own_command; /* argv[0] is the specification's: the image's entry point does not count */
    char **
        env; /* "KEY=value", NULL-terminated, without our defaults; of two the later one counts */
    char *cwd;       /* absolute; "" until the image is known, when only that has one */
    char *user;      /* "": root */
    char *image_id;  /* "": of "host", or not known */
    int stop_signal; /* of the image; 0: SIGTERM */
    uint32_t n_cpus; /* how many the limit of CPU time fills; 0: as many as there are */
    struct plan_file *files;
    size_t n_files;
};

/** plan_new() - @image has what @spec does not say; NULL: plan_add_image() follows. INVALID_ARGUMENT with a violation for each
 * bad field. */
struct plan *plan_new(const struct sandbox_spec *spec, const struct runtime_image *image,
                      struct err *err);
/** plan_add_image() - once. INVALID_ARGUMENT: with the image's words it is too much; then @plan may only be freed. */
int plan_add_image(struct plan *plan, const struct runtime_image *image, struct err *err);
void plan_free(struct plan *plan);
/** plan_drop_files() - their content is not needed after the set-up. */
void plan_drop_files(struct plan *plan);

/** path_check() - INVALID_ARGUMENT with a violation of @field unless @path is absolute, not
 * "/", and short enough. */
int path_check(const char *path, const char *field, struct err *err);
/** process_spec_check() - what process_start() refuses. */
int process_spec_check(const struct process_spec *spec, struct err *err);

/* The body of an EXEC, ready to be sent. */
struct exec_body {
    struct buf bytes;
    uint32_t n_args, n_envs;
    const char *cwd, *user, *name; /* into bytes: for error texts */
};

/**
 * exec_body_compose() - cwd, argv and the environment: defaults < the sandbox's < the process's
 * @spec: NULL for the main process of @plan.
 * Errors: INVALID_ARGUMENT (too many or too long), RESOURCE_EXHAUSTED (memory)
 */
int exec_body_compose(struct exec_body *ret, const struct plan *plan,
                      const struct process_spec *spec, const char *hostname, struct err *err);
void exec_body_done(struct exec_body *body);
/**
 * exec_body_attach() - put @body into @request: as its body, or as a sealed memfd behind @fds
 * when it is long
 * @ret_memfd: to be closed after sending; -1 when there is none
 */
int exec_body_attach(const struct exec_body *body, struct control_request *request,
                     int fds[static CONTROL_MAX_FDS], int *ret_memfd);
/** exec_request_error() - of a start that failed for its user, or because execve(2) found it too long; false: that was not the reason. */
bool exec_request_error(const struct exec_body *body, const struct init_packet *started,
                        struct err *err);
/** exec_failure_text() - the shell's words for a failed start, with newline; its exit code. 0:
 * not the command's fault. */
int exec_failure_text(const struct exec_body *body, const struct init_packet *started,
                      char *ret_text, size_t size);

#endif
