/*
 * A port of a sandbox on this machine's loopback: a listener, and for each connection to it one StreamExec with
 * EXEC_PORT_HEADER (wire/exec-facts.h), whose stdin and stdout are the two directions.
 *
 *   waiting (sandbox is started, reaches RUNNING) -> listening: the op is done -> closing -> ended
 *
 * A connection: calling -> open (the service said ready: from here on the socket is read) -> both sides at their end, or broken:
 * then the local program gets a reset, never an end of file that was not one. Its memory goes when both its call and its
 * socket are closed. Thread: the loop's.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "client/op.h"
#include "client/ready.h"
#include "client/rpc.h"
#include "wire/exec-facts.h"

#define FORWARD_BACKLOG 128
#define READ_SIZE 65536
#define LOCAL_HIGH \
    (256u << 10) /* bytes that the local program does not take: chosen, as a window */
#define LABEL "Forward port"

struct forward {
    struct cws_op op;
    struct cws_sandbox *sb;      /* [const] reference */
    uint16_t port;               /* [const] */
    cws_forward_options options; /* [const] */
    char port_text[8];           /* [const] */
    struct sb_ready way;         /* [loop] and all below */
    struct conn *conn;
    uv_tcp_t listener;
    bool began, listening, closing; /* listening: the handle is open */
    struct list links;              /* struct link.entry */
    struct task close_task;
    _Atomic bool close_posted;
};

struct link {
    struct list entry;
    struct forward *f;
    uv_tcp_t tcp;
    struct rpc rpc;
    uv_shutdown_t shutdown;
    struct buf read_into; /* the frame under way */
    bool calling, tcp_open;
    bool paused;   /* the call waits for the local program */
    bool ready;    /* there is a connection inside */
    bool sent_eof; /* the local program has sent all */
    bool got_eof;  /* the inside has */
    bool exited;   /* both, says the service */
};

struct piece { /* what the local program did not take at once */
    uv_write_t write;
    struct link *l;
    uint8_t data[];
};

static void on_listener_closed(uv_handle_t *handle);

/* ---- the end ---- */

static void check_ended(struct forward *f)
{
    if (f->closing && !f->listening && list_empty(&f->links))
        op_end(&f->op);
}

static void link_check_free(struct link *l)
{
    struct forward *f = l->f;
    if (l->calling || l->tcp_open)
        return;
    list_remove(&l->entry);
    buf_done(&l->read_into);
    free(l);
    check_ended(f);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    l->tcp_open = false;
    link_check_free(l);
}

/* @reset: so that nobody takes what came for all of it. */
static void close_tcp(struct link *l, bool reset)
{
    if (uv_is_closing((uv_handle_t *)&l->tcp))
        return;
    if (!reset || uv_tcp_close_reset(&l->tcp, on_tcp_closed) < 0)
        uv_close((uv_handle_t *)&l->tcp, on_tcp_closed);
}

static void link_break(struct link *l)
{
    close_tcp(l, true);
    if (l->calling)
        rpc_cancel(&l->rpc);
}

static void tell_error(struct link *l, struct cws_error *take)
{
    error_add_sandbox_id(take, sandbox_id_borrow(l->f->sb));
    if (l->f->options.on_error && !l->f->closing)
        l->f->options.on_error(l->f->options.user, take);
    error_unref(take);
}

/* ---- from here to the inside ---- */

static int send_message(struct link *l, const Pb__ExecStreamRequest *msg)
{
    CLEANUP_BUF struct buf bytes = {0};
    int r = proto_pack(msg, &bytes);
    return r < 0 ? r : rpc_send(&l->rpc, buf_head(&bytes), buf_len(&bytes), NULL);
}

static int on_request(struct rpc *rpc)
{
    struct link *l = CONTAINER_OF(rpc, struct link, rpc);
    Pb__ExecStreamInit init = PB__EXEC_STREAM_INIT__INIT;
    Pb__ExecStreamRequest msg = PB__EXEC_STREAM_REQUEST__INIT;
    init.sandbox_id = (char *)sandbox_id_borrow(l->f->sb);
    msg.message_case = PB__EXEC_STREAM_REQUEST__MESSAGE_INIT;
    msg.init = &init;
    return send_message(l, &msg);
}

