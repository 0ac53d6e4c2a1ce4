/* The public calls on files, and what goes in one message; see file-op.h. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "client/event.h"
#include "client/file-exec.h"

/* As the published client. */
#define FILE_UNARY_CAP (32u * 1024 * 1024)
#define FILE_UNARY_CEILING (99u * 1024 * 1024)

static const char *const labels[] = {
    [FILE_READ] = "Read file",          [FILE_WRITE] = "Write file",
    [FILE_READ_STREAM] = "Read file",   [FILE_WRITE_STREAM] = "Write file",
    [FILE_LIST] = "Look at files",      [FILE_CHANGE] = "Change files",
    [FILE_PACK] = "Download directory", [FILE_UNPACK] = "Upload directory",
};

static void finish_unary(struct file_op *f, struct cws_error *take)
{
    plane_leave(&f->plane, NULL);
    file_finish(f, take);
    op_end(&f->op);
}

/* ---- unary ---- */

/* The largest file that goes in one message. Any thread; may change until the loop asks. */
static uint64_t unary_cap(struct cws_sandbox *sb)
{
    uint64_t learned = atomic_load(&sb->file_cap);
    return learned ? learned : FILE_UNARY_CAP;
}

/* What the service can take in one message is learned from its refusals. 0 = it did not say. */
static uint64_t learn_cap(struct file_op *f, const struct cws_error *e)
{
    const char *text = err_metadata(&e->detail, "max_size_bytes");
    uint64_t cap;
    if (text && parse_u64(text, UINT64_MAX, &cap) == 0 && cap > 0)
        atomic_store(&f->sb->file_cap, MIN(cap, (uint64_t)FILE_UNARY_CEILING));
    text = err_metadata(&e->detail, "size_bytes");
    uint64_t size;
    return text && parse_u64(text, UINT64_MAX, &size) == 0 ? size : 0;
}

static struct cws_error *call_error(const struct file_op *f, const struct err *status)
{
    return error_from_status(status,
                             &(struct error_site){.label = labels[f->kind],
                                                  .sandbox_id = sandbox_id_borrow(f->sb),
                                                  .filepath = f->path});
}

static void on_hint(struct timer *t)
{
    struct hint *h = CONTAINER_OF(t, struct hint, timer);
    plane_choose(&CONTAINER_OF(h, struct file_op, hint)->plane);
}

/* Once: a part of the service went away under a call straight to the sandbox. */
static bool replay(struct file_op *f, const struct cws_error *e)
{
    if (f->replayed || !plane_is_retiring(&f->plane, e))
        return false;
    f->replayed = true;
    f->hint.n_calls++;
    plane_choose(&f->plane);
    return true;
}

static void on_read(void *user, void *reply, const struct err *status)
{
    struct file_op *f = user;
    f->call = NULL;
    plane_leave(&f->plane, status);
    if (status->code == ERR_OK) {
        finish_unary(f, NULL);
        return;
    }
    buf_clear(&f->content);
    struct cws_error *e = call_error(f, status);
    bool too_large = e->kind == CWS_E_FILE && error_reason_is(e, "FILE_TOO_LARGE");
    uint64_t size = too_large ? learn_cap(f, e) : 0;
    if ((too_large && size > 0 && size <= FILE_BUFFERED_CEILING) ||
        e->kind == CWS_E_RESOURCE_EXHAUSTED) {
        error_unref(e);
        f->expected = size;
        file_exec_read(f);
        return;
    }
    bool again =
        f->plane.direct ? replay(f, e) : hint_again(&f->hint, f->op.client, e, on_hint);
    if (again) {
        error_unref(e);
        return;
    }
    finish_unary(f, e);
}

static int on_read_bytes(void *user, const uint8_t *data, size_t n)
{
    struct file_op *f = user;
    struct proto_slice bytes;
    if (n == 0)
        return 0; /* an empty file */
    if (proto_find_bytes(data, n, 1, &bytes))
        return buf_put(&f->content, bytes.data, bytes.n);
    CLEANUP_ERR struct err err = {0};
    CLEANUP_PROTO Pb__ReadFileResponse *msg =
        proto_unpack(&pb__read_file_response__descriptor, data, n, &err);
    if (!msg)
        return err.code == ERR_INVALID_ARGUMENT ? -EBADMSG : -ENOMEM;
    return buf_put(&f->content, msg->content.data, msg->content.len);
}

