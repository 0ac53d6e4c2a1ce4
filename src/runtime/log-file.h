/*
 * The log of a main process: a file the process itself appends to, so no byte passes through
 * the service.
 *
 * One inotify watch on the directory tells of every write. On each: the size is noted with the
 * time (log-index.h), the oldest part is punched out when more than log_max_bytes is kept
 * (offsets in the file stay as they are), and the readers are woken. The file belongs to a
 * hostile writer, who can also cut it or make it sparse: readers cope, sizes are not believed
 * beyond that.
 *
 * Owner: refcounted; the sandbox holds one reference until it is pruned, each open stream one.
 * The runtime's table lists those that are still written to or readable by name.
 */
#ifndef CWS_RUNTIME_LOG_FILE_H
#define CWS_RUNTIME_LOG_FILE_H

#include "runtime/log-index.h"
#include "runtime/room.h"

struct log_file {
    struct runtime *rt; /* NULL once dropped */
    unsigned n_refs;
    char name[LAUNCH_MAX_ID + 8]; /* "<id>.log" */
    uint64_t size;                /* at the last look */
    uint64_t start;               /* what lies before was dropped */
    uint64_t change_ns;           /* monotonic time of the last growth seen; 0: none */
    struct log_index index;
    struct list readers; /* struct log_stream.reader_link */
};

int logs_open(struct runtime *rt, struct err *err);
void logs_close(struct runtime *rt);
/** log_file_new() - @ret_fd: where the main process writes. */
int log_file_new(struct runtime *rt, const char *id, struct log_file **ret, int *ret_fd,
                 struct err *err);
/** log_file_drop() - the sandbox's reference; the file is removed. Accepts NULL. */
void log_file_drop(struct log_file *log);
struct log_file *log_file_ref(struct log_file *log);
void log_file_unref(struct log_file *log);
/** log_file_append() - one line by the service itself. */
void log_file_append(struct log_file *log, const char *text);
/** log_file_open() - for reading; -errno. */
int log_file_open(const struct log_file *log);
/** log_file_look() - size, times and limit brought up to date. */
void log_file_look(struct log_file *log);

#endif
