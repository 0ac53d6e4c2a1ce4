/* See outlet.h. */
#include "cli/outlet.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a pipe, socket or terminal that polls writable takes without blocking. Source: pipe(7)
 * PIPE_BUF. The descriptors are shared with the shell that started us, so O_NONBLOCK, a flag of
 * the file and not of ours, is out of the question. */
#define PIECE_SIZE PIPE_BUF
/* Chosen: bytes written before signals and the other stream get their turn. */
#define TURN_SIZE ((size_t)1 << 20)
#define INPUT_SIZE 65536 /* chosen: the frame size of the wire's stdin */

void outlet_init(struct outlet *o, cws_queue *queue, cws_reader *reader, int fd)
{
    struct stat st;
    *o = (struct outlet){.queue = queue, .reader = reader, .fd = fd};
    o->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!reader)
        o->state = OUTLET_ENDED;
}

void outlet_init_bytes(struct outlet *o, const void *data, size_t size, int fd)
{
    outlet_init(o, NULL, NULL, fd);
    o->chunk = (cws_chunk){.data = data, .size = size};
    if (size > 0)
        o->state = OUTLET_WRITING;
}

/* The chunk is written or given up. */
static void drop_chunk(struct outlet *o)
{
    if (o->reader)
        cws_chunk_release(&o->chunk);
    o->chunk = (cws_chunk){0};
}

void outlet_on_tag(struct outlet *o)
{
    o->armed = false;
}

/* Asks the reader for a chunk; arms the queue when there is none. */
static void outlet_read(struct outlet *o)
{
    if (o->armed)
        return;
    switch (cws_reader_read(o->reader, 0, &o->chunk, &o->error)) {
    case CWS_READ_DATA:
        o->written = 0;
        o->state = OUTLET_WRITING;
        break;
    case CWS_READ_END:
        o->state = OUTLET_ENDED;
        break;
    case CWS_READ_ERROR:
        o->state = OUTLET_FAILED;
        break;
    case CWS_READ_TIMEOUT:
    case CWS_READ_INTERRUPTED:
        if (cws_queue_add_reader(o->queue, o->reader, o, NULL) == 0) {
            o->armed = true;
        } else {
            o->error_number = ENOMEM;
            o->state = OUTLET_FAILED;
        }
        break;
    }
}

static bool is_writable(const struct outlet *o)
{
    struct pollfd pfd = {.fd = o->fd, .events = POLLOUT};
    return o->is_file || poll(&pfd, 1, 0) > 0;
}

/* Writes one piece. False: the descriptor takes nothing now, or the outlet is over. */
static bool outlet_write(struct outlet *o, size_t *ret_moved)
{
    if (!is_writable(o))
        return false;
    size_t left = o->chunk.size - o->written;
    ssize_t n = write(o->fd, o->chunk.data + o->written,
                      o->is_file || left < PIECE_SIZE ? left : PIECE_SIZE);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (n < 0 && errno == EPIPE) {
        o->state = OUTLET_BROKEN;
        return false;
    }
    if (n < 0) {
        o->error_number = errno;
        o->state = OUTLET_FAILED;
        return false;
    }
    o->written += (size_t)n;
    *ret_moved += (size_t)n;
    if (o->written == o->chunk.size) {
        drop_chunk(o);
        o->state = o->reader ? OUTLET_READING : OUTLET_ENDED;
    }
    return true;
}

bool outlet_turn(struct outlet *o)
{
    size_t moved = 0;
    while (!outlet_over(o) && moved < TURN_SIZE) {
        if (o->state == OUTLET_READING) {
            outlet_read(o);
            if (o->state == OUTLET_READING)
                return false;
        }
        if (o->state == OUTLET_WRITING && !outlet_write(o, &moved))
            return false;
    }
    return !outlet_over(o);
}

short outlet_events(const struct outlet *o)
{
    return o->state == OUTLET_WRITING ? POLLOUT : 0;
}

void outlet_on_poll(struct outlet *o, short revents)
{
    /* A pipe or socket reports an error as soon as its last reader is gone, before we have
     * anything to write. */
    if ((revents & POLLERR) && !outlet_over(o))
        o->state = OUTLET_BROKEN;
}

void outlet_done(struct outlet *o)
{
    drop_chunk(o);
}

void inlet_init(struct inlet *in, cws_queue *queue, cws_writer *writer, int fd)
{
    *in = (struct inlet){.queue = queue, .writer = writer, .fd = fd, .over = !writer};
}

bool inlet_wants(const struct inlet *in)
{
    return !in->over && !in->pending;
}

/* Takes the handle of a write or close; a refusal means that the process reads no more, which
 * is no error of ours. */
static void inlet_wait_for(struct inlet *in, cws_op *take_op)
{
    if (!take_op || cws_queue_add(in->queue, take_op, in, NULL) < 0) {
        cws_op_unref(take_op);
        in->over = true;
        return;
    }
    in->pending = take_op;
}

void inlet_turn(struct inlet *in)
{
    char data[INPUT_SIZE]; /* fixed: read(2) is told its size */
    ssize_t n = read(in->fd, data, sizeof(data));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        in->n_bytes += (size_t)n;
        inlet_wait_for(in, cws_writer_write(in->writer, data, (size_t)n, NULL));
        return;
    }
    in->over = true;
    in->error_number = n < 0 ? errno : 0;
    inlet_wait_for(in, cws_writer_close(in->writer, NULL));
}

void inlet_on_tag(struct inlet *in)
{
    if (in->pending && cws_op_error(in->pending))
        in->over = true;
    cws_op_unref(in->pending);
    in->pending = NULL;
}

void inlet_done(struct inlet *in)
{
    cws_op_unref(in->pending);
    in->pending = NULL;
}
