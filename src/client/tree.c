/*
 * Trees between the local disk and a sandbox: a FILE_PACK or a FILE_UNPACK, and a thread that moves its bytes (base/tree.h), because
 * the loop never waits for a disk. The public handle is a struct tree_op, which ends when both have.
 *
 * The thread holds a reference to it and ends by itself: when the handle is done before (cancelled, or the client was closed), the
 * transfer is cancelled with it (settled), and then the reader or the writer says so. In the child of a fork() there is no
 * such thread, and the handle is a closed one.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/tree.h"
#include "client/file-op.h"

struct tree_op {
    struct cws_op op;
    struct file_op *f;         /* [const] reference */
    char *local;               /* [const] */
    const char *label;         /* [const] static */
    bool upload;               /* [const] */
    bool remote_failed;        /* [thread] the other end did: f->op knows why */
    struct cws_chunk chunk;    /* [thread] of a download */
    size_t at;                 /* [thread] of `chunk` */
    struct tree_sink sink;     /* [thread] */
    struct tree_source source; /* [thread] */
    union {
        struct tree_sender sender;
        struct tree_receiver receiver;
    } work; /* [thread] */
};

static void tree_settled(struct cws_op *op)
{
    struct tree_op *t = CONTAINER_OF(op, struct tree_op, op);
    (void)cws_op_cancel(&t->f->op); /* harmless when it is over */
}

static void tree_free(struct cws_op *op)
{
    struct tree_op *t = CONTAINER_OF(op, struct tree_op, op);
    op_done_memory(op);
    cws_op_unref(&t->f->op);
    free(t->local);
    free(t);
}

/* It is never on the loop: it has no begin, and no cancel. */
static const struct op_class tree_class = {.settled = tree_settled, .free = tree_free};

/* ---- the thread ---- */

static void wait_for(cws_op *op)
{
    while (cws_op_wait(op, CWS_FOREVER) != CWS_WAIT_DONE) {
    }
}

static int on_write(struct tree_sink *sink, const void *data, size_t n)
{
    struct tree_op *t = CONTAINER_OF(sink, struct tree_op, sink);
    cws_op *write = cws_writer_write(&t->f->in, data, n, NULL);
    if (write)
        wait_for(write);
    t->remote_failed = !write || cws_op_error(write);
    cws_op_unref(write);
    return t->remote_failed ? -EPIPE : 0;
}

static ssize_t on_read(struct tree_source *source, void *data, size_t n)
{
    struct tree_op *t = CONTAINER_OF(source, struct tree_op, source);
    const cws_error *error;
    cws_read_result r = CWS_READ_DATA;
    while (t->at == t->chunk.size) {
        cws_chunk_release(&t->chunk);
        t->chunk = (cws_chunk){0};
        t->at = 0;
        do {
            r = cws_reader_read(&t->f->out, CWS_FOREVER, &t->chunk, &error);
        } while (r == CWS_READ_INTERRUPTED || r == CWS_READ_TIMEOUT);
        if (r == CWS_READ_END)
            return 0;
        t->remote_failed = r == CWS_READ_ERROR;
        if (t->remote_failed)
            return -EPIPE;
    }
    n = MIN(n, t->chunk.size - t->at);
    memcpy(data, t->chunk.data + t->at, n);
    t->at += n;
    return (ssize_t)n;
}

static struct cws_error *local_error(const struct tree_op *t, const char *within,
                                     const char *why)
{
    struct cws_error *e = error_new(CWS_E_FILE, "%s: `%s%s%s`: %s", t->label, t->local,
                                    *within ? "/" : "", within, why);
    error_add_reason(e, "CWSANDBOX_FILE_IO_FAILED");
    error_add_filepath(e, t->local);
    error_add_sandbox_id(e, sandbox_id_borrow(t->f->sb));
    return e;
}

static struct cws_error *fault_error(const struct tree_op *t, const struct tree_fault *f)
{
    char detail[128]; /* strerror_r texts of glibc and musl are under 80 bytes */
    return local_error(t, f->path,
                       f->why ? f->why : strerror_r(f->error, detail, sizeof(detail)));
}

static struct cws_error *errno_error(const struct tree_op *t, int error)
{
    return fault_error(t, &(struct tree_fault){.error = error});
}

