/*
 * Reading and writing of one transport.
 *
 * Reading: libuv fills one buffer, which is consumed before the callback returns. It starts
 * small and becomes large when a read fills it, so an idle connection is cheap and a bulk one
 * does few calls.
 *
 * A turn of one connection is one large read, or less where its bytes make much work (the session's recv): then reading stops
 * until the end of the pass.
 *
 * Writing: everything that waits is gathered into one writev. What the socket does not take is
 * handed to uv_write and nothing more is pulled until that is done: the queue then grows in the
 * connection, where callers can see it.
 *
 * Leaving in the same pass: input is answered right after the session took it. Bytes produced
 * anywhere else arm an idle and a check handle. The check handle runs right after polling,
 * which covers every callback of the poll phase; the idle handle covers the rest (timers, close
 * callbacks, code outside uv_run) because it runs before polling and keeps that from blocking
 * while armed. A prepare handle alone would lose a flush that another prepare callback asked
 * for.
 */
#include <errno.h>
#include <string.h>

#include "transport/transport-internal.h"

/* Chosen: about 16 MiB, then the loop's other connections get their turn. */
#define FLUSH_MAX_ROUNDS 16
/* Chosen: ciphertext made ahead of the socket. */
#define CIPHER_MAX_BYTES 262144u
/* Chosen: about as much, when the pieces are DATA frames of 16 KiB. */
#define CIPHER_MAX_IOVECS 32
/* Chosen: a megabyte in few calls; the kernel cuts it to net.core.wmem_max. */
#define UNIX_SEND_BUFFER_BYTES 1048576

_Static_assert(sizeof(uv_buf_t) == sizeof(struct iovec) &&
                   offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base) &&
                   offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len),
               "uv_buf_t is an iovec (libuv: uv/unix.h says so)");

/* ---- the end of a conversation ---- */

static void on_timer(uv_timer_t *timer)
{
    struct transport *t = timer->data;
    struct err why = {0};
    err_move(&why, &t->write_error); /* empty = orderly, when lingering */
    transport_fail(t, &why);
}

/* libuv 1.44 calls it unchecked when the stream is closed first. */
static void on_shutdown(uv_shutdown_t *req, int status)
{
}

static void describe_broken(const struct transport *t, struct err *err)
{
    (void)err_set(err, ERR_UNAVAILABLE, "read from `%s`: not valid %s", t->label,
                  t->session->ops->protocol);
}

/* All bytes of ours are gone: send the end of our stream, then wait for the peer's. Closing at
 * once would be wrong: with unread input the kernel answers with a reset, which may destroy
 * what the peer has not received yet. */
static void linger(struct transport *t)
{
    transport_hold(t, false); /* what is unread at the close would make it a reset */
    t->state = TRANSPORT_LINGER;
    if (t->session->ops->is_broken(t->session)) /* some protocol errors show only now */
        describe_broken(t, &t->write_error);
    if (t->tls) {
        tls_close_notify(t->tls);
        io_flush(t);
        if (t->state != TRANSPORT_LINGER)
            return;
    }
    /* ENOTCONN: the peer is gone already; the read callback will say so, or else the timer ends
     * it */
    (void)uv_shutdown(&t->shutdown_req, &t->stream.base, on_shutdown);
    (void)uv_timer_start(&t->timer, on_timer, TRANSPORT_LINGER_MS, 0);
}

/* A peer that does not answer the announcement of our end, though no call is open. */
static void on_shutdown_timer(uv_timer_t *timer)
{
    struct transport *t = timer->data;
    struct err none = {0};
    if (t->session->ops->n_calls(t->session) == 0)
        transport_fail(t, &none);
}

static void linger_if_done(struct transport *t)
{
    if (t->state != TRANSPORT_OPEN || t->write_error.code)
        return;
    if (t->in_flight == 0 && t->session->ops->is_done(t->session))
        linger(t);
    else if (t->shutting_down && t->session->ops->n_calls(t->session) == 0 &&
             !uv_is_active((uv_handle_t *)&t->timer))
        (void)uv_timer_start(&t->timer, on_shutdown_timer, TRANSPORT_LINGER_MS, 0);
}

/* ---- writing ---- */

/* The peer does not take our bytes any more, but what it sent before that may be an answer:
 * read on until the end of its stream (which follows at once from a peer that closed), but not
 * for long. */
static void write_failed(struct transport *t, int status)
{
    if (t->session->ops->is_broken(t->session))
        describe_broken(t, &t->write_error); /* that came first */
    else
        transport_describe(t, &t->write_error, status, "write to", NULL);
    (void)uv_timer_start(&t->timer, on_timer, TRANSPORT_LINGER_MS, 0);
}

static size_t iov_bytes(const struct iovec *iov, int n_iov)
{
    size_t total = 0;
    for (int i = 0; i < n_iov; i++)
        total += iov[i].iov_len;
    return total;
}

