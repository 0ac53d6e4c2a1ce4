/*
 * The log of a main process: a file that the service alone holds, filled from the one pipe that is the process's standard
 * output and standard error. One pipe, so that the two keep their order.
 *
 *   open (the pipe is watched) -> ended (no writer lives; what the pipe holds is still moved) -> closed (nothing more comes)
 *
 * The bytes go from the pipe to the file by splice(2) on libuv's pool (log-move.h): a disk that is slow, or a writer that
 * holds the pipe's lock, makes a thread of the pool wait and never the loop. At most LOG_MAX_MOVES logs are moved at once,
 * LOG_MOVE_MAX bytes each, in turns; a writer that is faster waits in its pipe. Offsets only grow: what is dropped at the
 * limit becomes a hole. A byte is either in the pipe or in the file at any moment, so that a killed service loses none.
 *
 * A disk that takes no more: the output is thrown away and counted, the process goes on. Readers get OUTPUT_LOST where it
 * began; when the disk takes bytes again, a line in the log says how many are missing.
 *
 * Owner: refcounted; the sandbox holds one reference until it is pruned, each open stream one, a move under way one.
 */
#ifndef CWS_RUNTIME_LOG_FILE_H
#define CWS_RUNTIME_LOG_FILE_H

#include "runtime/log-index.h"
#include "runtime/log-move.h"
#include "runtime/room.h"

#define LOG_MAX_MOVES \
    2 /* chosen: of the pool's four threads, so that a bad disk leaves two for other work */

struct log_file {
    struct runtime *rt; /* NULL once dropped */
    unsigned n_refs;
    char id[LAUNCH_MAX_ID];
    char *path;
    struct fd_watch pipe;       /* fd -1: closed */
    uint64_t end_ticket;        /* 0: somebody may write; else the move that is the last */
    struct list queue_link;     /* rt->log_queue: waits for its move */
    bool moving;                /* `move` is under way */
    bool keep;                  /* the file stays when the object goes */
    uint64_t n_started, n_done; /* moves */
    uint64_t size;              /* as far as the file is filled */
    uint64_t start;             /* what lies before was dropped */
    uint64_t charged;           /* of rt->log_bytes: what the log has on disk */
    uint64_t change_ns;         /* monotonic time of the last growth; 0: none */
    uint64_t lost_bytes;        /* thrown away since the end of the file, not yet told in it */
    int lost_error;             /* errno, why */
    struct log_index index;
    struct list readers; /* struct log_stream.reader_link */
    struct list waiters; /* struct log_waiter */
    struct log_move move;
};

struct log_waiter {
    struct list link; /* zeroed: not waiting */
    uint64_t ticket;
    void (*cb)(struct log_waiter *w);
};

int logs_open(struct runtime *rt, struct err *err);
void logs_close(struct runtime *rt);
/** log_file_new() - @ret_fd: where the main process writes. Its other end is log->pipe.fd. */
int log_file_new(struct runtime *rt, const char *id, struct log_file **ret, int *ret_fd,
                 struct err *err);
/** log_file_end() - every process that could write is gone. Accepts NULL. */
void log_file_end(struct log_file *log);
/** log_file_restore() - the log of a sandbox of an earlier service, closed: the time of its last byte is the time of all. */
int log_file_restore(struct runtime *rt, const char *id, struct log_file **ret,
                     struct err *err);
/** log_file_adopt() - @take_pipe is where the rest of it comes from. 0, -errno. */
int log_file_adopt(struct log_file *log, int take_pipe);
/** logs_remove_stale() - files of no sandbox, once those of the ledger are known. */
void logs_remove_stale(struct runtime *rt);
/** log_file_drop() - the sandbox's reference; the file is removed unless it is to be kept (@keep). Accepts NULL. */
void log_file_drop(struct log_file *log, bool keep);
struct log_file *log_file_ref(struct log_file *log);
void log_file_unref(struct log_file *log);
/** log_file_flush() - true: @w->cb comes, from the loop, when all that was written before is in the file. False: it is. */
bool log_file_flush(struct log_file *log, struct log_waiter *w);
void log_waiter_cancel(struct log_waiter *w);
/** log_file_is_closed() - nothing more comes. */
bool log_file_is_closed(const struct log_file *log);

#endif
