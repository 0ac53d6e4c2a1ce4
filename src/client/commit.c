/*
 * An image of what a sandbox has written: one StreamExec with the words of base/files-words.h, which the service answers itself.
 * Thread: the loop's.
 */
#include <errno.h>
#include <string.h>

#include "base/files-words.h"
#include "base/util.h"
#include "client/exec.h"
#include "client/op.h"

#define LABEL "Commit image"
#define N_FIXED 2 /* words that are not copied */

struct commit {
    struct cws_op op;
    struct cws_sandbox *sb; /* [const] reference */
    char **argv;            /* [const] owned, as is what it points to from the third on */
    size_t n_argv;          /* [const] */
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
    c->exec = (struct exec){
        .events = &exec_events,
        .sb = c->sb,
        .spec = {.argv = c->argv,
                 .n_argv = c->n_argv,
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
    for (size_t i = N_FIXED; i < c->n_argv; i++)
        free(c->argv[i]);
    free(c->argv);
    buf_done(&c->id);
    free(c);
}

static const struct op_class commit_class = {
    .begin = commit_begin, .cancel = commit_cancel, .free = commit_free};

/* Text of a message, and one that means what it is for. */
static int check(const char *reference, const cws_commit_options *o, cws_error **error)
{
    bool fine = reference && *reference && utf8_valid(reference, strlen(reference));
    if (!fine)
        return error_set(error, CWS_E_INVALID, "reference must be the name of an image");
    for (size_t i = 0; i < o->n_env; i++)
        if (o->env[i][0] == '=' || !strchr(o->env[i], '=') ||
            !utf8_valid(o->env[i], strlen(o->env[i])))
            return error_set(error, CWS_E_INVALID, "env: each must be NAME=value");
    if (o->working_dir &&
        (o->working_dir[0] != '/' || !utf8_valid(o->working_dir, strlen(o->working_dir))))
        return error_set(error, CWS_E_INVALID, "working_dir must be an absolute path");
    return 0;
}

/* What follows the two that every one has. */
static int fill_argv(struct commit *c, const char *reference, const cws_commit_options *o)
{
    size_t n = N_FIXED + 1 + o->n_env + (o->working_dir ? 1 : 0);
    c->argv = calloc(n, sizeof(*c->argv));
    if (!c->argv)
        return -ENOMEM;
    c->argv[0] = (char *)FILES_PROGRAM;
    c->argv[1] = (char *)FILES_COMMIT;
    for (c->n_argv = N_FIXED; c->n_argv < n; c->n_argv++) {
        size_t i = c->n_argv - N_FIXED;
        c->argv[c->n_argv] = i == 0          ? strdup(reference)
                             : i <= o->n_env ? strdup(o->env[i - 1])
                                             : str_dup_printf("=%s", o->working_dir);
        if (!c->argv[c->n_argv])
            return -ENOMEM;
    }
    return 0;
}

cws_op *cws_sandbox_commit(cws_sandbox *sb, const char *reference,
                           const cws_commit_options *options, cws_error **error)
{
    static const cws_commit_options none;
    const cws_commit_options *o = options ? options : &none;
    if (check(reference, o, error) < 0)
        return NULL;
    if (client_forked(sb->client)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    struct commit *c = calloc(1, sizeof(*c));
    if (!c) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&c->op, &commit_class, sb->client);
    c->sb = cws_sandbox_ref(sb);
    c->timeout_ns = o->timeout_ns ? o->timeout_ns : CWS_FOREVER;
    if (fill_argv(c, reference, o) < 0) {
        (void)error_give(error, &error_nomem);
        cws_op_unref(&c->op);
        return NULL;
    }
    if (op_submit(&c->op, error) < 0) {
        cws_op_unref(&c->op);
        return NULL;
    }
    return &c->op;
}
