/* A key pair that never leaves memory, and the request for a certificate over it (PKCS#10). */
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/x509.h>

#include "transport/tls-config.h"

/* Of OpenSSL, which knows no other name for it: an EVP_PKEY. */
struct tls_key *tls_key_new(void)
{
    return (struct tls_key *)EVP_EC_gen("P-256");
}

void tls_key_free(struct tls_key *key)
{
    EVP_PKEY_free((EVP_PKEY *)key);
}

static int sign_request(X509_REQ *request, EVP_PKEY *key, struct buf *ret_der)
{
    if (X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(request, key) != 1 ||
        X509_REQ_sign(request, key, EVP_sha256()) <= 0)
        return -ENOMEM;
    unsigned char *der = NULL;
    int n = i2d_X509_REQ(request, &der);
    int r = n > 0 ? buf_put(ret_der, der, (size_t)n) : -ENOMEM;
    OPENSSL_free(der);
    return r;
}

int tls_key_request(struct tls_key *key, struct buf *ret_der)
{
    X509_REQ *request = X509_REQ_new(); /* its subject is empty */
    int r = request ? sign_request(request, (EVP_PKEY *)key, ret_der) : -ENOMEM;
    X509_REQ_free(request);
    return r;
}
