/* See client-hello.h. */
#include "wire/client-hello.h"

#include <errno.h>

#define RECORD_HEAD 5
#define HANDSHAKE 22
#define CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define NAME_HOST 0

struct cursor {
    const uint8_t *at;
    size_t left;
    bool failed; /* something reached past the end */
};

static struct cursor take(struct cursor *c, size_t n)
{
    struct cursor part = {c->at, n, false};
    if (c->failed || n > c->left) {
        c->failed = true;
        return (struct cursor){c->at, 0, true};
    }
    c->at += n;
    c->left -= n;
    return part;
}

static size_t take_number(struct cursor *c, size_t n_bytes)
{
    struct cursor part = take(c, n_bytes);
    size_t number = 0;
    for (size_t i = 0; i < part.left; i++)
        number = number << 8 | part.at[i];
    return number;
}

/* A length of @n_bytes, and so many bytes. */
static struct cursor take_vector(struct cursor *c, size_t n_bytes)
{
    size_t n = take_number(c, n_bytes);
    return take(c, n);
}

static bool find_name(struct cursor extension, struct http_text *ret)
{
    struct cursor names = take_vector(&extension, 2);
    while (names.left > 0) {
        size_t type = take_number(&names, 1);
        struct cursor name = take_vector(&names, 2);
        if (names.failed)
            return false;
        if (type == NAME_HOST) {
            *ret = (struct http_text){(const char *)name.at, name.left};
            return true;
        }
    }
    return !extension.failed;
}

static bool read_hello(struct cursor hello, struct http_text *ret)
{
    (void)take(&hello, 2 + 32);   /* version, random */
    (void)take_vector(&hello, 1); /* session */
    (void)take_vector(&hello, 2); /* cipher suites */
    (void)take_vector(&hello, 1); /* compression */
    struct cursor extensions = {hello.at, 0, false};
    if (!hello.failed && hello.left > 0)
        extensions = take_vector(&hello, 2);
    while (!extensions.failed && extensions.left > 0) {
        size_t type = take_number(&extensions, 2);
        struct cursor extension = take_vector(&extensions, 2);
        if (!extensions.failed && type == EXTENSION_SERVER_NAME)
            return find_name(extension, ret);
    }
    return !hello.failed && !extensions.failed;
}

int client_hello_name(const uint8_t *data, size_t n, struct http_text *ret)
{
    struct cursor all = {data, n, false};
    if (n > 0 && data[0] != HANDSHAKE)
        return -EPROTO;
    if (n < RECORD_HEAD)
        return 0;
    (void)take(&all, 3); /* type, version */
    size_t length = take_number(&all, 2);
    if (length > CLIENT_HELLO_MAX - RECORD_HEAD)
        return -EPROTO;
    if (all.left < length)
        return 0;
    struct cursor record = take(&all, length);
    size_t type = take_number(&record, 1);
    struct cursor hello = take_vector(&record, 3);
    struct http_text name = {(const char *)data, 0};
    if (record.failed || type != CLIENT_HELLO || !read_hello(hello, &name))
        return -EPROTO;
    *ret = name;
    return 1;
}