static void send_eof(struct link *l)
{
    l->sent_eof = true;
    (void)rpc_half_close(&l->rpc); /* fails only when the call is over */
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct link *l = handle->data;
    bool room = buf_reserve(&l->read_into, READ_SIZE) == 0;
    *ret =
        room ? uv_buf_init((char *)buf_tail(&l->read_into), READ_SIZE) : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *unused)
{
    struct link *l = stream->data;
    uint8_t head[PROTO_HEAD_MAX];
    if (n == 0)
        return;
    if (n == UV_EOF) {
        (void)uv_read_stop(stream);
        send_eof(l);
        return;
    }
    if (n < 0) { /* the local program is gone, or there is no memory */
        link_break(l);
        return;
    }
    buf_commit(&l->read_into, (size_t)n);
    size_t n_head = proto_head_exec_stdin(head, (size_t)n);
    if (rpc_send(&l->rpc, head, n_head, &l->read_into) < 0)
        link_break(l);
    else if (rpc_queued(&l->rpc) > GRPC_HIGH_WATER)
        (void)uv_read_stop(stream);
}

static void read_local(struct link *l)
{
    if (l->ready && !l->sent_eof && !uv_is_closing((uv_handle_t *)&l->tcp))
        (void)uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read); /* twice does no harm */
}

static void on_drain(struct rpc *rpc)
{
    read_local(CONTAINER_OF(rpc, struct link, rpc));
}

/* ---- from the inside ---- */

static void on_written(uv_write_t *req, int status)
{
    struct piece *p = CONTAINER_OF(req, struct piece, write);
    struct link *l = p->l;
    free(p);
    if (status < 0 && status != UV_ECANCELED)
        link_break(l);
    if (l->paused && uv_stream_get_write_queue_size((uv_stream_t *)&l->tcp) < LOCAL_HIGH / 4) {
        l->paused = false;
        rpc_resume(&l->rpc);
    }
}

/* 0 or a failure of memory, or of the socket. */
static int write_rest(struct link *l, const uint8_t *data, size_t n)
{
    struct piece *p = malloc(sizeof(*p) + n);
    if (!p)
        return -ENOMEM;
    p->l = l;
    memcpy(p->data, data, n);
    uv_buf_t buf = uv_buf_init((char *)p->data, (unsigned)n);
    int r = uv_write(&p->write, (uv_stream_t *)&l->tcp, &buf, 1, on_written);
    if (r < 0)
        free(p);
    return r;
}

static void on_bytes(struct link *l, const uint8_t *data, size_t n)
{
    uv_stream_t *tcp = (uv_stream_t *)&l->tcp;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)n);
    int done = uv_try_write(tcp, &buf, 1); /* UV_EAGAIN also while pieces wait */
    if (done == UV_EAGAIN)
        done = 0;
    if (done < 0 || ((size_t)done < n && write_rest(l, data + done, n - (size_t)done) < 0)) {
        link_break(l);
        return;
    }
    if (!l->paused && uv_stream_get_write_queue_size(tcp) > LOCAL_HIGH) {
        l->paused = true;
        rpc_pause(&l->rpc);
    }
}

static void on_shut(uv_shutdown_t *req, int status)
{
    struct link *l = CONTAINER_OF(req, struct link, shutdown);
    if (l->exited) /* until here what was written was still on its way */
        close_tcp(l, false);
}

static void on_eof(struct link *l)
{
    if (l->got_eof)
        return;
    l->got_eof = true;
    if (uv_shutdown(&l->shutdown, (uv_stream_t *)&l->tcp, on_shut) < 0)
        link_break(l);
}

static void on_exit_frame(struct link *l)
{
    l->exited = true;
    on_eof(l); /* of a service that said it by this alone */
    if (!uv_is_writable((uv_stream_t *)&l->tcp) &&
        uv_stream_get_write_queue_size((uv_stream_t *)&l->tcp) == 0)
        close_tcp(l, false); /* on_shut() was there already */
}

