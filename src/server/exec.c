/*
 * Exec (unary): run a command to its end, keep a bounded part of its output. Also the start
 * that StreamExec shares.
 */
#include <string.h>

#include "base/util.h"
#include "runtime/io.h"
#include "server/dispatch.h"
#include "server/exec-common.h"
#include "server/record.h"
#include "wire/exec-facts.h"

#define OUTPUT_DEFAULT \
    (16u \
     << 20) /* per stream when the caller names no cap; chosen: both fit the clients' 100 \
                   MiB */
#define OUTPUT_MAX \
    (48u << 20) /* per stream: two of them and a few bytes stay below 100 MiB \
                 */
#define COMMAND_MAX_ARGS \
    60000 /* chosen: below INIT_MAX_STRINGS with room for the environment */

struct output {
    struct buf kept;
    uint64_t n_produced;
};

struct exec {
    struct call *call;
    struct process *process;
    size_t cap;
    size_t charged;           /* of SHARE_ANSWER_BYTES, for what is kept */
    struct output streams[2]; /* stdout, stderr */
};

uint16_t exec_tty_size(uint32_t n)
{
    return (uint16_t)MIN(n, (uint32_t)UINT16_MAX);
}

int call_start_process(struct call *call, const struct exec_request *req,
                       const struct process_events *events, void *user, struct process **ret,
                       struct err *err)
{
    struct sandbox *sb =
        sandbox_find(call->service->runtime, call->owner, req->sandbox_id, err);
    if (sb == NULL || sandbox_check_container(sb, req->container, err) < 0)
        return -1;
    if (call->exec.port != 0)
        return err_invalid(err, "port", "only StreamExec connects to one");
    if (req->n_command == 0 || req->command[0][0] == '\0')
        return err_invalid(err, "command", "must not be empty");
    if (req->n_command > COMMAND_MAX_ARGS)
        return err_invalid(err, "command", "more than %d arguments", COMMAND_MAX_ARGS);
    CLEANUP_FREE struct string_pair *env = spec_env(req->n_env, req->env, "env", err);
    if (env == NULL)
        return -1;
    struct process_spec spec = {
        .argv = (const char *const *)req->command,
        .n_argv = req->n_command,
        .env = env,
        .n_env = req->n_env,
        .cwd = call->exec.cwd ? call->exec.cwd : "",
        .user = call->exec.user,
        .files = call->exec.files,
        .want_stdin = req->want_stdin,
        .tty = req->tty,
        .tty_width = exec_tty_size(req->tty_width),
        .tty_height = exec_tty_size(req->tty_height),
    };
    int r = process_start(sb, &spec, events, user, ret, err);
    if (r < 0 && err->code == ERR_RESOURCE_EXHAUSTED && err->reason == NULL) {
        err->reason = "CWSANDBOX_RUNNER_OVERLOADED"; /* no descriptors, no memory */
        err->retry_delay_ns = ACCOUNT_RETRY_NS;
    }
    return r;
}

void call_tell_facts(struct call *call, const struct process *p)
{
    const struct process_facts *f = process_facts(p);
    char text[EXEC_FACTS_MAX];

    if (f == NULL)
        return;
    exec_facts_format(
        &(struct exec_facts){
            .signal = f->signal,
            .oom_killed = f->oom == OOM_UNKNOWN ? -1 : f->oom == OOM_KILLED,
            .duration_ns = f->duration_ns,
            .cpu_ns = f->cpu_ns,
            .peak_memory_bytes = f->peak_memory_bytes,
        },
        text);
    call_add_trailer(call, EXEC_FACTS_HEADER, text);
}

/* Keeps what fits and counts the rest: the command runs on, as with a pipe into head that never
 * closes. */
static void on_output(void *user, struct process *p, enum output_stream s, struct buf *take)
{
    struct exec *e = user;
    struct output *out = &e->streams[s == OUTPUT_STDERR];
    size_t n = buf_len(take);
    size_t room = e->cap - buf_len(&out->kept);
    out->n_produced += n;
    size_t keep = MIN(n, room);
    if (!budget_take(call_share(e->call, SHARE_ANSWER_BYTES), keep)) {
        call_refuse_full(e->call, SHARE_ANSWER_BYTES);
        return;
    }
    e->charged += keep;
    if (buf_put(&out->kept, buf_head(take), keep) < 0)
        call_refuse(e->call, ERR_RESOURCE_EXHAUSTED, NULL, "keep the output: out of memory");
}

static void uncharge(struct exec *e)
{
    budget_give(call_share(e->call, SHARE_ANSWER_BYTES), e->charged);
    e->charged = 0;
}

static ProtobufCBinaryData kept_bytes(struct output *out)
{
    size_t n = buf_len(&out->kept);
    return (ProtobufCBinaryData){.len = n,
                                 .data = n > 0 ? out->kept.data + out->kept.start : NULL};
}

static void on_end(void *user, struct process *p, int exit_code)
{
    struct exec *e = user;
    struct output *out = &e->streams[0], *errs = &e->streams[1];
    call_tell_facts(e->call, p);
    if (e->call->expired) {
        call_expire(e->call);
        return;
    }
    Pb__ExecResponse response = PB__EXEC_RESPONSE__INIT;
    response.stdout_data = kept_bytes(out);
    response.stderr_data = kept_bytes(errs);
    response.exit_code = exit_code;
    response.stdout_truncated = out->n_produced > buf_len(&out->kept);
    response.stderr_truncated = errs->n_produced > buf_len(&errs->kept);
    response.stdout_bytes_produced = (int64_t)out->n_produced;
    response.stderr_bytes_produced = (int64_t)errs->n_produced;
    uncharge(e); /* the answer has its own charge, and what is kept goes with it */
    call_reply(e->call, &response);
}

static void on_error(void *user, struct process *p, const struct err *err)
{
    struct exec *e = user;
    call_finish(e->call, err);
}

static const struct process_events exec_events = {
    .on_output = on_output,
    .on_exit = on_end,
    .on_error = on_error,
};

bool exec_on_expire(struct call *call)
{
    struct exec *e = call->state;
    if (e == NULL || e->process == NULL)
        return false;         /* nothing was started */
    process_kill(e->process); /* on_end() follows when all of it is dead */
    return true;
}

void exec_on_release(struct call *call)
{
    struct exec *e = call->state;
    if (e == NULL)
        return;
    process_free(e->process); /* kills it if it still runs: deadline, client gone */
    uncharge(e);
    buf_done(&e->streams[0].kept);
    buf_done(&e->streams[1].kept);
    free(e);
}

void exec_on_request(struct call *call, void *request)
{
    Pb__ExecRequest *req = request;
    CLEANUP_ERR struct err err = {0};
    if (req->max_output_bytes < 0) {
        (void)err_invalid(&err, "max_output_bytes", "must not be negative");
        call_finish(call, &err);
        return;
    }
    struct exec *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return;
    }
    e->call = call;
    e->cap = req->max_output_bytes == 0 ? OUTPUT_DEFAULT
                                        : MIN((uint32_t)req->max_output_bytes, OUTPUT_MAX);
    call->state = e;
    struct exec_request start = {
        .sandbox_id = req->sandbox_id,
        .container = req->container,
        .command = req->command,
        .n_command = req->n_command,
        .env = req->env,
        .n_env = req->n_env,
    };
    if (call_start_process(call, &start, &exec_events, e, &e->process, &err) < 0)
        call_finish(call, &err);
}
