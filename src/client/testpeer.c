#include "client/testpeer.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "transport/grpc-session.h"
#include "transport/testcert.h"

static void on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct peer_call *c = user;
    c->n++;
    c->peer->handler(c, data, n);
}

static void on_half_close(void *user, struct grpc_call *call)
{
    struct peer_call *c = user;
    c->half_closed = true;
    c->peer->handler(c, NULL, 0);
}

static void on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct peer_call *c = user;
    if (how->by_peer)
        atomic_fetch_add(&c->peer->n_gone, 1);
    free(c);
}

static const struct grpc_call_events call_events = {
    .on_message = on_message, .on_half_close = on_half_close, .on_close = on_close};

/* Counts one more when @add. */
static unsigned count_call(struct peer *p, const char *method, unsigned add)
{
    unsigned n = 0;
    (void)pthread_mutex_lock(&p->lock);
    for (int i = 0; i < PEER_METHODS; i++) {
        if (add && !p->methods[i].name[0])
            (void)snprintf(p->methods[i].name, sizeof(p->methods[i].name), "%s", method);
        if (strcmp(p->methods[i].name, method) != 0)
            continue;
        n = p->methods[i].n += add;
        break;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

struct accepted {
    struct peer *peer;
    int slot;
};

static void copy_header(const struct grpc_request *req, const char *name, char *out, size_t cap)
{
    const char *value = grpc_header_find(req->headers, req->n_headers, name);
    (void)snprintf(out, cap, "%s", value ? value : "");
}

static void on_call(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    struct accepted *a = user;
    struct peer_call *c = calloc(1, sizeof(*c));
    CHECK(c);
    c->peer = a->peer;
    c->call = call;
    c->timeout_ns = req->timeout_ns;
    (void)snprintf(c->path, sizeof(c->path), "%s", req->path);
    c->method = strrchr(c->path, '/') + 1;
    c->nth = count_call(a->peer, c->method, 1);
    copy_header(req, "x-cwsandbox-wait", c->wait, sizeof(c->wait));
    copy_header(req, "authorization", c->authorization, sizeof(c->authorization));
    grpc_call_bind(call, &call_events, c);
    struct grpc_header ours = {"x-cwsandbox-server", "test"};
    if (a->peer->ours)
        CHECK(grpc_call_send_headers(call, &ours, 1) == 0);
}

static void on_transport_closed(void *user, struct transport *t, const struct err *why)
{
    struct accepted *a = user;
    a->peer->transports[a->slot] = NULL;
    free(a);
}

static const struct transport_events transport_events = {.on_closed = on_transport_closed};
static const struct grpc_conn_events grpc_events = {.on_call = on_call};

static void on_muted_closed(uv_handle_t *pipe)
{
    free(pipe);
}

/* As the kernel does with what waits in the backlog of a process that ends. */
static void mute(struct peer *p, uv_stream_t *listener)
{
    uv_pipe_t *pipe = malloc(sizeof(*pipe));
    CHECK(pipe && uv_pipe_init(&p->loop, pipe, 0) == 0);
    CHECK(uv_accept(listener, (uv_stream_t *)pipe) == 0);
    uv_close((uv_handle_t *)pipe, on_muted_closed);
    atomic_fetch_sub(&p->n_mute, 1);
    atomic_fetch_add(&p->n_connections, 1);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct peer *p = CONTAINER_OF(listener, struct peer, listener.base);
    if (atomic_load(&p->n_mute) > 0) {
        mute(p, listener);
        return;
    }
    struct accepted *a = calloc(1, sizeof(*a));
    CHECK(status == 0 && a);
    a->peer = p;
    while (p->transports[a->slot])
        CHECK(++a->slot < (int)ARRAY_SIZE(p->transports));
    struct err err = {0};
    CHECK(transport_accept(&p->loop, listener, p->tls,
                           grpc_session_new(GRPC_SERVER, NULL, &grpc_events, a),
                           &transport_events, a, &p->transports[a->slot], &err) == 0);
    atomic_fetch_add(&p->n_connections, 1);
}

static void on_stop(uv_async_t *stop)
{
    struct peer *p = CONTAINER_OF(stop, struct peer, stop);
    peer_drop(p);
    uv_close(&p->listener.handle, NULL);
    uv_close((uv_handle_t *)stop, NULL);
}

static void *peer_main(void *arg)
{
    struct peer *p = arg;
    if (p->on_thread)
        p->on_thread();
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&p->loop) == 0);
    return NULL;
}

static char *file_of(struct peer *p, const char *name, char path[static 96])
{
    (void)snprintf(path, 96, "%s/%s", p->dir, name);
    return path;
}

static void make_tls(struct peer *p)
{
    char cert[96], key[96];
    struct err err = {0};
    testcert_make(p->dir, "endpoint", "IP:127.0.0.1");
    p->tls =
        tls_server_new(file_of(p, "endpoint.pem", cert), file_of(p, "endpoint.key", key), &err);
    CHECK(p->tls);
}

static void remove_files(struct peer *p)
{
    static const char *const names[] = {"endpoint-ca.pem", "endpoint.pem", "endpoint.key"};
    char path[96];
    for (size_t i = 0; p->tls && i < ARRAY_SIZE(names); i++)
        (void)unlink(file_of(p, names[i], path));
    (void)rmdir(p->dir);
}

