#include "client/process.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/command.h"
#include "client/shellquote.h"
#include "wire/status.h"

#define USER_MAX 255 /* chosen: the service's limit */

/* ---- on the loop ---- */

static struct cws_process *process_of_exec(struct exec *x)
{
    return CONTAINER_OF(x, struct cws_process, exec);
}

static struct cws_error *stdin_error(struct cws_error *why)
{
    if (!why)
        return error_new(CWS_E_EXECUTION, "the process has exited");
    struct cws_error *e =
        error_new(CWS_E_EXECUTION, "the command is gone: %s", cws_error_message(why));
    error_add_cause(e, why);
    return e;
}

/* Readers first: whoever saw the handle done finds the streams ended. @why: of an end that is no
 * exit, or NULL. */
static void end_streams(struct cws_process *p, struct cws_error *reader_error,
                        struct cws_error *why)
{
    reader_end(&p->out, error_ref(reader_error));
    if (!p->tty)
        reader_end(&p->err, NULL);
    if (p->has_stdin)
        writer_fail(&p->in, stdin_error(why));
}

static int on_output(struct exec *x, cws_stream stream, const uint8_t *data, size_t n)
{
    struct cws_process *p = process_of_exec(x);
    struct chunk *c = chunk_new(data, n);
    if (!c)
        return -ENOMEM;
    bool to_stderr = stream == CWS_STDERR && !p->tty;
    if (reader_push(to_stderr ? &p->err : &p->out, c))
        rpc_pause(&x->rpc);
    return 0;
}

static struct cws_error *check_error(const struct cws_process *p, int exit_code)
{
    CLEANUP_FREE char *command = shell_quote_join(p->argv, p->n_argv);
    struct cws_error *e = error_new(CWS_E_EXECUTION, "command %s failed with exit code %d",
                                    command ? command : p->argv[0], exit_code);
    error_add_sandbox_id(e, sandbox_id_borrow(p->sb));
    return e;
}

static void on_done(struct exec *x, int exit_code, struct cws_error *take_error)
{
    struct cws_process *p = process_of_exec(x);
    /* A terminal that never opened says why to its reader too; later failures only to the
     * handle. */
    end_streams(p, p->tty && !x->opened ? take_error : NULL, take_error);
    op_lock(&p->op);
    p->facts = x->facts;
    op_unlock(&p->op);
    struct op_result result = {
        .error = take_error, .value = exit_code, .has_value = !take_error};
    if (!take_error && p->check && exit_code != 0)
        result.error = check_error(p, exit_code);
    (void)op_complete(&p->op, result);
}

static void on_closed(struct exec *x)
{
    op_end(&process_of_exec(x)->op);
}

static const struct exec_events exec_events = {
    .on_output = on_output, .on_done = on_done, .on_closed = on_closed};

static void process_begin(struct cws_op *op)
{
    exec_start(&CONTAINER_OF(op, struct cws_process, op)->exec);
}

static void process_cancel(struct cws_op *op)
{
    struct cws_process *p = CONTAINER_OF(op, struct cws_process, op);
    end_streams(p, NULL, op->result.error);
    exec_cancel(&p->exec);
}

static void process_settled(struct cws_op *op)
{
    struct cws_process *p = CONTAINER_OF(op, struct cws_process, op);
    sandbox_exec_ended(p->sb, op->result.error, op->result.value);
}

static void process_free(struct cws_op *op)
{
    struct cws_process *p = CONTAINER_OF(op, struct cws_process, op);
    reader_done(&p->out);
    reader_done(&p->err);
    writer_done(&p->in);
    op_done_memory(op);
    cws_sandbox_unref(p->sb);
    free(p->joined[0]);
    free(p->joined[1]);
    free(p->argv);
    free(p->container);
    free(p->env);
    free(p->cwd);
    free(p->cwd_base64);
    free(p->user);
    free(p);
}

static const struct op_class process_class = {
    .begin = process_begin,
    .cancel = process_cancel,
    .settled = process_settled,
    .free = process_free,
};

static void on_stdin_data(struct cws_writer *w)
{
    exec_pump(&CONTAINER_OF(w, struct cws_process, in)->exec);
}

/* Both streams come by one call: it goes on when neither is full. A stream that fills up again
 * beside this has paused the call before, or pauses it when its chunk comes. */
