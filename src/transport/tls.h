/*
 * One TLS session without I/O: ciphertext is fed and pulled, plaintext is written and read,
 * nothing touches a socket. Private to this room; the configuration objects are in tls-config.h.
 *
 * Rules that every session obeys: TLS 1.2 or newer, ALPN "h2" agreed (RFC 9113 3.2), no
 * renegotiation, no compression; a client verifies the chain and the host name or address.
 *
 * Owner: the creator. Thread: one at a time.
 */
#ifndef CWS_TRANSPORT_TLS_H
#define CWS_TRANSPORT_TLS_H

#include <openssl/ssl.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/err.h"
#include "transport/tls-config.h"

struct tls;

#define TLS_RECORD_BYTES 16384u /* RFC 8446 5.1: most plaintext in one record */

/** tls_new() - @host: client: name or literal to verify, sent as SNI when a name; NULL: server
 * side. NULL on failure. */
struct tls *tls_new(struct tls_config *config, const char *host, struct err *err);
/** tls_free() - returns NULL, accepts NULL. */
struct tls *tls_free(struct tls *t);
/** tls_feed() - ciphertext from the peer; 0 or -ENOMEM. */
int tls_feed(struct tls *t, const void *data, size_t n);
/** tls_handshake() - 1 done, 0 wants more from the peer, -1 failed (@err says why; an alert may
 * wait in tls_pull). */
int tls_handshake(struct tls *t, struct err *err);
/** tls_read() - plaintext: > 0 bytes; 0 the peer sent close_notify; -EAGAIN feed more; -EPROTO
 * with @err set. */
ssize_t tls_read(struct tls *t, void *data, size_t size, struct err *err);
/** tls_write() - encrypt all of @iov, in full records where possible; 0 or -EPROTO with @err
 * set. */
int tls_write(struct tls *t, const struct iovec *iov, int n_iov, struct err *err);
/** tls_pull() - append the ciphertext that waits to be sent to @out; 0 or -ENOMEM. */
int tls_pull(struct tls *t, struct buf *out);
/** tls_close_notify() - queue the closing alert; call once, after the last tls_write. */
void tls_close_notify(struct tls *t);

#endif
