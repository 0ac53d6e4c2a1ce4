/* See query.h. */
#include "resolve/query.h"

#include "base/util.h"

static uint8_t *share(struct resolver *r, const struct query *q)
{
    return &r->n_of[RESOLVE_PLACE(ntohl(q->from.sin_addr.s_addr))];
}

void queries_init(struct resolver *r)
{
    list_init(&r->used);
    list_init(&r->unused);
    for (size_t i = 0; i < ARRAY_SIZE(r->queries); i++) {
        r->queries[i].client = r->queries[i].server = -1;
        list_append(&r->unused, &r->queries[i].node);
    }
}

/* The oldest question of the sandbox that has the most, if these are more than @n. */
static struct query *find_greedy(struct resolver *r, uint32_t n)
{
    struct query *found = NULL;

    LIST_FOREACH(node, &r->used)
    {
        struct query *q = CONTAINER_OF(node, struct query, node);

        if (*share(r, q) > n) {
            n = *share(r, q);
            found = q;
        }
    }
    return found;
}

struct query *query_add(struct resolver *r, const struct sockaddr_in *from, size_t n_bytes)
{
    uint32_t n_own = r->n_of[RESOLVE_PLACE(ntohl(from->sin_addr.s_addr))];
    uint8_t *bytes = n_own < QUERIES_PER_SANDBOX ? malloc(n_bytes) : NULL;
    struct query *q;

    if (list_empty(&r->unused) && bytes) {
        q = find_greedy(r, n_own + 1);
        if (q)
            query_free(r, q);
    }
    if (list_empty(&r->unused) || !bytes) {
        free(bytes);
        return NULL;
    }
    q = CONTAINER_OF(r->unused.next, struct query, node);
    list_remove(&q->node);
    list_append(&r->used, &q->node);
    q->from = *from;
    q->bytes = bytes;
    q->n = q->at = 0;
    q->n_tries = 0;
    ++*share(r, q);
    query_enter(r, q, QUERY_READING);
    return q;
}

void query_enter(struct resolver *r, struct query *q, enum query_state state)
{
    q->state = state;
    q->due_ns = clock_now_ns() + STATE_MS * NS_PER_MS;
    list_remove(&q->node);
    list_append(&r->used, &q->node);
}

void query_free(struct resolver *r, struct query *q)
{
    cleanup_fd(&q->client);
    cleanup_fd(&q->server);
    free(TAKE_PTR(q->bytes));
    free(TAKE_PTR(q->answer));
    --*share(r, q);
    list_remove(&q->node);
    list_append(r->unused.next, &q->node); /* the one that is in the caches comes first */
}