static void on_room(struct cws_reader *r)
{
    struct cws_process *p = CONTAINER_OF(r->owner, struct cws_process, op);
    op_lock(&p->op);
    bool room = !p->out.full && !p->err.full;
    op_unlock(&p->op);
    if (room)
        rpc_resume(&p->exec.rpc);
}

static void on_reader_closed(struct cws_reader *r)
{
    (void)cws_op_cancel(r->owner);
}

static const struct reader_events tty_reader_events = {.on_room = on_room,
                                                       .on_closed = on_reader_closed};
/* A closed reader is never full: what it held back may flow. */
static const struct reader_events passing_events = {.on_room = on_room, .on_closed = on_room};

/* Nobody can look at the output any more: a terminal ends, a command goes on without it. */
static void on_unheld(struct cws_op *op)
{
    struct cws_process *p = CONTAINER_OF(op, struct cws_process, op);
    if (op_forked(op))
        return;
    if (p->tty)
        (void)cws_op_cancel(op);
    reader_drop(&p->out);
    if (!p->tty)
        reader_drop(&p->err);
}

/* ---- making one ---- */

/* One block: the pointers, then the strings. */
static char **copy_argv(const char *const *argv, size_t n)
{
    size_t size = n * sizeof(char *);
    for (size_t i = 0; i < n; i++)
        size += strlen(argv[i]) + 1;
    char **copy = malloc(size);
    if (!copy)
        return NULL;
    char *text = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(argv[i]) + 1;
        memcpy(text, argv[i], len);
        copy[i] = text;
        text += len;
    }
    return copy;
}

int user_check(const char *user, cws_error **error)
{
    size_t n = strlen(user);
    const char *colon = strchr(user, ':');
    bool halves = colon ? colon > user && colon[1] && !strchr(colon + 1, ':') : n > 0;
    for (size_t i = 0; i < n; i++)
        halves = halves && user[i] > ' ' && user[i] < 0x7f;
    if (halves && n <= USER_MAX)
        return 0;
    return error_set(error, CWS_E_INVALID, "user must be a name or a number, or USER:GROUP");
}

static int check_variables(const cws_exec_options *o, cws_error **error)
{
    for (size_t i = 0; i < o->n_env; i++) {
        const char *name = o->env[i], *value = strchr(name, '=');
        if (!value || value == name || !utf8_valid(name, strlen(name)))
            return error_set(error, CWS_E_INVALID,
                             "variable %zu of env is not NAME=value in UTF-8", i);
        if (command_check_variable("env", name, (size_t)(value - name), strlen(value + 1),
                                   error) < 0)
            return -1;
    }
    return 0;
}

static int check_arguments(const char *const *argv, size_t n, const cws_exec_options *o,
                           cws_error **error)
{
    if (n == 0)
        return error_set(error, CWS_E_INVALID, "Command cannot be empty");
    for (size_t i = 0; i < n; i++)
        if (command_check_word("command", i, argv[i], error) < 0)
            return -1;
    if (container_check(o->container, error) < 0)
        return -1;
    if (check_variables(o, error) < 0 || (o->user && user_check(o->user, error) < 0))
        return -1;
    return o->cwd ? command_check_cwd(o->cwd, error) : 0;
}

static int copy_fields(struct cws_process *p, const cws_exec_options *o)
{
    CLEANUP_BUF struct buf text = {0};
    size_t len;

    if ((o->user && !(p->user = strdup(o->user))) || (o->cwd && !(p->cwd = strdup(o->cwd))))
        return -ENOMEM;
    if (!o->cwd)
        return 0;
    if (base64_encode(o->cwd, strlen(o->cwd), &text) < 0 || buf_put(&text, "", 1) < 0)
        return -ENOMEM;
    p->cwd_base64 = (char *)buf_take(&text, &len);
    return 0;
}

static void fill_exec(struct cws_process *p, const cws_exec_options *o)
{
    struct exec *x = &p->exec;
    x->events = &exec_events;
    x->sb = p->sb;
    x->in = p->has_stdin ? &p->in : NULL;
    x->spec = (struct exec_spec){
        .argv = p->argv,
        .n_argv = p->n_argv,
        .cwd = p->cwd,
        .cwd_base64 = p->cwd_base64,
        .user = p->user,
        .env = p->env,
        .n_env = o->n_env,
        .tty = p->tty,
        .width = o->tty_width,
        .height = o->tty_height,
        .timeout_ns = p->tty          ? UINT64_MAX
                      : o->timeout_ns ? o->timeout_ns
                                      : p->sb->times.request_timeout_ns,
        .label = p->tty ? "Open terminal" : "Execute command",
        .container = p->container,
    };
}

