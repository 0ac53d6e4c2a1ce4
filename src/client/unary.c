/* One request, one answer: an rpc on the heap that frees itself. See rpc.h. */
#include <errno.h>
#include <string.h>

#include "client/error.h"
#include "client/event.h"
#include "client/rpc.h"

struct unary {
    struct rpc rpc;
    struct unary_call how; /* `request` is not valid after the start */
    struct buf request;
    struct buf body; /* sent after `request`, once: a call with a body has no second try */
    bool body_sent;
    void *reply;
    struct err failure; /* the answer could not be read */
    bool got_reply;
    bool detached;
};

static void unary_free(struct unary *u)
{
    buf_done(&u->request);
    buf_done(&u->body);
    proto_free(u->reply);
    err_done(&u->failure);
    cws_target_unref(u->rpc.target);
    free(u);
}

static int on_request(struct rpc *rpc)
{
    struct unary *u = CONTAINER_OF(rpc, struct unary, rpc);
    if (u->body_sent)
        return -EPIPE;
    u->body_sent = buf_len(&u->body) > 0;
    int r = rpc_send(rpc, buf_head(&u->request), buf_len(&u->request),
                     u->body_sent ? &u->body : NULL);
    return r < 0 ? r : rpc_half_close(rpc);
}

static void on_message(struct rpc *rpc, const uint8_t *data, size_t n)
{
    struct unary *u = CONTAINER_OF(rpc, struct unary, rpc);
    if (u->got_reply || u->detached)
        return; /* a second answer to a unary call: the first one counts */
    u->got_reply = true;
    if (u->how.reply)
        u->reply = proto_unpack(u->how.reply, data, n, &u->failure);
    else {
        int r = u->how.on_raw(u->how.user, data, n);
        if (r == -EBADMSG)
            (void)err_set(&u->failure, ERR_INVALID_ARGUMENT, "it is no valid message");
        else if (r < 0)
            (void)err_set(&u->failure, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    error_mark_unreadable(&u->failure);
}

static void on_close(struct rpc *rpc, const struct err *status)
{
    struct unary *u = CONTAINER_OF(rpc, struct unary, rpc);
    if (status->code == ERR_OK && !u->got_reply)
        (void)err_set(&u->failure, ERR_INTERNAL,
                      "the service ended the call without an answer");
    bool failed = status->code != ERR_OK || u->failure.code != ERR_OK;
    if (!u->detached)
        u->how.done(u->how.user, failed ? NULL : u->reply,
                    status->code != ERR_OK ? status : &u->failure);
    unary_free(u);
}

static const struct rpc_events unary_events = {
    .on_request = on_request,
    .on_message = on_message,
    .on_close = on_close,
};

struct unary *unary_start(struct conn *conn, const struct unary_call *call,
                          struct buf *take_body)
{
    struct unary *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    u->how = *call;
    u->how.request = u->how.packed = NULL;
    u->rpc.events = &unary_events;
    u->rpc.path = call->path;
    u->rpc.wait = call->wait;
    u->rpc.target = cws_target_ref(call->target);
    u->rpc.idempotent = call->idempotent;
    u->rpc.deadline_ns = event_deadline(call->timeout_ns);
    int r = call->packed ? buf_put(&u->request, buf_head(call->packed), buf_len(call->packed))
                         : proto_pack(call->request, &u->request);
    if (r < 0) {
        unary_free(u);
        return NULL;
    }
    if (take_body) {
        u->body = *take_body;
        *take_body = (struct buf){0};
    }
    rpc_start(&u->rpc, conn);
    return u;
}

void unary_cancel(struct unary *u)
{
    if (!u)
        return;
    u->detached = true;
    rpc_cancel(&u->rpc);
}
