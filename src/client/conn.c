#include "client/conn.h"

#include <string.h>

#include "base/util.h"
#include "client/embedded.h"
#include "client/pool.h"
#include "transport/grpc-session.h"

struct link {
    struct list list; /* in conn->links */
    struct conn *conn;
    struct transport *transport;
    bool open;     /* was connected at some time */
    bool answered; /* the peer's SETTINGS came */
};

static void conn_connect(struct conn *conn);

/* Of the link that takes calls now; NULL while none is open. */
static struct grpc_conn *open_grpc(struct conn *conn)
{
    struct link *link = conn->current;
    if (!link || !link->open)
        return NULL;
    struct grpc_conn *grpc = transport_grpc(link->transport);
    if (grpc_conn_can_call(grpc))
        return grpc;
    conn->current = NULL; /* goes on with its calls until they are done */
    return NULL;
}

void conn_is_ours(struct conn *conn)
{
    conn->ours = true;
    LIST_FOREACH(it, &conn->links)
    {
        struct link *link = CONTAINER_OF(it, struct link, list);
        if (link->answered)
            transport_keepalive(link->transport, TRANSPORT_QUIET_MS, TRANSPORT_PING_WAIT_MS);
    }
}

/* ---- what waits ---- */

static void fail_waiting(struct conn *conn)
{
    CLEANUP_ERR struct err failure = {0};
    err_move(&failure, &conn->failure);
    if (failure.code == ERR_OK)
        (void)err_set(&failure, ERR_UNAVAILABLE, "connect to %s", conn->target->url);
    conn->n_starts = 0;
    /* A call that ends may make others: those wait for the next attempt. */
    struct list ending;
    list_init(&ending);
    list_splice(&conn->waiting, &ending);
    while (!list_empty(&ending)) {
        struct conn_waiter *w = CONTAINER_OF(list_first(&ending), struct conn_waiter, link);
        list_remove(&w->link);
        w->on_unreachable(w, &failure);
    }
}

static void on_timer(struct timer *t)
{
    struct conn *conn = CONTAINER_OF(t, struct conn, timer);
    if (conn->current && !conn->current->open) {
        (void)err_set(&conn->failure, ERR_UNAVAILABLE, "connect to %s: timed out",
                      conn->target->url);
        transport_close(conn->current->transport, "connecting timed out");
        return; /* on_closed fails the calls */
    }
    fail_waiting(conn);
}

static void fail_soon(struct conn *conn)
{
    timer_start(&conn->client->loop.timers, &conn->timer, 0, on_timer);
}

void conn_kick(struct conn *conn)
{
    struct grpc_conn *grpc;
    while (!list_empty(&conn->waiting) && (grpc = open_grpc(conn))) {
        struct conn_waiter *w =
            CONTAINER_OF(list_first(&conn->waiting), struct conn_waiter, link);
        list_remove(&w->link);
        w->on_connected(w, grpc);
    }
    if (!list_empty(&conn->waiting) && !conn->current && !conn->starting &&
        !timer_armed(&conn->timer))
        conn_connect(conn);
}

/* ---- starting the embedded service ---- */

static void ensure_work(uv_work_t *work)
{
    struct conn *conn = CONTAINER_OF(work, struct conn, work);
    (void)embedded_ensure(&conn->work_err); /* the result is in work_err */
}

static void ensure_done(uv_work_t *work, int status)
{
    struct conn *conn = CONTAINER_OF(work, struct conn, work);
    conn->starting = false;
    err_done(&conn->failure);
    err_move(&conn->failure, &conn->work_err);
    if (conn->client->closing || conn->failure.code != ERR_OK)
        fail_waiting(conn);
    else
        conn_kick(conn);
}

static int start_embedded(struct conn *conn)
{
    if (conn->starting)
        return 0;
    if (!conn->target->embedded || conn->client->closing || conn->n_starts >= CONN_MAX_STARTS ||
        list_empty(&conn->waiting))
        return -1;
    conn->n_starts++;
    pool_note_use();
    if (uv_queue_work(&conn->client->loop.uv, &conn->work, ensure_work, ensure_done) < 0)
        return -1;
    conn->starting = true;
    return 0;
}

/* ---- the end of a channel ---- */

static void conn_free(struct conn *conn)
{
    CHECK(list_empty(&conn->waiting) && list_empty(&conn->links));
    list_remove(&conn->idle);
    list_remove(&conn->gone);
    err_done(&conn->failure);
    err_done(&conn->work_err);
    cws_target_unref(conn->target);
    tls_config_unref(conn->tls);
    free(conn->key);
    free(conn);
}

static void on_free(struct timer *t)
{
    struct conn *conn = CONTAINER_OF(t, struct conn, timer);
    if (list_empty(&conn->links))
        conn_free(conn);
}

/* Not now: whoever asks may be called by it. */
static void free_soon(struct conn *conn)
{
    timer_start(&conn->client->loop.timers, &conn->timer, 0, on_free);
}

static void close_links(struct conn *conn, const char *why)
{
    LIST_FOREACH_SAFE(it, &conn->links)
    {
        transport_close(CONTAINER_OF(it, struct link, list)->transport, why);
    }
}

void conn_retire(struct conn *conn)
{
    if (conn->retired)
        return;
    conn->retired = true;
    (void)strmap_remove(&conn->client->conns, conn->key);
    list_append(&conn->client->gone, &conn->gone);
}