/* 0 of the variable is no bound, like SIZE_MAX in the options. */
static size_t default_max_output(void)
{
    const char *text = getenv(CWS_MAX_OUTPUT_VARIABLE);
    uint64_t value;
    if (!text || !*text || parse_u64(text, SIZE_MAX, &value) < 0)
        return CWS_DEFAULT_MAX_OUTPUT_BYTES;
    return value ? (size_t)value : SIZE_MAX;
}

static struct cws_process *process_new(cws_sandbox *sb, const cws_exec_options *o)
{
    struct cws_process *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    op_init(&p->op, &process_class, sb->client);
    p->sb = cws_sandbox_ref(sb);
    p->facts = EXEC_FACTS_NONE;
    p->check = o->check != 0;
    p->tty = o->tty != 0;
    p->has_stdin = o->want_stdin || p->tty;
    p->keeps_output = !p->tty && !o->discard_output;
    const struct reader_events *events = p->tty ? &tty_reader_events : &passing_events;
    size_t keep = !p->keeps_output      ? 0
                  : o->max_output_bytes ? o->max_output_bytes
                                        : default_max_output();
    struct cws_reader *readers[] = {&p->out, &p->err};
    p->holders = 1;
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
        reader_init(readers[i], &p->op, events, keep);
        readers[i]->holders = &p->holders;
        readers[i]->on_unheld = on_unheld;
    }
    writer_init(&p->in, &p->op, WRITER_FRAME_BYTES, on_stdin_data);
    return p;
}

