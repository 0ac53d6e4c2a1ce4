/*
 * query: a call that is not about a sandbox object and answers with data: snapshots, bucket
 * configuration, runners. One handle is one request, its pages if it has any, and its repeated
 * attempts if it may be repeated; the answers stay in the handle, and the results point into
 * them. snapshots.c and discovery.c say what is asked and what the answers mean.
 */
#ifndef CWS_CLIENT_QUERY_H
#define CWS_CLIENT_QUERY_H

#include "client/op.h"
#include "client/retry.h"
#include "client/rpc.h"
#include "client/snapshot-wait.h"

struct query;

/* A query that is asked again until its answer is what is waited for. */
struct query_wait {
    uint64_t poll_ns;
    /* [loop] Whether q->replies[0] ends it; *@ret_error: badly. */
    bool (*verdict)(const struct query *q, struct cws_error **ret_error);
    struct cws_error *(*timed_out)(const struct query *q);
};

struct query_class {
    const char *path;
    const char *label; /* "List snapshots" */
    const ProtobufCMessageDescriptor *reply;
    uint32_t page_token_field;                   /* of the request; 0 = one answer */
    const char *(*next_page)(const void *reply); /* of a reply; "" = the last one */
    bool discovery;                              /* errors are of that family */
    bool volume;                                 /* the id is a volume's */
    const struct query_wait *wait;               /* or NULL */
    bool retries;                                /* as the published client */
    bool deletes;                                /* NOT_FOUND may mean that it worked */
    /* [loop] All answers are there: make q->items of them; may be NULL. 0 or -ENOMEM. */
    int (*collect)(struct query *q);
};

struct query {
    struct cws_op op;
    const struct query_class *cls; /* [const] */
    struct cws_target *target;     /* [const] reference */
    struct buf request;            /* [const] packed, without the page token */
    uint64_t timeout_ns;           /* [const] of all pages of one attempt */
    char *id;                      /* [const] what is asked for, or NULL */
    bool missing_ok;               /* [const] */
    uint64_t wait_ns;              /* [const] with cls->wait: for all of it */
    char *filter_text;             /* [const] of cls->collect() */
    int filter_number;             /* [const] */

    struct conn *conn;     /* [loop] */
    struct unary *call;    /* [loop] */
    struct timer timer;    /* [loop] until the next attempt */
    struct retry retry;    /* [loop] */
    uint64_t deadline_ns;  /* [loop] */
    uint64_t wait_end_ns;  /* [loop] UINT64_MAX = no wait */
    void *answer;          /* [loop] being received */
    struct err unreadable; /* [loop] why there is none */

    void **replies; /* [loop] until done, then [const]; as the next three */
    size_t n_replies;
    void *items; /* one block of results, cls->collect()'s */
    size_t n_items;
    struct query_block {
        struct query_block *next;
    } * blocks; /* more memory that the results need: query_alloc() */
};

/** query_new() - @timeout_ns is not 0. NULL with *@error. Fill in the request and the filters,
 * then query_submit(). */
struct query *query_new(cws_client *client, cws_target *target, const struct query_class *cls,
                        uint64_t timeout_ns, cws_error **error);
/** query_set_id() - NULL or "" is CWS_E_INVALID "<@what> cannot be empty". */
int query_set_id(struct query *q, const char *what, const char *id, cws_error **error);
/** query_submit() - pack @request and begin. Takes @take_q. */
cws_op *query_submit(struct query *take_q, const void *request, cws_error **error);
/** query_alloc() - zeroed memory that lives as long as @q; NULL: out of memory. */
void *query_alloc(struct query *q, size_t n, size_t size);
/** query_of() - @op if it is a finished, successful query of @a or @b, else NULL. */
const struct query *query_of(const cws_op *op, const struct query_class *a,
                             const struct query_class *b);
/** query_time() - 0 when @t is unset or before 1970. */
uint64_t query_time(const Pb__Timestamp *t);

#endif
