/*
 * ReadFile and WriteFile. The runtime moves the bytes on libuv's pool; the call may be gone
 * when they arrive, so a small object of its own waits for them.
 */
#include <errno.h>

#include "base/util.h"
#include "runtime/io.h"
#include "server/call.h"
#include "server/record.h"
#include "server/spec.h"

struct file_op {       /* lives until the runtime's callback */
    struct call *call; /* NULL: the caller is gone */
};

void file_on_release(struct call *call)
{
    struct file_op *op = call->state;
    if (op != NULL)
        op->call = NULL;
}

/* The checks both calls share. NULL: the call was ended. */
static struct file_op *file_begin(struct call *call, const char *sandbox_id,
                                  const char *container, struct sandbox **ret_sandbox)
{
    CLEANUP_ERR struct err err = {0};
    struct sandbox *sb = sandbox_find(call->service->runtime, call->owner, sandbox_id, &err);
    if (sb == NULL || sandbox_check_container(sb, container, &err) < 0) {
        call_finish(call, &err);
        return NULL;
    }
    struct file_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return NULL;
    }
    op->call = call;
    call->state = op;
    *ret_sandbox = sb;
    return op;
}

/* Takes the operation apart and returns its call if that still waits. */
static struct call *file_end(struct file_op *op)
{
    struct call *call = op->call;
    if (call != NULL)
        call->state = NULL;
    free(op);
    return call;
}

static void on_read(void *user, struct buf *take_content, const struct err *err)
{
    struct call *call = file_end(user);
    if (call == NULL)
        return;
    if (err != NULL && err->code != ERR_OK) {
        call_finish(call, err);
        return;
    }
    uint8_t head[PROTO_HEAD_MAX];
    size_t n = buf_len(take_content);
    size_t head_len =
        n > 0 ? proto_head_bytes(head, 1, n) : 0; /* proto3: an empty field is not sent */
    int r = call_send(call, head, head_len, take_content);
    if (r == -ENOBUFS)
        call_refuse_full(call, SHARE_ANSWER_BYTES);
    else if (r < 0)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "send the file: out of memory");
    else
        call_finish(call, NULL);
}

void read_file_on_request(struct call *call, void *request)
{
    Pb__ReadFileRequest *req = request;
    struct sandbox *sb;
    struct file_op *op = file_begin(call, req->sandbox_id, req->container, &sb);
    if (op != NULL)
        sandbox_read_file(sb, req->path, on_read, op);
}

static void on_written(void *user, const struct err *err)
{
    struct call *call = file_end(user);
    if (call == NULL)
        return;
    Pb__WriteFileResponse response = PB__WRITE_FILE_RESPONSE__INIT;
    if (err != NULL && err->code != ERR_OK)
        call_finish(call, err);
    else
        call_reply(call, &response);
}

void write_file_on_request(struct call *call, void *request)
{
    Pb__WriteFileRequest *req = request;
    struct sandbox *sb;
    struct file_op *op = file_begin(call, req->sandbox_id, req->container, &sb);
    if (op == NULL)
        return;
    /* The unpacked bytes change hands without another copy: both sides are malloc'd. */
    CLEANUP_BUF struct buf content = {
        .data = req->content.data, .end = req->content.len, .cap = req->content.len};
    req->content = (ProtobufCBinaryData){0};
    sandbox_write_file(sb, req->path, &content, on_written, op);
}
