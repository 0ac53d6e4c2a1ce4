/*
 * gRPC as a session: the one file of this room, with its .c, that knows a grpc_conn.
 */
#ifndef CWS_TRANSPORT_GRPC_SESSION_H
#define CWS_TRANSPORT_GRPC_SESSION_H

#include "transport/transport.h"
#include "wire/grpc.h"

/**
 * grpc_session_new() - a session for transport_connect() or transport_accept(), which take also the NULL of no memory
 * @limits: NULL = defaults
 * @events: copied; @user is handed to them. on_want_write is the session's own
 */
struct session *grpc_session_new(enum grpc_side side, const struct grpc_limits *limits,
                                 const struct grpc_conn_events *events, void *user);
/** transport_grpc() - the connection over @t, whose session is grpc_session_new()'s; lives until on_closed. */
struct grpc_conn *transport_grpc(const struct transport *t);

#endif