/* Fill t->cipher from the connection and from OpenSSL's own messages. Returns 0, or < 0 after
 * transport_fail(). */
static int fill_cipher(struct transport *t)
{
    struct err err = {0};
    int r = tls_pull(t->tls, &t->cipher);
    while (r == 0 && t->state == TRANSPORT_OPEN && buf_len(&t->cipher) < CIPHER_MAX_BYTES) {
        struct iovec iov[CIPHER_MAX_IOVECS];
        int n = t->session->ops->pull(t->session, iov, CIPHER_MAX_IOVECS);
        if (n <= 0 || t->state != TRANSPORT_OPEN) {
            r = n < 0 ? n : 0;
            break;
        }
        r = tls_write(t->tls, iov, n, &err);
        if (r == 0)
            r = tls_pull(t->tls, &t->cipher);
        t->session->ops->pulled(t->session, iov_bytes(iov, n));
    }
    if (r < 0) {
        if (!err.code)
            transport_describe(t, &err, r, "write to", NULL);
        transport_fail(t, &err);
    }
    return r;
}

/* What to write next: at most TRANSPORT_MAX_IOVECS pieces, 0 = nothing, < 0 = failed (and
 * CLOSING). */
static int output_peek(struct transport *t, struct iovec *iov)
{
    if (t->tls) {
        if (fill_cipher(t) < 0)
            return -EPIPE;
        iov[0].iov_base = t->cipher.data + t->cipher.start;
        iov[0].iov_len = buf_len(&t->cipher);
        return iov[0].iov_len > 0 ? 1 : 0;
    }
    if (t->state != TRANSPORT_OPEN)
        return 0;
    int n = t->session->ops->pull(t->session, iov, TRANSPORT_MAX_IOVECS);
    if (n < 0) {
        struct err err = {0};
        transport_describe(t, &err, n, "write to", NULL);
        transport_fail(t, &err);
    }
    return n;
}

static void output_consume(struct transport *t, size_t n)
{
    if (t->tls)
        buf_consume(&t->cipher, n);
    else
        t->session->ops->pulled(t->session, n);
}

static void on_written(uv_write_t *req, int status)
{
    struct transport *t = CONTAINER_OF(req, struct transport, write_req);
    if (t->state == TRANSPORT_CLOSING) /* cancelled */
        return;
    size_t n = t->in_flight;
    t->in_flight = 0;
    if (status < 0) {
        write_failed(t, status);
        return;
    }
    output_consume(t, n);
    io_flush(t);
}

/* The socket is full after @done bytes: the rest of @iov waits in libuv. Nothing is consumed
 * before all of it is written, because consuming ends the life of the pieces
 * (the session's pulled). */
static void write_rest(struct transport *t, struct iovec *iov, int n_iov, size_t done)
{
    size_t total = iov_bytes(iov, n_iov);
    while (done >= iov->iov_len) {
        done -= iov->iov_len;
        iov++;
        n_iov--;
    }
    iov->iov_base = (uint8_t *)iov->iov_base + done;
    iov->iov_len -= done;
    int r =
        uv_write(&t->write_req, &t->stream.base, (uv_buf_t *)iov, (unsigned)n_iov, on_written);
    if (r < 0)
        write_failed(t, r);
    else
        t->in_flight = total;
}

/* One writev. True = go on, more may wait. */
static bool write_once(struct transport *t)
{
    struct iovec iov[TRANSPORT_MAX_IOVECS];
    int n_iov = output_peek(t, iov);
    if (n_iov <= 0 || t->state == TRANSPORT_CLOSING)
        return false;
    size_t total = iov_bytes(iov, n_iov);
    int r = uv_try_write(&t->stream.base, (const uv_buf_t *)iov, (unsigned)n_iov);
    if (r < 0 && r != UV_EAGAIN) {
        write_failed(t, r);
        return false;
    }
    size_t done = r < 0 ? 0 : (size_t)r;
    if (done < total) {
        write_rest(t, iov, n_iov, done);
        return false;
    }
    output_consume(t, total);
    return true;
}

static bool can_write(const struct transport *t)
{
    return t->state != TRANSPORT_CONNECTING && t->state != TRANSPORT_CLOSING &&
           t->in_flight == 0 && !t->write_error.code;
}

static void continue_reading(struct transport *t);

static void disarm(struct transport *t)
{
    if (!t->armed)
        return;
    t->armed = false;
    (void)uv_idle_stop(&t->idle);
    (void)uv_check_stop(&t->check);
}

