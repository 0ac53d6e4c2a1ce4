/* Waiting until nothing of this client is being stopped: what a program does before it ends. */
#include "client/leave.h"

#include "client/clients.h"
#include "client/op.h"
#include "client/sandbox.h"

struct leave_op {
    struct cws_op op;
    struct list link; /* [loop] in client->leave_ops */
};

static void leave_finish(struct leave_op *l)
{
    list_remove(&l->link);
    (void)op_succeed(&l->op);
    op_end(&l->op);
}

void leave_began(struct cws_client *client)
{
    client->n_leaving++;
}

void leave_ended(struct cws_client *client)
{
    CHECK(client->n_leaving > 0);
    if (--client->n_leaving > 0)
        return;
    while (!list_empty(&client->leave_ops))
        leave_finish(CONTAINER_OF(list_first(&client->leave_ops), struct leave_op, link));
}

static void leave_begin(struct cws_op *op)
{
    struct leave_op *l = CONTAINER_OF(op, struct leave_op, op);
    list_append(&op->client->leave_ops, &l->link);
    if (op->client->n_leaving == 0)
        leave_finish(l);
}

static void leave_cancel(struct cws_op *op)
{
    list_remove(&CONTAINER_OF(op, struct leave_op, op)->link);
    op_end(op);
}

static void leave_free(struct cws_op *op)
{
    op_done_memory(op);
    free(CONTAINER_OF(op, struct leave_op, op));
}

static const struct op_class leave_class = {
    .begin = leave_begin, .cancel = leave_cancel, .free = leave_free};

cws_op *cws_client_settle(cws_client *given, cws_error **error)
{
    cws_client *client = client_or_default(given, error);
    if (!client)
        return NULL;
    struct leave_op *l = calloc(1, sizeof(*l));
    if (!l) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&l->op, &leave_class, client);
    list_init(&l->link);
    if (op_submit(&l->op, error) < 0) {
        cws_op_unref(&l->op);
        return NULL;
    }
    return &l->op;
}
