/* An epoll set inside the loop's: see poller.h for why. */
#include "loop/poller.h"

#include <errno.h>

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct poller *p = CONTAINER_OF(handle, struct poller, handle);

    (void)status; /* an epoll descriptor has no error state of its own */
    (void)events;
    p->n_batch = epoll_wait(p->epfd, p->batch, POLLER_BATCH, 0);
    for (p->at_batch = 0; p->at_batch < p->n_batch; p->at_batch++) {
        struct epoll_event *e = &p->batch[p->at_batch];
        struct fd_watch *w = e->data.ptr;

        if (w)
            w->cb(w, e->events);
    }
    p->n_batch = p->at_batch = 0;
}

int poller_open(struct poller *p)
{
    p->epfd = epoll_create1(EPOLL_CLOEXEC);
    return p->epfd < 0 ? -errno : 0;
}

int poller_start(struct poller *p, uv_loop_t *loop)
{
    int r = uv_poll_init(loop, &p->handle, p->epfd);
    if (r == 0)
        (void)uv_poll_start(&p->handle, UV_READABLE,
                            on_ready); /* cannot fail for a fresh handle */
    return r;
}

void poller_close(struct poller *p, uv_close_cb on_closed)
{
    (void)uv_poll_stop(&p->handle); /* cannot fail for a started handle */
    uv_close((uv_handle_t *)&p->handle, on_closed);
    cleanup_fd(&p->epfd);
}

/* An event of @w that was fetched and not yet handed out must not reach it any more. */
static void strike_out(struct poller *p, const struct fd_watch *w)
{
    for (int i = p->at_batch + 1; i < p->n_batch; i++)
        if (p->batch[i].data.ptr == w)
            p->batch[i].data.ptr = NULL;
}

int fd_watch_set(struct poller *p, struct fd_watch *w, uint32_t events)
{
    if (w->events == events)
        return 0;
    int op = w->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (events == 0)
        strike_out(p, w);
    if (epoll_ctl(p->epfd, op, w->fd, &e) < 0)
        return -errno;
    w->events = events;
    return 0;
}

void fd_watch_close(struct poller *p, struct fd_watch *w, bool alone)
{
    if (w->fd < 0)
        return;
    if (!alone)
        (void)fd_watch_set(p, w, 0);
    if (w->events != 0)
        strike_out(p, w);
    w->events = 0;
    cleanup_fd(&w->fd);
}