static void bind_unix(struct peer *p)
{
    (void)snprintf(p->url, sizeof(p->url), "unix://%s/s", p->dir);
    CHECK(uv_pipe_init(&p->loop, &p->listener.pipe, 0) == 0);
    CHECK(uv_pipe_bind(&p->listener.pipe, p->url + strlen("unix://")) == 0);
}

static void bind_tcp(struct peer *p)
{
    struct sockaddr_in sa;
    int n = sizeof(sa);
    CHECK(uv_ip4_addr("127.0.0.1", 0, &sa) == 0);
    CHECK(uv_tcp_init(&p->loop, &p->listener.tcp) == 0);
    CHECK(uv_tcp_bind(&p->listener.tcp, (struct sockaddr *)&sa, 0) == 0);
    CHECK(uv_tcp_getsockname(&p->listener.tcp, (struct sockaddr *)&sa, &n) == 0);
    (void)snprintf(p->url, sizeof(p->url), "%s://127.0.0.1:%u", p->tls ? "https" : "http",
                   ntohs(sa.sin_port));
}

void peer_begin(struct peer *p, bool ours, peer_handler handler, void *user)
{
    *p = (struct peer){.on_thread = p->on_thread, .kind = p->kind};
    p->ours = ours;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->handler = handler;
    p->user = user;
    (void)strcpy(p->dir, "/tmp/cws-peer-XXXXXX");
    CHECK(mkdtemp(p->dir));
    CHECK(uv_loop_init(&p->loop) == 0);
    CHECK(uv_async_init(&p->loop, &p->stop, on_stop) == 0);
    if (p->kind == PEER_TLS)
        make_tls(p);
    if (p->kind == PEER_UNIX)
        bind_unix(p);
    else
        bind_tcp(p);
    CHECK(uv_listen(&p->listener.base, 16, on_connection) == 0);
    CHECK(pthread_create(&p->thread, NULL, peer_main, p) == 0);
}

void peer_end(struct peer *p)
{
    (void)uv_async_send(&p->stop);
    (void)pthread_join(p->thread, NULL);
    remove_files(p);
    tls_config_unref(p->tls);
}

unsigned peer_count(struct peer *p, const char *method)
{
    return count_call(p, method, 0);
}

/* ---- answers ---- */

bool peer_is(const struct peer_call *c, const char *method)
{
    return strcmp(c->method, method) == 0;
}

void peer_send(struct peer_call *c, const void *msg)
{
    CLEANUP_BUF struct buf bytes = {0};
    CHECK(proto_pack(msg, &bytes) == 0);
    (void)grpc_call_send(c->call, buf_head(&bytes), buf_len(&bytes), NULL);
}

void peer_finish(struct peer_call *c)
{
    (void)grpc_call_finish(c->call, NULL);
}

void peer_fail(struct peer_call *c, enum err_code code, const char *reason, const char *text)
{
    struct err err = {0};
    (void)err_set_reason(&err, code, reason, "%s", text);
    (void)grpc_call_finish(c->call, &err);
    err_done(&err);
}

void peer_reply(struct peer_call *c, const void *msg)
{
    peer_send(c, msg);
    peer_finish(c);
}

void peer_reply_sandbox(struct peer_call *c, const char *id, Pb__State state, int exit_code)
{
    Pb__SandboxStatus status = PB__SANDBOX_STATUS__INIT;
    status.state = state;
    if (exit_code >= 0) {
        status.exit_code = exit_code;
        status.opt_exit_code_case = PB__SANDBOX_STATUS__OPT_EXIT_CODE_EXIT_CODE;
    }
    Pb__Sandbox sandbox = PB__SANDBOX__INIT;
    sandbox.sandbox_id = (char *)id;
    sandbox.status = &status;
    peer_reply(c, &sandbox);
}

void peer_send_output(struct peer_call *c, int stream, const char *text)
{
    Pb__ExecStreamOutput output = PB__EXEC_STREAM_OUTPUT__INIT;
    output.stream = (Pb__ExecStreamOutput__Stream)stream;
    output.data = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    Pb__ExecStreamResponse msg = PB__EXEC_STREAM_RESPONSE__INIT;
    msg.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_OUTPUT;
    msg.output = &output;
    peer_send(c, &msg);
}

void peer_send_ready(struct peer_call *c)
{
    Pb__ExecStreamReady ready = PB__EXEC_STREAM_READY__INIT;
    Pb__ExecStreamResponse msg = PB__EXEC_STREAM_RESPONSE__INIT;
    msg.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_READY;
    msg.ready = &ready;
    peer_send(c, &msg);
}

void peer_send_exit(struct peer_call *c, int code)
{
    Pb__ExecStreamExit exit_frame = PB__EXEC_STREAM_EXIT__INIT;
    exit_frame.exit_code = code;
    Pb__ExecStreamResponse msg = PB__EXEC_STREAM_RESPONSE__INIT;
    msg.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_EXIT;
    msg.exit = &exit_frame;
    peer_send(c, &msg);
}

void peer_drop(struct peer *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(p->transports); i++)
        if (p->transports[i])
            transport_close(p->transports[i], NULL);
}

void peer_goaway(struct peer *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(p->transports); i++)
        if (p->transports[i])
            transport_shutdown(p->transports[i]);
}
