/* ReadFile and WriteFile. A call that ends before its file is moved cancels that. */
#include <errno.h>

#include "base/util.h"
#include "runtime/io.h"
#include "server/dispatch.h"
#include "server/record.h"
#include "server/spec.h"

void file_on_release(struct call *call)
{
    if (call->state != NULL)
        file_call_cancel(call->state);
}

/* The checks both calls share. NULL: the call was ended. */
static struct sandbox *file_begin(struct call *call, const char *sandbox_id,
                                  const char *container)
{
    CLEANUP_ERR struct err err = {0};
    struct sandbox *sb = sandbox_find(call->service->runtime, call->owner, sandbox_id, &err);
    if (sb == NULL || sandbox_check_container(sb, container, &err) < 0) {
        call_finish(call, &err);
        return NULL;
    }
    return sb;
}

/* @state NULL: there was no memory for it. */
static void file_started(struct call *call, struct file_call *state)
{
    call->state = state;
    if (state == NULL)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

static void on_read(void *user, struct buf *take_content, const struct err *err)
{
    struct call *call = user;
    call->state = NULL;
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
    struct sandbox *sb = file_begin(call, req->sandbox_id, req->container);
    if (sb == NULL)
        return;
    file_started(call, sandbox_read_file(sb, req->path, on_read, call));
    if (call->state != NULL)
        file_call_charge(call->state, call_share(call, SHARE_ANSWER_BYTES));
}

static void on_written(void *user, const struct err *err)
{
    struct call *call = user;
    call->state = NULL;
    Pb__WriteFileResponse response = PB__WRITE_FILE_RESPONSE__INIT;
    if (err != NULL && err->code != ERR_OK)
        call_finish(call, err);
    else
        call_reply(call, &response);
}

void write_file_on_request(struct call *call, void *request)
{
    Pb__WriteFileRequest *req = request;
    struct sandbox *sb = file_begin(call, req->sandbox_id, req->container);
    if (sb == NULL)
        return;
    /* The unpacked bytes change hands without another copy: both sides are malloc'd. */
    CLEANUP_BUF struct buf content = {
        .data = req->content.data, .end = req->content.len, .cap = req->content.len};
    req->content = (ProtobufCBinaryData){0};
    file_started(call, sandbox_write_file(sb, req->path, &content, on_written, call));
}
