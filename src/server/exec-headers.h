/*
 * What a client of ours says of a command beside the message: wire/exec-facts.h.
 */
#ifndef CWS_SERVER_EXEC_HEADERS_H
#define CWS_SERVER_EXEC_HEADERS_H

#include "base/err.h"

struct exec_headers { /* NULL: not said */
    char *cwd;
    char *user;
    bool files;
    uint16_t port; /* 0: not said */
};

struct exec_headers_text { /* as it came; NULL: the header is not there */
    const char *cwd_base64, *user, *port;
};

/** exec_headers_read() - INVALID_ARGUMENT: one that cannot be read, for it must not be ignored; RESOURCE_EXHAUSTED.
 * @ret: zeroed before, and also on failure to be given to exec_headers_done(). */
int exec_headers_read(struct exec_headers *ret, const struct exec_headers_text *text,
                      struct err *err);
void exec_headers_done(struct exec_headers *h);

#endif
