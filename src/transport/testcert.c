#include "transport/testcert.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(ext && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static X509 *new_cert(const char *common_name, EVP_PKEY *key, long serial)
{
    X509 *cert = X509_new();
    CHECK(cert && X509_set_version(cert, 2) == 1 && X509_set_pubkey(cert, key) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) == 1);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
          X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    X509_NAME *name = X509_NAME_new();
    CHECK(name && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                             (const unsigned char *)common_name, -1, -1, 0));
    CHECK(X509_set_subject_name(cert, name) == 1);
    X509_NAME_free(name);
    return cert;
}

static FILE *open_file(const char *dir, const char *name, const char *suffix)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
    FILE *f = fopen(path, "we");
    CHECK(f);
    return f;
}

static void write_cert(const char *dir, const char *name, const char *suffix, X509 *cert)
{
    FILE *f = open_file(dir, name, suffix);
    CHECK(PEM_write_X509(f, cert) == 1 && fclose(f) == 0);
}

static void write_key(const char *dir, const char *name, EVP_PKEY *key)
{
    FILE *f = open_file(dir, name, ".key");
    CHECK(fchmod(fileno(f), 0600) == 0);
    CHECK(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
}

void testcert_make(const char *dir, const char *name, const char *alt_names)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    CHECK(ca_key && key);
    X509 *ca = new_cert(name, ca_key, 1);
    CHECK(X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1);
    add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca, ca, NID_key_usage, "critical,keyCertSign");
    CHECK(X509_sign(ca, ca_key, EVP_sha256()) > 0);

    X509 *cert = new_cert("test service", key, 2);
    CHECK(X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1);
    add_extension(cert, ca, NID_subject_alt_name, alt_names);
    CHECK(X509_sign(cert, ca_key, EVP_sha256()) > 0);

    write_cert(dir, name, "-ca.pem", ca);
    write_cert(dir, name, ".pem", cert);
    write_key(dir, name, key);
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}
