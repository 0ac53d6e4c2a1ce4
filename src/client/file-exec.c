/*
 * File transfers through a command in the sandbox.
 *
 * A service that takes the words of base/files-words.h needs no program of the sandbox for it. Elsewhere scripts do what one
 * file needs:
 *
 * A streamed read needs the file's size to notice a truncation. A foreign service is asked by a
 * command of its own, as the contract has it; ours runs one script that reports the size on
 * stderr before the content.
 *
 * Missing directories in front of a written file are the service's business. Ours makes them in
 * WriteFile, so a file that is too large for that gets them too.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/files-words.h"
#include "base/util.h"
#include "client/file-exec.h"

/* As the published client. */
#define FILE_STDERR_CAP (16u * 1024)
#define FILE_STREAM_CHECK_FROM (128u * 1024 * 1024)
/* What a foreign service gets on top for the content of a streamed read. */
#define FILE_CAT_MARGIN_NS (5 * NS_PER_SEC)
#define FILE_STAT_TIMEOUT_NS (10 * NS_PER_SEC)

#define EXIT_MISSING 2
#define EXIT_DIRECTORY 3
#define SIZE_PREFIX "size "

/* What cannot be made shows when the file is opened. */
#define MAKE_PARENTS \
    "d=${1%/*}; [ \"$d\" = \"$1\" ] || [ -d \"$d/\" ] || mkdir -p -- \"$d\" 2>/dev/null; "
/* Counted: the end of stdin may not be delivered. */
#define WRITE_CHECKED \
    "head -c \"$2\" > \"$1\" || exit 1; n=$(wc -c < \"$1\") || exit 1; " \
    "[ \"$n\" -eq \"$2\" ] || { echo \"the file has $n bytes, not $2\" >&2; exit 1; }"
#define WRITE_STREAM "cat > \"$1\""
static const char *const write_scripts[] = {WRITE_CHECKED, MAKE_PARENTS WRITE_CHECKED};
static const char *const write_stream_scripts[] = {WRITE_STREAM, MAKE_PARENTS WRITE_STREAM};
#define READ_CHECKS \
    "[ -e \"$1\" ] || { echo 'no such file' >&2; exit 2; }; " \
    "[ ! -d \"$1\" ] || { echo 'is a directory' >&2; exit 3; }; "
static const char read_script[] = READ_CHECKS "exec cat -- \"$1\"";
static const char read_sized_script[] =
    READ_CHECKS "stat -L -c '" SIZE_PREFIX "%s' -- \"$1\" >&2; exec cat -- \"$1\"";
/* Before each of them when the name is not UTF-8: `$1` spells it for printf. The dot keeps newlines at its end. */
static const char spelled_prefix[] = "p=$(printf '%b.' \"$1\"); set -- \"${p%.}\" \"$2\"; ";
static const char stat_script[] = "stat -L -c %s -- \"$1\"";

/* ---- errors ---- */

static struct cws_error *file_error(const struct file_op *f, const char *reason,
                                    const char *text)
{
    struct cws_error *e =
        error_new(CWS_E_FILE, "%s: `%s`: %s", f->exec.spec.label, f->path, text);
    if (reason)
        error_add_reason(e, reason);
    error_add_filepath(e, f->path);
    error_add_sandbox_id(e, sandbox_id_borrow(f->sb));
    return e;
}

