/*
 * One stream of a remote process or log on its way to a local descriptor, and local input on
 * its way to a process. Neither ever blocks: the caller polls what *_events() says, so that a
 * signal is noticed while a pager sits on its pipe.
 */
#ifndef CWS_CLI_OUTLET_H
#define CWS_CLI_OUTLET_H

#include <stdbool.h>

#include "cwsandbox.h"

enum outlet_state {
    OUTLET_READING, /* waits for the reader; its tag is in the queue */
    OUTLET_WRITING, /* holds bytes; waits for the descriptor */
    OUTLET_ENDED,   /* the stream ended and all of it was written */
    OUTLET_BROKEN,  /* nobody reads the descriptor any more */
    OUTLET_FAILED,  /* `error_number` says what writing answered, or `error` what reading did */
};

struct outlet {
    cws_queue *queue;
    cws_reader *reader; /* borrowed; NULL: `chunk` is all there is, and the caller's */
    int fd;
    bool is_file; /* regular files are always ready and may take any amount */
    enum outlet_state state;
    cws_chunk chunk;
    size_t written; /* of `chunk` */
    bool armed;     /* the tag is in the queue: it holds one per reader */
    int error_number;
    const cws_error *error; /* borrowed from the reader */
};

/** outlet_init() - @reader NULL: ended at once. The outlet itself is the tag in @queue. */
void outlet_init(struct outlet *o, cws_queue *queue, cws_reader *reader, int fd);
/** outlet_init_bytes() - write @size bytes at @data, which the caller keeps, and end. */
void outlet_init_bytes(struct outlet *o, const void *data, size_t size, int fd);
/** outlet_on_tag() - the queue returned this outlet. Call outlet_turn() then. */
void outlet_on_tag(struct outlet *o);
/** outlet_turn() - move what can be moved without waiting. True: stopped for fairness, call
 * again soon. */
bool outlet_turn(struct outlet *o);
/** outlet_events() - for poll(); 0 still reports POLLERR, which is how a vanished reader of a
 * pipe shows. */
short outlet_events(const struct outlet *o);
/** outlet_on_poll() - @revents of its descriptor. */
void outlet_on_poll(struct outlet *o, short revents);
static inline bool outlet_over(const struct outlet *o)
{
    return o->state >= OUTLET_ENDED;
}
void outlet_done(struct outlet *o);

struct inlet {
    cws_queue *queue;
    cws_writer *writer; /* borrowed; NULL = no input is forwarded */
    cws_op *pending;    /* the write that the queue has not taken yet */
    int fd;
    bool over;        /* end of input, or the other side takes no more */
    int error_number; /* reading `fd` failed; 0 = it ended, or goes on */
    uint64_t n_bytes; /* handed to the writer */
};

/** inlet_init() - the inlet itself is the tag in @queue. */
void inlet_init(struct inlet *in, cws_queue *queue, cws_writer *writer, int fd);
/** inlet_wants() - poll its descriptor for input now. */
bool inlet_wants(const struct inlet *in);
/** inlet_turn() - the descriptor is readable: forward one piece of it. */
void inlet_turn(struct inlet *in);
/** inlet_on_tag() - the pending write was taken. */
void inlet_on_tag(struct inlet *in);
void inlet_done(struct inlet *in);

#endif
