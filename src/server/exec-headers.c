/* See exec-headers.h. */
#include "server/exec-headers.h"

#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "server/spec.h"
#include "wire/status.h"

/* A path as text; NULL with @err set. */
static char *decode_path(const char *base64, struct err *err)
{
    CLEANUP_BUF struct buf raw = {0};
    size_t len;

    if (base64_decode(base64, strlen(base64), &raw) < 0 || buf_len(&raw) == 0 ||
        memchr(buf_head(&raw), '\0', buf_len(&raw)) != NULL) {
        (void)err_invalid(err, "cwd", "cannot be read");
        return NULL;
    }
    if (buf_put(&raw, "", 1) < 0) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    return (char *)buf_take(&raw, &len);
}

int exec_headers_read(struct exec_headers *ret, const struct exec_headers_text *text,
                      struct err *err)
{
    uint64_t port = 0;

    if (text->cwd_base64 != NULL && (ret->cwd = decode_path(text->cwd_base64, err)) == NULL)
        return -1;
    if (text->port != NULL && (parse_u64(text->port, UINT16_MAX, &port) < 0 || port == 0))
        return err_invalid(err, "port", "must be 1 to 65535");
    ret->port = (uint16_t)port;
    if (text->user == NULL)
        return 0;
    if (*text->user == '\0')
        return err_invalid(err, "user", "must not be empty");
    ret->user = strdup(text->user);
    return ret->user != NULL ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

void exec_headers_done(struct exec_headers *h)
{
    free(h->cwd);
    free(h->user);
    *h = (struct exec_headers){0};
}
