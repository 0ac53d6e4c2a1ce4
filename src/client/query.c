/* See query.h. */
#include "client/query.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/clients.h"
#include "client/target.h"

static void drop_replies(struct query *q)
{
    for (size_t i = 0; i < q->n_replies; i++)
        proto_free(q->replies[i]);
    free(q->replies);
    q->replies = NULL;
    q->n_replies = 0;
}

static void query_finish(struct query *q, struct cws_error *take)
{
    if (!take && q->cls->collect && q->cls->collect(q) < 0)
        take = &error_nomem;
    (void)op_fail(&q->op, take);
    op_end(&q->op);
}

static void send_page(struct query *q);

static bool wait_is_over(const struct query *q)
{
    return clock_now_ns() >= q->wait_end_ns;
}

static uint64_t retry_budget(const struct query *q)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = q->wait_end_ns > now_ns ? q->wait_end_ns - now_ns : 0;
    return MIN(SNAPSHOT_RETRY_BUDGET_NS, left_ns);
}

static void on_timer(struct timer *t)
{
    struct query *q = CONTAINER_OF(t, struct query, timer);
    drop_replies(q); /* a new attempt begins at the first page, with time of its own */
    if (wait_is_over(q)) {
        query_finish(q, q->cls->wait->timed_out(q));
        return;
    }
    q->deadline_ns =
        MIN(event_deadline(retry_timeout(&q->retry, q->timeout_ns)), q->wait_end_ns);
    send_page(q);
}

static struct cws_error *page_timeout(const struct query *q, const struct err *status)
{
    if (status->code != ERR_DEADLINE_EXCEEDED || q->n_replies == 0)
        return NULL;
    return error_new(CWS_E_GENERIC, "%s: timed out after %zu pages", q->cls->label,
                     q->n_replies);
}

static void on_failure(struct query *q, const struct err *status)
{
    struct cws_error *e = page_timeout(q, status);
    if (!e)
        e = error_from_status(
            status, &(struct error_site){
                        .label = q->cls->label,
                        .is_discovery = q->cls->discovery,
                        .runner_id = q->cls->discovery ? q->id : NULL,
                        .volume_id = q->cls->volume ? q->id : NULL,
                        .snapshot_id = q->cls->discovery || q->cls->volume ? NULL : q->id});
    bool repeated = q->retry.budget_end_ns != 0;
    uint64_t delay_ns;
    if (q->cls->deletes && (q->missing_ok || repeated) &&
        (e->kind == CWS_E_SNAPSHOT_NOT_FOUND || e->kind == CWS_E_VOLUME_NOT_FOUND ||
         e->status == ERR_NOT_FOUND)) {
        error_unref(e); /* an attempt before may have deleted it */
        query_finish(q, NULL);
    } else if (q->cls->retries && !q->op.client->closing &&
               retry_after(&q->retry, retry_budget(q), e, &delay_ns)) {
        error_unref(e);
        timer_start_in(&q->op.client->loop.timers, &q->timer, delay_ns, on_timer);
    } else if (wait_is_over(q)) { /* it cut the last question short */
        error_unref(e);
        query_finish(q, q->cls->wait->timed_out(q));
    } else {
        query_finish(q, e);
    }
}

/* An answer to a query that waits. */
static void on_wait_answer(struct query *q)
{
    struct cws_error *error;
    q->retry = (struct retry){0};
    if (wait_is_over(q))
        query_finish(q, q->cls->wait->timed_out(q)); /* also when it came too late */
    else if (q->cls->wait->verdict(q, &error))
        query_finish(q, error);
    else
        timer_start(&q->op.client->loop.timers, &q->timer,
                    MIN(clock_now_ns() + q->cls->wait->poll_ns, q->wait_end_ns), on_timer);
}

static const char *token_of(const struct query *q, size_t i)
{
    return q->cls->next_page ? q->cls->next_page(q->replies[i]) : "";
}

/* NULL, or why there is no next page although the service names one. */
static struct cws_error *check_next_page(const struct query *q)
{
    const char *token = token_of(q, q->n_replies - 1);
    for (size_t i = 0; i + 1 < q->n_replies; i++)
        if (strcmp(token_of(q, i), token) == 0)
            return error_new(CWS_E_GENERIC, "%s: pagination loop: the service repeats a page",
                             q->cls->label);
    return NULL;
}

static void on_page(struct query *q)
{
    void **grown = realloc(q->replies, (q->n_replies + 1) * sizeof(void *));
    if (!grown) {
        query_finish(q, &error_nomem);
        return;
    }
    q->replies = grown;
    q->replies[q->n_replies++] = TAKE_PTR(q->answer);
    if (q->cls->wait) {
        on_wait_answer(q);
        return;
    }
    if (!*token_of(q, q->n_replies - 1)) {
        query_finish(q, NULL);
        return;
    }
    struct cws_error *e = check_next_page(q);
    if (e)
        query_finish(q, e);
    else
        send_page(q);
}

/* The answer is unpacked here and not by unary.c, because it has to stay. */
static int on_raw(void *user, const uint8_t *data, size_t n)
{
    struct query *q = user;
    q->answer = proto_unpack(q->cls->reply, data, n, &q->unreadable);
    return 0;
}

