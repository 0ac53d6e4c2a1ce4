/*
 * For tests: an embedded service of our own, in a temporary directory, found by the library
 * like any user's.
 *
 * service_begin() points XDG_RUNTIME_DIR, CWSANDBOX_SERVICE_PATH and CWSANDBOX_DATA_DIR into
 * the directory; nothing is started before the first call needs it. service_end() ends the
 * service and waits until it is gone. The programs' paths come from CWS_TEST_BIN_DIR: a
 * directory with the three programs (made by meson).
 */
#ifndef CWS_TESTS_CLIENT_SERVICE_H
#define CWS_TESTS_CLIENT_SERVICE_H

#include <sys/types.h>

#include "cwsandbox.h"

#define SECOND UINT64_C(1000000000)
#define LONG \
    (60 * SECOND) /* only a hang takes that long, even with sanitizers on a busy machine */

int service_begin(void **state); /* cmocka group fixtures */
int service_end(void **state);
/** service_pid() - who listens; 0 = nobody. */
pid_t service_pid(void);
/** service_kill() - end it with @signal and wait for that; 0 when nobody listened. */
pid_t service_kill(int signal);
const char *service_socket(void);
const char *service_dir(void);

/* Each fails the test with the error's text. */
cws_sandbox *must_run(void);
void must_succeed(cws_op *op);        /* waits; keeps the reference */
void must_finish(cws_op *take_op);    /* waits; drops it */
cws_error_kind must_fail(cws_op *op); /* waits; the kind of its error */
cws_process *must_exec(cws_sandbox *sb, const char *const *argv, size_t n,
                       const cws_exec_options *o);
void must_stop(cws_sandbox *take_sb);
/** must_shell() - run `sh -c @script`, compare its stdout. */
void must_shell(cws_sandbox *sb, const char *script, const char *want_stdout);
#define ARGV(...) \
    (const char *const[]){__VA_ARGS__}, \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

#endif
