#include "client/plane-pool.h"

static void set_idle(struct conn *channel, bool idle)
{
    struct cws_client *client = channel->client;
    if (idle == !list_empty(&channel->idle))
        return;
    client->n_idle += idle ? 1 : (size_t)-1;
    if (idle)
        list_append(&client->idle, &channel->idle);
    else
        list_remove(&channel->idle);
}

static void retire(struct conn *channel)
{
    conn_retire(channel);
    if (channel->n_users > 0)
        return;
    set_idle(channel, false);
    conn_close(channel);
}

struct conn *channel_take(struct cws_client *client, const struct credential *c,
                          struct err *err)
{
    struct conn *channel = strmap_get(&client->conns, c->key);
    if (!channel)
        channel = conn_add(client, c->key, c->target, c->tls, err);
    if (!channel)
        return NULL;
    channel->n_users++;
    set_idle(channel, false);
    return channel;
}

void channel_give_back(struct conn *channel, bool usable)
{
    struct cws_client *client = channel->client;
    channel->n_users--;
    if (!usable || channel->retired) {
        retire(channel);
        return;
    }
    if (channel->n_users > 0)
        return;
    set_idle(channel, true);
    if (client->n_idle > CHANNELS_MAX_IDLE)
        retire(CONTAINER_OF(list_first(&client->idle), struct conn, idle));
}

void channel_forget(struct cws_client *client, const struct credential *c)
{
    struct conn *channel = c ? strmap_get(&client->conns, c->key) : NULL;
    if (channel)
        retire(channel);
}
