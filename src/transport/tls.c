/*
 * One TLS session over a pair of memory BIOs (contract: tls.h). OpenSSL sees two byte queues;
 * the transport moves the bytes. Because a memory BIO takes everything, SSL_write never stops
 * halfway and needs no retry.
 *
 * OpenSSL's error queue belongs to the thread and may hold somebody else's errors (Python's ssl
 * module lives in the same process), so it is emptied before every call whose result is asked
 * with SSL_get_error().
 */
#include "transport/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

struct tls {
    SSL *ssl;
    BIO *in;  /* ciphertext from the peer; owned by ssl */
    BIO *out; /* ciphertext to the peer; owned by ssl */
    struct tls_config *config;
    bool handshaken;
    uint8_t gather[TLS_RECORD_BYTES]; /* small pieces are joined here so that one record carries
                                         many */
};

struct tls *tls_free(struct tls *t)
{
    if (!t)
        return NULL;
    SSL_free(t->ssl); /* and both BIOs */
    tls_config_unref(t->config);
    free(t);
    return NULL;
}

static void tls_freep(struct tls **t)
{
    tls_free(*t);
}

static bool is_ip_literal(const char *host)
{
    struct in6_addr scratch; /* large enough for both families */
    return inet_pton(AF_INET, host, &scratch) == 1 || inet_pton(AF_INET6, host, &scratch) == 1;
}

/* RFC 9525: a name is checked against DNS names, an address against IP addresses; SNI carries
 * names only (RFC 6066 3). */
static int expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (is_ip_literal(host))
        return X509_VERIFY_PARAM_set1_ip_asc(param, host);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int attach_bios(struct tls *t)
{
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (!in || !out) {
        BIO_free(in);
        BIO_free(out);
        return -ENOMEM;
    }
    t->in = in;
    t->out = out;
    SSL_set_bio(t->ssl, in, out);
    return 0;
}

struct tls *tls_new(struct tls_config *config, const char *host, struct err *err)
{
    CLEANUP(tls_freep) struct tls *t = calloc(1, sizeof(*t));
    if (!t) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "begin TLS: out of memory");
        return NULL;
    }
    t->config = tls_config_ref(config);
    ERR_clear_error();
    t->ssl = SSL_new(tls_config_ctx(config));
    if (!t->ssl || attach_bios(t) < 0 || (host && !expect_host(t->ssl, host))) {
        tls_describe(err, "begin TLS");
        return NULL;
    }
    if (host)
        SSL_set_connect_state(t->ssl);
    else
        SSL_set_accept_state(t->ssl);
    return TAKE_PTR(t);
}

int tls_feed(struct tls *t, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n > 0) {
        int step = (int)MIN(n, (size_t)INT_MAX);
        if (BIO_write(t->in, p, step) != step)
            return -ENOMEM;
        p += step;
        n -= (size_t)step;
    }
    return 0;
}

/* Of gRPC both sides insist: without ALPN the peer may speak anything (RFC 9113 3.3 makes "h2" the only
 * way over TLS). */
static int require_h2(struct tls *t, struct err *err)
{
    const unsigned char *name = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(t->ssl, &name, &n);
    if (tls_config_is_web(t->config) || (n == 2 && memcmp(name, "h2", 2) == 0))
        return 1;
    return err_set(err, ERR_UNAVAILABLE,
                   "TLS handshake: the peer did not agree to HTTP/2 (ALPN h2)");
}

int tls_handshake(struct tls *t, struct err *err)
{
    if (t->handshaken)
        return 1;
    ERR_clear_error();
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        t->handshaken = true;
        return require_h2(t, err);
    }
    if (SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ)
        return 0;
    long verdict = SSL_get_verify_result(t->ssl);
    if (verdict != X509_V_OK) {
        ERR_clear_error();
        return err_set(err, ERR_UNAVAILABLE, "TLS handshake: certificate verify failed: %s",
                       X509_verify_cert_error_string(verdict));
    }
    return tls_describe(err, "TLS handshake");
}

ssize_t tls_read(struct tls *t, void *data, size_t size, struct err *err)
{
    size_t n = 0;
    ERR_clear_error();
    int r = SSL_read_ex(t->ssl, data, size, &n);
    if (r == 1)
        return (ssize_t)n;
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        tls_describe(err, "read TLS record");
        return -EPROTO;
    }
}

static int write_record(struct tls *t, const void *data, size_t n, struct err *err)
{
    size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, data, n, &written) == 1 && written == n)
        return 0;
    tls_describe(err, "write TLS record");
    return -EPROTO;
}

int tls_write(struct tls *t, const struct iovec *iov, int n_iov, struct err *err)
{
    size_t held = 0; /* bytes waiting in gather */
    for (int i = 0; i < n_iov; i++) {
        const uint8_t *p = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        while (left > 0) {
            /* A full record needs no copy */
            bool direct = held == 0 && left >= TLS_RECORD_BYTES;
            size_t step = MIN(left, TLS_RECORD_BYTES - held);
            if (!direct)
                memcpy(t->gather + held, p, step);
            held += step;
            if (held == TLS_RECORD_BYTES) {
                if (write_record(t, direct ? p : t->gather, held, err) < 0)
                    return -EPROTO;
                held = 0;
            }
            p += step;
            left -= step;
        }
    }
    return held > 0 ? write_record(t, t->gather, held, err) : 0;
}

int tls_pull(struct tls *t, struct buf *out)
{
    size_t n = BIO_ctrl_pending(t->out);
    if (n == 0)
        return 0;
    int r = buf_reserve(out, n);
    if (r < 0)
        return r;
    size_t got = 0;
    if (BIO_read_ex(t->out, buf_tail(out), n, &got) != 1)
        return -ENOMEM; /* cannot happen: the BIO said it has @n */
    buf_commit(out, got);
    return 0;
}

void tls_close_notify(struct tls *t)
{
    ERR_clear_error();
    if (t->handshaken)
        (void)SSL_shutdown(
            t->ssl); /* 0 = sent, the peer's has not come; nobody waits for that one */
    ERR_clear_error();
}