static void send_read(struct file_op *f)
{
    Pb__ReadFileRequest request = PB__READ_FILE_REQUEST__INIT;
    request.sandbox_id = (char *)sandbox_id_borrow(f->sb);
    request.path = f->path;
    if (f->container)
        request.container = f->container;
    struct unary_call call = {
        .path = PLANE_PATH(&f->plane, "ReadFile"),
        .request = &request,
        .target = f->plane.target,
        .timeout_ns = hint_timeout(&f->hint),
        .idempotent = !f->plane.direct,
        .done = on_read,
        .on_raw = on_read_bytes,
        .user = f,
    };
    f->call = unary_start(f->plane.conn, &call, NULL);
    if (!f->call)
        finish_unary(f, &error_nomem);
}

static bool says_message_too_large(const struct cws_error *e)
{
    const char *text = cws_error_message(e);
    return strcasestr(text, "message") && strcasestr(text, "larger than max");
}

static void on_written(void *user, void *reply, const struct err *status)
{
    struct file_op *f = user;
    f->call = NULL;
    plane_leave(&f->plane, status);
    if (reply) {
        f->sb->file_proven = MAX(f->sb->file_proven, f->size);
        finish_unary(f, NULL);
        return;
    }
    struct cws_error *e = call_error(f, status);
    bool too_large = e->kind == CWS_E_FILE && error_reason_is(e, "FILE_TOO_LARGE");
    if (too_large)
        (void)learn_cap(f, e);
    if ((too_large || (e->kind == CWS_E_RESOURCE_EXHAUSTED && says_message_too_large(e))) &&
        buf_len(&f->content) == f->size) {
        error_unref(e);
        file_exec_write(f);
        return;
    }
    if (buf_len(&f->content) == f->size && replay(f, e)) {
        error_unref(e);
        return;
    }
    finish_unary(f, e);
}

/* The content is sent from its own memory. What the service has taken in this size before need
 * not be kept for the fall-back; else, and for a replay, a copy stays here until the answer. */
static int body_of(struct file_op *f, struct buf *body)
{
    if (f->size > f->sb->file_proven || (f->plane.direct && !f->replayed))
        return buf_put(body, buf_head(&f->content), buf_len(&f->content));
    *body = f->content;
    f->content = (struct buf){0};
    return 0;
}

static void send_write(struct file_op *f)
{
    /* WriteFileRequest{sandbox_id, path} packed, then the tag of `content`; the content itself
     * follows uncopied. */
    Pb__WriteFileRequest request = PB__WRITE_FILE_REQUEST__INIT;
    request.sandbox_id = (char *)sandbox_id_borrow(f->sb);
    request.path = f->path;
    if (f->container)
        request.container = f->container;
    CLEANUP_BUF struct buf packed = {0};
    CLEANUP_BUF struct buf body = {0};
    uint8_t head[PROTO_HEAD_MAX];
    size_t n = proto_head_bytes(head, 3, (size_t)f->size);
    struct unary_call call = {
        .path = PLANE_PATH(&f->plane, "WriteFile"),
        .packed = &packed,
        .reply = &pb__write_file_response__descriptor,
        .target = f->plane.target,
        .timeout_ns = f->timeout_ns,
        .done = on_written,
        .user = f,
    };
    bool ok = proto_pack(&request, &packed) == 0;
    if (ok && f->size > 0)
        ok = buf_put(&packed, head, n) == 0 && body_of(f, &body) == 0;
    if (ok)
        f->call = unary_start(f->plane.conn, &call, f->size > 0 ? &body : NULL);
    if (!f->call)
        finish_unary(f, &error_nomem);
}

