/* Files of a sandbox: requests (file.h) and the two public functions on top of them. */
#include "runtime/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "runtime/file-content.h"
#include "runtime/sandbox.h"

/* ---- a request ---- */

static void finish(struct file_job *job)
{
    cleanup_fd(&job->fd);
    struct err why = {0};
    err_move(&why, &job->err);
    job->cb(job, why.code != ERR_OK ? &why : NULL);
    err_done(&why);
}

static void move_content(struct file_job *job)
{
    if (job->write)
        (void)content_write(job->fd, job->path, &job->content, &job->err);
    else
        (void)content_read(job->fd, job->path, job->max_bytes, &job->content, &job->err);
}

static void on_work(uv_work_t *work)
{
    move_content(CONTAINER_OF(work, struct file_job,
                              work)); /* pool thread; nobody else looks at the job now */
}

static void on_work_done(uv_work_t *work, int status)
{
    (void)status; /* never cancelled */
    finish(CONTAINER_OF(work, struct file_job, work));
}

static void on_opened(struct control_call *call, const struct init_packet *packet, int take_fd)
{
    struct file_job *job = CONTAINER_OF(call, struct file_job, call);
    struct stat st;

    job->fd = take_fd;
    control_end(job->control, call);
    if (packet->type != INIT_OPENED || packet->value < 0 || take_fd < 0) {
        (void)content_error(job->path, packet->value < 0 ? -packet->value : EMFILE, &job->err);
        finish(job);
        return;
    }
    if (content_check(job->fd, job->path, &st, &job->err) < 0) {
        finish(job);
        return;
    }
    uint64_t size = job->write ? buf_len(&job->content) : (uint64_t)st.st_size;
    if (content_is_quick(job->fd, size) ||
        uv_queue_work(job->rt->loop, &job->work, on_work, on_work_done) < 0) {
        move_content(job);
        finish(job);
    }
}

static void on_lost(struct control_call *call)
{
    struct file_job *job = CONTAINER_OF(call, struct file_job, call);

    control_end(job->control, call);
    sandbox_gone_error(job->sb, &job->err);
    deferred_post(
        job->rt,
        &job->failed); /* the sandbox is in the middle of its end: its state is not final */
}

static void on_failed(struct deferred *d)
{
    finish(CONTAINER_OF(d, struct file_job, failed));
}

void file_job_start(struct file_job *job)
{
    struct control_request request = {
        .head = {.type = INIT_OPEN,
                 .value = job->write ? O_WRONLY | O_CREAT : O_RDONLY,
                 .flags = job->write ? INIT_MAKE_PARENTS : 0,
                 .aux = job->mode_bits},
        .body = job->path,
        .body_size = strlen(job->path) + 1,
    };
    job->fd = -1;
    job->call.on_packet = on_opened;
    job->call.on_lost = on_lost;
    job->failed.cb = on_failed;
    int r = control_begin(job->control, &job->call);
    if (r == 0) {
        request.head.id = job->call.id;
        r = control_send(job->control, &request);
        if (r < 0)
            control_end(job->control, &job->call);
    }
    if (r == 0)
        return;
    if (r == -EPIPE)
        sandbox_gone_error(job->sb, &job->err);
    else
        (void)err_set_errno(&job->err, ERR_RESOURCE_EXHAUSTED, -r, "ask the sandbox to open %s",
                            job->path);
    deferred_post(job->rt, &job->failed);
}

/* ---- the public functions ---- */

struct file_call {
    struct sandbox *sb; /* a reference */
    struct sandbox_waiter waiter;
    struct deferred refused;
    struct err err; /* of `refused` */
    char *path;
    struct file_job job;
    void (*read_cb)(void *user, struct buf *take_content, const struct err *err);
    void (*write_cb)(void *user, const struct err *err);
    void *user;
};

static void answer(struct file_call *call, const struct err *why)
{
    struct buf none = {0};
    if (call->read_cb)
        call->read_cb(call->user, why ? &none : &call->job.content, why);
    else
        call->write_cb(call->user, why);
    buf_done(&call->job.content);
    sandbox_unref(call->sb);
    err_done(&call->err);
    free(call->path);
    free(call);
}

static void on_job_done(struct file_job *job, const struct err *why)
{
    answer(CONTAINER_OF(job, struct file_call, job), why);
}

static void on_refused(struct deferred *d)
{
    struct file_call *call = CONTAINER_OF(d, struct file_call, refused);
    answer(call, &call->err);
}

static void begin(struct file_call *call)
{
    call->job.control = &call->sb->cell->control;
    file_job_start(&call->job);
}

static void on_waited(struct sandbox_waiter *waiter, bool running)
{
    struct file_call *call = CONTAINER_OF(waiter, struct file_call, waiter);
    if (running) {
        begin(call);
        return;
    }
    sandbox_gone_error(call->sb, &call->err);
    deferred_post(call->sb->rt, &call->refused);
}

static void start(struct file_call *call)
{
    struct file_job *job = &call->job;
    uint64_t max = call->sb->rt->config.file_max_bytes;
    int r = path_check(job->path, "path", &call->err);
    if (r == 0 && job->write && buf_len(&job->content) > max)
        r = content_too_large(job->path, buf_len(&job->content), max, &call->err);
    if (r == 0)
        r = sandbox_wait(call->sb, &call->waiter, &call->err);
    if (r == 1 && !call->sb->cell)
        r = err_set(&call->err, ERR_UNAVAILABLE, "sandbox %s is ending", call->sb->id);
    if (r < 0)
        deferred_post(call->sb->rt, &call->refused);
    else if (r == 1)
        begin(call);
}

static struct file_call *file_call_new(struct sandbox *sb, const char *path, void *user)
{
    struct file_call *call = calloc(1, sizeof(*call));
    if (!call || !(call->path = strdup(path))) {
        free(call);
        return NULL;
    }
    call->sb = sandbox_ref(sb);
    call->waiter.cb = on_waited;
    call->refused.cb = on_refused;
    call->user = user;
    call->job = (struct file_job){.rt = sb->rt,
                                  .sb = sb,
                                  .path = call->path,
                                  .mode_bits = 0644,
                                  .max_bytes = sb->rt->config.file_max_bytes,
                                  .cb = on_job_done};
    return call;
}

void sandbox_read_file(struct sandbox *sb, const char *path,
                       void (*cb)(void *user, struct buf *take_content, const struct err *err),
                       void *user)
{
    struct file_call *call = file_call_new(sb, path, user);
    if (!call) {
        struct err err = {
            .code = ERR_RESOURCE_EXHAUSTED}; /* out of memory: no text, and no later turn */
        struct buf none = {0};
        cb(user, &none, &err);
        return;
    }
    call->read_cb = cb;
    start(call);
}

void sandbox_write_file(struct sandbox *sb, const char *path, struct buf *take_content,
                        void (*cb)(void *user, const struct err *err), void *user)
{
    struct file_call *call = file_call_new(sb, path, user);
    if (!call) {
        struct err err = {.code = ERR_RESOURCE_EXHAUSTED};
        buf_done(take_content);
        cb(user, &err);
        return;
    }
    call->write_cb = cb;
    call->job.write = true;
    call->job.content = *take_content;
    *take_content = (struct buf){0};
    start(call);
}
