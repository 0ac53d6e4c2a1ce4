/* Calls that are not about a sandbox object: list, attach by id, delete by id;. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/clients.h"
#include "client/hint.h"
#include "client/op-sandboxes.h"
#include "client/sandbox.h"

/* Chosen: the most our own service puts on a page. The first page leaves the size to the service,
 * as the published client does: most lists are shorter. There is no bound on the number of pages:
 * ten thousand records are correct use. The deadline ends what does not end. */
#define LIST_PAGE_SIZE 1000

enum call_kind { CALL_LIST, CALL_FROM_ID, CALL_DELETE };

struct call_op {
    struct cws_op op;
    enum call_kind kind;         /* [const] */
    struct cws_target *target;   /* [const] reference */
    char *sandbox_id;            /* [const] */
    bool missing_ok;             /* [const] */
    uint64_t timeout_ns;         /* [const] */
    size_t limit;                /* [const] of a list; 0 = all */
    char **tags, **runner_ids;   /* [const] */
    size_t n_tags, n_runner_ids; /* [const] */
    char **volume_ids;           /* [const] */
    size_t n_volume_ids;         /* [const] */
    int status;                  /* [const] */
    bool show_terminated;        /* [const] */

    struct conn *conn;          /* [loop] */
    struct unary *call;         /* [loop] */
    uint64_t deadline_ns;       /* [loop] */
    struct hint hint;           /* [loop] of a delete */
    char *page_token;           /* [loop] the page being asked for */
    struct strmap seen;         /* [loop] tokens of earlier pages; keys are owned */
    unsigned n_pages;           /* [loop] */
    struct cws_sandbox **found; /* [loop] */
    size_t n_found, cap_found;  /* [loop] */
};

static void call_send(struct call_op *c);

static void call_finish(struct call_op *c, struct cws_error *take)
{
    if (take) {
        (void)op_fail(&c->op, take);
    } else {
        size_t n = c->n_found;
        c->n_found = 0;
        (void)op_complete(&c->op, op_result_sandboxes(TAKE_PTR(c->found), n));
    }
    op_end(&c->op);
}

static struct cws_error *call_error(const struct call_op *c, const struct err *status)
{
    static const char *const labels[] = {[CALL_LIST] = "List sandboxes",
                                         [CALL_FROM_ID] = "Get sandbox",
                                         [CALL_DELETE] = "Delete sandbox"};
    return error_from_status(
        status, &(struct error_site){.label = labels[c->kind], .sandbox_id = c->sandbox_id});
}