static struct cws_error *send_tree(struct tree_op *t)
{
    CLEANUP_FD int fd = open(t->local, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno_error(t, errno);
    if (tree_send(&t->work.sender, fd, &t->sink) < 0)
        return t->remote_failed ? NULL : fault_error(t, &t->work.sender.fault);
    cws_op *close = cws_writer_close(&t->f->in, NULL);
    cws_op_unref(close); /* NULL: the other end is gone, and says why */
    return NULL;
}

/* Nothing is made here before the first byte has come. */
static struct cws_error *receive_tree(struct tree_op *t)
{
    if (on_read(&t->source, NULL, 0) < 0 || t->chunk.size == 0)
        return NULL;
    bool made = mkdir(t->local, 0777) == 0;
    if (!made && errno != EEXIST)
        return errno_error(t, errno);
    CLEANUP_FD int fd = open(t->local, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno_error(t, errno);
    enum tree_flags flags = TREE_LINKS_WITHIN | (made ? TREE_TOP_MADE : 0);
    int r = tree_receive(&t->work.receiver, fd, &t->source, flags);
    return r < 0 && !t->remote_failed ? fault_error(t, &t->work.receiver.fault) : NULL;
}

/* The stream of a download that failed in the sandbox just ends: what is said there counts more than that it was cut. */
static bool stream_was_cut(const struct tree_op *t)
{
    return !t->upload && t->work.receiver.fault.why && t->work.receiver.fault.path[0] == 0;
}

static void finish(struct tree_op *t, struct cws_error *take)
{
    if (take && !stream_was_cut(t))
        (void)cws_op_cancel(&t->f->op);
    wait_for(&t->f->op);
    const struct cws_error *theirs = t->f->op.result.error;
    bool first = take && (!theirs || theirs->kind == CWS_E_CANCELLED);
    struct cws_error *e = first ? error_ref(take) : error_ref((struct cws_error *)theirs);
    error_unref(take);
    (void)op_complete(&t->op, (struct op_result){.error = e});
}

static void *thread_main(void *arg)
{
    struct tree_op *t = arg;
    struct cws_error *e = t->upload ? send_tree(t) : receive_tree(t);
    finish(t, e);
    cws_chunk_release(&t->chunk);
    cws_op_unref(&t->op);
    return NULL;
}

/* Signals are for threads of the program. */
static int start_thread(struct tree_op *t)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int r = pthread_attr_init(&attr);
    if (r != 0)
        return -r;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    (void)cws_op_ref(&t->op);
    r = pthread_create(&thread, &attr, thread_main, t);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (r != 0)
        cws_op_unref(&t->op);
    return -r;
}

/* ---- the public calls ---- */

/* Takes @take_f. */
static struct tree_op *tree_new(struct file_op *take_f, const char *local, cws_error **error)
{
    struct tree_op *t = calloc(1, sizeof(*t));
    char *copy = strdup(local);
    if (!t || !copy) {
        free(t);
        free(copy);
        cws_op_unref(&take_f->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&t->op, &tree_class, take_f->sb->client);
    t->f = take_f;
    t->local = copy;
    t->label = take_f->way.label;
    t->upload = take_f->kind == FILE_UNPACK;
    t->sink.write = on_write;
    t->source.read = on_read;
    return t;
}

static cws_op *start(cws_sandbox *sb, bool upload, const char *local, const char *remote,
                     const cws_file_options *options, cws_error **error)
{
    if (!local || !*local) {
        (void)error_set(error, CWS_E_INVALID, "the local path is empty");
        return NULL;
    }
    struct file_op *f = file_new(sb, upload ? FILE_UNPACK : FILE_PACK, remote, options, error);
    if (!f)
        return NULL;
    f->word = upload ? "unpack" : "pack";
    struct tree_op *t = tree_new(f, local, error);
    if (!t)
        return NULL;
    if (op_submit(&f->op, error) < 0) {
        cws_op_unref(&t->op);
        return NULL;
    }
    int r = start_thread(t);
    if (r < 0) {
        char detail[128];
        (void)op_fail(&t->op, error_new(CWS_E_GENERIC, "%s: start a thread: %s", t->label,
                                        strerror_r(-r, detail, sizeof(detail))));
    }
    return &t->op;
}

cws_op *cws_sandbox_upload_dir(cws_sandbox *sb, const char *local, const char *remote,
                               const cws_file_options *options, cws_error **error)
{
    return start(sb, true, local, remote, options, error);
}

cws_op *cws_sandbox_download_dir(cws_sandbox *sb, const char *remote, const char *local,
                                 const cws_file_options *options, cws_error **error)
{
    return start(sb, false, local, remote, options, error);
}
