/*
 * Noticing a TCP peer that is gone without a word: its machine lost power, a middlebox forgot the
 * connection.
 *
 * Two ways, because neither sees everything. The kernel: keepalive probes when nothing is on its
 * way, TCP_USER_TIMEOUT when data is. Ourselves: a PING when calls are open and nothing has come
 * for a while, since a kernel or a proxy answers also for a process that does not. A Unix socket
 * has no such half: the kernel tells of every end.
 *
 *   quiet timer fires: something came, or no call is open -> look again later
 *                      nothing came -> PING; nothing for PING_WAIT after that -> the end
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "transport/transport-internal.h"

/* Chosen: kernel probes find a vanished TCP peer without our traffic. */
#define PROBE_IDLE_SECONDS 60
#define PROBE_EVERY_SECONDS 10
#define PROBE_COUNT 6

static void on_quiet_timer(uv_timer_t *timer);

static void look_again(struct transport *t, unsigned in_ms)
{
    t->heard = false;
    (void)uv_timer_start(&t->quiet, on_quiet_timer, in_ms, 0);
}

static void on_quiet_timer(uv_timer_t *timer)
{
    struct transport *t = timer->data;
    bool pinged = t->pinged;
    t->pinged = false;
    if (t->state != TRANSPORT_OPEN)
        return;
    if (t->heard || t->session->ops->n_calls(t->session) == 0) {
        look_again(t, t->quiet_ms);
    } else if (!pinged) {
        t->pinged =
            t->session->ops->ping(t->session) == 0; /* without memory: at the next time */
        look_again(t, t->ping_wait_ms);
    } else {
        struct err err = {0};
        (void)err_set(&err, ERR_UNAVAILABLE,
                      "connection to `%s` lost: no answer to a PING for %u s", t->label,
                      t->ping_wait_ms / 1000);
        transport_fail(t, &err);
    }
}

void transport_keepalive(struct transport *t, unsigned quiet_ms, unsigned ping_wait_ms)
{
    if (t->state == TRANSPORT_CLOSING || !t->has_stream || t->stream.handle.type != UV_TCP)
        return;
    t->quiet_ms = quiet_ms;
    t->ping_wait_ms = ping_wait_ms;
    look_again(t, quiet_ms);
    uv_unref((uv_handle_t *)&t->quiet); /* it keeps no loop alive */
}

void keepalive_init(struct transport *t)
{
    (void)uv_timer_init(t->loop, &t->quiet); /* cannot fail: it only fills the struct */
    t->quiet.data = t;
    t->n_handles++;
}

/* Best effort: without these the PING is left. */
void keepalive_tune(const struct transport *t)
{
    uv_os_fd_t fd;
    if (uv_fileno(&t->stream.handle, &fd) < 0)
        return;
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
#ifdef __linux__
        {IPPROTO_TCP, TCP_KEEPIDLE, PROBE_IDLE_SECONDS},
        {IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EVERY_SECONDS},
        {IPPROTO_TCP, TCP_KEEPCNT, PROBE_COUNT},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, TRANSPORT_UNANSWERED_MS},
#endif
    };
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof(options[i].value));
}
