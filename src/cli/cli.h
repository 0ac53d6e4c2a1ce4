/*
 * One invocation of the command line: its streams, its signals, its client. Made by main.c,
 * handed to the verb that runs.
 *
 * Signals. cli_connect() blocks SIGINT, SIGTERM, SIGHUP and SIGQUIT (those that were not already
 * ignored: `nohup`, a shell's background job) and takes them from a signalfd, so every wait of
 * the program is one poll() and a signal is never lost between two of them. SIGPIPE is ignored
 * in main.c: a reader that went away is an EPIPE, and the end of the program with 0.
 *
 * Thread: main only. The library's own thread blocks all signals.
 */
#ifndef CWS_CLI_CLI_H
#define CWS_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/options.h"
#include "cwsandbox.h"

/* Exit codes besides those of remote commands. Source: contract of the published client. */
enum exit_code {
    EXIT_FINE = 0,
    EXIT_ERROR = 1,    /* what the service or this machine refused; "Error: ..." is on stderr */
    EXIT_USAGE = 2,    /* the words on the command line */
    EXIT_SIGNAL = 128, /* plus the signal's number */
};

struct cli {
    const struct verb *verb;
    cws_auth auth;          /* --auth, CWSANDBOX_AUTH */
    int signal_fd;          /* -1 until cli_connect() */
    cws_client *client;     /* NULL until cli_connect() */
    cws_target *target;     /* NULL until cli_connect() */
    bool is_interrupted;    /* a signal ends the program */
    uint64_t wait_until_ns; /* no cli_await() waits longer then; 0 = as long as it takes */
};

/** cli_connect() - take the signals, make client and target. EXIT_FINE, or an exit code with
 * the error printed. */
int cli_connect(struct cli *cli);
/** cli_connect_quietly() - the same; false with *@ret_error set (NULL: no signal descriptor),
 * which the caller frees. */
bool cli_connect_quietly(struct cli *cli, cws_error **ret_error);
/** cli_flush() - what was printed must have arrived: @code, or EXIT_ERROR with the error printed. */
int cli_flush(int code);
/** cli_done() - close the client, cli_flush(). Ends the program by itself after a signal. */
int cli_done(struct cli *cli, int code);

/** cli_fail() - print "Error: ..."; returns EXIT_ERROR. */
int cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/** cli_fail_with() - the same from an error of the library; frees nothing. */
int cli_fail_with(const cws_error *error);
/** cli_fail_free() - the same for an error that the caller owns. */
int cli_fail_free(cws_error *take_error);
/** cli_usage() - print usage, hint and "Error: ..."; returns EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/** cli_signal() - the number of a signal that arrived, 0 = none. Does not block. */
int cli_signal(struct cli *cli);
/** cli_interrupted() - this signal ends the program: its exit code. What it still waits for gets
 * a few seconds. */
int cli_interrupted(struct cli *cli, int signal_number);

/**
 * cli_await() - wait for @take_op until it is done or a signal ends the program
 * @take_op:   may be NULL with @take_error set, as the library's functions return them
 * @ret_op:    the finished handle when EXIT_FINE is returned; NULL = not wanted
 * Return: EXIT_FINE; EXIT_ERROR with the error printed; EXIT_SIGNAL + n.
 */
int cli_await(struct cli *cli, cws_op *take_op, cws_error *take_error, cws_op **ret_op);
/** cli_await_quietly() - the same without printing; *@ret_op is set with EXIT_ERROR too, unless
 * the call could not be made. */
int cli_await_quietly(struct cli *cli, cws_op *take_op, cws_op **ret_op);

/**
 * cli_attach() - connect and fetch a sandbox by id
 * @timeout_ns: of fetching it; CWS_DEFAULT_TIMEOUT
 * @data_plane: slot of DATA_PLANE_OPTION; 0 = what the library does by itself
 * @ret_sb:     a new reference on EXIT_FINE
 */
int cli_attach(struct cli *cli, const char *id, uint64_t timeout_ns, int data_plane,
               cws_sandbox **ret_sb);

static inline void cleanup_op(cws_op **op)
{
    cws_op_unref(*op);
}
#define CLEANUP_OP CLEANUP(cleanup_op)
static inline void cleanup_sandbox(cws_sandbox **sb)
{
    cws_sandbox_unref(*sb);
}
#define CLEANUP_SANDBOX CLEANUP(cleanup_sandbox)
static inline void cleanup_process(cws_process **p)
{
    cws_process_unref(*p);
}
#define CLEANUP_PROCESS CLEANUP(cleanup_process)
static inline void cleanup_reader(cws_reader **r)
{
    cws_reader_unref(*r);
}
#define CLEANUP_READER CLEANUP(cleanup_reader)

#endif
