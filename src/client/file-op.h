/*
 * file_op: a file on its way. read_file and write_file are one unary call each, with a
 * fall-back through a command in the sandbox when the service finds the file too large for a
 * message; the streaming forms always use a command, and so does a name that is not UTF-8, which
 * no string of a message can hold.
 *
 * files.c: the public calls and the unary part. file-exec.c: the commands.
 */
#ifndef CWS_CLIENT_FILE_OP_H
#define CWS_CLIENT_FILE_OP_H

#include "client/exec.h"
#include "client/hint.h"
#include "client/reader.h"

enum file_kind { FILE_READ, FILE_WRITE, FILE_READ_STREAM, FILE_WRITE_STREAM };

struct file_op {
    struct cws_op op;
    enum file_kind kind;    /* [const] */
    struct cws_sandbox *sb; /* [const] reference */
    char *path;             /* [const] */
    char *container;        /* [const] NULL = the primary one */
    uint64_t timeout_ns;    /* [const] */
    uint64_t deadline_ns;   /* [const] FILE_READ_STREAM: one budget from the call on */
    uint64_t size;          /* [const] FILE_WRITE: of the content */
    struct cws_reader out;  /* FILE_READ_STREAM */
    struct cws_writer in;   /* FILE_WRITE_STREAM, and what falls back */

    struct sb_ready way;    /* [loop] */
    struct plane_way plane; /* [loop] of what goes in one message */
    bool replayed;          /* [loop] it was sent again */
    struct unary *call;     /* [loop] */
    struct hint hint;       /* [loop] of FILE_READ in one message */
    struct buf content;     /* [loop] to write, or what was read */
    struct exec exec;       /* [loop] */
    char *argv[6];          /* [loop] of `exec` */
    char *spelled;          /* [loop] `path` for a shell, when it is not UTF-8; NULL */
    char *spelled_script;   /* [loop] and the script that takes it */
    char size_text[24];     /* [loop] */
    struct buf stderr_text; /* [loop] */
    bool stderr_cut;        /* [loop] */
    bool probing;           /* [loop] the size probe of a stream runs */
    uint64_t delivered;     /* [loop] */
    uint64_t expected;      /* [loop] 0 = not known */
};

/** file_finish() - [loop] complete (takes @take), tell reader and writer. op_end() is the
 * caller's. */
void file_finish(struct file_op *f, struct cws_error *take);

#endif
