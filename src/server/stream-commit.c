/*
 * StreamExec of FILES_COMMIT (base/files-words.h): an image of what a sandbox has written. A process of the sandbox writes the layer
 * into a pipe, cwsandbox-image reads it there and puts it into the store; neither the bytes nor an inode come by here.
 *
 * Both ends are waited for. What the sandbox's side says is why it failed comes first: the other then only saw an early end.
 */
#include <string.h>

#include "base/files-words.h"
#include "base/util.h"
#include "runtime/image.h"
#include "runtime/io.h"
#include "server/dispatch.h"
#include "server/exec-common.h"
#include "server/images.h"

#define SAID_MAX 1024 /* chosen: a line */

struct stream_commit {
    struct call *call;
    struct process *process; /* NULL: not begun */
    bool process_ended;
    int exit_code;
    char said[SAID_MAX + 1]; /* its stderr, cut */
    size_t n_said;
    struct image_wait wait; /* alone once it is over, or when there is none */
    bool waiting;
    char *id;
    struct err err; /* the first cause */
};

static void send_answer(struct stream_commit *c)
{
    uint8_t head[PROTO_HEAD_MAX];
    CLEANUP_BUF struct buf out = {0};
    int r = buf_put_str(&out, c->id);
    size_t n = proto_head_exec_output(head, PB__EXEC_STREAM_OUTPUT__STREAM__STREAM_STDOUT,
                                      buf_len(&out));
    if (r < 0 || call_send_exec_ready(c->call) < 0 || call_send(c->call, head, n, &out) < 0)
        call_refuse(c->call, ERR_RESOURCE_EXHAUSTED, NULL, "commit: out of memory");
    else
        call_reply_exec_exit(c->call, 0);
}

/* "REASON path: why", of init's own child (base/files-words.h). */
static int process_failed(struct stream_commit *c, struct err *err)
{
    const char *blank = strchr(c->said, ' ');
    if (!utf8_valid(c->said, c->n_said))
        return err_set(err, ERR_FAILED_PRECONDITION, "commit: a file cannot be read");
    return err_set(err, ERR_FAILED_PRECONDITION, "commit: %s",
                   blank ? blank + 1 : "the sandbox's side ended early");
}

static void check_ended(struct stream_commit *c)
{
    CLEANUP_ERR struct err err = {0};
    if (!c->process_ended || c->waiting)
        return;
    if (c->exit_code != 0 && (c->n_said > 0 || c->err.code == ERR_OK))
        (void)process_failed(c, &err);
    else if (c->err.code != ERR_OK)
        err_move(&err, &c->err);
    if (err.code != ERR_OK)
        call_finish(c->call, &err);
    else
        send_answer(c);
}

static void on_image(struct image_wait *wait, const struct err *why)
{
    struct stream_commit *c = CONTAINER_OF(wait, struct stream_commit, wait);
    c->waiting = false;
    c->id = why == NULL ? strdup(wait->answer) : NULL;
    if (why != NULL && c->err.code == ERR_OK)
        (void)err_set(&c->err, why->code, "commit: %s", err_text(why));
    else if (why == NULL && c->id == NULL)
        (void)err_set(&c->err, ERR_RESOURCE_EXHAUSTED, "commit: out of memory");
    check_ended(c);
}

static void on_output(void *user, struct process *p, enum output_stream s, struct buf *take)
{
    struct stream_commit *c = user;
    size_t n = MIN(SAID_MAX - c->n_said, buf_len(take));
    memcpy(c->said + c->n_said, buf_head(take), n);
    c->n_said += n;
}

static void on_exit_code(void *user, struct process *p, int exit_code)
{
    struct stream_commit *c = user;
    c->process_ended = true;
    c->exit_code = exit_code;
    check_ended(c);
}

static void on_error(void *user, struct process *p, const struct err *err)
{
    call_finish(((struct stream_commit *)user)->call, err);
}

static const struct process_events process_events = {
    .on_output = on_output, .on_exit = on_exit_code, .on_error = on_error};

static void commit_on_release(struct call *call)
{
    struct stream_commit *c = call->state;
    if (c->waiting)
        images_drop(call->service, &c->wait);
    process_free(c->process); /* kills it: the layer ends early, and nothing is left of it */
    err_done(&c->err);
    free(c->id);
    free(c);
}

static void commit_on_message(struct call *call, const uint8_t *data, size_t n)
{
    /* Nothing that could follow means anything. */
}

static void commit_on_half_close(struct call *call)
{
    /* As every command's without input. */
}

/* What a StreamExec becomes when it commits. */
static const struct method commit_method = {
    .path = PROTO_PATH_SANDBOX("StreamExec"),
    .kind = METHOD_BIDI,
    .max_request_bytes = 101u << 20, /* as StreamExec's */
    .on_message = commit_on_message,
    .on_half_close = commit_on_half_close,
    .on_release = commit_on_release,
};

static int start(struct stream_commit *c, const Pb__ExecStreamInit *init, struct err *err)
{
    static const char *const argv[] = {FILES_PROGRAM, FILES_CHANGES};
    struct call *call = c->call;
    CLEANUP_FD int layer = -1;
    struct sandbox *sb =
        sandbox_find(call->service->runtime, call->owner, init->sandbox_id, err);
    if (sb == NULL || sandbox_check_container(sb, init->container, err) < 0)
        return -1;
    if (init->n_command < 3 || init->n_env > 0 || init->tty || call->exec.cwd ||
        call->exec.user)
        return err_invalid(
            err, "command",
            "a commit has a name, and no terminal, environment, directory or user");
    if (images_commit(call->service, sb, init->command + 2, init->n_command - 2, &c->wait,
                      &layer, err) < 0)
        return -1;
    c->waiting = true;
    struct process_spec spec = {.argv = argv,
                                .n_argv = ARRAY_SIZE(argv),
                                .cwd = "/",
                                .files = true,
                                .stdout_fd = layer};
    return process_start(sb, &spec, &process_events, c, &c->process, err);
}

void stream_commit_begin(struct call *call, const Pb__ExecStreamInit *init)
{
    CLEANUP_ERR struct err err = {0};
    struct stream_commit *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "commit: out of memory");
        return;
    }
    c->call = call;
    c->wait.cb = on_image;
    call->state = c;
    call->method = &commit_method;
    if (start(c, init, &err) < 0)
        call_finish(call, &err);
}
