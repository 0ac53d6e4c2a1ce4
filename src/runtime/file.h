/*
 * One request for a file in a sandbox: OPEN by init, then the content through the descriptor.
 * The struct is embedded in its starter, zeroed but for the upper part, and must stay until
 * @cb, which comes exactly once and from the loop.
 */
#ifndef CWS_RUNTIME_FILE_H
#define CWS_RUNTIME_FILE_H

#include "runtime/room.h"

struct file_job {
    struct runtime *rt;
    struct sandbox *sb; /* borrowed: the starter holds a reference */
    struct control *control;
    const char *path; /* borrowed */
    bool write;
    uint32_t mode_bits; /* of a created file; parents are made 0755 */
    uint64_t max_bytes; /* read */
    struct buf content; /* written, or what was read */
    void (*cb)(struct file_job *job, const struct err *why /* NULL = fine */);

    struct control_call call;
    struct deferred failed; /* could not even be sent */
    uv_work_t work;
    int fd;
    struct err err;
};

void file_job_start(struct file_job *job);

#endif
