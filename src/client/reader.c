#include "client/reader.h"

#include <errno.h>
#include <string.h>

/* ---- chunks ---- */

struct chunk *chunk_new(const void *data, size_t n)
{
    struct chunk *c = malloc(sizeof(*c) + n + 1);
    if (!c)
        return NULL;
    c->refs = 1;
    c->next = NULL;
    c->size = n;
    if (data)
        memcpy(c->data, data, n);
    c->data[n] = '\0';
    return c;
}

struct chunk *chunk_ref(struct chunk *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void chunk_unref(struct chunk *c)
{
    if (c && atomic_fetch_sub(&c->refs, 1) == 1)
        free(c);
}

void chunk_list_free(struct chunk *head)
{
    while (head) {
        struct chunk *next = head->next;
        chunk_unref(head);
        head = next;
    }
}

void cws_chunk_release(cws_chunk *chunk)
{
    chunk_unref(chunk->owner);
    *chunk = (cws_chunk){0};
}

/* ---- the producer's side ---- */

void reader_init(struct cws_reader *r, struct cws_op *owner, const struct reader_events *events,
                 size_t keep_max)
{
    r->owner = owner;
    r->events = events;
    r->keep_max = keep_max;
    r->wanted = keep_max == 0;
    r->tail = &r->head;
    r->cursor = &r->head;
    r->passing_tail = &r->passing;
    list_init(&r->waiters);
}

void reader_done(struct cws_reader *r)
{
    chunk_list_free(r->head);
    chunk_list_free(r->passing);
    error_unref(r->error);
}

static void wake_locked(struct cws_reader *r)
{
    atomic_fetch_add(&r->seq, 1);
    if (r->n_sleepers)
        event_wake(&r->seq);
    waiters_fire_locked(&r->waiters);
}

static void append(struct chunk ***tail, struct chunk *c)
{
    **tail = c;
    *tail = &c->next;
}

/* False: it is to be dropped. */
static bool push_locked(struct cws_reader *r, struct chunk *take)
{
    if (r->ended || r->dropped)
        return false;
    if (r->total_bytes < r->keep_max) {
        append(&r->tail, take);
        r->total_bytes += take->size;
        r->truncated = r->total_bytes > r->keep_max;
        return true;
    }
    r->truncated = r->keep_max > 0;
    r->lost |= !r->wanted;
    if (r->closed || r->lost)
        return false;
    append(&r->passing_tail, take);
    r->n_unread++;
    r->unread_bytes += take->size;
    r->full |= r->n_unread >= READER_MAX_CHUNKS || r->unread_bytes >= READER_MAX_BYTES;
    return true;
}

bool reader_push(struct cws_reader *r, struct chunk *take)
{
    op_lock(r->owner);
    bool taken = push_locked(r, take);
    if (taken && !r->closed)
        wake_locked(r);
    bool full = r->full;
    op_unlock(r->owner);
    if (!taken)
        chunk_unref(take);
    return full;
}

void reader_want(struct cws_reader *r)
{
    op_lock(r->owner);
    r->wanted = true;
    op_unlock(r->owner);
}

static void end_locked(struct cws_reader *r, struct cws_error *take_error)
{
    if (r->ended) {
        error_unref(take_error);
        return;
    }
    r->ended = true;
    r->error = take_error;
    wake_locked(r);
}

void reader_end(struct cws_reader *r, struct cws_error *take_error)
{
    op_lock(r->owner);
    end_locked(r, take_error);
    op_unlock(r->owner);
}

bool reader_has_something_locked(const struct cws_reader *r)
{
    return *r->cursor || r->passing || r->lost || r->ended || r->closed;
}

/* ---- the program's side ---- */

static void on_room_task(struct task *task)
{
    struct cws_reader *r = CONTAINER_OF(task, struct cws_reader, room_task);
    op_lock(r->owner);
    r->room_posted = false;
    bool room = !r->full; /* it may have filled up since: then the next reading posts again */
    op_unlock(r->owner);
    if (room)
        r->events->on_room(r);
    cws_op_unref(r->owner);
}

static void on_close_task(struct task *task)
{
    struct cws_reader *r = CONTAINER_OF(task, struct cws_reader, close_task);
    r->events->on_closed(r);
    cws_op_unref(r->owner);
}

static void post(struct cws_reader *r, struct task *task, void (*run)(struct task *))
{
    task->run = run;
    (void)cws_op_ref(r->owner);
    if (loop_post(&r->owner->client->loop, task) < 0)
        cws_op_unref(r->owner); /* the client is closed: there is no producer left */
}

/* True when the caller is to post room_task. */
static bool take_chunk_locked(struct cws_reader *r, cws_chunk *ret)
{
    struct chunk *c = *r->cursor;
    if (c) {
        r->cursor = &c->next;
        (void)chunk_ref(c);
    } else {
        c = r->passing;
        r->passing = c->next;
        if (!r->passing)
            r->passing_tail = &r->passing;
        r->n_unread--;
        r->unread_bytes -= c->size;
    }
    *ret = (cws_chunk){.data = c->data, .size = c->size, .owner = c};
    if (!r->full || r->n_unread > READER_MAX_CHUNKS / 2 ||
        r->unread_bytes > READER_MAX_BYTES / 2)
        return false;
    r->full = false;
    bool post = !r->room_posted;
    r->room_posted = true;
    return post;
}

/* What there is right now; CWS_READ_TIMEOUT when nothing. */
static cws_read_result poll_locked(struct cws_reader *r, cws_chunk *ret,
                                   const cws_error **ret_error, bool *ret_room)
{
    if (r->closed)
        return CWS_READ_END;
    if (*r->cursor || r->passing) {
        *ret_room = take_chunk_locked(r, ret);
        return CWS_READ_DATA;
    }
    if (r->lost && !r->error_given) {
        error_unref(r->error);
        r->error =
            error_new(CWS_E_STREAM_TRUNCATED,
                      "what came after the first %zu bytes was dropped: nobody had asked "
                      "for the stream yet, and a result keeps no more (max_output_bytes)",
                      r->total_bytes);
        r->ended = true;
    }
    if (!r->ended)
        return CWS_READ_TIMEOUT;
    if (!r->error || r->error_given)
        return CWS_READ_END;
    r->error_given = true;
    if (ret_error)
        *ret_error = r->error;
    return CWS_READ_ERROR;
}

cws_read_result cws_reader_read(cws_reader *r, uint64_t timeout_ns, cws_chunk *ret,
                                const cws_error **ret_error)
{
    *ret = (cws_chunk){0};
    if (op_forked(r->owner)) {
        if (ret_error)
            *ret_error = &error_forked;
        return CWS_READ_ERROR;
    }
    uint64_t deadline_ns = timeout_ns ? event_deadline(timeout_ns) : 0;
    bool room = false;
    op_lock(r->owner);
    cws_read_result result;
    while ((result = poll_locked(r, ret, ret_error, &room)) == CWS_READ_TIMEOUT && timeout_ns) {
        uint32_t seq = atomic_load(&r->seq);
        r->n_sleepers++;
        op_unlock(r->owner);
        int slept = event_wait(&r->seq, seq, deadline_ns);
        op_lock(r->owner);
        r->n_sleepers--;
        if (slept < 0) {
            result = poll_locked(r, ret, ret_error, &room);
            if (result == CWS_READ_TIMEOUT && slept == -EINTR)
                result = CWS_READ_INTERRUPTED;
            break;
        }
    }
    op_unlock(r->owner);
    if (room)
        post(r, &r->room_task, on_room_task);
    return result;
}

/* True: close_task is to be posted. */
static bool close_locked(struct cws_reader *r, struct chunk **ret_passing)
{
    bool first = !r->closed;
    r->closed = true;
    *ret_passing = r->passing;
    r->passing = NULL;
    r->passing_tail = &r->passing;
    r->n_unread = 0;
    r->unread_bytes = 0;
    r->full = false;
    if (first)
        wake_locked(r);
    return first && r->events;
}

void cws_reader_close(cws_reader *r)
{
    if (op_forked(r->owner))
        return;
    struct chunk *passing;
    op_lock(r->owner);
    bool tell = close_locked(r, &passing);
    op_unlock(r->owner);
    chunk_list_free(passing);
    if (tell)
        post(r, &r->close_task, on_close_task);
}

void reader_drop(struct cws_reader *r)
{
    struct chunk *passing;
    op_lock(r->owner);
    bool tell = close_locked(r, &passing);
    struct chunk *kept = r->head;
    r->head = NULL;
    r->tail = r->cursor = &r->head;
    r->total_bytes = 0;
    r->dropped = true;
    op_unlock(r->owner);
    chunk_list_free(kept);
    chunk_list_free(passing);
    if (tell)
        post(r, &r->close_task, on_close_task);
}

cws_reader *cws_reader_ref(cws_reader *r)
{
    if (r->counted)
        atomic_fetch_add(&r->users, 1);
    else
        (void)cws_op_ref(r->owner);
    if (r->holders)
        atomic_fetch_add(r->holders, 1);
    return r;
}

/* A file or log stream that nobody can read any more would wait for room for ever: its last
 * user closes it. */
void cws_reader_unref(cws_reader *r)
{
    if (!r)
        return;
    if (r->counted) {
        if (atomic_fetch_sub(&r->users, 1) != 1)
            return;
        cws_reader_close(r);
    }
    if (r->holders && atomic_fetch_sub(r->holders, 1) == 1)
        r->on_unheld(r->owner);
    cws_op_unref(r->owner);
}
