/*
 * What both connection fuzzers share: one connection with small limits, events that use every
 * call of grpc.h, the input fed in two pieces, everything pulled. CHECKs inside wire and the
 * sanitizers are the oracle.
 */
#ifndef CWS_WIRE_FUZZ_CONN_H
#define CWS_WIRE_FUZZ_CONN_H

#include "wire/grpc.h"

static void fuzz_on_message(void *user, struct grpc_call *call, const uint8_t *data, size_t n)
{
    if (n > 0 && data[0] == 'p')
        grpc_call_pause(call);
    if (n > 0 && data[0] == 'c')
        grpc_call_cancel(call, ERR_CANCELLED, NULL);
    (void)grpc_call_send(call, data, n, NULL); /* fails for cancelled and client calls */
}

static void fuzz_on_half_close(void *user, struct grpc_call *call)
{
    (void)grpc_call_finish(call, NULL);
}

static void fuzz_on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
    CHECK(how->status->code < ERR_CODE_MAX);
}

static const struct grpc_call_events fuzz_call_events = {.on_message = fuzz_on_message,
                                                         .on_half_close = fuzz_on_half_close,
                                                         .on_close = fuzz_on_close};

static void fuzz_on_call(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    grpc_call_bind(call, &fuzz_call_events, NULL);
    if (req->timeout_ns == 1)
        (void)grpc_call_finish(call, NULL);
}

static void fuzz_pull(struct grpc_conn *conn)
{
    struct iovec iov[3];
    int n;
    while ((n = grpc_conn_pull(conn, iov, 3)) > 0) {
        size_t sent = 0;
        for (int i = 0; i < n; i++)
            sent += iov[i].iov_len;
        grpc_conn_pulled(conn, sent);
    }
}

static int fuzz_conn(enum grpc_side side, const uint8_t *data, size_t n)
{
    static const struct grpc_conn_events events = {.on_call = fuzz_on_call};
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    limits.max_message_bytes = 4096;
    limits.max_header_bytes = 2048;
    limits.max_streams = 8;
    struct grpc_conn *conn = grpc_conn_new(side, &limits, &events, NULL);
    if (!conn)
        return 0;
    const struct grpc_start start = {.path = "/s/M"};
    for (int i = 0; i < 2 && side == GRPC_CLIENT; i++) {
        struct grpc_call *call = NULL;
        CHECK(grpc_call_start(conn, &start, &fuzz_call_events, NULL, &call) == 0);
        CHECK(grpc_call_send(call, "x", 1, NULL) == 0);
        CHECK(i == 1 || grpc_call_half_close(call) == 0);
    }
    fuzz_pull(conn);
    size_t first = n / 2;
    if (grpc_conn_recv(conn, data, first) == 0) {
        fuzz_pull(conn);
        (void)grpc_conn_recv(conn, data + first,
                             n - first); /* an error is as good as success here */
    }
    fuzz_pull(conn);
    grpc_conn_free(conn, NULL);
    return 0;
}

#endif
