/*
 * Drives the real cwsandbox-launch and cwsandbox-init for tests: this side plays the daemon.
 * Everything asserts; a wait that takes longer than patience_ms() is a failure. Binaries:
 * environment CWS_LAUNCH and CWS_INIT.
 */
#ifndef CWS_TESTS_LAUNCH_HARNESS_H
#define CWS_TESTS_LAUNCH_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#include <cmocka.h>

#include "privproto/initproto.h"
#include "privproto/launchproto.h"

/* skip() that says why: tools/run-checks and tests/vm print it. */
#define skip_because(why) \
    do { \
        print_message("skip: " why "\n"); \
        skip(); \
    } while (0)

/** patience_ms() - only a hang takes that long; a machine that is translated is slow. */
int patience_ms(void);
#define MAX_OUTPUT 262144

struct service {
    pid_t pid;
    int sock;
    uint32_t seq;
    char dir[64];
    char name[32];
    struct launch_features features;
};

struct box {
    struct service *service;
    char id[LAUNCH_MAX_ID];
    int control;
    pid_t pid; /* of init, outside */
    uint32_t next_id;
    uint32_t n_seen; /* EXITED received */
    int32_t slot;    /* of the last STARTED */
};

/* The result of one exec, or of a start that failed. */
struct run {
    int status; /* of STARTED: 0 or -errno */
    char stage[16];
    int exit_code;        /* as a shell shows it: 128 + signal */
    pid_t pid;            /* inside */
    char out[MAX_OUTPUT]; /* stdout and stderr together */
    size_t n_out;
};

extern uint32_t harness_nofile; /* RLIMIT_NOFILE of the services started from now on; 0: ours */

extern const char *const *harness_args; /* more of launch's, NULL at the end; NULL: none */

/** service_start() - launch as the present user, HELLO answered. */
void service_start(struct service *s);
/** service_start_named() - with the service name of an earlier one. */
void service_start_named(struct service *s, const char *name);
/** service_make(), service_launch() - the two steps of service_start_named(): a directory, then the program in it. */
void service_make(struct service *s, const char *name);
void service_launch(struct service *s);
/** service_stop() - close the socket, expect exit 0 and nothing left of its cgroups. */
void service_stop(struct service *s);
void assert_no_cgroup(const struct service *s);
/** service_remove_dir() - for launches that did not end through service_stop(). */
void service_remove_dir(const struct service *s);
/** service_call() - one request, its answer; events before it are dropped. *ret_fd: -1 or the
 * descriptor sent. */
void service_call(struct service *s, struct launch_message *msg, struct launch_message *ret,
                  int *ret_fd);
/** service_wait_exited() - the EVENT_EXITED of @id. */
void service_wait_exited(struct service *s, const char *id, struct launch_exited *ret);
/** service_receive() - the next packet; false at EOF. */
bool service_receive(struct service *s, struct launch_message *ret, int *ret_fd);

/** create_host() - a CREATE of image `host` with the mounts that the daemon asks for. */
struct launch_message create_host(const char *id, uint64_t size_bytes, uint64_t inodes);
/** create_add_mounts() - those that every root has. */
void create_add_mounts(struct launch_create *create);
void box_create(struct service *s, struct box *b);
void box_create_sized(struct service *s, struct box *b, uint64_t size_bytes, uint64_t inodes);
/** box_limit() - status of the answer; @stage may be NULL. */
int box_limit(struct box *b, struct launch_limits limits, char *stage);
/** box_kill_slot() - KILL_EXEC; the status. */
int box_kill_slot(struct box *b, int32_t slot);
/** box_end() - KILL and wait for the event. */
void box_end(struct box *b, struct launch_exited *ret_exited);

struct exec_spec {
    const char *cwd, *user;
    const char *const *argv, *const *envp;
    bool tty;
    uint32_t width, height;
    bool body_in_memfd;
    bool main;       /* INIT_MAIN, with: */
    int main_output; /* what init is to keep */
};
/** exec_send() - EXEC with @stdio (ignored for a tty). Returns its id. */
uint32_t exec_send(struct box *b, const struct exec_spec *spec, const int stdio[3]);
/** control_wait() - the next packet from init. *ret_fd: -1 or a descriptor. */
void control_wait(struct box *b, struct init_packet *ret, int *ret_fd);
void control_request(struct box *b, uint32_t type, uint32_t id, int value);
/** run_argv() - start, read all output, wait. */
void run_argv(struct box *b, const char *const *argv, struct run *ret);
void run_spec(struct box *b, const struct exec_spec *spec, struct run *ret);
/** run_shell() - "/bin/sh -c @script". */
void run_shell(struct box *b, const char *script, struct run *ret);
/** read_path() - READ; length or status. The text ends with NUL. */
int read_path(struct box *b, const char *path, char *ret, size_t size);
/** write_path() - WRITE, less than a pipe's capacity; status. */
int write_path(struct box *b, const char *path, const char *text);
size_t read_to_end(int fd, char *to, size_t max);
/** assert_python() - runs python3 -c @script and expects its whole output. */
void assert_python(struct box *b, const char *script, const char *expected);
/** assert_shell() - runs @script, expects exit code 0 and its whole output (stderr included).
 */
#define assert_shell(box, script, expected) \
    assert_shell_at(box, script, expected, __FILE__, __LINE__)
void assert_shell_at(struct box *b, const char *script, const char *expected, const char *file,
                     int line);
/** start_script() - `sh -c`, returns its exec id when it has written its first byte. */
uint32_t start_script(struct box *b, const char *script);
/** end_all() - box_end() and service_stop(). */
void end_all(struct service *s, struct box *b);
/** process_alive() - a process of this machine that is not a zombie. */
bool process_alive(pid_t pid);
uint64_t now_us(void);

#endif