void io_flush(struct transport *t)
{
    if (t->flushing) /* from a callback of the session's pull: the loop below goes on */
        return;
    disarm(t);
    t->flushing = true;
    int rounds = 0;
    bool more = true;
    while (more && can_write(t)) {
        if (++rounds > FLUSH_MAX_ROUNDS) {
            io_arm(t);
            break;
        }
        t->want_write = false;
        more = write_once(t) || t->want_write;
    }
    t->flushing = false;
    linger_if_done(t);
    if (t->read_paused && !t->held)
        io_arm(t); /* disarmed above */
}

static void on_idle(uv_idle_t *idle);
static void on_check(uv_check_t *check);

void io_arm(struct transport *t)
{
    if (t->armed || t->state == TRANSPORT_CLOSING)
        return;
    t->armed = true;
    (void)uv_idle_start(&t->idle, on_idle);
    (void)uv_check_start(&t->check, on_check);
}

/* The end of the pass: an accepted transport opens now, an open one sends what it has. */
static void end_of_pass(struct transport *t)
{
    disarm(t);
    if (t->state == TRANSPORT_CONNECTING) {
        transport_connected(t);
        return;
    }
    if (t->read_paused && !t->held)
        continue_reading(t);
    io_flush(t);
}

static void on_idle(uv_idle_t *idle)
{
    end_of_pass(idle->data);
}

static void on_check(uv_check_t *check)
{
    end_of_pass(check->data);
}

void session_want_write(struct session *s)
{
    struct transport *t = s->transport;
    if (!t)
        return; /* the preface: it is pulled when the stream is open */
    t->want_write = true;
    if (t->state == TRANSPORT_OPEN && !t->receiving && !t->flushing && t->in_flight == 0)
        io_arm(t);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct transport *t = handle->data;
    if (!t->read_buf)
        t->read_buf = malloc(t->read_size);
    *ret_buf = uv_buf_init((char *)t->read_buf, t->read_buf ? (unsigned)t->read_size : 0);
}

/* A full buffer means that more waits: use the large one from now on. */
static void grow_read_buf(struct transport *t, size_t n_read)
{
    if (n_read < t->read_size || t->read_size == TRANSPORT_READ_LARGE_BYTES)
        return;
    free(t->read_buf);
    t->read_buf = NULL; /* on_alloc makes the new one */
    t->read_size = TRANSPORT_READ_LARGE_BYTES;
}

/* The peer broke the protocol or memory ran out. GOAWAY with the reason waits in the
 * connection: one try to send it. */
static void protocol_failed(struct transport *t, int status)
{
    struct err err = {0};
    if (status == -EPROTO)
        describe_broken(t, &err);
    else
        transport_describe(t, &err, status, "read from", NULL);
    if (can_write(t))
        (void)write_once(t);
    transport_fail(t, &err);
}

static void pause_reading(struct transport *t)
{
    if (!t->read_paused)
        (void)uv_read_stop(&t->stream.base); /* cannot fail */
    t->read_paused = true;
    if (!t->held)
        io_arm(t);
}

void transport_hold(struct transport *t, bool on)
{
    if (t->held == on)
        return;
    t->held = on;
    if (t->state != TRANSPORT_OPEN)
        return;
    if (on)
        pause_reading(t);
    else if (t->read_paused)
        io_arm(t);
}

/* One turn's part of @n plain bytes: how many were taken, or -1: the transport is not open any more. */
static ssize_t receive_some(struct transport *t, const uint8_t *data, size_t n)
{
    t->receiving = true;
    ssize_t r = t->session->ops->recv(t->session, data, n);
    t->receiving = false;
    if (t->state != TRANSPORT_OPEN)
        return -1;
    if (r < 0)
        protocol_failed(t, (int)r);
    return r;
}

/* Plain bytes from the peer. False: reading is over, at least for this turn. */
static bool receive(struct transport *t, const uint8_t *data, size_t n)
{
    ssize_t r = receive_some(t, data, n);
    if (r < 0 || (size_t)r == n)
        return r >= 0 && !t->held;
    if (buf_put(&t->rest, data + r, n - (size_t)r) < 0)
        protocol_failed(t, -ENOMEM);
    else
        pause_reading(t);
    return false;
}

/* The peer will send nothing more. Orderly when nobody waits for it. */
static void end_of_input(struct transport *t)
{
    struct err err = {0};
    bool opened = t->state == TRANSPORT_OPEN || t->state == TRANSPORT_LINGER;
    if (!opened || t->session->ops->n_calls(t->session) > 0) {
        if (t->write_error.code)
            err_move(&err, &t->write_error);
        else
            err_set(&err, ERR_UNAVAILABLE, "connection to `%s` closed by peer", t->label);
    }
    transport_fail(t, &err);
}

