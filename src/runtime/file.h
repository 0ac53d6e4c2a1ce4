/*
 * One request for a file in a sandbox: a child of init copies the file through a pipe (initproto.h, READ and WRITE), so that
 * no inode of the sandbox ever comes here. The struct is embedded in its starter, zeroed but for the upper part, and must
 * stay until @cb, which comes exactly once and from the loop.
 *
 *   waiting (FILE_MAX_COPIES of this sandbox are under way) -> copying -> told
 *
 * A file that is larger than the pipe is moved in pieces, FILE_PIECE in one turn of the loop.
 */
#ifndef CWS_RUNTIME_FILE_H
#define CWS_RUNTIME_FILE_H

#include "base/budget.h"
#include "runtime/room.h"

#define FILE_MAX_COPIES 16 /* chosen: each is a process of the sandbox */
#define FILE_PIECE 262144  /* chosen: 50 us to copy */

struct file_job {
    struct runtime *rt;
    struct sandbox *sb; /* borrowed: the starter holds a reference */
    const char *path;   /* borrowed */
    bool write;
    uint32_t mode_bits;    /* of a created file; parents are made 0755 */
    uint64_t max_bytes;    /* read */
    struct buf content;    /* written, or what was read */
    struct budget *budget; /* pays for what was read; NULL: nobody */
    size_t charged;
    void (*cb)(struct file_job *job, const struct err *why /* NULL = fine */);

    struct list link; /* sandbox.file_jobs while waiting */
    struct control_call call;
    struct deferred failed; /* could not even be sent */
    struct fd_watch watch;  /* our end of the pipe; fd -1: closed */
    uint64_t size_bytes;    /* of the content that is written */
    struct init_packet result;
    bool has_result, big, killed;
    struct err err;
};

void file_job_start(struct file_job *job);
/** file_job_cancel() - ends it; @cb still comes, with an error or, when it was faster, without. */
void file_job_cancel(struct file_job *job);
/** file_jobs_run() - starts those that may; call when the cell is gone, too. */
void file_jobs_run(struct sandbox *sb);

#endif
