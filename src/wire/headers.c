#include "wire/headers.h"

#include <errno.h>
#include <string.h>

int headers_add_n(struct headers *h, const void *name, size_t name_len, const void *value,
                  size_t value_len)
{
    int r = buf_reserve(&h->text, name_len + value_len + 2);
    if (r < 0)
        return r;
    uint8_t *o = buf_tail(&h->text);
    memcpy(o, name, name_len);
    o[name_len] = '\0';
    if (value_len > 0)
        memcpy(o + name_len + 1, value, value_len);
    o[name_len + 1 + value_len] = '\0';
    buf_commit(&h->text, name_len + value_len + 2);
    h->n++;
    h->size += name_len + value_len + HEADERS_ENTRY_OVERHEAD;
    return 0;
}

int headers_add(struct headers *h, const char *name, const char *value)
{
    return headers_add_n(h, name, strlen(name), value, strlen(value));
}

/* PROTOCOL-HTTP2.md "Header-Name": 0-9 a-z _ - . */
static bool name_valid(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.";
    return *name && name[strspn(name, allowed)] == '\0' && strncmp(name, "grpc-", 5) != 0;
}

/* PROTOCOL-HTTP2.md "ASCII-Value": 0x20-0x7e; RFC 9113 8.2.1 forbids a blank at either end. */
static bool value_valid(const char *value)
{
    size_t n = strlen(value);
    if (n > 0 && (value[0] == ' ' || value[n - 1] == ' '))
        return false;
    for (size_t i = 0; i < n; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return false;
    return true;
}

int headers_add_custom(struct headers *h, const struct grpc_header *custom, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!name_valid(custom[i].name) || !value_valid(custom[i].value))
            return -EINVAL;
        int r = headers_add(h, custom[i].name, custom[i].value);
        if (r < 0)
            return r;
    }
    return 0;
}

struct grpc_header *headers_list(const struct headers *h)
{
    struct grpc_header *list = malloc((h->n + 1) * sizeof(*list));
    if (!list)
        return NULL;
    const char *p = (const char *)buf_head(&h->text);
    for (size_t i = 0; i < h->n; i++) {
        list[i].name = p;
        p += strlen(p) + 1;
        list[i].value = p;
        p += strlen(p) + 1;
    }
    return list;
}

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"content-type",         "te",
                                           "grpc-timeout",         "grpc-encoding",
                                           "grpc-accept-encoding", "grpc-message-type",
                                           "content-length"};
    if (name[0] == ':')
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (strcmp(reserved[i], name) == 0)
            return true;
    return false;
}

size_t headers_drop_reserved(struct grpc_header *list, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_reserved(list[i].name))
            list[kept++] = list[i];
    return kept;
}

const char *grpc_header_find(const struct grpc_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(headers[i].name, name) == 0)
            return headers[i].value;
    return NULL;
}

void headers_done(struct headers *h)
{
    buf_done(&h->text);
    *h = (struct headers){0};
}
