/*
 * The name that a TLS client asks for, read from its first bytes without answering them (RFC 8446 4.1.2, RFC 6066 3).
 *
 * Owner: the caller of everything. Thread: any.
 */
#ifndef CWS_WIRE_CLIENT_HELLO_H
#define CWS_WIRE_CLIENT_HELLO_H

#include "wire/http1.h"

#define CLIENT_HELLO_MAX \
    (5u + 16384u) /* RFC 8446 5.1: one record. One in several is nobody's */

/**
 * client_hello_name() - the server name at the front of @n bytes
 * Returns 1: @ret has it, borrowed (n 0: there is none); 0: more bytes are needed; -EPROTO: this is no ClientHello of one record.
 */
int client_hello_name(const uint8_t *data, size_t n, struct http_text *ret);

#endif