static char *stderr_line(const struct file_op *f)
{
    const char *text = buf_len(&f->stderr_text) ? (const char *)buf_head(&f->stderr_text) : "";
    int n = (int)buf_len(&f->stderr_text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    return str_dup_printf("%.*s%s", n, text, f->stderr_cut ? " [truncated]" : "");
}

/* "REASON path: text", of init's own child. */
static struct cws_error *words_error(const struct file_op *f, const char *but)
{
    static const char *const reasons[][2] = {
        {FILES_NOT_FOUND, "CWSANDBOX_FILE_NOT_FOUND"},
        {FILES_IS_DIRECTORY, "CWSANDBOX_FILE_IS_DIRECTORY"},
        {FILES_PERMISSION_DENIED, "CWSANDBOX_FILE_PERMISSION_DENIED"},
    };
    CLEANUP_FREE char *said = stderr_line(f);
    const char *reason = "CWSANDBOX_FILE_IO_FAILED";
    size_t n = said ? strcspn(said, " ") : 0;
    for (size_t i = 0; said && i < ARRAY_SIZE(reasons); i++)
        if (strlen(reasons[i][0]) == n && memcmp(reasons[i][0], said, n) == 0)
            reason = reasons[i][1];
    struct cws_error *e =
        error_new(CWS_E_FILE, "%s: %s%s", f->exec.spec.label,
                  said && said[n] ? said + n + 1 : "it ended without a word", but);
    error_add_reason(e, reason);
    error_add_filepath(e, f->path);
    error_add_sandbox_id(e, sandbox_id_borrow(f->sb));
    return e;
}

static struct cws_error *too_large_error(const struct file_op *f)
{
    struct cws_error *e = file_error(f, "CWSANDBOX_FILE_TOO_LARGE",
                                     "more than a call that returns it may hold, 256 MiB");
    error_add_metadata(e, "filepath", "%s", f->path);
    error_add_metadata(e, "max_size_bytes", "%u", FILE_BUFFERED_CEILING);
    return e;
}

static struct cws_error *read_exit_error(const struct file_op *f, int exit_code)
{
    CLEANUP_FREE char *said = stderr_line(f);
    CLEANUP_FREE char *text = str_dup_printf("reading ended with exit code %d%s%s", exit_code,
                                             said && *said ? ": " : "", said ? said : "");
    const char *reason = "CWSANDBOX_FILE_IO_FAILED";
    bool mapped = f->exec.spec.n_argv > 3; /* /bin/cat alone has no such codes */
    if (mapped && exit_code == EXIT_MISSING)
        reason = "CWSANDBOX_FILE_NOT_FOUND";
    else if (mapped && exit_code == EXIT_DIRECTORY)
        reason = "CWSANDBOX_FILE_IS_DIRECTORY";
    return file_error(f, reason, text ? text : "reading failed");
}

static struct cws_error *truncated_error(const struct file_op *f)
{
    struct cws_error *e = file_error(f, "CWSANDBOX_FILE_TRUNCATED", "the content ended early");
    error_add_metadata(e, "filepath", "%s", f->path);
    error_add_metadata(e, "operation",
                       f->kind == FILE_READ ? "read_file" : "read_file_streaming");
    error_add_metadata(e, "size_bytes", "%" PRIu64, f->expected);
    error_add_metadata(e, "bytes_delivered", "%" PRIu64, f->delivered);
    return e;
}

/* NULL when the read is good. Takes @take. */
static struct cws_error *read_verdict(const struct file_op *f, int exit_code,
                                      struct cws_error *take)
{
    if (take && f->too_large) {
        error_unref(take);
        return too_large_error(f);
    }
    if (take)
        return take;
    if (exit_code != 0)
        return f->exec.spec.files ? words_error(f, "") : read_exit_error(f, exit_code);
    bool check = f->kind == FILE_READ || f->expected >= FILE_STREAM_CHECK_FROM;
    return check && f->delivered < f->expected ? truncated_error(f) : NULL;
}

/* Without the label that file_error() puts in front once more. */
static const char *message_alone(const struct file_op *f, const struct cws_error *e)
{
    const char *text = cws_error_message(e);
    size_t n = strlen(f->way.label);
    bool labelled = strncmp(text, f->way.label, n) == 0 && strncmp(text + n, ": ", 2) == 0;
    return labelled ? text + n + 2 : text;
}

static struct cws_error *write_verdict(const struct file_op *f, int exit_code,
                                       struct cws_error *take)
{
    if (!take && exit_code == 0)
        return NULL;
    bool begun = f->exec.deadline_ns > 0; /* else the target is as it was */
    if (take && (take->kind == CWS_E_STREAM_BACKPRESSURE || take->kind == CWS_E_VALIDATION ||
                 take->immortal || !begun))
        return take;
    if (!take && f->exec.spec.files)
        return words_error(f, f->kind == FILE_CHANGE ? "" : "; the target may be partial");
    CLEANUP_FREE char *said = stderr_line(f);
    CLEANUP_FREE char *text = NULL;
    if (take)
        text = str_dup_printf("%s; the target may be partial", message_alone(f, take));
    else
        text = str_dup_printf("writing ended with exit code %d%s%s; the target may be partial",
                              exit_code, said && *said ? ": " : "", said ? said : "");
    struct cws_error *e =
        file_error(f, NULL, text ? text : "writing failed; the target may be partial");
    if (take)
        error_add_cause(e, take);
    error_unref(take);
    return e;
}

/* ---- events of the command ---- */

static int keep_stderr(struct file_op *f, const uint8_t *data, size_t n)
{
    size_t room = FILE_STDERR_CAP - buf_len(&f->stderr_text);
    f->stderr_cut |= n > room;
    return room ? buf_put(&f->stderr_text, data, MIN(n, room)) : 0;
}

/* The size line of our own script; what follows it on stderr stays. */
static void take_size_line(struct file_op *f)
{
    struct buf *b = &f->stderr_text;
    const uint8_t *end = buf_len(b) ? memchr(buf_head(b), '\n', buf_len(b)) : NULL;
    size_t prefix = strlen(SIZE_PREFIX);
    if (!end || buf_len(b) < prefix || memcmp(buf_head(b), SIZE_PREFIX, prefix) != 0)
        return;
    size_t line = (size_t)(end - buf_head(b));
    CLEANUP_FREE char *digits = strndup((const char *)buf_head(b) + prefix, line - prefix);
    if (digits)
        (void)parse_u64(digits, UINT64_MAX, &f->expected);
    buf_consume(b, line + 1);
}

static int on_output(struct exec *x, cws_stream stream, const uint8_t *data, size_t n)
{
    struct file_op *f = CONTAINER_OF(x, struct file_op, exec);
    if (stream == CWS_STDERR)
        return keep_stderr(f, data, n);
    if (f->probing || f->kind == FILE_READ || f->kind == FILE_LIST) {
        f->delivered += n;
        f->too_large = f->delivered > FILE_BUFFERED_CEILING;
        if (f->too_large)
            return -ENOMEM; /* ends it; read_verdict() has the words */
        return buf_put(&f->content, data, n);
    }
    if (!file_streams_out(f))
        return 0;
    f->delivered += n;
    struct chunk *c = chunk_new(data, n);
    if (!c)
        return -ENOMEM;
    if (reader_push(&f->out, c))
        rpc_pause(&x->rpc);
    return 0;
}

static void on_done(struct exec *x, int exit_code, struct cws_error *take_error)
{
    struct file_op *f = CONTAINER_OF(x, struct file_op, exec);
    if (f->probing) {
        error_unref(take_error); /* best effort */
        return;
    }
    take_size_line(f);
    bool reading = f->kind == FILE_READ || f->kind == FILE_LIST || file_streams_out(f);
    file_finish(f, reading ? read_verdict(f, exit_code, take_error)
                           : write_verdict(f, exit_code, take_error));
}

static void stream_after_probe(struct file_op *f);

static void on_closed(struct exec *x)
{
    struct file_op *f = CONTAINER_OF(x, struct file_op, exec);
    if (f->probing && !op_is_done(&f->op))
        stream_after_probe(f);
    else
        op_end(&f->op);
}

static const struct exec_events exec_events = {
    .on_output = on_output, .on_done = on_done, .on_closed = on_closed};

/* ---- the commands ---- */

/* A command would take it from the directory that it happens to start in. */
static void refuse_relative(struct file_op *f)
{
    struct cws_error *e =
        error_new(CWS_E_VALIDATION, "%s: %s`%s` is not an absolute path", f->way.label,
                  f->kind < FILE_LIST ? "filepath: " : "", f->path);
    error_add_filepath(e, f->path);
    error_add_sandbox_id(e, sandbox_id_borrow(f->sb));
    file_finish(f, e);
    op_end(&f->op);
}

static void refuse_nomem(struct file_op *f)
{
    file_finish(f, &error_nomem);
    op_end(&f->op);
}

static int spell(struct file_op *f, const char *script)
{
    free(f->spelled);
    free(f->spelled_script);
    f->spelled = file_spell(f->path);
    f->spelled_script = str_dup_printf("%s%s", spelled_prefix, script);
    return f->spelled && f->spelled_script ? 0 : -ENOMEM;
}

static const char *word_of(const struct file_op *f)
{
    return f->word                                               ? f->word
           : f->kind == FILE_READ || f->kind == FILE_READ_STREAM ? "read"
                                                                 : "write";
}

static size_t fill_argv(struct file_op *f, const char *script, bool words)
{
    size_t n = 0;
    f->argv[n++] = (char *)(words ? FILES_PROGRAM : script ? "/bin/sh" : "/bin/cat");
    f->argv[n++] = (char *)(words ? word_of(f) : script ? "-c" : "--");
    if (script && !words) {
        f->argv[n++] = (char *)script;
        f->argv[n++] =
            (char *)"cwsandbox-file"; /* $0: what the shell's own messages begin with */
    }
    f->argv[n++] = f->spelled ? f->spelled : f->path;
    if (f->kind == FILE_WRITE)
        f->argv[n++] = f->size_text;
    if (f->word_argument)
        f->argv[n++] = f->word_argument;
    return n;
}

/* @script NULL: cat itself. */
static void run(struct file_op *f, const char *script, bool with_stdin, uint64_t timeout_ns)
{
    if (f->path[0] != '/') {
        refuse_relative(f);
        return;
    }
    bool words = f->word || f->sb->conn->exec_files;
    bool nameable = utf8_valid(f->path, strlen(f->path));
    if (!nameable && spell(f, script ? script : read_script) < 0) {
        refuse_nomem(f);
        return;
    }
    size_t n = fill_argv(f, nameable ? script : f->spelled_script, words);
    f->exec = (struct exec){
        .events = &exec_events,
        .sb = f->sb,
        .in = with_stdin ? &f->in : NULL,
        .spec = {.argv = f->argv,
                 .n_argv = n,
                 .timeout_ns = timeout_ns,
                 .label = f->way.label,
                 .filepath = f->path,
                 .user = f->user,
                 .files = words,
                 .container = f->container},
    };
    exec_start(&f->exec);
}

void file_exec_read(struct file_op *f)
{
    if (f->expected && buf_reserve(&f->content, (size_t)f->expected) < 0) {
        refuse_nomem(f);
        return;
    }
    run(f, read_script, false, f->timeout_ns);
}

void file_exec_write(struct file_op *f)
{
    (void)snprintf(f->size_text, sizeof(f->size_text), "%" PRIu64, f->size);
    cws_op *write = NULL;
    bool queued = buf_len(&f->content) == 0; /* it is in the writer already */
    if (!queued)
        write = cws_writer_write(&f->in, buf_head(&f->content), buf_len(&f->content), NULL);
    buf_done(&f->content);
    cws_op *close = queued || write ? cws_writer_close(&f->in, NULL) : NULL;
    if (!close) {
        cws_op_unref(write);
        refuse_nomem(f);
        return;
    }
    cws_op_unref(write);
    cws_op_unref(close);
    run(f, write_scripts[f->sb->conn->ours], true, f->timeout_ns);
}

static uint64_t time_left(const struct file_op *f)
{
    uint64_t now_ns = clock_now_ns();
    return f->deadline_ns > now_ns ? f->deadline_ns - now_ns : 1;
}

static void stream_after_probe(struct file_op *f)
{
    if (buf_put(&f->content, "", 1) == 0) {
        char *text = (char *)buf_head(&f->content);
        text[strcspn(text, "\n")] = '\0';
        (void)parse_u64(text, UINT64_MAX, &f->expected);
    }
    buf_done(&f->content);
    buf_done(&f->stderr_text);
    f->probing = f->stderr_cut = false;
    f->delivered = 0;
    if (clock_now_ns() < f->deadline_ns) {
        run(f, NULL, false, time_left(f) + FILE_CAT_MARGIN_NS);
        return;
    }
    struct cws_error *e =
        error_new(CWS_E_TIMEOUT, "%s: `%s`: asking for its size took all the time",
                  f->way.label, f->path);
    error_add_sandbox_id(e, sandbox_id_borrow(f->sb));
    file_finish(f, e);
    op_end(&f->op);
}

static void on_stream_ready(struct sb_ready *way, struct cws_error *error)
{
    struct file_op *f = CONTAINER_OF(way, struct file_op, way);
    CLEANUP_ERR struct err err = {0};
    struct cws_error *e = error_ref(error);
    if (!e && !sandbox_conn(f->sb, &err))
        e = error_from_local(&err);
    if (e) {
        file_finish(f, e);
        op_end(&f->op);
    } else if (f->word) {
        run(f, NULL, f->kind == FILE_UNPACK, f->timeout_ns);
    } else if (f->kind == FILE_WRITE_STREAM) {
        run(f, write_stream_scripts[f->sb->conn->ours], true, f->timeout_ns);
    } else if (f->sb->conn->ours) {
        run(f, read_sized_script, false, time_left(f));
    } else {
        f->probing = true;
        run(f, stat_script, false, MIN(FILE_STAT_TIMEOUT_NS, time_left(f)));
    }
}

void file_exec_stream(struct file_op *f)
{
    f->way.done = on_stream_ready;
    sb_ready_begin(&f->way);
}
