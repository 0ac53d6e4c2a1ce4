/* The pipes or the terminal of a process. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "base/util.h"
#include "runtime/process.h"

#define TTY_EOF '\004' /* the default VEOF */

static void on_readable(struct fd_watch *w, uint32_t events);
static void on_writable(struct fd_watch *w, uint32_t events);

/* The end of an event handler; @p may be gone after it. */
static void process_leave(struct process *p)
{
    p->n_busy--;
    process_reap(p);
}

static struct poller *poller_of(struct process *p)
{
    return &p->sb->rt->poller;
}

/* Our end of a pipe is ours alone; the master of a terminal was opened by init, who may still
 * have it. */
static void close_watch(struct process *p, struct fd_watch *w)
{
    fd_watch_close(poller_of(p), w, !p->tty);
}

void process_io_init(struct process *p)
{
    for (int i = 0; i < 2; i++) {
        p->out[i].p = p;
        p->out[i].stream = i == 0 ? OUTPUT_STDOUT : OUTPUT_STDERR;
        p->out[i].watch = (struct fd_watch){.fd = -1, .cb = on_readable};
    }
    p->in.watch = (struct fd_watch){.fd = -1, .cb = on_writable};
}

void process_io_close(struct process *p)
{
    for (int i = 0; i < 2; i++)
        close_watch(p, &p->out[i].watch);
    close_watch(p, &p->in.watch);
    cleanup_fd(&p->stdout_fd);
    buf_done(&p->in.queue);
}

/* ---- opening ---- */

/*
 * A pipe with our end non-blocking and the process's end blocking, as every program expects:
 * the two ends are two file descriptions, so the flag is not shared. Mode 0666 lets the process
 * open /dev/stdout and /dev/stderr by name: the inode belongs to our user, who is nobody
 * inside; only those who hold the pipe can reach it.
 */
static int make_pipe(int our_end, int *ret_ours, int *ret_theirs)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    (void)fchmod(fds[0], 0666);                     /* both: cannot fail for our own pipe; */
    (void)fcntl(fds[our_end], F_SETFL, O_NONBLOCK); /* F_SETFL leaves the access mode alone */
    *ret_ours = fds[our_end];
    *ret_theirs = fds[!our_end];
    return 0;
}

void child_stdio_done(struct child_stdio *stdio)
{
    for (int i = 0; i < 3; i++)
        cleanup_fd(&stdio->fds[i]);
}

int process_io_open(struct process *p, struct child_stdio *ret)
{
    int r = 0;
    if (p->want_stdin)
        r = make_pipe(1, &p->in.watch.fd, &ret->fds[0]);
    ret->fds[1] = TAKE_FD(p->stdout_fd);
    for (int i = 0; r == 0 && i < 2; i++)
        if (ret->fds[i + 1] < 0)
            r = make_pipe(0, &p->out[i].watch.fd, &ret->fds[i + 1]);
    return r;
}

int process_io_set_tty(struct process *p, int take_fd)
{
    CLEANUP_FD int fd = take_fd;
    struct stat st;
    /* From init, so not trusted: the loop is going to read it. Device 5:2 is every devpts
     * instance's ptmx. */
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
        return -EPROTO;
    int r = fd_set_nonblock(fd, true);
    if (r < 0)
        return r;
    p->in.watch.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* an epoll set takes a number once */
    if (p->in.watch.fd < 0)
        return -errno;
    p->out[0].watch.fd = TAKE_FD(fd);
    return 0;
}

/* ---- output ---- */

void process_emit(struct process *p, enum output_stream stream, struct buf *data)
{
    if (!p->user_gone && p->events.on_output)
        p->events.on_output(p->user, p, stream, data);
    buf_done(data);
}

static void output_eof(struct process_output *out)
{
    close_watch(out->p, &out->watch);
}

/* A terminal hands out 4 KiB at most, however much was written: put together what is there. */
static void read_more_of_tty(struct process_output *out, struct buf *scratch)
{
    while (buf_len(scratch) < PROCESS_READ_SIZE) {
        ssize_t n =
            read(out->watch.fd, buf_tail(scratch), PROCESS_READ_SIZE - buf_len(scratch));
        if (n <= 0)
            return; /* the next read sees it again */
        buf_commit(scratch, (size_t)n);
    }
}

