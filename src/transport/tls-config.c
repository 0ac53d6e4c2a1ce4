/*
 * TLS configurations: what is presented (server) or trusted (client). Refcounted, because many
 * connections and a possible reload share one; immutable after creation.
 *
 * Thread: creation and use the loop's; a reference may be dropped on any.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

#include "transport/tls-config.h"

struct tls_config {
    SSL_CTX *ctx;
    bool web;
    _Atomic unsigned n_refs;
};

/* TLS 1.2: what RFC 7540 9.2.2 does not forbid; the suites of TLS 1.3 are all of that kind. */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
/* No finite fields. The first where the library has it (OpenSSL 3.5). */
#define GROUPS_NEW "X25519MLKEM768:X25519:P-256:P-384:P-521"
#define GROUPS "X25519:P-256:P-384:P-521"

/* ProtocolNameList of RFC 7301 3.1 */
static const unsigned char alpn_h2[] = {2, 'h', '2'};
static const unsigned char alpn_web[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

SSL_CTX *tls_config_ctx(struct tls_config *config)
{
    return config->ctx;
}

struct tls_config *tls_config_ref(struct tls_config *t)
{
    if (t)
        atomic_fetch_add(&t->n_refs, 1);
    return t;
}

void tls_config_unref(struct tls_config *t)
{
    if (!t || atomic_fetch_sub(&t->n_refs, 1) != 1)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

static void config_unrefp(struct tls_config **t)
{
    tls_config_unref(*t);
}

int tls_describe(struct err *err, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (ERR_GET_LIB(code) ==
        ERR_LIB_SYS) /* then the "reason" is an errno without a string of its own */
        err_set_errno(err, ERR_UNAVAILABLE, ERR_GET_REASON(code), "%s", what);
    else
        err_set(err, ERR_UNAVAILABLE, "%s: %s", what, reason ? reason : "unknown TLS error");
    ERR_clear_error();
    return -1;
}

/* Problems of a configuration are the caller's to mend, not worth a retry. */
static int config_error(struct err *err, const char *verb, const char *path)
{
    struct err cause = {0};
    tls_describe(&cause, verb);
    if (path)
        err_set(err, ERR_INVALID_ARGUMENT, "%s: `%s`", err_text(&cause), path);
    else
        err_set(err, ERR_INVALID_ARGUMENT, "%s", err_text(&cause));
    err_done(&cause);
    return -1;
}

/* An encrypted key must be an error: OpenSSL's default asks on the terminal. */
static int refuse_passphrase(char *text, int size, int writing, void *user)
{
    return 0;
}

static int select_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                     const unsigned char *offered, unsigned offered_len, void *user)
{
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, alpn_h2, sizeof(alpn_h2), offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int select_web(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                      const unsigned char *offered, unsigned offered_len, void *user)
{
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, alpn_web, sizeof(alpn_web), offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* as select_h2 */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* AEAD and ECDHE only. */
static bool restrict_ciphers(SSL_CTX *ctx)
{
    if (SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) != 1)
        return false;
    bool ok = SSL_CTX_set1_groups_list(ctx, GROUPS_NEW) == 1 ||
              SSL_CTX_set1_groups_list(ctx, GROUPS) == 1;
    ERR_clear_error();
    return ok;
}

static struct tls_config *config_new(const SSL_METHOD *method, struct err *err)
{
    CLEANUP(config_unrefp) struct tls_config *c = calloc(1, sizeof(*c));
    if (!c) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "make TLS configuration: out of memory");
        return NULL;
    }
    c->n_refs = 1;
    ERR_clear_error();
    c->ctx = SSL_CTX_new(method);
    if (!c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1 ||
        !restrict_ciphers(c->ctx)) {
        config_error(err, "make TLS configuration", NULL);
        return NULL;
    }
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* A gRPC connection lives long and is opened rarely: resumption would only cost memory and
     * a ticket write */
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(c->ctx, refuse_passphrase);
    return TAKE_PTR(c);
}

/* As PostgreSQL's server does. Without a name (a pipe, a memfd) nobody else can open it. */
static int check_key_mode(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set_errno(err, ERR_INVALID_ARGUMENT, errno, "load private key: `%s`", path);
    mode_t allowed = st.st_uid == 0 ? 0640 : 0600;
    if (!S_ISREG(st.st_mode) || st.st_nlink == 0 || (st.st_mode & 0777 & ~allowed) == 0)
        return 0;
    return err_set(
        err, ERR_INVALID_ARGUMENT,
        "load private key: `%s`: others than its owner may read or change it (mode "
        "%04o); chmod 600 (640 is taken when root owns it; in Kubernetes: defaultMode "
        "0440 and an fsGroup)",
        path, (unsigned)st.st_mode & 07777);
}

