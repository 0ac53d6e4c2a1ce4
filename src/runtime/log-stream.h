/*
 * Reading a log: struct log_stream (one call) and struct log_session (what a later call may
 * resume).
 *
 *   waiting (sandbox not running yet) -> grace (its main process is younger than LOG_GRACE_NS; only without follow)
 *   -> flushing (what was written so far gets into the file) -> seeking (tail_lines, since) -> reading -> ended
 *
 * The file is opened, searched and read on libuv's pool (log-read.h), one job of a stream at a time. A reader that is
 * overtaken by the limit of the log goes on at the oldest line that is kept, behind a line that says how much it missed.
 *
 * Offsets count the bytes sent in the session, prefixes included. To
 * find the place in the file again a session keeps marks: (sent, position in the file). Between
 * marks a resumed stream renders again and drops what the reader has.
 *
 * A session's name tells its first mark, so that the next daemon, which knows none of them, can go on: nothing is kept of it,
 * and a name that somebody made up reaches nothing but other places of the same log. Told apart are names by their first part.
 */
#ifndef CWS_RUNTIME_LOG_STREAM_H
#define CWS_RUNTIME_LOG_STREAM_H

#include "runtime/log-file.h"
#include "runtime/log-read.h"
#include "runtime/sandbox.h"

#define LOG_GRACE_NS \
    (300 * NS_PER_MS) /* chosen: time a new process gets to say \
                         something */
#define LOG_QUIET_NS \
    (50 * NS_PER_MS) /* and then this long without a word counts as having said it */
#define LOG_SESSION_NS (60 * NS_PER_SEC) /* chosen: the Python client gives up after 8 s */
#define LOG_MAX_SESSIONS 32              /* chosen: kept per sandbox; the oldest go first */
#define LOG_MAX_MARKS 128                /* chosen: then every second one is dropped */

struct log_mark {
    uint64_t sent, position;
    bool line_start;
};

#define LOG_SESSION_NAME 80 /* a UUID, two letters, two numbers in hexadecimal */

struct log_session {
    struct list link; /* sandbox.log_sessions, least recently used first */
    char id[LOG_SESSION_NAME];
    bool timestamps;
    bool in_use;
    uint64_t sent;
    uint64_t expire_ns;
    struct log_mark *marks; /* ascending; the first is where the session began */
    size_t n_marks, cap_marks;
};

/* Its own object: a timer must outlive its stream until it is closed. */
struct log_grace {
    uv_timer_t timer;
    struct log_stream *stream; /* NULL: not wanted any more */
};

struct log_stream {
    struct list link;        /* sandbox.streams */
    struct list reader_link; /* log_file.readers */
    struct sandbox *sb;      /* a reference; NULL once ended */
    struct log_file *log;    /* a reference, or NULL: nothing was ever written */
    struct log_session *session;
    struct log_events events;
    void *user;
    struct sandbox_waiter waiter;
    struct deferred pump;
    struct log_grace *grace;
    struct log_waiter flush;
    struct log_read job;
    bool job_runs;            /* the memory stays */
    struct log_file *job_log; /* its reference */
    bool follow, timestamps, resumed, waited, flushed, reading, seeking, in_gap, paused, ended,
        user_gone, line_start;
    unsigned n_busy;
    uint64_t tail_lines, since_wall_ns;
    uint64_t gap_start;
    uint64_t position, end; /* end: without follow, where to stop */
    uint64_t sent, skip;    /* skip: rendered bytes the reader already has */
    char session_id[LOG_SESSION_NAME];
    const char *refusal; /* in-band error code of an unresumable session */
};

/** log_stream_on_change() - its file grew. */
void log_stream_on_change(struct log_stream *l);
/** log_streams_on_ended() - the sandbox reached a terminal state, or its last process is gone.
 */
void log_streams_on_ended(struct sandbox *sb);
/** log_streams_end_now() - at the close of the runtime. */
void log_streams_end_now(struct sandbox *sb);

/* log-session.c */
void log_sessions_free(struct sandbox *sb);
/** log_session_new() - NULL: out of memory. */
struct log_session *log_session_new(struct sandbox *sb, bool timestamps);
/** log_session_clone() - the same history under a new id: a reader came back before its old call was seen to end. */
struct log_session *log_session_clone(struct sandbox *sb, const struct log_session *from);
/** log_session_find() - also one of an earlier daemon's, by its name; @sent is what the reader has of it. NULL: unknown. */
struct log_session *log_session_find(struct sandbox *sb, const char *id, uint64_t sent);
/** log_session_mark() - the next byte sent is rendered from @position. @jump: which is not where the one before came from. */
void log_session_mark(struct log_session *s, const struct log_mark *mark, bool jump);
/** log_session_seek() - the last mark at or before @sent; NULL: that was never sent. */
const struct log_mark *log_session_seek(const struct log_session *s, uint64_t sent);
void log_session_release(struct sandbox *sb, struct log_session *s);

#endif
