/* See exec-headers.h. */
#include "server/exec-headers.h"

#include <string.h>

#include "base/buf.h"
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

int exec_headers_read(struct exec_headers *ret, const char *cwd_base64, const char *user,
                      struct err *err)
{
    if (cwd_base64 != NULL && (ret->cwd = decode_path(cwd_base64, err)) == NULL)
        return -1;
    if (user == NULL)
        return 0;
    if (*user == '\0')
        return err_invalid(err, "user", "must not be empty");
    ret->user = strdup(user);
    return ret->user != NULL ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

void exec_headers_done(struct exec_headers *h)
{
    free(h->cwd);
    free(h->user);
    *h = (struct exec_headers){0};
}