cws_process *cws_sandbox_exec(cws_sandbox *sb, const char *const *argv, size_t n_argv,
                              const cws_exec_options *options, cws_error **error)
{
    static const cws_exec_options defaults = {0};
    const cws_exec_options *o = options ? options : &defaults;
    if (check_arguments(argv, n_argv, o, error) < 0)
        return NULL;
    if (client_forked(sb->client)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    struct cws_process *p = process_new(sb, o);
    if (p) {
        p->argv = copy_argv(argv, n_argv);
        p->n_argv = n_argv;
    }
    if (p && o->n_env > 0 && (p->env = copy_argv(o->env, o->n_env)))
        for (size_t i = 0; i < o->n_env; i++)
            *strchr(p->env[i], '=') = '\0'; /* as exec.h wants it */
    if (!p || !p->argv || (o->n_env > 0 && !p->env) || copy_fields(p, o) < 0 ||
        container_dup(o->container, &p->container) < 0) {
        if (p)
            cws_op_unref(&p->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    fill_exec(p, o);
    sandbox_exec_began(sb);
    if (op_submit(&p->op, error) < 0) {
        sandbox_exec_ended(sb, &error_nomem, 0); /* any error: it counts as a failure */
        cws_op_unref(&p->op);
        return NULL;
    }
    return p;
}

/* ---- using one ---- */

cws_process *cws_process_ref(cws_process *p)
{
    (void)cws_op_ref(&p->op);
    atomic_fetch_add(&p->holders, 1);
    return p;
}

void cws_process_unref(cws_process *p)
{
    if (!p)
        return;
    if (atomic_fetch_sub(&p->holders, 1) == 1)
        on_unheld(&p->op);
    cws_op_unref(&p->op);
}

cws_op *cws_process_op(cws_process *p)
{
    return &p->op;
}

static cws_reader *want(struct cws_reader *r)
{
    reader_want(r);
    return r;
}

cws_reader *cws_process_stdout(cws_process *p)
{
    return op_forked(&p->op) ? &p->out : want(&p->out);
}

cws_reader *cws_process_stderr(cws_process *p)
{
    return p->tty ? NULL : op_forked(&p->op) ? &p->err : want(&p->err);
}

cws_writer *cws_process_stdin(cws_process *p)
{
    return p->has_stdin ? &p->in : NULL;
}

int cws_process_returncode(const cws_process *p, int *ret)
{
    if (!op_is_done(&p->op) || !p->op.result.has_value)
        return 0;
    *ret = p->op.result.value;
    return 1;
}

/* Before it began there is no call that could have told its status. */
static bool is_timeout(const cws_error *e)
{
    cws_error_kind kind = cws_error_get_kind(e);
    return (kind == CWS_E_TIMEOUT || kind == CWS_E_COMMAND_TIMEOUT ||
            kind == CWS_E_REQUEST_TIMEOUT) &&
           cws_error_status(e) == ERR_DEADLINE_EXCEEDED;
}

int cws_process_get_facts(const cws_process *p, cws_process_facts *ret)
{
    const cws_error *error = cws_op_error(&p->op);
    if (!op_is_done(&p->op))
        return 0;
    op_lock((struct cws_op *)&p->op);
    const struct exec_facts f = p->facts;
    op_unlock((struct cws_op *)&p->op);
    *ret = (cws_process_facts){
        .timed_out = error && is_timeout(error),
        .oom_killed = f.oom_killed,
        .signal = f.signal,
        .duration_ns = f.duration_ns,
        .cpu_ns = f.cpu_ns,
        .peak_memory_bytes = f.peak_memory_bytes,
    };
    return 1;
}

/* Where a stream's kept chunks begin, and how many bytes of them may be read without the lock:
 * what is in the list stays there, and only the link behind the last one changes. */
static const struct chunk *snapshot(const cws_process *p, cws_stream s, size_t *ret_size)
{
    const struct cws_reader *r = s == CWS_STDERR ? &p->err : &p->out;
    *ret_size = 0;
    if (!p->keeps_output || op_forked(&p->op))
        return NULL;
    op_lock((struct cws_op *)&p->op);
    const struct chunk *head = r->head;
    *ret_size = MIN(r->total_bytes, r->keep_max); /* the last chunk may reach beyond */
    op_unlock((struct cws_op *)&p->op);
    return head;
}

int cws_process_output_truncated(const cws_process *p, cws_stream s)
{
    if (op_forked(&p->op))
        return 0;
    op_lock((struct cws_op *)&p->op);
    bool truncated = s == CWS_STDERR ? p->err.truncated : p->out.truncated;
    op_unlock((struct cws_op *)&p->op);
    return truncated;
}

size_t cws_process_output_size(const cws_process *p, cws_stream s)
{
    size_t size;
    (void)snapshot(p, s, &size);
    return size;
}

size_t cws_process_copy_output(const cws_process *p, cws_stream s, void *out, size_t cap)
{
    size_t size, done = 0;
    const struct chunk *c = snapshot(p, s, &size);
    size = MIN(size, cap);
    while (done < size) {
        size_t part = MIN(c->size, size - done);
        memcpy((uint8_t *)out + done, c->data, part);
        done += part;
        if (done < size)
            c = c->next;
    }
    return size;
}

const char *cws_process_output(cws_process *p, cws_stream s, size_t *ret_len)
{
    size_t size;
    const struct chunk *c = snapshot(p, s, &size);
    *ret_len = size;
    if (!c)
        return "";
    if (c->size == size)
        return (const char *)c->data; /* one chunk: no copy */
    char *joined = malloc(size + 1);
    if (!joined) {
        *ret_len = 0;
        return NULL;
    }
    *ret_len = cws_process_copy_output(p, s, joined, size);
    joined[size] = '\0';
    op_lock(&p->op);
    char *old = p->joined[s == CWS_STDERR];
    p->joined[s == CWS_STDERR] = joined;
    op_unlock(&p->op);
    free(old);
    return joined;
}

static void on_resize_task(struct task *task)
{
    struct cws_process *p = CONTAINER_OF(task, struct cws_process, resize_task);
    op_lock(&p->op);
    p->resize_posted = false;
    uint32_t width = p->width, height = p->height;
    op_unlock(&p->op);
    exec_resize(&p->exec, width, height);
    cws_op_unref(&p->op);
}

int cws_process_resize(cws_process *p, uint32_t width, uint32_t height, cws_error **error)
{
    if (op_forked(&p->op))
        return error_give(error, &error_forked);
    if (!p->tty)
        return error_set(error, CWS_E_INVALID, "only a terminal has a size");
    if (op_is_done(&p->op))
        return error_set(error, CWS_E_EXECUTION, "the terminal session has ended");
    op_lock(&p->op);
    bool post = !p->resize_posted;
    p->resize_posted = true;
    p->width = width;
    p->height = height;
    op_unlock(&p->op);
    if (!post)
        return 0;
    p->resize_task.run = on_resize_task;
    (void)cws_op_ref(&p->op);
    if (loop_post(&p->op.client->loop, &p->resize_task) < 0) {
        cws_op_unref(&p->op);
        return error_set(error, CWS_E_CLOSED, "the client is closed");
    }
    return 0;
}
