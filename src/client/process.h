/*
 * cws_process: a command in a sandbox. One object: the op, both readers, the stdin writer and
 * the call share its count and its lock. Output is kept as the list of chunks that the readers
 * walk; joining happens when the program asks. With discard_output, and on a tty, chunks pass:
 * both readers are bounded, and either one being full pauses the call they share.
 */
#ifndef CWS_CLIENT_PROCESS_H
#define CWS_CLIENT_PROCESS_H

#include "client/exec.h"
#include "client/reader.h"

struct cws_process {
    struct cws_op op;
    struct cws_sandbox *sb;   /* [const] reference */
    struct exec exec;         /* [loop] */
    _Atomic uint32_t holders; /* references of the program to the process and to its readers */
    struct cws_reader out, err;
    struct cws_writer in;
    char **argv;             /* [const] as given; one block with its strings */
    size_t n_argv;           /* [const] */
    char **env;              /* [const] likewise, or NULL */
    char *cwd, *cwd_base64;  /* [const] or NULL */
    char *user;              /* [const] or NULL */
    char *container;         /* [const] NULL = the primary one */
    bool check;              /* [const] */
    bool tty;                /* [const] */
    bool keeps_output;       /* [const] no tty, no discard_output */
    bool has_stdin;          /* [const] */
    bool resize_posted;      /* [lock] */
    uint32_t width, height;  /* [lock] the size wanted last */
    struct task resize_task; /* owned by loop_post() */
    struct exec_facts facts; /* [lock] told by the service at the end */
    char *joined[2];         /* [lock] what cws_process_output() handed out last */
};

#endif
