#include "client/clients.h"

#include "client/conn.h"
#include "client/op.h"
#include "client/pool.h"

static pthread_mutex_t g_default_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cws_client *g_default; /* [g_default_lock] */
static pthread_once_t g_fork_once = PTHREAD_ONCE_INIT;

/* Only this thread exists here. What the parent's threads held stays as it is and is never
 * looked at again. */
static void on_fork_child(void)
{
    (void)pthread_mutex_init(&g_default_lock, NULL);
    g_default = NULL;
}

static void prepare_for_forks(void)
{
    pool_watch_exit();
    fork_watch();
    (void)pthread_atfork(NULL, NULL, on_fork_child); /* as in fork_watch() */
}

static void on_last(struct loop_thread *t)
{
    struct cws_client *client = client_of_loop(t);
    client->closing = true;
    ops_close(client);
    conns_close(client);
}

static void on_dry(struct loop_thread *t)
{
    struct cws_client *client = client_of_loop(t);
    conns_free(client);
    tls_config_unref(client->tls);
    CHECK(list_empty(&client->ops));
}

struct cws_client *cws_client_new(cws_error **error)
{
    (void)pthread_once(&g_fork_once, prepare_for_forks);
    struct cws_client *client = client_new(on_last, on_dry);
    if (!client) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    int r = loop_thread_start(&client->loop);
    if (r < 0) {
        (void)error_set(error, r == UV_ENOMEM ? CWS_E_NOMEM : CWS_E_GENERIC,
                        "start the client's thread: %s", uv_strerror(r));
        client_unref(client);
        return NULL;
    }
    return client;
}

struct cws_client *cws_client_default(cws_error **error)
{
    (void)pthread_mutex_lock(&g_default_lock);
    if (!g_default)
        g_default = cws_client_new(error);
    struct cws_client *client = g_default;
    (void)pthread_mutex_unlock(&g_default_lock);
    return client;
}

static bool is_default(const struct cws_client *client)
{
    (void)pthread_mutex_lock(&g_default_lock);
    bool yes = client == g_default;
    (void)pthread_mutex_unlock(&g_default_lock);
    return yes;
}

void cws_client_unref(struct cws_client *client)
{
    if (!client || client_forked(client) || is_default(client))
        return; /* the default client is borrowed by everybody and ends with the process */
    loop_thread_stop(&client->loop);
    client_unref(client);
}

struct cws_client *client_or_default(struct cws_client *client, cws_error **error)
{
    if (!client)
        return cws_client_default(error);
    if (client_forked(client)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    return client;
}

const char *cws_version(void)
{
    return CWS_VERSION;
}
