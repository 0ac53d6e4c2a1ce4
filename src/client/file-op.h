/*
 * file_op: a file on its way. read_file and write_file are one unary call each, with a
 * fall-back through a command in the sandbox when the service finds the file too large for a
 * message, or another user shall do it, or a name is not UTF-8, which no string of a message can hold; the streaming forms and
 * everything about names always use a command.
 *
 * files.c: the public calls on one file and the unary part. file-exec.c: the commands. file-words.c: the public calls on
 * names. tree.c: trees, which a thread of their own moves between the local disk and a FILE_PACK or a FILE_UNPACK.
 */
#ifndef CWS_CLIENT_FILE_OP_H
#define CWS_CLIENT_FILE_OP_H

#include "client/exec.h"
#include "client/hint.h"
#include "client/reader.h"

enum file_kind {
    FILE_READ,
    FILE_WRITE,
    FILE_READ_STREAM,
    FILE_WRITE_STREAM,
    FILE_LIST, /* and stat: the words say which; the result is what they print */
    FILE_CHANGE,
    FILE_PACK,   /* as FILE_READ_STREAM */
    FILE_UNPACK, /* as FILE_WRITE_STREAM */
    FILE_KIND_MAX,
};

struct file_op {
    struct cws_op op;
    enum file_kind kind;    /* [const] */
    struct cws_sandbox *sb; /* [const] reference */
    char *path;             /* [const] */
    char *container;        /* [const] NULL = the primary one */
    char *user;             /* [const] NULL = root */
    const char *word;       /* [const] of base/files-words.h, from FILE_LIST on; static */
    char *word_argument;    /* [const] what follows the path, or NULL */
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
    bool too_large;         /* [loop] more came than a caller's buffer may hold */
    bool probing;           /* [loop] the size probe of a stream runs */
    uint64_t delivered;     /* [loop] */
    uint64_t expected;      /* [loop] 0 = not known */
};

/** file_finish() - [loop] complete (takes @take), tell reader and writer. op_end() is the
 * caller's. */
void file_finish(struct file_op *f, struct cws_error *take);

/** file_streams_out() - its bytes go out by a reader. */
static inline bool file_streams_out(const struct file_op *f)
{
    return f->kind == FILE_READ_STREAM || f->kind == FILE_PACK;
}
/** file_spell() - the bytes of a name as octal numbers, which every string of a message can hold; NULL: out of memory. */
char *file_spell(const char *path);
/** file_new() - checks the arguments; NULL with *@error. file_submit() takes it, and is NULL with *@error when it cannot begin. */
struct file_op *file_new(struct cws_sandbox *sb, enum file_kind kind, const char *path,
                         const cws_file_options *options, cws_error **error);
struct file_op *file_submit(struct file_op *f, cws_error **error);

/* As the published client. */
#define FILE_BUFFERED_CEILING (256u * 1024 * 1024)

#endif
