/*
 * cws_op: one operation in the background, and the one refcounted object behind it. A process,
 * a file or log stream, a pending write embed a cws_op and share its count and its lock.
 *
 * States: pending -> done, once, by whoever is first: the loop (result or error),
 * cws_op_cancel() on any thread, or the client's end. The state word is what sleepers sleep on.
 * The result is written under the lock before the word becomes OP_DONE and never changes after
 * it, so a reader that saw OP_DONE needs no lock.
 *
 * On the loop an op is *linked* from op_begin (its class's begin()) to op_end(): that is longer
 * than pending, because a cancelled call still has to be wound up. The loop holds one reference
 * meanwhile.
 *
 * Lock order: op -> queue, op -> sandbox. Callbacks run with no lock held.
 */
#ifndef CWS_CLIENT_OP_H
#define CWS_CLIENT_OP_H

#include "client/client.h"
#include "client/event.h"

enum op_state { OP_PENDING = 0, OP_SLEPT_ON = 1, OP_DONE = 2 };

struct op_class {
    void (*begin)(
        struct cws_op *op); /* [loop] start working; may complete and end the op at once */
    /* [loop] The op is complete (cancelled or closed): wind up, then op_end(). May come instead
     * of begin(), and twice. */
    void (*cancel)(struct cws_op *op);
    void (*settled)(struct cws_op *op); /* any thread, under the op's lock, when it becomes
                                           done. May be NULL */
    void (*free)(
        struct cws_op *op); /* any thread: the last reference is gone. Frees the memory */
};

/* Somebody to tell. fire() runs under the lock of the op or reader that it waits for; the
 * waiter is unlinked then. */
struct waiter {
    struct list link;
    void (*fire)(struct waiter *w);
};

struct op_callback;

struct op_result {
    struct cws_error *error; /* NULL = success; taken */
    void *data;              /* taken */
    size_t size;
    void (*free_data)(void *data, size_t size); /* what `data` is; NULL: bytes, for free() */
    int value;
    bool has_value; /* `value` is what the operation came to, also beside an error */
};

struct cws_op {
    _Atomic uint32_t refs;
    _Atomic uint32_t state; /* enum op_state */
    uint32_t generation;    /* [const] */
    int fd;                 /* [lock] eventfd, -1 = not asked for */
    int fd_write_end;       /* [lock] where there is no eventfd: the pipe's other end */
    pthread_mutex_t lock;
    const struct op_class *cls;    /* [const] */
    struct cws_client *client;     /* [const] reference */
    struct list waiters;           /* [lock] */
    struct op_callback *callbacks; /* [lock] */
    struct op_result result;       /* [lock] until done, then [const] */
    struct task begin_task;        /* owned by loop_post() */
    struct task cancel_task;       /* owned by loop_post() */
    struct list link;              /* [loop] in client->ops */
    bool begun;                    /* [loop] */
};

/** op_init() - a zeroed @op becomes pending with one reference. */
void op_init(struct cws_op *op, const struct op_class *cls, struct cws_client *client);
/** op_done_memory() - release what op_init() and completion made; called by every class's
 * free(). */
void op_done_memory(struct cws_op *op);
/** op_submit() - hand a fresh op to the loop. -1 with *@error (closed, forked): the caller
 * still owns it. */
int op_submit(struct cws_op *op, cws_error **error);
/** op_complete() - end it, if it is pending. Takes what @take holds either way. True if this
 * call ended it. */
bool op_complete(struct cws_op *op, struct op_result take);
/** op_succeed() / op_fail() - shorthands; op_fail() takes @take. */
bool op_succeed(struct cws_op *op);
bool op_fail(struct cws_op *op, struct cws_error *take);
/** op_end() - [loop] nothing on the loop refers to it any more; drops the loop's reference. */
void op_end(struct cws_op *op);
/** ops_close() - [loop] the client is ending, and with it every op that has begun. */
void ops_close(struct cws_client *client);
static inline bool op_is_done(const struct cws_op *op)
{
    return atomic_load(&op->state) == OP_DONE;
}
static inline bool op_forked(const struct cws_op *op)
{
    return op->generation != fork_generation();
}
void op_lock(struct cws_op *op);
void op_unlock(struct cws_op *op);
/** waiters_fire_locked() - unlink and tell everybody. */
void waiters_fire_locked(struct list *waiters);
/** waiters_remove_locked() - false when @w is not there any more (it has fired). @w is
 * compared, not looked into. */
bool waiters_remove_locked(struct list *waiters, struct waiter *w);
/** wait_result_of() - what a wait on a state word came to. */
cws_wait_result wait_result_of(int event_result);

/** notify_fd_*: a descriptor that is readable after being raised. eventfd, or a pipe where
 * there is none. */
int notify_fd_open(int *ret_read, int *ret_write);
void notify_fd_raise(int write_end);
void notify_fd_clear(int read_end);
void notify_fd_close(int read_end, int write_end);

#endif