void conn_close(struct conn *conn)
{
    conn->closing = true;
    close_links(conn, "the channel is not used any more");
    free_soon(conn);
}

/* ---- connections ---- */

static void use(struct link *link)
{
    struct conn *conn = link->conn;
    link->open = true;
    timer_stop(&conn->client->loop.timers, &conn->timer);
    conn_kick(conn);
}

static void on_open(void *user, struct transport *t)
{
    struct link *link = user;
    if (!link->conn->tls)
        use(link);
}

static void on_ready(void *user)
{
    struct link *link = user;
    struct conn *conn = link->conn;
    link->answered = true;
    conn->n_starts = 0;
    transport_keepalive(link->transport,
                        conn->ours ? TRANSPORT_QUIET_MS : TRANSPORT_QUIET_FOREIGN_MS,
                        TRANSPORT_PING_WAIT_MS);
    if (conn->tls)
        use(link);
}

/* A connection that was open and answered has calls that were put back for a second try. One
 * that never answered is as good as none: the kernel accepted it for a service that was ending.
 * It is the service that has to be started then; where that is not ours to do, calls try again,
 * and count (rpc.h). */
static void on_closed(void *user, struct transport *t, const struct err *why)
{
    struct link *link = user;
    struct conn *conn = link->conn;
    bool was_open = link->open, answered = link->answered;
    list_remove(&link->list);
    if (conn->current == link)
        conn->current = NULL;
    free(link);
    if (conn->closing) {
        free_soon(conn);
        return;
    }
    if (was_open && (answered || conn->current || list_empty(&conn->waiting))) {
        conn_kick(conn);
        return;
    }
    timer_stop(&conn->client->loop.timers, &conn->timer);
    if (conn->failure.code == ERR_OK && why->code != ERR_OK)
        err_copy(&conn->failure, why);
    if (start_embedded(conn) == 0)
        return;
    if (was_open && !conn->target->embedded)
        conn_kick(conn);
    else
        fail_waiting(conn);
}

static void on_goaway(void *user)
{
    struct link *link = user;
    if (link->conn->current == link)
        link->conn->current = NULL;
}

static void conn_connect(struct conn *conn)
{
    struct cws_client *client = conn->client;
    static const struct transport_events events = {
        .on_open = on_open,
        .on_closed = on_closed,
    };
    static const struct grpc_conn_events grpc_events = {.on_ready = on_ready,
                                                        .on_goaway = on_goaway};
    struct link *link = client->closing ? NULL : calloc(1, sizeof(*link));
    err_done(&conn->failure);
    struct tls_config *tls = NULL;
    if (!link) {
        (void)err_set(&conn->failure, ERR_UNAVAILABLE, "connect to %s: %s", conn->target->url,
                      client->closing ? "the client is closed" : "out of memory");
        fail_soon(conn);
        return;
    }
    link->conn = conn;
    if (conn->target->address.kind == ADDRESS_TCP)
        pool_note_use(); /* its name may need a look-up */
    if ((conn->target->address.tls &&
         !(tls = conn->tls ? conn->tls : client_tls(client, &conn->failure))) ||
        transport_connect(&client->loop.uv, &conn->target->address, tls,
                          grpc_session_new(GRPC_CLIENT, NULL, &grpc_events, link), &events,
                          link, &link->transport, &conn->failure) < 0) {
        free(link);
        fail_soon(conn);
        return;
    }
    list_append(&conn->links, &link->list);
    conn->current = link;
    timer_start_in(&client->loop.timers, &conn->timer, CONN_CONNECT_TIMEOUT_NS, on_timer);
}

/* ---- the pool ---- */

struct conn *conn_add(struct cws_client *client, const char *key, struct cws_target *target,
                      struct tls_config *tls, struct err *err)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    char *copy = strdup(key);
    if (!conn || !copy || strmap_put(&client->conns, copy, conn) < 0) {
        free(conn);
        free(copy);
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    conn->client = client;
    conn->key = copy;
    conn->target = cws_target_ref(target);
    conn->tls = tls_config_ref(tls);
    list_init(&conn->waiting);
    list_init(&conn->links);
    list_init(&conn->idle);
    list_init(&conn->gone);
    return conn;
}

struct conn *conn_get(struct cws_client *client, struct cws_target *target, struct err *err)
{
    struct conn *conn = strmap_get(&client->conns, target->url);
    return conn ? conn : conn_add(client, target->url, target, NULL, err);
}

static void give_up(struct conn *conn)
{
    close_links(conn, "the client was closed");
    if (!list_empty(&conn->waiting) && !conn->current)
        fail_soon(conn);
}

void conns_close(struct cws_client *client)
{
    size_t pos = 0;
    for (struct conn *conn; (conn = strmap_next(&client->conns, &pos));)
        give_up(conn);
    LIST_FOREACH(it, &client->gone)
    {
        give_up(CONTAINER_OF(it, struct conn, gone));
    }
}

void conns_free(struct cws_client *client)
{
    size_t pos = 0;
    for (struct conn *conn; (conn = strmap_next(&client->conns, &pos));) {
        (void)strmap_remove(&client->conns, conn->key);
        conn_free(conn);
    }
    LIST_FOREACH_SAFE(it, &client->gone)
    {
        conn_free(CONTAINER_OF(it, struct conn, gone));
    }
    strmap_done(&client->conns);
}
