#include "client/rpc.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/event.h"
#include "wire/exec-facts.h"

#define USER_AGENT "cwsandbox-c/" CWS_VERSION

static void on_timer(struct timer *t);

static void finish(struct rpc *rpc, const struct err *status)
{
    timer_stop(rpc_timers(rpc), &rpc->timer);
    rpc->call = NULL;
    rpc->events->on_close(rpc, status); /* may free it */
}

static void finish_locally(struct rpc *rpc)
{
    CLEANUP_ERR struct err status = {0};
    (void)err_set(&status, rpc->fail_code, "%s", rpc->fail_text);
    finish(rpc, &status);
}

void rpc_abort(struct rpc *rpc, enum err_code code, const char *static_text)
{
    if (rpc->fail_code != ERR_OK)
        return;
    rpc->fail_code = code;
    rpc->fail_text = static_text;
    if (rpc->call) {
        grpc_call_cancel(rpc->call, code, static_text); /* on_close comes from there */
        return;
    }
    conn_leave(&rpc->waiter);
    timer_start(rpc_timers(rpc), &rpc->timer, 0, on_timer);
}

void rpc_cancel(struct rpc *rpc)
{
    rpc_abort(rpc, ERR_CANCELLED, "cancelled by the caller");
}

static void on_timer(struct timer *t)
{
    struct rpc *rpc = CONTAINER_OF(t, struct rpc, timer);
    if (rpc->fail_code != ERR_OK) {
        finish_locally(rpc);
        return;
    }
    rpc_abort(rpc, ERR_DEADLINE_EXCEEDED,
              rpc->call
                  ? "the call timed out"
                  : "the call timed out while connecting: the service could not be reached");
}

/* ---- events of the call ---- */

static void on_headers(void *user, struct grpc_call *call, const struct grpc_header *headers,
                       size_t n)
{
    struct rpc *rpc = user;
    rpc->answered = true;
    const char *fields = grpc_header_find(headers, n, EXEC_FIELDS_HEADER);
    rpc->conn->exec_fields = fields && strcmp(fields, EXEC_FIELDS) == 0;
    rpc->conn->exec_files = grpc_header_find(headers, n, EXEC_FILES_HEADER) != NULL;
    if (!rpc->conn->ours && grpc_header_find(headers, n, "x-cwsandbox-server"))
        conn_is_ours(rpc->conn);
}

static void on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct rpc *rpc = user;
    rpc->answered = true;
    if (rpc->fail_code == ERR_OK)
        rpc->events->on_message(rpc, data, n);
}

static void on_drain(void *user, struct grpc_call *call)
{
    struct rpc *rpc = user;
    if (rpc->events->on_drain && rpc->fail_code == ERR_OK)
        rpc->events->on_drain(rpc);
}

static void on_trailers(void *user, struct grpc_call *call, const struct grpc_header *headers,
                        size_t n)
{
    struct rpc *rpc = user;
    if (rpc->events->on_trailers && rpc->fail_code == ERR_OK)
        rpc->events->on_trailers(rpc, headers, n);
}

static bool may_retry(const struct rpc *rpc, const struct grpc_close *how)
{
    unsigned max = rpc->target->embedded ? RPC_MAX_RETRIES_EMBEDDED : RPC_MAX_RETRIES;
    bool tried = rpc->n_retries >= max && !(how->silent && rpc->n_silent < RPC_MAX_SILENT);
    if (tried || rpc->answered || rpc->fail_code != ERR_OK || rpc->conn->client->closing)
        return false;
    return how->refused || (how->by_peer && rpc->idempotent);
}

/* A stream that the service reset when the call's time was over, which a reader that lags behind sees before its own
 * timer, is late and not cancelled: as in gRPC's own clients. */
static bool is_late(const struct rpc *rpc, const struct err *status)
{
    return status->code == ERR_CANCELLED && rpc->fail_code == ERR_OK &&
           clock_now_ns() >= rpc->deadline_ns;
}

static void on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    struct rpc *rpc = user;
    rpc->call = NULL;
    if (is_late(rpc, how->status)) {
        rpc->fail_code = ERR_DEADLINE_EXCEEDED;
        rpc->fail_text = "the call timed out";
        finish_locally(rpc);
        return;
    }
    if (!may_retry(rpc, how)) {
        finish(rpc, how->status);
        return;
    }
    conn_wait(rpc->conn, &rpc->waiter);
    if (how->silent && rpc->n_silent < RPC_MAX_SILENT) {
        rpc->n_silent++; /* conn.c goes on when it has seen the connection's end */
        return;
    }
    rpc->n_retries++;
    conn_kick(rpc->conn);
}

