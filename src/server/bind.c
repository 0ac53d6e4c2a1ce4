/*
 * Listening sockets: Unix (mode 0600, or 0666 behind a uid check when other users are allowed),
 * TCP, TCP with TLS.
 */
#include "server/bind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"
#include "privproto/handover.h"
#include "transport/transport.h"

#define BACKLOG 1024 /* chosen: a burst of short client connections */

void bound_discard(struct bound *b)
{
    /* The file first: while it is there, a client may still connect and be dropped. */
    if (b->path != NULL && !b->kept)
        (void)unlink(b->path);
    cleanup_fd(&b->fd);
    free(b->path);
    b->path = NULL;
}

/* The main process made the socket; without it the rest of that service is ending. */
static bool owner_gone(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.pid > 0 &&
           kill(peer.pid, 0) < 0 && errno == ESRCH;
}

/* A socket file nobody listens on is a crash's leftover; one that answers belongs to another
 * service. */
static int remove_stale(const char *path, const struct sockaddr_un *addr, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_FAILED_PRECONDITION, "`%s` exists and is no socket", path);
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open a socket");
    bool answers = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0;
    if (answers ? !owner_gone(fd) : errno != ECONNREFUSED)
        return err_set(err, ERR_FAILED_PRECONDITION, "another service listens on `%s`", path);
    if (unlink(path) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "remove stale `%s`", path);
    return 0;
}

static int listen_unix(const struct options *o, const char *path, struct bound *ret,
                       struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return err_set(err, ERR_INVALID_ARGUMENT, "listen on `%s`: the path is too long", path);
    memcpy(addr.sun_path, path, strlen(path));
    if (remove_stale(path, &addr, err) < 0)
        return -1;
    CLEANUP_FREE char *copy = strdup(path);
    if (copy == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open a socket");
    bool shared = o->n_allowed_uids > 0;
    mode_t old = umask(
        shared ? 0111 : 0177); /* bind(2) gives the mode; a chmod after it would leave a gap */
    int r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    (void)umask(old);
    if (r == 0 && listen(fd, BACKLOG) < 0) {
        r = -errno;
        (void)unlink(path);
    }
    if (r < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "listen on `%s`", path);
    *ret = (struct bound){.fd = TAKE_FD(fd), .path = TAKE_PTR(copy)};
    return 0;
}

static int listen_tcp(const struct address *addr, struct bound *ret, struct err *err)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char port[8];
    int on = 1;
    (void)snprintf(port, sizeof(port), "%u", addr->port);
    int r = getaddrinfo(addr->host, port, &hints, &found);
    if (r != 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "listen on `%s`: %s", addr->host,
                       gai_strerror(r));
    CLEANUP_FD int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* A restart need not wait for connections in TIME_WAIT. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        r = errno;
    freeaddrinfo(found);
    if (r == EACCES)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, EACCES,
                             "listen on %s port %u (lower sysctl "
                             "net.ipv4.ip_unprivileged_port_start, start as root, or take a "
                             "higher port)",
                             addr->host, addr->port);
    if (r != 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, r, "listen on %s port %u",
                             addr->host, addr->port);
    *ret = (struct bound){.fd = TAKE_FD(fd)};
    return 0;
}

int bind_listen(const struct options *o, const char *url, struct bound *ret, struct err *err)
{
    CLEANUP(address_done) struct address addr = {0};
    if (address_parse(url, &addr, err) < 0)
        return err_wrap(err, "listen on `%s`", url);
    return addr.kind == ADDRESS_UNIX ? listen_unix(o, addr.path, ret, err)
                                     : listen_tcp(&addr, ret, err);
}

/* ---- while the service runs ---- */

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        /* Port 0 was any port, and still is. */
        return x->sin_addr.s_addr == y->sin_addr.s_addr &&
               (x->sin_port == y->sin_port || x->sin_port == 0);
    }
    const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
    return a->sa_family == AF_INET6 &&
           memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr)) == 0 &&
           (x->sin6_port == y->sin6_port || x->sin6_port == 0);
}

