/* Files of a sandbox: requests (file.h) and the two public functions on top of them. */
#include "runtime/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "runtime/file-error.h"
#include "runtime/sandbox.h"

/* ---- the end of a request ---- */

static void tell(struct file_job *job)
{
    struct err why = {0};
    err_move(&why, &job->err);
    job->cb(job, why.code != ERR_OK ? &why : NULL);
    err_done(&why);
}

/* The copy is over, for good or bad. */
static void finish(struct file_job *job)
{
    struct sandbox *sb = sandbox_ref(job->sb);
    fd_watch_close(&job->rt->poller, &job->watch, true);
    sb->n_copies--;
    tell(job);
    file_jobs_run(sb);
    sandbox_unref(sb);
}

static void on_failed(struct deferred *d)
{
    tell(CONTAINER_OF(d, struct file_job, failed));
}

/* ---- the pipe ---- */

static void kill_copy(struct file_job *job)
{
    struct control_request request = {.head = {.type = INIT_KILL, .id = job->call.id}};
    job->killed = true;
    if (job->call.id != 0)
        (void)control_send(&job->sb->cell->control,
                           &request); /* fails only when init is gone */
}

/* What was read of a file that nobody gets: its memory goes now, however long the copier takes to die. */
static void drop_read(struct file_job *job)
{
    fd_watch_close(&job->rt->poller, &job->watch, true);
    buf_done(&job->content);
    if (job->charged > 0)
        budget_give(job->budget, job->charged);
    job->charged = 0;
}

static void grow_pipe(struct file_job *job)
{
    if (!job->big)
        (void)fcntl(job->watch.fd, F_SETPIPE_SZ,
                    1 << 20); /* refused above the user's quota: fine */
    job->big = true;
}

static bool charge(struct file_job *job, size_t n)
{
    if (!job->budget)
        return true;
    if (!budget_take(job->budget, n)) {
        (void)err_set_reason(&job->err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_RUNNER_OVERLOADED",
                             "read %s: the owner holds too many bytes of answers for now",
                             job->path);
        job->err.retry_delay_ns = NS_PER_SEC;
        return false;
    }
    job->charged += n;
    return true;
}

/* One piece out of the pipe. False: there is no more for now. */
static bool pull(struct file_job *job)
{
    if (buf_reserve(&job->content, FILE_PIECE) < 0) {
        (void)err_set(&job->err, ERR_RESOURCE_EXHAUSTED, "read %s: out of memory", job->path);
        kill_copy(job);
        drop_read(job);
        return false;
    }
    ssize_t n = read(job->watch.fd, buf_tail(&job->content), FILE_PIECE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        fd_watch_close(&job->rt->poller, &job->watch, true);
        return false;
    }
    buf_commit(&job->content, (size_t)n);
    if (!charge(job, (size_t)n)) {
        kill_copy(job);
        drop_read(job);
        return false;
    }
    if (buf_len(&job->content) > job->max_bytes) {
        (void)file_too_large(job->path, buf_len(&job->content), job->max_bytes, &job->err);
        kill_copy(job); /* it knows the limit, but is inside */
        drop_read(job);
        return false;
    }
    if (n == 65536) /* a pipe's default capacity: there is more */
        grow_pipe(job);
    return true;
}

