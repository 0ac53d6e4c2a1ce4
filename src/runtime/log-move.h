/*
 * Moving output from the pipe of a main process into its log: the half that runs on libuv's pool. Blocking; touches only
 * what is in the struct, which its owner leaves alone meanwhile.
 */
#ifndef CWS_RUNTIME_LOG_MOVE_H
#define CWS_RUNTIME_LOG_MOVE_H

#include <uv.h>

#include "base/macros.h"

/* As much as a pipe can hold (/proc/sys/fs/pipe-max-size's default), so that one move empties it. */
#define LOG_MOVE_MAX (1024 * 1024)

struct log_move {
    uv_work_t work;
    const char *path;
    int pipe_fd;
    bool remove;        /* take the file away instead */
    uint64_t max_bytes; /* kept */
    /* In and out: see struct log_file. */
    uint64_t size, start, lost_bytes;
    int lost_error;
    /* Out. */
    bool more; /* the pipe may hold more */
    bool eof;  /* it never will */
};

void log_move_run(struct log_move *m);

#endif
