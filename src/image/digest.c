/* See digest.h. */
#include "image/digest.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/util.h"

bool digest_is_hex(const char *text)
{
    return strspn(text, "0123456789abcdef") == DIGEST_HEX && text[DIGEST_HEX] == '\0';
}

int digest_parse(const char *text, char ret_hex[static DIGEST_HEX + 1], struct err *err)
{
    const char *hex = str_startswith(text, "sha256:");
    if (hex == NULL || !digest_is_hex(hex))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "`%.100s` is no digest of the form sha256:<64 digits>", text);
    memcpy(ret_hex, hex, DIGEST_HEX + 1);
    return 0;
}

int hash_init(struct hash *h, struct err *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    h->context = context;
    return 0;
}

void hash_add(struct hash *h, const void *data, size_t n)
{
    CHECK(EVP_DigestUpdate(h->context, data, n) ==
          1); /* of a context that is initialised it cannot fail */
}

void hash_end(struct hash *h, char ret_hex[static DIGEST_HEX + 1])
{
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    CHECK(EVP_DigestFinal_ex(h->context, bytes, &n) == 1 && n == DIGEST_HEX / 2);
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(ret_hex + (size_t)2 * i, 3, "%02x", bytes[i]);
}

void hash_done(struct hash *h)
{
    EVP_MD_CTX_free(h->context);
    h->context = NULL;
}

int hash_bytes(const void *data, size_t n, char ret_hex[static DIGEST_HEX + 1], struct err *err)
{
    CLEANUP(hash_done) struct hash h = {0};
    if (hash_init(&h, err) < 0)
        return -1;
    hash_add(&h, data, n);
    hash_end(&h, ret_hex);
    return 0;
}