static void on_done(void *user, void *reply, const struct err *status)
{
    struct query *q = user;
    q->call = NULL;
    if (status->code != ERR_OK) {
        proto_free(TAKE_PTR(q->answer));
        on_failure(q, status);
    } else if (q->answer) {
        on_page(q);
    } else {
        error_mark_unreadable(&q->unreadable);
        on_failure(q, &q->unreadable);
    }
}

/* The request's bytes with the token of the last page behind them: a field may stand anywhere.
 */
static int put_request(const struct query *q, struct buf *out)
{
    if (buf_put(out, buf_head(&q->request), buf_len(&q->request)) < 0)
        return -ENOMEM;
    if (q->n_replies == 0)
        return 0;
    const char *token = token_of(q, q->n_replies - 1);
    uint8_t head[PROTO_HEAD_MAX];
    size_t n = strlen(token);
    if (buf_put(out, head, proto_head_bytes(head, q->cls->page_token_field, n)) < 0)
        return -ENOMEM;
    return buf_put(out, token, n);
}

static void send_page(struct query *q)
{
    CLEANUP_BUF struct buf bytes = {0};
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = q->deadline_ns == UINT64_MAX ? UINT64_MAX
                       : q->deadline_ns > now_ns    ? q->deadline_ns - now_ns
                                                    : 1;
    struct unary_call call = {
        .path = q->cls->path,
        .packed = &bytes,
        .target = q->target,
        .timeout_ns = left_ns,
        .idempotent = !q->cls->deletes || q->missing_ok,
        .done = on_done,
        .on_raw = on_raw,
        .user = q,
    };
    err_done(&q->unreadable);
    q->call = put_request(q, &bytes) == 0 ? unary_start(q->conn, &call, NULL) : NULL;
    if (!q->call)
        query_finish(q, &error_nomem);
}

static void query_begin(struct cws_op *op)
{
    struct query *q = CONTAINER_OF(op, struct query, op);
    CLEANUP_ERR struct err err = {0};
    q->conn = conn_get(op->client, q->target, &err);
    q->wait_end_ns = q->cls->wait ? event_deadline(q->wait_ns) : UINT64_MAX;
    q->deadline_ns = MIN(event_deadline(q->timeout_ns), q->wait_end_ns);
    if (q->conn)
        send_page(q);
    else
        query_finish(q, error_from_local(&err));
}

static void query_cancel(struct cws_op *op)
{
    struct query *q = CONTAINER_OF(op, struct query, op);
    unary_cancel(q->call);
    q->call = NULL;
    timer_stop(&op->client->loop.timers, &q->timer);
    op_end(op);
}

static void query_free(struct cws_op *op)
{
    struct query *q = CONTAINER_OF(op, struct query, op);
    op_done_memory(op);
    drop_replies(q);
    proto_free(q->answer);
    while (q->blocks) {
        struct query_block *next = q->blocks->next;
        free(q->blocks);
        q->blocks = next;
    }
    err_done(&q->unreadable);
    buf_done(&q->request);
    free(q->id);
    free(q->filter_text);
    cws_target_unref(q->target);
    free(q);
}

static const struct op_class query_op_class = {
    .begin = query_begin, .cancel = query_cancel, .free = query_free};

struct query *query_new(cws_client *client, cws_target *target, const struct query_class *cls,
                        uint64_t timeout_ns, cws_error **error)
{
    client = client_or_default(client, error);
    if (!client)
        return NULL;
    target = target_or_default(target, error);
    if (!target)
        return NULL;
    struct query *q = calloc(1, sizeof(*q));
    if (!q) {
        cws_target_unref(target);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&q->op, &query_op_class, client);
    q->cls = cls;
    q->target = target;
    q->timeout_ns = timeout_ns;
    return q;
}

int query_set_id(struct query *q, const char *what, const char *id, cws_error **error)
{
    if (!id || !*id)
        return error_set(error, CWS_E_INVALID, "%s cannot be empty", what);
    if (!utf8_valid(id, strlen(id)))
        return error_set(error, CWS_E_INVALID, "%s is not valid UTF-8", what);
    q->id = strdup(id);
    return q->id ? 0 : error_give(error, &error_nomem);
}

cws_op *query_submit(struct query *take_q, const void *request, cws_error **error)
{
    if (proto_pack(request, &take_q->request) < 0)
        (void)error_give(error, &error_nomem);
    else if (op_submit(&take_q->op, error) == 0)
        return &take_q->op;
    cws_op_unref(&take_q->op);
    return NULL;
}

void *query_alloc(struct query *q, size_t n, size_t size)
{
    struct query_block *block = calloc(1, sizeof(max_align_t) + n * size);
    if (!block)
        return NULL;
    block->next = q->blocks;
    q->blocks = block;
    return (char *)block + sizeof(max_align_t);
}

const struct query *query_of(const cws_op *op, const struct query_class *a,
                             const struct query_class *b)
{
    if (op->cls != &query_op_class || !op_is_done(op) || op->result.error)
        return NULL;
    const struct query *q = CONTAINER_OF(op, struct query, op);
    return q->cls == a || q->cls == b ? q : NULL;
}

uint64_t query_time(const Pb__Timestamp *t)
{
    return t && t->seconds > 0 ? (uint64_t)t->seconds * NS_PER_SEC + (uint64_t)MAX(t->nanos, 0)
                               : 0;
}