static bool listens_at(int fd, const struct address *addr, const struct sockaddr *wanted)
{
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
    } own = {0};
    socklen_t n = sizeof(own);
    if (getsockname(fd, &own.any, &n) < 0)
        return false;
    if (addr->kind == ADDRESS_UNIX)
        return own.any.sa_family == AF_UNIX && strcmp(own.un.sun_path, addr->path) == 0;
    return wanted != NULL && same_address(wanted, &own.any);
}

/* Its number is closed, so that no other address finds it. -1: none. */
static int take_inherited(const struct address *addr)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char port[8];
    int taken = -1;
    (void)snprintf(port, sizeof(port), "%u", addr->port);
    if (addr->kind != ADDRESS_UNIX && getaddrinfo(addr->host, port, &hints, &found) != 0)
        found = NULL;
    for (int fd = HANDOVER_LISTEN; fd < HANDOVER_END && taken < 0; fd++) {
        if (!listens_at(fd, addr, found != NULL ? found->ai_addr : NULL))
            continue;
        taken = fcntl(fd, F_DUPFD_CLOEXEC, HANDOVER_ABOVE);
        (void)close(fd);
    }
    if (found != NULL)
        freeaddrinfo(found);
    return taken;
}

int bind_again(const struct options *o, const char *url, struct bound *ret, struct err *err)
{
    CLEANUP(address_done) struct address addr = {0};
    if (address_parse(url, &addr, err) < 0)
        return err_wrap(err, "listen on `%s`", url);
    CLEANUP_FD int fd = take_inherited(&addr);
    if (fd < 0)
        return bind_listen(o, url, ret, err);
    CLEANUP_FREE char *path = addr.kind == ADDRESS_UNIX ? strdup(addr.path) : NULL;
    if (addr.kind == ADDRESS_UNIX && path == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (path != NULL && chmod(path, o->n_allowed_uids > 0 ? 0666 : 0600) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "change the mode of `%s`",
                             path);
    *ret = (struct bound){.fd = TAKE_FD(fd), .path = TAKE_PTR(path), .kept = true};
    return 0;
}

/* ---- what may be ---- */

/* TCP reaches more than this user, so it needs keys, or the operator's word that none are
 * wanted. */
static int check_policy(const struct options *o, size_t n_keys, const struct address *addr,
                        const char *url, struct err *err)
{
    if (addr->kind == ADDRESS_UNIX)
        return 0;
    if (n_keys == 0 && !o->allow_unauthenticated)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "listen on `%s`: needs --api-keys (or --allow-unauthenticated)", url);
    if (addr->tls && o->tls_cert == NULL)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "listen on `%s`: needs --tls-cert and --tls-key", url);
    return 0;
}

/* An address that only this machine's programs reach; names are not looked up for that. */
static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

/* Cookies, tokens and keys pass here: in the clear on this machine only. */
static int check_front(const struct options *o, struct err *err)
{
    CLEANUP(address_done) struct address addr = {0};
    if (o->front == NULL)
        return 0;
    if (address_parse(o->front, &addr, err) < 0)
        return err_wrap(err, "--front `%s`", o->front);
    if (addr.kind == ADDRESS_UNIX)
        return err_set(err, ERR_INVALID_ARGUMENT, "--front `%s`: is not http or https",
                       o->front);
    if (addr.tls && o->tls_cert == NULL)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "--front `%s`: needs --tls-cert and --tls-key", o->front);
    if (!addr.tls && !is_loopback(addr.host))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "--front `%s`: without TLS only on loopback; take https and --tls-cert, "
                       "--tls-key",
                       o->front);
    return 0;
}

int bind_check(const struct options *o, size_t n_keys, struct err *err)
{
    if (check_front(o, err) < 0)
        return -1;
    for (size_t i = 0; i < o->listen.n_items; i++) {
        const char *url = o->listen.items[i];
        CLEANUP(address_done) struct address addr = {0};
        if (address_parse(url, &addr, err) < 0)
            return err_wrap(err, "listen on `%s`", url);
        if (check_policy(o, n_keys, &addr, url, err) < 0)
            return -1;
    }
    return 0;
}