static void on_other_frame(struct link *l, const uint8_t *data, size_t n)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_PROTO Pb__ExecStreamResponse *msg =
        proto_unpack(&pb__exec_stream_response__descriptor, data, n, &err);
    if (!msg) {
        link_break(l);
    } else if (msg->message_case == PB__EXEC_STREAM_RESPONSE__MESSAGE_READY) {
        l->ready = true;
        read_local(l);
    } else if (msg->message_case == PB__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT) {
        on_eof(l); /* those with bytes are found without unpacking */
    } else if (msg->message_case == PB__EXEC_STREAM_RESPONSE__MESSAGE_EXIT) {
        on_exit_frame(l);
    }
}

static void on_message(struct rpc *rpc, const uint8_t *data, size_t n)
{
    struct link *l = CONTAINER_OF(rpc, struct link, rpc);
    Pb__ExecStreamOutput__Stream stream;
    struct proto_slice bytes;
    if (uv_is_closing((uv_handle_t *)&l->tcp))
        return;
    if (proto_find_exec_output(data, n, &stream, &bytes) && bytes.n > 0)
        on_bytes(l, bytes.data, bytes.n);
    else
        on_other_frame(l, data, n);
}

static void on_close(struct rpc *rpc, const struct err *status)
{
    struct link *l = CONTAINER_OF(rpc, struct link, rpc);
    l->calling = false;
    if (!l->exited && !uv_is_closing((uv_handle_t *)&l->tcp)) {
        if (status->code != ERR_OK)
            tell_error(l, error_from_status(status, &(struct error_site){.label = LABEL}));
        close_tcp(l, true);
    }
    link_check_free(l);
}

static const struct rpc_events rpc_events = {.on_request = on_request,
                                             .on_message = on_message,
                                             .on_drain = on_drain,
                                             .on_close = on_close};

/* ---- listening ---- */

static void link_call(struct link *l)
{
    l->calling = true;
    l->rpc = (struct rpc){
        .events = &rpc_events,
        .path = PROTO_PATH_SANDBOX("StreamExec"),
        .target = l->f->sb->target,
        .fields = {{EXEC_PORT_HEADER, l->f->port_text}},
        .n_fields = 1,
        .deadline_ns = UINT64_MAX,
    };
    rpc_start(&l->rpc, l->f->conn);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct forward *f = listener->data;
    struct link *l = status < 0 ? NULL : calloc(1, sizeof(*l));
    if (!l)
        return; /* libuv drops what it cannot take; without memory it waits for the next one */
    l->f = f;
    list_append(&f->links, &l->entry);
    (void)uv_tcp_init(&f->op.client->loop.uv, &l->tcp); /* makes no descriptor: cannot fail */
    l->tcp.data = l;
    l->tcp_open = true;
    if (uv_accept(listener, (uv_stream_t *)&l->tcp) < 0) {
        close_tcp(l, false);
        return;
    }
    (void)uv_tcp_nodelay(&l->tcp, 1);
    link_call(l);
}

static void fail(struct forward *f, struct cws_error *take)
{
    error_add_sandbox_id(take, sandbox_id_borrow(f->sb));
    (void)op_fail(&f->op, take);
    f->closing = true;
    if (f->listening)
        uv_close((uv_handle_t *)&f->listener, on_listener_closed);
    else
        check_ended(f);
}

static int listen_local(struct forward *f)
{
    struct sockaddr_in address;
    int size = sizeof(address);
    struct sockaddr_in bound;
    int r = uv_ip4_addr("127.0.0.1", f->options.local_port, &address);
    if (r == 0)
        r = uv_tcp_bind(&f->listener, (struct sockaddr *)&address, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&f->listener, FORWARD_BACKLOG, on_connection);
    if (r == 0)
        r = uv_tcp_getsockname(&f->listener, (struct sockaddr *)&bound, &size);
    return r < 0 ? r : ntohs(bound.sin_port);
}

