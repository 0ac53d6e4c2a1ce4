/* Whom questions are passed on to: the operator's words, or the machine's /etc/resolv.conf. */
#ifndef CWS_RESOLVE_SERVERS_H
#define CWS_RESOLVE_SERVERS_H

#include <netinet/in.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "privproto/resolve.h"

struct server {
    socklen_t size;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
};

struct servers {
    struct server list[RESOLVE_MAX_SERVERS];
    size_t n;
    const char *path; /* they were read there; NULL: the operator named them */
    struct stat seen;
};

/** servers_add() - @text: an IPv4 or IPv6 address. -EINVAL; -ENOSPC: there are enough. */
int servers_add(struct servers *s, const char *text);
/** servers_read() - `nameserver` lines of @path (borrowed); without any, or without the file, this machine (resolv.conf(5)). */
void servers_read(struct servers *s, const char *path);
/** servers_changed() - what servers_read() would read is another file by now. */
bool servers_changed(const struct servers *s);

#endif
