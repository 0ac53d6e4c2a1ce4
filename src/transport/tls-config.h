/*
 * TLS configurations: what is presented (server) or trusted (client). Immutable after creation.
 *
 * Owner: refcounted. Thread: creation and use the loop's; a reference may be dropped on any.
 */
#ifndef CWS_TRANSPORT_TLS_CONFIG_H
#define CWS_TRANSPORT_TLS_CONFIG_H

#include "base/buf.h"
#include "base/err.h"

struct tls_config; /* refcounted SSL_CTX */
/** tls_server_new() - certificate chain and key in PEM files; ALPN h2 required, ECDHE and AEAD only.
 *  ERR_INVALID_ARGUMENT names the file; also when others may read the key: a file of mode 0600 or less is taken, and of 0640 or
 *  less when root owns it (a group made for this, as Kubernetes' fsGroup does). */
struct tls_config *tls_server_new(const char *cert_path, const char *key_path, struct err *err);
/** tls_server_new_web() - the same for browsers and their like: HTTP/1.1, also with who offers no protocol. */
struct tls_config *tls_server_new_web(const char *cert_path, const char *key_path,
                                      struct err *err);
/** tls_client_new() - @ca_path NULL: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH if set, else system roots. Verifies host names. */
struct tls_config *tls_client_new(const char *ca_path, struct err *err);

/* A fresh P-256 key pair, in memory only. */
struct tls_key;
/** tls_key_new() - NULL: no memory or no randomness. */
struct tls_key *tls_key_new(void);
void tls_key_free(struct tls_key *key);
/** tls_key_request() - append a request for a certificate over @key: PKCS#10 in DER, SHA-256, empty subject. 0 or -ENOMEM. */
int tls_key_request(struct tls_key *key, struct buf *ret_der);

/* A client that proves who it is. All borrowed; PEM. */
struct tls_identity {
    const void *roots, *chain;
    size_t n_roots, n_chain; /* no roots: those of tls_client_new(NULL) */
    struct tls_key *key;
};
/** tls_client_new_as() - ERR_INVALID_ARGUMENT "its ... not valid" about what is in @id. */
struct tls_config *tls_client_new_as(const struct tls_identity *id, struct err *err);
/** tls_config_unref() - any thread. */
struct tls_config *tls_config_ref(struct tls_config *t);
void tls_config_unref(struct tls_config *t);

/* ---- private to this room ---- */

/** tls_config_ctx() - borrowed. */
struct ssl_ctx_st *tls_config_ctx(struct tls_config *config);
/** tls_config_is_web() - of tls_server_new_web(). */
bool tls_config_is_web(const struct tls_config *config);
/** tls_describe() - set @err to ERR_UNAVAILABLE "<what>: <first error of OpenSSL's queue>";
 * empties the queue. */
int tls_describe(struct err *err, const char *what);

#endif