/* One read, one on_output. Returns the count, 0 at the end of the stream, -EAGAIN, -ENOMEM. */
static ssize_t read_once(struct process_output *out)
{
    struct process *p = out->p;
    struct buf *scratch = &p->sb->rt->scratch;
    size_t size = out->big ? PROCESS_BIG_READ : PROCESS_READ_SIZE;

    buf_clear(scratch);
    if (buf_reserve(scratch, size) < 0)
        return -ENOMEM; /* the data waits in the pipe; level-triggered events bring us back */
    ssize_t n = read(out->watch.fd, buf_tail(scratch), size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (n <= 0) { /* EIO: every slave of the terminal is closed */
        output_eof(out);
        return 0;
    }
    buf_commit(scratch, (size_t)n);
    if (p->tty)
        read_more_of_tty(out, scratch);
    if (n == PROCESS_READ_SIZE && !out->big && !p->tty) {
        out->big = true;
        (void)fcntl(out->watch.fd, F_SETPIPE_SZ,
                    PROCESS_BIG_PIPE); /* refused above the user's quota: fine */
    }
    n = (ssize_t)buf_len(scratch);
    struct buf data = {0};
    /* Little is copied, so that the scratch stays; out of memory it goes along instead: output is never lost. */
    if (n > PROCESS_COPY_MAX || buf_put(&data, buf_head(scratch), (size_t)n) < 0) {
        data = *scratch;
        *scratch = (struct buf){0};
    }
    process_emit(p, out->stream, &data);
    return n;
}

static void on_readable(struct fd_watch *w, uint32_t events)
{
    struct process_output *out = CONTAINER_OF(w, struct process_output, watch);
    struct process *p = out->p;
    (void)events;
    p->n_busy++;
    (void)read_once(out);
    process_leave(p);
}

int process_io_drain(struct process *p)
{
    for (int i = 0; i < 2; i++) {
        struct process_output *out = &p->out[i];
        while (out->watch.fd >= 0 && !p->paused && !p->user_gone &&
               out->drained < PROCESS_DRAIN_MAX) {
            ssize_t n = read_once(out);
            if (n == -ENOMEM)
                return -ENOMEM;
            if (n <= 0)
                break;
            out->drained += (size_t)n;
        }
    }
    return p->paused ? 0 : 1;
}

void process_io_update(struct process *p)
{
    bool want = p->started && !p->paused && p->verdict == VERDICT_NONE;
    /* A paused pipe is taken out altogether: an epoll set reports a hang-up whether it was
     * asked for or not. */
    for (int i = 0; i < 2; i++)
        if (p->out[i].watch.fd >= 0)
            (void)fd_watch_set(poller_of(p), &p->out[i].watch, want ? EPOLLIN : 0);
}

/* ---- input ---- */

/*
 * End of input on a terminal: VEOF is an end of file only at the start of a line, in the middle
 * of one it hands over the line so far. The terminal itself is not hung up: what was typed
 * before is still to be read.
 */
static void queue_tty_eof(struct process *p)
{
    struct termios mode;
    char eof[2] = {TTY_EOF, TTY_EOF};
    if (tcgetattr(p->in.watch.fd, &mode) == 0 && mode.c_cc[VEOF] != 0)
        eof[0] = eof[1] = (char)mode.c_cc[VEOF];
    int r = buf_put(&p->in.queue, eof, p->in.mid_line ? 2 : 1);
    (void)r; /* out of memory: then there is no end, as with a human who is gone */
}

static void input_drop(struct process *p)
{
    close_watch(p, &p->in.watch);
    buf_done(&p->in.queue);
}

/* Writes what the pipe takes. 0, or -EAGAIN. */
static int input_write(struct process *p)
{
    struct process_input *in = &p->in;
    while (buf_len(&in->queue) > 0) {
        ssize_t n = write(in->watch.fd, buf_head(&in->queue), buf_len(&in->queue));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return -EAGAIN;
        if (n < 0) {
            input_drop(p); /* EPIPE: the process closed its end */
            return 0;
        }
        in->mid_line = buf_head(&in->queue)[n - 1] != '\n';
        buf_consume(&in->queue, (size_t)n);
    }
    return 0;
}

static void input_flush(struct process *p)
{
    struct process_input *in = &p->in;
    int r = input_write(p);
    if (r == 0 && in->close && in->watch.fd >= 0) {
        if (p->tty) {
            in->close = false;
            queue_tty_eof(p);
            r = input_write(p);
        } else {
            input_drop(p);
        }
    }
    if (in->watch.fd >= 0)
        (void)fd_watch_set(poller_of(p), &in->watch, r < 0 ? EPOLLOUT : 0);
}

static void on_writable(struct fd_watch *w, uint32_t events)
{
    struct process *p = CONTAINER_OF(w, struct process, in.watch);
    (void)events;
    p->n_busy++;
    input_flush(p);
    if (p->in.high && buf_len(&p->in.queue) < STDIN_LOW) {
        p->in.high = false;
        if (!p->user_gone && p->events.on_stdin_drain)
            p->events.on_stdin_drain(p->user, p);
    }
    process_leave(p);
}

void process_io_begin(struct process *p)
{
    process_io_update(p);
    if (p->in.watch.fd >= 0 && (buf_len(&p->in.queue) > 0 || p->in.close))
        on_writable(&p->in.watch, EPOLLOUT);
}

int process_write(struct process *p, const uint8_t *data, size_t n)
{
    struct process_input *in = &p->in;
    bool gone = p->ended || (!p->want_stdin && !p->tty) || in->close ||
                (p->started && in->watch.fd < 0);
    if (gone || n == 0)
        return 0;
    bool was_empty = buf_len(&in->queue) == 0;
    int r = buf_put(&in->queue, data, n);
    if (r < 0)
        return r;
    if (p->started && was_empty)
        input_flush(p);
    if (buf_len(&in->queue) > STDIN_HIGH)
        in->high = true;
    return 0;
}

size_t process_stdin_queued(const struct process *p)
{
    return buf_len(&p->in.queue);
}

void process_close_stdin(struct process *p)
{
    if (p->ended || p->in.close)
        return;
    p->in.close = true;
    if (p->started && p->in.watch.fd >= 0 && buf_len(&p->in.queue) == 0)
        input_flush(p);
}
