/*
 * A real runtime (real cwsandbox-launch, real cwsandbox-init) in a directory of its own, on a
 * loop of its own, driven by waiting for events; a wait that takes longer than WAIT_MS fails
 * the test. One world per test.
 */
#ifndef TESTS_RUNTIME_HARNESS_H
#define TESTS_RUNTIME_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "runtime/io.h"

/* skip() that says why: tools/run-checks and tests/vm print it. */
#define skip_because(why) \
    do { \
        print_message("skip: " why "\n"); \
        skip(); \
    } while (0)

#define WAIT_MS 20000

struct world {
    uv_loop_t loop;
    uv_timer_t limit;
    struct runtime *rt;
    struct runtime_config config;
    char dir[64], service[32];
    pid_t launch_pid;
    bool timed_out, closed, lost;
};

/* What happened to one process. Fill `input` before, read the rest after. */
struct run {
    struct process *p;
    struct buf out, err;
    bool ready, ended, failed;
    int exit_code;
    enum err_code code;
    char error[512];
    size_t n_outputs;
    bool hold; /* do not take output: pause after the first */
    bool free_on_output;
};

/** world_open() - @adjust may change the configuration. */
struct world *world_open(void (*adjust)(struct runtime_config *config));
/** world_close() - closes the runtime, then checks that nothing of it is left on the machine.
 */
void world_close(struct world *w);
/** world_close_lost() - after launch was killed: what it left is removed by the next start,
 * then world_close(). */
void world_close_lost(struct world *w);
/** world_restart() - an orderly end and a new runtime in the same directory. */
void world_restart(struct world *w);
/** world_stop() and world_start() - its two halves. */
void world_stop(struct world *w);
void world_start(struct world *w);
/** world_launch() - the first part of world_start(): an engine, w->launch_pid, for who makes a runtime itself. */
void world_launch(struct world *w);
/** world_wait() - runs the loop until *@flag. */
void world_wait(struct world *w, const bool *flag);
/** world_turn() - until something happens, once; fails at the limit. */
void world_turn(struct world *w);

struct sandbox *world_create(struct world *w, const char *command, const char *const *args);
struct sandbox *world_create_spec(struct world *w, const struct sandbox_spec *spec);
void wait_state(struct world *w, struct sandbox *sb, enum sandbox_state state);
/** wait_terminal() - the state it ended in. */
enum sandbox_state wait_terminal(struct world *w, struct sandbox *sb);
struct sandbox_info info_of(struct sandbox *sb);

void run_start(struct run *r, struct sandbox *sb, const struct process_spec *spec);
/** run_sh() - `sh -c script` to its end. */
void run_sh(struct world *w, struct run *r, struct sandbox *sb, const char *script);
void run_argv(struct world *w, struct run *r, struct sandbox *sb, const char *const *argv);
void run_wait(struct world *w, struct run *r);
void run_done(struct run *r);
#define CLEANUP_RUN CLEANUP(run_done)
void assert_buf(const struct buf *b, const char *text);

/** read_log() - all of it, without follow. */
void read_log(struct world *w, struct sandbox *sb, const struct log_spec *spec,
              struct buf *ret);
/** read_file() - the error in *@ret_err when it fails. */
void read_file(struct world *w, struct sandbox *sb, const char *path, struct buf *ret,
               struct err *ret_err);
void write_file(struct world *w, struct sandbox *sb, const char *path, const void *data,
                size_t n, struct err *ret_err);

/** become() - "user" as argument: give up root for this and all children. -1: impossible here
 * (skip). */
int become(int argc, char **argv);
/** is_root() - tests of limits and idmapped files need it. */
bool is_root(void);
/** pid_below() - the first process below @parent whose name starts with @name; 0. */
int pid_below(int parent, const char *name);

#endif