static int load_key(SSL_CTX *ctx, const char *path, struct err *err)
{
    CLEANUP_FD int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang it */
    if (fd < 0)
        return err_set_errno(err, ERR_INVALID_ARGUMENT, errno, "load private key: `%s`", path);
    if (check_key_mode(fd, path, err) < 0)
        return -1;
    (void)fcntl(fd, F_SETFL, 0); /* a pipe's writer may be slow */
    BIO *bio = BIO_new_fd(fd, BIO_NOCLOSE);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, NULL) : NULL;
    bool ok =
        key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok ? 0 : config_error(err, "load private key", path);
}

static struct tls_config *server_new(const char *cert_path, const char *key_path,
                                     SSL_CTX_alpn_select_cb_func select, struct err *err)
{
    CLEANUP(config_unrefp) struct tls_config *c = config_new(TLS_server_method(), err);
    if (!c)
        return NULL;
    if (SSL_CTX_use_certificate_chain_file(c->ctx, cert_path) != 1) {
        config_error(err, "load certificate", cert_path);
        return NULL;
    }
    if (load_key(c->ctx, key_path, err) < 0)
        return NULL;
    (void)SSL_CTX_set_num_tickets(c->ctx, 0); /* see config_new */
    SSL_CTX_set_alpn_select_cb(c->ctx, select, NULL);
    return TAKE_PTR(c);
}

struct tls_config *tls_server_new(const char *cert_path, const char *key_path, struct err *err)
{
    return server_new(cert_path, key_path, select_h2, err);
}

struct tls_config *tls_server_new_web(const char *cert_path, const char *key_path,
                                      struct err *err)
{
    struct tls_config *c = server_new(cert_path, key_path, select_web, err);
    if (c)
        c->web = true;
    return c;
}

bool tls_config_is_web(const struct tls_config *config)
{
    return config->web;
}

/* A file that was named but cannot be read is an error: silently trusting other roots would
 * hide a mistake. */
static int load_roots(SSL_CTX *ctx, const char *ca_path, struct err *err)
{
    if (!ca_path)
        ca_path = getenv(
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"); /* as in grpcio, which the published client uses */
    if (ca_path && *ca_path) {
        if (SSL_CTX_load_verify_locations(ctx, ca_path, NULL) != 1)
            return config_error(err, "load root certificates", ca_path);
        return 0;
    }
    if (SSL_CTX_set_default_verify_paths(ctx) != 1)
        return config_error(err, "load the system's root certificates", NULL);
    return 0;
}

static int verify_peer(SSL_CTX *ctx, struct err *err)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_alpn_protos(ctx, alpn_h2, sizeof(alpn_h2)) != 0) /* 0 is success here */
        return config_error(err, "make TLS configuration", NULL);
    return 0;
}

struct tls_config *tls_client_new(const char *ca_path, struct err *err)
{
    CLEANUP(config_unrefp) struct tls_config *c = config_new(TLS_client_method(), err);
    if (!c || load_roots(c->ctx, ca_path, err) < 0 || verify_peer(c->ctx, err) < 0)
        return NULL;
    return TAKE_PTR(c);
}

/* ---- from memory ---- */

static X509 *next_cert(BIO *bio)
{
    return PEM_read_bio_X509(bio, NULL, refuse_passphrase, NULL);
}

/* Each certificate of @bio; at least one. */
static bool add_roots(SSL_CTX *ctx, BIO *bio)
{
    size_t n = 0;
    bool ok = true;
    for (X509 *cert; ok && (cert = next_cert(bio)); n++) {
        ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;
        X509_free(cert);
    }
    return ok && n > 0;
}

static bool add_chain(SSL_CTX *ctx, BIO *bio)
{
    X509 *cert = next_cert(bio);
    bool ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1;
    X509_free(cert);
    while (ok && (cert = next_cert(bio))) {
        ok = SSL_CTX_add1_chain_cert(ctx, cert) == 1;
        X509_free(cert);
    }
    return ok;
}

static bool add_pem(SSL_CTX *ctx, const void *pem, size_t n, bool (*add)(SSL_CTX *, BIO *))
{
    BIO *bio = n <= INT_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
    bool ok = bio && add(ctx, bio);
    BIO_free(bio);
    ERR_clear_error(); /* the end of the text is one to OpenSSL */
    return ok;
}

struct tls_config *tls_client_new_as(const struct tls_identity *id, struct err *err)
{
    CLEANUP(config_unrefp) struct tls_config *c = config_new(TLS_client_method(), err);
    if (!c || (id->n_roots == 0 && load_roots(c->ctx, NULL, err) < 0) ||
        verify_peer(c->ctx, err) < 0)
        return NULL;
    if (id->n_roots > 0 && !add_pem(c->ctx, id->roots, id->n_roots, add_roots)) {
        (void)err_set(err, ERR_INVALID_ARGUMENT, "its root certificates are not valid");
        return NULL;
    }
    if (!add_pem(c->ctx, id->chain, id->n_chain, add_chain) ||
        SSL_CTX_use_PrivateKey(c->ctx, (EVP_PKEY *)id->key) != 1) {
        ERR_clear_error();
        (void)err_set(err, ERR_INVALID_ARGUMENT,
                      "its client certificate is not valid, or not for the key");
        return NULL;
    }
    return TAKE_PTR(c);
}