/* One attempt to get plaintext out of what was fed. False: nothing more for now. */
static bool receive_record(struct transport *t)
{
    uint8_t plain[TLS_RECORD_BYTES];
    struct err err = {0};
    ssize_t n = tls_read(t->tls, plain, sizeof(plain), &err);
    if (n > 0)
        return receive(t, plain, (size_t)n);
    if (n == 0)
        end_of_input(t);
    else if (n != -EAGAIN) {
        err_wrap(&err, "read from `%s`", t->label);
        transport_fail(t, &err);
    }
    return false;
}

static void receive_cipher(struct transport *t, const uint8_t *data, size_t n)
{
    while (n > 0 && t->state != TRANSPORT_CLOSING && t->state != TRANSPORT_LINGER) {
        /* In steps, so that OpenSSL's copy stays in the cache */
        size_t step = MIN(n, (size_t)2 * TLS_RECORD_BYTES);
        if (tls_feed(t->tls, data, step) < 0) {
            protocol_failed(t, -ENOMEM);
            return;
        }
        data += step;
        n -= step;
        if (t->state == TRANSPORT_HANDSHAKE)
            io_step_handshake(t);
        while (t->state == TRANSPORT_OPEN && !t->held && buf_len(&t->rest) == 0 &&
               receive_record(t))
            continue;
    }
}

/* The next turn. */
static void continue_reading(struct transport *t)
{
    t->read_paused = false;
    if (t->state == TRANSPORT_OPEN && buf_len(&t->rest) > 0) {
        ssize_t r = receive_some(t, buf_head(&t->rest), buf_len(&t->rest));
        if (r >= 0)
            buf_consume(&t->rest, (size_t)r);
    }
    if (buf_len(&t->rest) == 0)
        buf_done(&t->rest);
    while (t->tls && t->state == TRANSPORT_OPEN && !t->held && buf_len(&t->rest) == 0 &&
           receive_record(t))
        continue;
    if (t->state == TRANSPORT_CLOSING || t->read_paused)
        return;
    if (t->state == TRANSPORT_OPEN && buf_len(&t->rest) > 0)
        t->read_paused = true; /* reading is stopped already */
    else if (io_start_reading(t) < 0)
        protocol_failed(t, -EIO);
}

static void on_read(uv_stream_t *stream, ssize_t n_read, const uv_buf_t *buf)
{
    struct transport *t = stream->data;
    if (n_read == 0) /* EAGAIN */
        return;
    if (n_read == UV_EOF) {
        end_of_input(t);
        return;
    }
    t->heard = true;
    if (n_read < 0) {
        struct err err = {0};
        if (t->state == TRANSPORT_LINGER)
            err_move(&err,
                     &t->write_error); /* all was said; how the peer hangs up does not matter */
        else
            transport_describe(t, &err, (int)n_read, "read from", NULL);
        transport_fail(t, &err);
        return;
    }
    if (t->state == TRANSPORT_LINGER)
        return;
    if (t->tls)
        receive_cipher(t, (const uint8_t *)buf->base, (size_t)n_read);
    else
        (void)receive(t, (const uint8_t *)buf->base, (size_t)n_read);
    if (t->state == TRANSPORT_CLOSING)
        return;
    if ((size_t)n_read == TRANSPORT_READ_LARGE_BYTES)
        pause_reading(t); /* more waits, and would be read in this turn */
    grow_read_buf(t, (size_t)n_read);
    io_flush(t);
}

void io_step_handshake(struct transport *t)
{
    struct err err = {0};
    int r = tls_handshake(t->tls, &err);
    if (r > 0) {
        transport_opened(t);
        return;
    }
    if (can_write(t))
        (void)write_once(
            t); /* our part of the handshake, or the alert that says why it failed */
    if (r < 0) {
        err_wrap(&err, "open connection with `%s`", t->label);
        transport_fail(t, &err);
    }
}

/* ---- set up and tear down ---- */

void io_init(struct transport *t)
{
    t->read_size = TRANSPORT_READ_SMALL_BYTES;
    (void)uv_idle_init(t->loop,
                       &t->idle); /* these three cannot fail: they only fill the struct */
    (void)uv_check_init(t->loop, &t->check);
    (void)uv_timer_init(t->loop, &t->timer);
    t->idle.data = t->check.data = t->timer.data = t;
    t->n_handles += 3;
    keepalive_init(t);
}

void io_tune(struct transport *t)
{
    if (t->stream.handle.type == UV_TCP) {
        (void)uv_tcp_nodelay(&t->stream.tcp, 1);
        keepalive_tune(t);
    } else {
        int size = UNIX_SEND_BUFFER_BYTES;
        (void)uv_send_buffer_size(&t->stream.handle, &size);
    }
}

int io_start_reading(struct transport *t)
{
    return uv_read_start(&t->stream.base, on_alloc, on_read);
}

void io_done(struct transport *t)
{
    free(t->read_buf);
    buf_done(&t->cipher);
    buf_done(&t->rest);
    err_done(&t->write_error);
}