/* One piece into the pipe; its end when that was the last. */
static void push(struct file_job *job)
{
    size_t n = MIN(buf_len(&job->content), (size_t)FILE_PIECE);
    ssize_t done = n > 0 ? write(job->watch.fd, buf_head(&job->content), n) : 0;
    if (done < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (done > 0)
        buf_consume(&job->content, (size_t)done);
    if (done < 0 || buf_len(&job->content) == 0) /* EPIPE: the copier gave up, and says why */
        fd_watch_close(&job->rt->poller, &job->watch, true);
}

static void on_pipe(struct fd_watch *w, uint32_t events)
{
    struct file_job *job = CONTAINER_OF(w, struct file_job, watch);
    (void)events;
    if (job->write)
        push(job);
    else
        (void)pull(job);
}

/* ---- what init says ---- */

static void conclude_read(struct file_job *job)
{
    const struct init_packet *r = &job->result;
    if (r->value == -EFBIG)
        (void)file_too_large(job->path, r->size_bytes, job->max_bytes, &job->err);
    else if (r->value < 0)
        (void)file_error(job->path, -r->value, &job->err);
    else if (buf_len(&job->content) != r->size_bytes)
        (void)file_error(job->path, EIO, &job->err);
}

static void fail_processes(struct file_job *job)
{
    (void)err_set(&job->err, ERR_RESOURCE_EXHAUSTED,
                  "%s: the sandbox's limit of processes is reached", job->path);
}

/* The copier is reaped: what is still in the pipe is the rest of the file. */
static void on_exited(struct file_job *job)
{
    while (!job->write && job->watch.fd >= 0 && !job->killed && pull(job)) {
    }
    if (job->err.code != ERR_OK) {
        /* known already */
    } else if (job->killed && !(job->write && job->has_result)) {
        (void)err_set(&job->err, ERR_CANCELLED, "%s: the call was cancelled", job->path);
    } else if (!job->has_result) {
        (void)file_error(job->path, ENOMEM, &job->err); /* what kills a copier otherwise */
    } else if (job->result.value == -EAGAIN && strcmp(job->result.stage, "limits") == 0) {
        fail_processes(job);
    } else if (job->result.value == -EINVAL && job->result.aux != 0) {
        (void)file_not_regular(job->path, job->result.aux, &job->err);
    } else if (job->write && job->result.value < 0) {
        (void)file_error(job->path, -job->result.value, &job->err);
    } else if (!job->write) {
        conclude_read(job);
    }
    finish(job);
}

static void on_packet(struct control_call *call, const struct init_packet *packet, int take_fd)
{
    struct file_job *job = CONTAINER_OF(call, struct file_job, call);
    cleanup_fd(&take_fd);
    if (packet->type == INIT_COPIED) {
        job->result = *packet;
        job->has_result = true;
        return;
    }
    control_end(&job->sb->cell->control, call);
    if (packet->type == INIT_EXITED) {
        on_exited(job);
        return;
    }
    if (packet->value == -EAGAIN)
        fail_processes(job);
    else
        (void)file_error(job->path, packet->value < 0 ? -packet->value : EPROTO, &job->err);
    finish(job);
}

static void on_lost_later(struct deferred *d)
{
    finish(CONTAINER_OF(d, struct file_job, failed));
}

static void on_lost(struct control_call *call)
{
    struct file_job *job = CONTAINER_OF(call, struct file_job, call);

    control_end(&job->sb->cell->control, call);
    sandbox_gone_error(job->sb, &job->err);
    job->failed.cb = on_lost_later;
    deferred_post(
        &job->rt->deferred,
        &job->failed); /* the sandbox is in the middle of its end: its state is not final */
}

/* ---- the start of a request ---- */

static int send_request(struct file_job *job, int pipe_fd)
{
    struct control *control = &job->sb->cell->control;
    struct control_request request = {
        .head = {.type = job->write ? INIT_WRITE : INIT_READ,
                 .aux = job->mode_bits,
                 .size_bytes = job->write ? buf_len(&job->content) : job->max_bytes},
        .body = job->path,
        .body_size = strlen(job->path) + 1,
        .fds = &pipe_fd,
        .n_fds = 1,
    };
    int r = control_begin(control, &job->call);
    if (r < 0)
        return r;
    request.head.id = job->call.id;
    r = control_send(control, &request);
    if (r < 0)
        control_end(control, &job->call);
    return r;
}

/* Our end does not block, the copier's does. */
static int open_pipe(struct file_job *job, int *ret_theirs)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    job->watch.fd = fds[job->write];
    *ret_theirs = fds[!job->write];
    return fcntl(job->watch.fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int begin_copy(struct file_job *job)
{
    CLEANUP_FD int theirs = -1;
    int r = job->sb->cell ? open_pipe(job, &theirs) : -EPIPE;
    if (r == 0)
        r = fd_watch_set(&job->rt->poller, &job->watch, job->write ? EPOLLOUT : EPOLLIN);
    if (r == 0)
        r = send_request(job, theirs);
    if (r < 0) {
        fd_watch_close(&job->rt->poller, &job->watch, true);
        return r;
    }
    if (job->write && buf_len(&job->content) > 65536)
        grow_pipe(job);
    if (job->write)
        push(job); /* most fit at once */
    return 0;
}

void file_jobs_run(struct sandbox *sb)
{
    struct list *first;
    while (sb->n_copies < FILE_MAX_COPIES && (first = list_first(&sb->file_jobs))) {
        struct file_job *job = CONTAINER_OF(first, struct file_job, link);
        list_remove(first);
        int r = begin_copy(job);
        if (r == 0) {
            sb->n_copies++;
            continue;
        }
        CLEANUP_FREE char *what = str_dup_printf("copy %s", job->path);
        sandbox_ask_error(sb, r, what ? what : "copy a file", &job->err);
        deferred_post(&job->rt->deferred, &job->failed);
    }
}

void file_job_start(struct file_job *job)
{
    job->watch = (struct fd_watch){.fd = -1, .cb = on_pipe};
    job->call.on_packet = on_packet;
    job->call.on_lost = on_lost;
    job->failed.cb = on_failed;
    list_append(&job->sb->file_jobs, &job->link);
    file_jobs_run(job->sb);
}

void file_job_cancel(struct file_job *job)
{
    if (job->link.next && !list_empty(&job->link)) {
        list_remove(&job->link);
        (void)err_set(&job->err, ERR_CANCELLED, "%s: the call was cancelled", job->path);
        deferred_post(&job->rt->deferred, &job->failed);
    } else if (job->call.id != 0) {
        kill_copy(job);
        if (!job->write)
            drop_read(job);
    }
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
    bool begun;
};

static void answer(struct file_call *call, const struct err *why)
{
    struct buf none = {0};
    if (call->job.charged > 0) /* from now on the taker pays */
        budget_give(call->job.budget, call->job.charged);
    if (call->read_cb)
        call->read_cb(call->user, why ? &none : &call->job.content, why);
    else if (call->write_cb)
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
    call->begun = true;
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
    deferred_post(&call->sb->rt->deferred, &call->refused);
}

static void start(struct file_call *call)
{
    struct file_job *job = &call->job;
    uint64_t max = call->sb->rt->config.file_max_bytes;
    int r = path_check(job->path, "path", &call->err);
    if (r == 0 && job->write && buf_len(&job->content) > max)
        r = file_too_large(job->path, buf_len(&job->content), max, &call->err);
    if (r == 0)
        r = sandbox_wait(call->sb, &call->waiter, &call->err);
    if (r == 1 && !call->sb->cell)
        r = err_set(&call->err, ERR_UNAVAILABLE, "sandbox %s is ending", call->sb->id);
    if (r < 0)
        deferred_post(&call->sb->rt->deferred, &call->refused);
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

void file_call_cancel(struct file_call *call)
{
    call->read_cb = NULL;
    call->write_cb = NULL;
    if (call->begun) {
        file_job_cancel(&call->job);
    } else if (call->waiter.link.next && !list_empty(&call->waiter.link)) {
        sandbox_waiter_cancel(&call->waiter);
        deferred_post(&call->sb->rt->deferred, &call->refused);
    }
}

struct file_call *sandbox_read_file(struct sandbox *sb, const char *path,
                                    void (*cb)(void *user, struct buf *take_content,
                                               const struct err *err),
                                    void *user)
{
    struct file_call *call = file_call_new(sb, path, user);
    if (!call)
        return NULL;
    call->read_cb = cb;
    start(call);
    return call;
}

void file_call_charge(struct file_call *call, struct budget *budget)
{
    call->job.budget = budget;
}

struct file_call *sandbox_write_file(struct sandbox *sb, const char *path,
                                     struct buf *take_content,
                                     void (*cb)(void *user, const struct err *err), void *user)
{
    struct file_call *call = file_call_new(sb, path, user);
    if (!call) {
        buf_done(take_content);
        return NULL;
    }
    call->write_cb = cb;
    call->job.write = true;
    call->job.content = *take_content;
    *take_content = (struct buf){0};
    start(call);
    return call;
}
