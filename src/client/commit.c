/*
 * An image of what a sandbox has written: one StreamExec with the words of base/files-words.h, which the service answers itself.
 * Thread: the loop's.
 */
#include <string.h>

#include "base/files-words.h"
#include "base/util.h"
#include "client/exec.h"
#include "client/op.h"

#define LABEL "Commit image"

struct commit {
    struct cws_op op;
    struct cws_sandbox *sb; /* [const] reference */
    char *reference;        /* [const] */
    char *argv[3];          /* [const] */
    uint64_t timeout_ns;    /* [const] */
    struct buf id;          /* [loop] */
    struct exec exec;       /* [loop] */
};

static int on_output(struct exec *x, cws_stream stream, const uint8_t *data, size_t n)
{
    struct commit *c = CONTAINER_OF(x, struct commit, exec);
    return stream == CWS_STDOUT ? buf_put(&c->id, data, n) : 0;
}

static void on_done(struct exec *x, int exit_code, struct cws_error *take_error)
{
    struct commit *c = CONTAINER_OF(x, struct commit, exec);
    struct op_result result = {.error = take_error};
    if (!take_error && (exit_code != 0 || buf_len(&c->id) == 0)) /* who knows no such word */
        result.error = error_new(CWS_E_SANDBOX, LABEL ": this service commits no images");
    if (!result.error)
        result.data = buf_take(&c->id, &result.size);
    (void)op_complete(&c->op, result);
}

static void on_closed(struct exec *x)
{
    op_end(&CONTAINER_OF(x, struct commit, exec)->op);
}

static const struct exec_events exec_events = {
    .on_output = on_output, .on_done = on_done, .on_closed = on_closed};

static void commit_begin(struct cws_op *op)
{
    struct commit *c = CONTAINER_OF(op, struct commit, op);
    c->argv[0] = (char *)FILES_PROGRAM;
    c->argv[1] = (char *)FILES_COMMIT;
    c->argv[2] = c->reference;
    c->exec = (struct exec){
        .events = &exec_events,
        .sb = c->sb,
        .spec = {.argv = c->argv,
                 .n_argv = ARRAY_SIZE(c->argv),
                 .timeout_ns = c->timeout_ns,
                 .label = LABEL,
                 .files = true},
    };
    exec_start(&c->exec);
}

static void commit_cancel(struct cws_op *op)
{
    struct commit *c = CONTAINER_OF(op, struct commit, op);
    if (c->exec.events)
        exec_cancel(&c->exec);
    else
        op_end(op);
}

static void commit_free(struct cws_op *op)
{
    struct commit *c = CONTAINER_OF(op, struct commit, op);
    op_done_memory(op);
    cws_sandbox_unref(c->sb);
    free(c->reference);
    buf_done(&c->id);
    free(c);
}

static const struct op_class commit_class = {
    .begin = commit_begin, .cancel = commit_cancel, .free = commit_free};

cws_op *cws_sandbox_commit(cws_sandbox *sb, const char *reference, uint64_t timeout_ns,
                           cws_error **error)
{
    if (!reference || !*reference || !utf8_valid(reference, strlen(reference))) {
        (void)error_set(error, CWS_E_INVALID, "reference must be the name of an image");
        return NULL;
    }
    if (client_forked(sb->client)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    struct commit *c = calloc(1, sizeof(*c));
    char *copy = strdup(reference);
    if (!c || !copy) {
        free(c);
        free(copy);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&c->op, &commit_class, sb->client);
    c->sb = cws_sandbox_ref(sb);
    c->reference = copy;
    c->timeout_ns = timeout_ns;
    if (op_submit(&c->op, error) < 0) {
        cws_op_unref(&c->op);
        return NULL;
    }
    return &c->op;
}