static void refuse_size(struct file_op *f)
{
    struct cws_error *e =
        error_new(CWS_E_FILE, "Write file: `%s` would have %llu bytes, more than %u", f->path,
                  (unsigned long long)f->size, FILE_BUFFERED_CEILING);
    error_add_reason(e, "CWSANDBOX_FILE_TOO_LARGE");
    error_add_metadata(e, "size_bytes", "%llu", (unsigned long long)f->size);
    error_add_metadata(e, "max_size_bytes", "%u", FILE_BUFFERED_CEILING);
    error_add_metadata(e, "operation", "write_file");
    error_add_metadata(e, "filepath", "%s", f->path);
    error_add_filepath(e, f->path);
    finish_unary(f, e);
}

static void on_running(struct sb_ready *way, struct cws_error *error)
{
    struct file_op *f = CONTAINER_OF(way, struct file_op, way);
    CLEANUP_ERR struct err err = {0};
    if (error) {
        finish_unary(f, error_ref(error));
        return;
    }
    if (!sandbox_conn(f->sb, &err)) {
        finish_unary(f, error_from_local(&err));
        return;
    }
    bool whole = buf_len(&f->content) == f->size; /* else it was cut into frames already */
    bool nameable = utf8_valid(f->path, strlen(f->path));
    bool by_message = nameable && !f->user; /* whose fields have room for neither */
    if (f->kind == FILE_READ && !by_message) {
        file_exec_read(f);
    } else if (f->kind == FILE_READ) {
        hint_begin(&f->hint, f->timeout_ns);
        plane_choose(&f->plane);
    } else if (f->size > FILE_BUFFERED_CEILING)
        refuse_size(f);
    else if (!whole || !by_message || f->size > unary_cap(f->sb))
        file_exec_write(f);
    else
        plane_choose(&f->plane);
}

static void on_way(struct plane_way *w, struct cws_error *error)
{
    struct file_op *f = CONTAINER_OF(w, struct file_op, plane);
    if (error)
        finish_unary(f, error_ref(error));
    else if (f->kind == FILE_READ)
        send_read(f);
    else
        send_write(f);
}

/* ---- the handle ---- */

static void file_begin(struct cws_op *op)
{
    struct file_op *f = CONTAINER_OF(op, struct file_op, op);
    if (f->kind != FILE_READ && f->kind != FILE_WRITE)
        file_exec_stream(f);
    else
        sb_ready_begin(&f->way);
}

static void file_cancel(struct cws_op *op)
{
    struct file_op *f = CONTAINER_OF(op, struct file_op, op);
    reader_end(&f->out, error_ref(op->result.error));
    writer_fail(&f->in, error_new(CWS_E_EXECUTION, "the transfer was cancelled"));
    sb_ready_cancel(&f->way);
    unary_cancel(f->call);
    f->call = NULL;
    plane_leave(&f->plane, NULL);
    timer_stop(&op->client->loop.timers, &f->hint.timer);
    if (f->exec.sb && !f->exec.closed)
        exec_cancel(&f->exec); /* ends the op when the call is closed */
    else
        op_end(op);
}

static void file_free(struct cws_op *op)
{
    struct file_op *f = CONTAINER_OF(op, struct file_op, op);
    reader_done(&f->out);
    writer_done(&f->in);
    op_done_memory(op);
    buf_done(&f->content);
    buf_done(&f->stderr_text);
    cws_sandbox_unref(f->sb);
    free(f->path);
    free(f->spelled);
    free(f->spelled_script);
    free(f->container);
    free(f->user);
    free(f->word_argument);
    free(f);
}

static const struct op_class file_class = {
    .begin = file_begin, .cancel = file_cancel, .free = file_free};

static void on_in_data(struct cws_writer *w)
{
    struct file_op *f = CONTAINER_OF(w, struct file_op, in);
    if (f->exec.sb)
        exec_pump(&f->exec);
}

static void on_room(struct cws_reader *r)
{
    struct file_op *f = CONTAINER_OF(r, struct file_op, out);
    if (f->exec.sb)
        rpc_resume(&f->exec.rpc);
}

static void on_reader_closed(struct cws_reader *r)
{
    (void)cws_op_cancel(r->owner);
}

