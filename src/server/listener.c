/*
 * Listening sockets that were handed to us; made by bind.c. Their files are the supervisor's to remove.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/util.h"
#include "server/service.h"

struct listener {
    struct list link;
    struct service *service;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    };
    bool tls;
    bool web; /* for visitors of sandboxes' services */
};

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF(handle, struct listener, handle));
}

static void listener_close(struct listener *l)
{
    list_remove(&l->link);
    if (!uv_is_closing(&l->handle))
        uv_close(&l->handle, on_closed);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = CONTAINER_OF(stream, struct listener, stream);
    if (status < 0)
        log_event(LOG_WARN, "accept_failed", "error=\"%s\"", uv_strerror(status));
    else if (l->web)
        web_accept(l->service, stream, l->tls);
    else
        connection_accept(l->service, stream, l->tls ? l->service->tls : NULL);
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

static void log_listening(const struct listener *l, const struct address *addr)
{
    char path[sizeof((struct sockaddr_un){0}.sun_path)] = "";
    size_t n = sizeof(path) - 1;
    if (addr->kind == ADDRESS_UNIX && uv_pipe_getsockname(&l->pipe, path, &n) == 0)
        log_event(LOG_INFO, "listening", "url=unix://%s", path);
    else
        log_event(LOG_INFO, "listening", "url=%s://%s%s%s:%u", addr->tls ? "https" : "http",
                  strchr(addr->host, ':') != NULL ? "[" : "", addr->host,
                  strchr(addr->host, ':') != NULL ? "]" : "", bound_port(l));
}

/* The listener, linked, or NULL. @ret_addr: for address_done(), either way. */
static struct listener *listener_new(struct service *s, const char *url, int fd,
                                     struct address *ret_addr, struct err *err)
{
    const struct address *addr = ret_addr;
    if (address_parse(url, ret_addr, err) < 0) {
        (void)err_wrap(err, "listen on `%s`", url);
        return NULL;
    }
    struct listener *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    l->service = s;
    l->tls = addr->tls;
    list_append(&s->listeners, &l->link);
    if (addr->kind == ADDRESS_UNIX)
        (void)uv_pipe_init(s->loop, &l->pipe, 0); /* neither can fail without IPC or a family */
    else
        (void)uv_tcp_init(s->loop, &l->tcp);
    int r = addr->kind == ADDRESS_UNIX ? uv_pipe_open(&l->pipe, fd) : uv_tcp_open(&l->tcp, fd);
    /* It listens already: that listen(2) is made again changes nothing, and where the filter is in force it is not even
     * made (confine.c). */
    if (r == 0)
        r = uv_listen(&l->stream, SERVICE_BACKLOG, on_connection);
    if (r < 0) {
        listener_close(l);
        (void)err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "listen on `%s`", url);
        return NULL;
    }
    return l;
}

int listener_open(struct service *s, const char *url, int fd, struct err *err)
{
    CLEANUP(address_done) struct address addr = {0};
    struct listener *l = listener_new(s, url, fd, &addr, err);
    if (l == NULL)
        return -1;
    log_listening(l, &addr);
    return 0;
}

int listener_open_web(struct service *s, const char *url, int fd, struct err *err)
{
    CLEANUP(address_done) struct address addr = {0};
    struct listener *l = listener_new(s, url, fd, &addr, err);
    if (l == NULL)
        return -1;
    l->web = true;
    if (sites_open(&s->sites, s->options->front_domain, bound_port(l), l->tls) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    log_event(LOG_INFO, "front", "url=%s://PORT-ID.%s", l->tls ? "https" : "http",
              s->sites.authority);
    return 0;
}

void listeners_close(struct service *s)
{
    LIST_FOREACH_SAFE(it, &s->listeners)
    {
        listener_close(CONTAINER_OF(it, struct listener, link));
    }
}
