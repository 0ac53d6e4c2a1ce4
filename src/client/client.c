#include "client/client.h"

struct cws_client *client_new(void (*on_last)(struct loop_thread *t),
                              void (*on_dry)(struct loop_thread *t))
{
    struct cws_client *client = calloc(1, sizeof(*client));
    if (!client)
        return NULL;
    client->refs = 1;
    loop_thread_init(&client->loop, on_last, on_dry);
    list_init(&client->ops);
    list_init(&client->leave_ops);
    list_init(&client->idle);
    list_init(&client->gone);
    return client;
}

struct cws_client *client_ref(struct cws_client *client)
{
    atomic_fetch_add(&client->refs, 1);
    return client;
}

void client_unref(struct cws_client *client)
{
    if (!client || atomic_fetch_sub(&client->refs, 1) != 1 || client_forked(client))
        return;
    loop_thread_done(&client->loop);
    free(client);
}

struct tls_config *client_tls(struct cws_client *client, struct err *err)
{
    if (!client->tls)
        client->tls = tls_client_new(NULL, err);
    return client->tls;
}
