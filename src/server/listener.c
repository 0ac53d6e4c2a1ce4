/*
 * Listening sockets: Unix (mode 0600, or 0666 behind a uid check when other users are allowed),
 * TCP, TCP with TLS.
 */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/util.h"
#include "server/service.h"

#define BACKLOG 1024 /* chosen: a burst of short client connections (contract/server.md 0) */

struct listener {
    struct list link;
    struct service *service;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    };
    char *path; /* socket file to remove; NULL for TCP */
    bool tls;
};

static void on_closed(uv_handle_t *handle)
{
    struct listener *l = CONTAINER_OF(handle, struct listener, handle);
    free(l->path);
    free(l);
}

static void listener_close(struct listener *l)
{
    /* The file first: while it is there, a client may still connect and be dropped. */
    if (l->path != NULL)
        (void)unlink(l->path);
    list_remove(&l->link);
    if (!uv_is_closing(&l->handle))
        uv_close(&l->handle, on_closed);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = CONTAINER_OF(stream, struct listener, stream);
    if (status < 0)
        log_event(LOG_WARN, "accept_failed", "error=\"%s\"", uv_strerror(status));
    else
        connection_accept(l->service, stream, l->tls ? l->service->tls : NULL);
}

/* A socket file nobody listens on is a crash's leftover; one that answers belongs to another
 * service. */
static int remove_stale(const char *path, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st;
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_FAILED_PRECONDITION, "`%s` exists and is no socket", path);
    memcpy(addr.sun_path, path, strlen(path)); /* fits: bind_unix() */
    CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open a socket");
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 || errno != ECONNREFUSED)
        return err_set(err, ERR_FAILED_PRECONDITION, "another service listens on `%s`", path);
    if (unlink(path) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "remove stale `%s`", path);
    return 0;
}

/* libuv says EACCES when the directory does not exist. */
static int bind_errno(const char *path, int status)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *dir = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : NULL;
    return status == UV_EACCES && dir != NULL && stat(dir, &st) < 0 ? errno : -status;
}

static int bind_unix(struct listener *l, const char *path, struct err *err)
{
    if (strlen(path) >= sizeof((struct sockaddr_un){0}.sun_path))
        return err_set(err, ERR_INVALID_ARGUMENT, "listen on `%s`: the path is too long", path);
    if (remove_stale(path, err) < 0)
        return -1;
    (void)uv_pipe_init(l->service->loop, &l->pipe, 0); /* cannot fail without IPC */
    bool shared = l->service->options->n_allowed_uids > 0;
    mode_t old = umask(
        shared ? 0111 : 0177); /* bind(2) gives the mode; a chmod after it would leave a gap */
    int r = uv_pipe_bind(&l->pipe, path);
    (void)umask(old);
    if (r < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, bind_errno(path, r),
                             "listen on `%s`", path);
    l->path = strdup(path);
    return l->path != NULL ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

static int bind_tcp(struct listener *l, const struct address *addr, struct err *err)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", addr->port);
    (void)uv_tcp_init(l->service->loop, &l->tcp);
    int r = getaddrinfo(addr->host, port, &hints, &found);
    if (r != 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "listen on `%s`: %s", addr->host,
                       gai_strerror(r));
    r = uv_tcp_bind(&l->tcp, found->ai_addr, 0);
    freeaddrinfo(found);
    if (r == UV_EACCES) /* also as root: no capability is left (privileges.h) */
        return err_set_errno(err, ERR_FAILED_PRECONDITION, EACCES,
                             "listen on %s port %u (lower sysctl "
                             "net.ipv4.ip_unprivileged_port_start, or take a higher port)",
                             addr->host, addr->port);
    if (r < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "listen on %s port %u",
                             addr->host, addr->port);
    return 0;
}

static unsigned bound_port(const struct listener *l)
{
    struct sockaddr_storage addr = {0};
    int len = sizeof(addr);
    if (uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&addr, &len) < 0)
        return 0;
    return addr.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&addr)->sin6_port)
                                      : ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

/* TCP reaches more than this user, so it needs keys, or the operator's word that none are
 * wanted. */
static int check_policy(const struct service *s, const struct options *o,
                        const struct address *addr, const char *url, struct err *err)
{
    if (addr->kind == ADDRESS_UNIX)
        return 0;
    if (keys_count(s->keys) == 0 && !o->allow_unauthenticated)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "listen on `%s`: needs --api-keys (or --allow-unauthenticated)", url);
    if (addr->tls && s->tls == NULL)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "listen on `%s`: needs --tls-cert and --tls-key", url);
    return 0;
}

static int listener_start(struct listener *l, const struct address *addr, const char *url,
                          struct err *err)
{
    l->tls = addr->tls;
    if (addr->kind == ADDRESS_UNIX ? bind_unix(l, addr->path, err) < 0
                                   : bind_tcp(l, addr, err) < 0)
        return -1;
    int r = uv_listen(&l->stream, BACKLOG, on_connection);
    if (r < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "listen on `%s`", url);
    if (addr->kind == ADDRESS_UNIX)
        log_event(LOG_INFO, "listening", "url=unix://%s", addr->path);
    else
        log_event(LOG_INFO, "listening", "url=%s://%s%s%s:%u", addr->tls ? "https" : "http",
                  strchr(addr->host, ':') != NULL ? "[" : "", addr->host,
                  strchr(addr->host, ':') != NULL ? "]" : "", bound_port(l));
    return 0;
}

int listener_open(struct service *s, const char *url, struct err *err)
{
    CLEANUP(address_done) struct address addr = {0};
    if (address_parse(url, &addr, err) < 0)
        return err_wrap(err, "listen on `%s`", url);
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    l->service = s;
    list_append(&s->listeners, &l->link);
    int r = listener_start(l, &addr, url, err);
    if (r < 0 && l->handle.loop == NULL) { /* never became a handle: nothing to close */
        list_remove(&l->link);
        free(l);
    } else if (r < 0) {
        listener_close(l);
    }
    return r;
}

int listeners_check(const struct service *s, const struct options *o, struct err *err)
{
    for (size_t i = 0; i < o->listen.n_items; i++) {
        const char *url = o->listen.items[i];
        CLEANUP(address_done) struct address addr = {0};
        if (address_parse(url, &addr, err) < 0)
            return err_wrap(err, "listen on `%s`", url);
        if (check_policy(s, o, &addr, url, err) < 0)
            return -1;
    }
    return 0;
}

void listeners_close(struct service *s)
{
    LIST_FOREACH_SAFE(it, &s->listeners)
    {
        listener_close(CONTAINER_OF(it, struct listener, link));
    }
}