/* A live handle for what the service described. 0 or -ENOMEM. */
static int add_found(struct call_op *c, const Pb__Sandbox *msg)
{
    if (c->n_found == c->cap_found) {
        size_t cap = MAX(c->cap_found * 2, (size_t)8);
        struct cws_sandbox **grown = realloc(c->found, cap * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        c->found = grown;
        c->cap_found = cap;
    }
    struct cws_sandbox *sb = sandbox_new(c->op.client, c->target);
    if (!sb)
        return -ENOMEM;
    sb->state = SB_STARTING;
    sb->conn = c->conn;
    c->found[c->n_found++] = sb;
    return sandbox_apply(sb, msg, APPLY_QUERY);
}

/* Remembers @token as the next page. NULL when that is fine. */
static struct cws_error *next_page(struct call_op *c, const char *token)
{
    c->n_pages++;
    free(c->page_token);
    c->page_token = strdup(token);
    char *key = strdup(token);
    if (!c->page_token || !key) {
        free(key);
        return &error_nomem;
    }
    int r = strmap_put(&c->seen, key, key);
    if (r == 0)
        return NULL;
    free(key);
    return r == -EEXIST
               ? error_new(CWS_E_GENERIC,
                           "List sandboxes: pagination loop: the service repeats a page")
               : &error_nomem;
}

static bool has_enough(const struct call_op *c)
{
    return c->limit && c->n_found >= c->limit;
}

static void on_page(void *user, void *reply, const struct err *status)
{
    struct call_op *c = user;
    const Pb__ListSandboxesResponse *page = reply;
    struct cws_error *error = NULL;
    c->call = NULL;
    if (!page && status->code == ERR_DEADLINE_EXCEEDED && c->n_pages > 0)
        error =
            error_new(CWS_E_GENERIC, "List sandboxes: timed out after %u pages", c->n_pages);
    else if (!page)
        error = call_error(c, status);
    for (size_t i = 0; page && !error && !has_enough(c) && i < page->n_sandboxes; i++)
        if (add_found(c, page->sandboxes[i]) < 0)
            error = &error_nomem;
    bool more = page && *page->next_page_token && !has_enough(c);
    if (more && !error)
        error = next_page(c, page->next_page_token);
    if (more && !error)
        call_send(c);
    else
        call_finish(c, error);
}

static void on_found(void *user, void *reply, const struct err *status)
{
    struct call_op *c = user;
    c->call = NULL;
    if (!reply)
        call_finish(c, call_error(c, status));
    else
        call_finish(c, add_found(c, reply) < 0 ? &error_nomem : NULL);
}

static void on_hint(struct timer *t)
{
    struct hint *h = CONTAINER_OF(t, struct hint, timer);
    call_send(CONTAINER_OF(h, struct call_op, hint));
}

static void on_deleted(void *user, void *reply, const struct err *status)
{
    struct call_op *c = user;
    c->call = NULL;
    struct cws_error *error = reply ? NULL : call_error(c, status);
    bool repeated = hint_is_repeated(&c->hint);
    if (error && hint_again(&c->hint, c->op.client, error, on_hint)) {
        error_unref(error);
        return;
    }
    if (error && (c->missing_ok || repeated) && error_is_not_found(error)) {
        error_unref(error); /* a call before this one may have deleted it */
        error = NULL;
    }
    call_finish(c, error);
}

static struct unary *send_list(struct call_op *c, struct unary_call *call)
{
    Pb__ListSandboxesRequest request = PB__LIST_SANDBOXES_REQUEST__INIT;
    request.page_token = c->page_token ? c->page_token : (char *)protobuf_c_empty_string;
    request.page_size = c->page_token ? LIST_PAGE_SIZE : 0;
    if (c->limit)
        request.page_size = (int32_t)MIN(c->limit - c->n_found, (size_t)LIST_PAGE_SIZE);
    request.tags = c->tags;
    request.n_tags = c->n_tags;
    request.runner_ids = c->runner_ids;
    request.n_runner_ids = c->n_runner_ids;
    request.volume_ids = c->volume_ids;
    request.n_volume_ids = c->n_volume_ids;
    request.state = (Pb__State)c->status;
    request.show_terminated = c->show_terminated;
    call->path = PROTO_PATH_SANDBOX("ListSandboxes");
    call->request = &request;
    call->reply = &pb__list_sandboxes_response__descriptor;
    call->done = on_page;
    return unary_start(c->conn, call, NULL);
}

static struct unary *send_get(struct call_op *c, struct unary_call *call)
{
    Pb__GetSandboxRequest request = PB__GET_SANDBOX_REQUEST__INIT;
    request.sandbox_id = c->sandbox_id;
    call->path = PROTO_PATH_SANDBOX("GetSandbox");
    call->request = &request;
    call->reply = &pb__sandbox__descriptor;
    call->done = on_found;
    return unary_start(c->conn, call, NULL);
}

static struct unary *send_delete(struct call_op *c, struct unary_call *call)
{
    Pb__DeleteSandboxRequest request = PB__DELETE_SANDBOX_REQUEST__INIT;
    request.sandbox_id = c->sandbox_id;
    call->path = PROTO_PATH_SANDBOX("DeleteSandbox");
    call->request = &request;
    call->reply = &pb__delete_sandbox_response__descriptor;
    call->idempotent = c->missing_ok;
    call->done = on_deleted;
    return unary_start(c->conn, call, NULL);
}

static void call_send(struct call_op *c)
{
    uint64_t now_ns = clock_now_ns();
    struct unary_call call = {
        .target = c->target,
        .timeout_ns = c->deadline_ns == UINT64_MAX ? UINT64_MAX
                      : c->deadline_ns > now_ns    ? c->deadline_ns - now_ns
                                                   : 1,
        .idempotent = true,
        .user = c,
    };
    switch (c->kind) {
    case CALL_LIST:
        c->call = send_list(c, &call);
        break;
    case CALL_FROM_ID:
        c->call = send_get(c, &call);
        break;
    case CALL_DELETE:
        c->call = send_delete(c, &call);
        break;
    }
    if (!c->call)
        call_finish(c, &error_nomem);
}

static void call_begin(struct cws_op *op)
{
    struct call_op *c = CONTAINER_OF(op, struct call_op, op);
    CLEANUP_ERR struct err err = {0};
    c->conn = conn_get(op->client, c->target, &err);
    c->deadline_ns = event_deadline(c->timeout_ns);
    hint_begin(&c->hint, c->timeout_ns);
    if (c->conn)
        call_send(c);
    else
        call_finish(c, error_from_local(&err));
}

static void call_cancel(struct cws_op *op)
{
    struct call_op *c = CONTAINER_OF(op, struct call_op, op);
    unary_cancel(c->call);
    c->call = NULL;
    timer_stop(&op->client->loop.timers, &c->hint.timer);
    op_end(op);
}

static void call_free(struct cws_op *op)
{
    struct call_op *c = CONTAINER_OF(op, struct call_op, op);
    op_done_memory(op);
    for (size_t i = 0; i < c->n_found; i++)
        cws_sandbox_unref(c->found[i]);
    free(c->found);
    size_t pos = 0;
    for (char *key; (key = strmap_next(&c->seen, &pos));) {
        (void)strmap_remove(&c->seen, key);
        free(key);
    }
    strmap_done(&c->seen);
    free(c->page_token);
    free(c->sandbox_id);
    str_free_all(c->tags, c->n_tags);
    str_free_all(c->runner_ids, c->n_runner_ids);
    str_free_all(c->volume_ids, c->n_volume_ids);
    cws_target_unref(c->target);
    free(c);
}

static const struct op_class call_class = {
    .begin = call_begin, .cancel = call_cancel, .free = call_free};

static struct call_op *call_new(cws_client *client, cws_target *target, enum call_kind kind,
                                uint64_t timeout_ns, cws_error **error)
{
    client = client_or_default(client, error);
    if (!client)
        return NULL;
    target = target_or_default(target, error);
    if (!target)
        return NULL;
    struct call_op *c = calloc(1, sizeof(*c));
    if (!c) {
        cws_target_unref(target);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&c->op, &call_class, client);
    c->kind = kind;
    c->target = target;
    c->timeout_ns = timeout_ns ? timeout_ns : OPTIONS_REQUEST_TIMEOUT_NS;
    return c;
}

/* Submits @c; its reference becomes the caller's handle. */
static cws_op *call_submit(struct call_op *c, cws_error **error)
{
    if (op_submit(&c->op, error) == 0)
        return &c->op;
    cws_op_unref(&c->op);
    return NULL;
}

static int copy_strings(char ***ret, size_t *ret_n, const char *const *from, size_t n,
                        const char *what, cws_error **error)
{
    *ret = calloc(n ? n : 1, sizeof(**ret));
    if (!*ret)
        return error_give(error, &error_nomem);
    for (size_t i = 0; i < n; i++) {
        if (!from[i] || !utf8_valid(from[i], strlen(from[i])))
            return error_set(error, CWS_E_INVALID, "%s %zu is not valid UTF-8", what, i);
        (*ret)[i] = strdup(from[i]);
        if (!(*ret)[i])
            return error_give(error, &error_nomem);
        *ret_n = i + 1;
    }
    return 0;
}

cws_op *cws_list(cws_client *client, cws_target *target, const cws_list_options *options,
                 cws_error **error)
{
    static const cws_list_options defaults = {0};
    const cws_list_options *o = options ? options : &defaults;
    struct call_op *c = call_new(client, target, CALL_LIST, o->timeout_ns, error);
    if (!c)
        return NULL;
    c->status = o->status;
    c->limit = o->limit;
    c->show_terminated = o->show_terminated != 0;
    if (copy_strings(&c->tags, &c->n_tags, o->tags, o->n_tags, "tag", error) < 0 ||
        copy_strings(&c->runner_ids, &c->n_runner_ids, o->runner_ids, o->n_runner_ids,
                     "runner id", error) < 0 ||
        copy_strings(&c->volume_ids, &c->n_volume_ids, o->volume_ids, o->n_volume_ids,
                     "volume id", error) < 0) {
        cws_op_unref(&c->op);
        return NULL;
    }
    return call_submit(c, error);
}

static struct call_op *call_new_id(cws_client *client, cws_target *target, enum call_kind kind,
                                   const char *id, uint64_t timeout_ns, cws_error **error)
{
    if (!id || !*id || !utf8_valid(id, strlen(id))) {
        (void)error_set(error, CWS_E_INVALID, "sandbox_id must be a non-empty UTF-8 string");
        return NULL;
    }
    struct call_op *c = call_new(client, target, kind, timeout_ns, error);
    if (c && !(c->sandbox_id = strdup(id))) {
        cws_op_unref(&c->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    return c;
}

cws_op *cws_from_id(cws_client *client, cws_target *target, const char *sandbox_id,
                    uint64_t timeout_ns, cws_error **error)
{
    struct call_op *c =
        call_new_id(client, target, CALL_FROM_ID, sandbox_id, timeout_ns, error);
    return c ? call_submit(c, error) : NULL;
}

void cws_sandbox_set_times(cws_sandbox *sb, uint64_t request_timeout_ns,
                           uint64_t retry_budget_ns, uint64_t poll_timeout_ns)
{
    if (request_timeout_ns != CWS_DEFAULT_TIMEOUT)
        sb->times.request_timeout_ns = request_timeout_ns;
    if (poll_timeout_ns != CWS_DEFAULT_TIMEOUT)
        sb->times.poll_timeout_ns = poll_timeout_ns;
    sb->times.retry_budget_ns = retry_budget_ns;
}

cws_op *cws_delete(cws_client *client, cws_target *target, const char *sandbox_id,
                   int missing_ok, uint64_t timeout_ns, cws_error **error)
{
    struct call_op *c = call_new_id(client, target, CALL_DELETE, sandbox_id, timeout_ns, error);
    if (!c)
        return NULL;
    c->missing_ok = missing_ok != 0;
    return call_submit(c, error);
}