static const struct grpc_call_events call_events = {
    .on_headers = on_headers,
    .on_message = on_message,
    .on_drain = on_drain,
    .on_trailers = on_trailers,
    .on_close = on_close,
};

/* ---- of the connection ---- */

static void on_unreachable(struct conn_waiter *w, const struct err *why)
{
    finish(CONTAINER_OF(w, struct rpc, waiter), why);
}

static uint64_t time_left(const struct rpc *rpc)
{
    if (rpc->deadline_ns == UINT64_MAX)
        return 0;
    uint64_t now_ns = clock_now_ns();
    return rpc->deadline_ns > now_ns ? rpc->deadline_ns - now_ns : 1;
}

static void on_connected(struct conn_waiter *w, struct grpc_conn *grpc)
{
    struct rpc *rpc = CONTAINER_OF(w, struct rpc, waiter);
    struct cws_target *target = rpc->target;
    size_t n = target->n_headers;
    struct grpc_header headers[TARGET_MAX_HEADERS + 1 + RPC_MAX_FIELDS];
    memcpy(headers, target->headers, n * sizeof(*headers));
    if (rpc->wait && rpc->conn->ours)
        headers[n++] = (struct grpc_header){"x-cwsandbox-wait", rpc->wait};
    for (size_t i = 0; i < rpc->n_fields && rpc->conn->exec_fields; i++)
        headers[n++] = rpc->fields[i];
    struct grpc_start start = {
        .path = rpc->path,
        .authority = target->address.authority,
        .scheme = target->address.tls ? "https" : "http",
        .timeout_ns = time_left(rpc),
        .headers = headers,
        .n_headers = n,
        .user_agent = USER_AGENT,
    };
    int r = grpc_call_start(grpc, &start, &call_events, rpc, &rpc->call);
    if (r < 0) {
        rpc->call = NULL;
        rpc_abort(rpc, r == -ENOMEM ? ERR_RESOURCE_EXHAUSTED : ERR_UNAVAILABLE,
                  r == -ENOMEM ? "out of memory" : "the call could not be started");
        return;
    }
    r = rpc->events->on_request(rpc);
    if (r == -EMSGSIZE)
        rpc_abort(rpc, ERR_RESOURCE_EXHAUSTED,
                  "the request is larger than a message may be (100 MiB)");
    else if (r < 0)
        rpc_abort(rpc, r == -ENOMEM ? ERR_RESOURCE_EXHAUSTED : ERR_UNAVAILABLE,
                  r == -ENOMEM ? "out of memory" : "the request could not be sent");
}

/* ---- for the owner ---- */

void rpc_start(struct rpc *rpc, struct conn *conn)
{
    rpc->conn = conn;
    rpc->call = NULL;
    rpc->fail_code = ERR_OK;
    rpc->answered = false;
    rpc->n_silent = rpc->n_retries = 0;
    rpc->timer = (struct timer){0};
    list_init(&rpc->waiter.link);
    rpc->waiter.on_connected = on_connected;
    rpc->waiter.on_unreachable = on_unreachable;
    if (rpc->deadline_ns != UINT64_MAX)
        timer_start(&conn->client->loop.timers, &rpc->timer,
                    rpc->deadline_ns + rpc->patience_ns + RPC_DEADLINE_SLACK_NS, on_timer);
    conn_wait(conn, &rpc->waiter);
    conn_kick(conn);
}

int rpc_send(struct rpc *rpc, const void *head, size_t head_len, struct buf *take_body)
{
    return rpc->call ? grpc_call_send(rpc->call, head, head_len, take_body) : -EPIPE;
}

int rpc_half_close(struct rpc *rpc)
{
    return rpc->call ? grpc_call_half_close(rpc->call) : -EPIPE;
}

size_t rpc_queued(const struct rpc *rpc)
{
    return rpc->call ? grpc_call_queued(rpc->call) : 0;
}

void rpc_pause(struct rpc *rpc)
{
    if (rpc->call)
        grpc_call_pause(rpc->call);
}

void rpc_resume(struct rpc *rpc)
{
    if (rpc->call)
        grpc_call_resume(rpc->call);
}