static void on_running(struct sb_ready *way, struct cws_error *error)
{
    struct forward *f = CONTAINER_OF(way, struct forward, way);
    CLEANUP_ERR struct err err = {0};
    if (error) {
        fail(f, error_ref(error));
        return;
    }
    f->conn = sandbox_conn(f->sb, &err);
    if (!f->conn) {
        fail(f, error_from_local(&err));
        return;
    }
    if (!f->conn->exec_fields) {
        fail(f, error_new(CWS_E_SANDBOX, LABEL ": this service does not forward ports"));
        return;
    }
    (void)uv_tcp_init(&f->op.client->loop.uv,
                      &f->listener); /* makes no descriptor: cannot fail */
    f->listener.data = f;
    f->listening = true;
    int port = listen_local(f);
    if (port < 0)
        fail(f, error_new(CWS_E_GENERIC, LABEL ": listen on 127.0.0.1:%u: %s",
                          f->options.local_port, uv_strerror(port)));
    else
        (void)op_complete(&f->op, (struct op_result){.value = port, .has_value = true});
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct forward *f = handle->data;
    f->listening = false;
    check_ended(f);
}

/* ---- the op ---- */

static void forward_begin(struct cws_op *op)
{
    struct forward *f = CONTAINER_OF(op, struct forward, op);
    f->began = true;
    sb_ready_init(&f->way, f->sb, LABEL, on_running);
    sb_ready_begin(&f->way);
}

/* Also what closes it. */
static void forward_cancel(struct cws_op *op)
{
    struct forward *f = CONTAINER_OF(op, struct forward, op);
    if (f->closing)
        return;
    f->closing = true;
    (void)cws_op_ref(op); /* its end may come within */
    if (f->began)
        sb_ready_cancel(&f->way);
    LIST_FOREACH_SAFE(it, &f->links)
    {
        link_break(CONTAINER_OF(it, struct link, entry));
    }
    if (f->listening)
        uv_close((uv_handle_t *)&f->listener, on_listener_closed);
    else
        check_ended(f);
    cws_op_unref(op);
}

static void forward_free(struct cws_op *op)
{
    struct forward *f = CONTAINER_OF(op, struct forward, op);
    op_done_memory(op);
    cws_sandbox_unref(f->sb);
    free(f);
}

static const struct op_class forward_class = {
    .begin = forward_begin, .cancel = forward_cancel, .free = forward_free};

static void on_close_task(struct task *task)
{
    struct forward *f = CONTAINER_OF(task, struct forward, close_task);
    if (f->op.begun)
        forward_cancel(&f->op);
    cws_op_unref(&f->op);
}

cws_op *cws_sandbox_forward(cws_sandbox *sb, uint16_t port, const cws_forward_options *options,
                            cws_error **error)
{
    if (port == 0) {
        (void)error_set(error, CWS_E_INVALID, "port must be 1 to 65535");
        return NULL;
    }
    if (client_forked(sb->client)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    struct forward *f = calloc(1, sizeof(*f));
    if (!f) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&f->op, &forward_class, sb->client);
    f->sb = cws_sandbox_ref(sb);
    f->port = port;
    f->options = options ? *options : (cws_forward_options){0};
    (void)snprintf(f->port_text, sizeof(f->port_text), "%u", port);
    list_init(&f->links);
    f->close_task.run = on_close_task;
    if (op_submit(&f->op, error) < 0) {
        cws_op_unref(&f->op);
        return NULL;
    }
    return &f->op;
}

void cws_forward_close(cws_op *op)
{
    struct forward *f = CONTAINER_OF(op, struct forward, op);
    CHECK(op->cls == &forward_class);
    if (op_forked(op) || atomic_exchange(&f->close_posted, true))
        return;
    (void)cws_op_cancel(op); /* one that does not listen yet must not begin to */
    (void)cws_op_ref(op);
    if (loop_post(&op->client->loop, &f->close_task) < 0)
        cws_op_unref(op);
}
