/*
 * Test support: a client and a server connection joined in memory, and recorders for what the
 * calls report. The server answers by `script`; bytes are pumped in pieces of `chunk` bytes so
 * that every boundary is met.
 */
#ifndef CWS_WIRE_TEST_PAIR_H
#define CWS_WIRE_TEST_PAIR_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/grpc.h"

struct pair;

/* What one end of one call saw. */
struct record {
    struct pair *pair;
    struct grpc_call *call; /* NULL after on_close */
    size_t n_messages;
    size_t n_bytes;
    struct buf last; /* the last message */
    struct buf all;  /* all messages, joined; only when they are small */
    unsigned n_headers;
    char header[128]; /* value of "x-test" in the initial metadata */
    unsigned n_half_close;
    unsigned n_drain;
    unsigned n_close;
    struct err status;
    bool refused;
    bool by_peer;
    /* what to do */
    void (*on_message)(struct record *r, const uint8_t *data, size_t n);
    void (*on_half_close)(struct record *r);
    bool pause_on_message;
};

struct pair {
    struct grpc_conn *client;
    struct grpc_conn *server;
    size_t chunk;
    int client_error; /* of the last recv */
    int server_error;
    unsigned n_ready;
    unsigned n_goaway;
    unsigned n_client_want;
    unsigned n_server_want;
    size_t bytes_to_server;
    size_t bytes_to_client;
    /* the server's side of the calls, in order of arrival */
    struct record *served;
    size_t n_served;
    void (*script)(struct record *r, const struct grpc_request *req); /* NULL: bind only */
    char path[128];
    char x_test[128];
    char authorization[64];
    uint64_t timeout_ns;
};

extern const struct grpc_call_events record_events;

void pair_open(struct pair *p, size_t chunk, const struct grpc_limits *client,
               const struct grpc_limits *server);
/* Until both directions are silent. */
void pair_pump(struct pair *p);
/* One direction, until it is silent or @max bytes went over. Returns how many. */
size_t pair_pump_to_server(struct pair *p, size_t max);
size_t pair_pump_to_client(struct pair *p, size_t max);
void pair_close(struct pair *p);

void pair_start(struct pair *p, struct record *r, const char *path);
void record_done(struct record *r);
void send_text(struct grpc_call *call, const char *text);
void assert_last(const struct record *r, const char *text);
/* A server's script: answers every message with itself, finishes OK at half-close. */
void script_echo(struct record *r, const struct grpc_request *req);

#endif