static const struct reader_events reader_events = {.on_room = on_room,
                                                   .on_closed = on_reader_closed};

struct file_op *file_new(cws_sandbox *sb, enum file_kind kind, const char *path,
                         const cws_file_options *options, cws_error **error)
{
    static const cws_file_options defaults = {0};
    const cws_file_options *o = options ? options : &defaults;
    if (container_check(o->container, error) < 0 || (o->user && user_check(o->user, error) < 0))
        return NULL;
    if (!path) {
        (void)error_set(error, CWS_E_INVALID, "a file needs a path");
        return NULL;
    }
    if (client_forked(sb->client)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    struct file_op *f = calloc(1, sizeof(*f));
    if (!f) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&f->op, &file_class, sb->client);
    f->kind = kind;
    f->sb = cws_sandbox_ref(sb);
    f->timeout_ns = o->timeout_ns ? o->timeout_ns : sb->times.request_timeout_ns;
    f->deadline_ns = event_deadline(f->timeout_ns);
    sb_ready_init(&f->way, sb, labels[kind], on_running);
    plane_init(&f->plane, sb, kind == FILE_READ ? PLANE_READ : PLANE_WRITE, on_way);
    reader_init(&f->out, &f->op, &reader_events, 0);
    writer_init(&f->in, &f->op, WRITER_FRAME_BYTES, on_in_data);
    f->path = strdup(path);
    if (!f->path || container_dup(o->container, &f->container) < 0 ||
        (o->user && !(f->user = strdup(o->user)))) {
        cws_op_unref(&f->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    return f;
}

struct file_op *file_submit(struct file_op *f, cws_error **error)
{
    if (op_submit(&f->op, error) == 0)
        return f;
    writer_fail(&f->in, &error_nomem); /* lets go of content that was queued already */
    cws_op_unref(&f->op);
    return NULL;
}

cws_op *cws_sandbox_read_file(cws_sandbox *sb, const char *path,
                              const cws_file_options *options, cws_error **error)
{
    struct file_op *f = file_new(sb, FILE_READ, path, options, error);
    f = f ? file_submit(f, error) : NULL;
    return f ? &f->op : NULL;
}

/* Above the cap the content is cut into frames right away, for it will go through a command. */
static int keep_content(struct file_op *f, const void *content, size_t size)
{
    f->size = size;
    if (size > FILE_BUFFERED_CEILING)
        return 0; /* will be refused */
    if (size <= unary_cap(f->sb))
        return size ? buf_put(&f->content, content, size) : 0;
    cws_op *write = cws_writer_write(&f->in, content, size, NULL);
    cws_op_unref(write);
    return write ? 0 : -ENOMEM;
}

cws_op *cws_sandbox_write_file(cws_sandbox *sb, const char *path, const void *content,
                               size_t size, const cws_file_options *options, cws_error **error)
{
    struct file_op *f = file_new(sb, FILE_WRITE, path, options, error);
    if (!f)
        return NULL;
    if (keep_content(f, content, size) < 0) {
        cws_op_unref(&f->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    f = file_submit(f, error);
    return f ? &f->op : NULL;
}

cws_reader *cws_sandbox_read_file_stream(cws_sandbox *sb, const char *path,
                                         const cws_file_options *options, cws_error **error)
{
    struct file_op *f = file_new(sb, FILE_READ_STREAM, path, options, error);
    if (!f)
        return NULL;
    f->out.counted =
        true; /* the program's one reference to the reader is our reference to the op */
    f->out.users = 1;
    f = file_submit(f, error);
    return f ? &f->out : NULL;
}

cws_op *cws_sandbox_write_file_stream(cws_sandbox *sb, const char *path,
                                      const cws_file_options *options, cws_writer **ret_writer,
                                      cws_error **error)
{
    struct file_op *f = file_new(sb, FILE_WRITE_STREAM, path, options, error);
    if (!f)
        return NULL;
    f = file_submit(f, error);
    if (!f)
        return NULL;
    *ret_writer = cws_writer_ref(&f->in);
    return &f->op;
}
