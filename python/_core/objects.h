/*
 * The objects of cwsandbox._core that other files of this room build on: processes, streams,
 * sandboxes, awaiting.
 */
#ifndef CWS_PYTHON_OBJECTS_H
#define CWS_PYTHON_OBJECTS_H

#include "args.h"
#include "core.h"

/* -------------------------------------------------------------- processes */

struct py_process {
    struct py_ref ref;
    cws_process *process; /* NULL: failed before it existed */
    PyObject *command;    /* list as the user gave it */
    /* StreamReader, StreamReader, StreamWriter; made on first access */
    PyObject *out, *err, *in;
    bool discards; /* discard_output, and nobody waits yet */
};

int py_process_init(PyObject *module, struct core_state *st);
/** py_process_new() - Process, or TerminalSession when @tty. @take_p NULL: a handle that failed
 * with @take_error or the raised exception. */
PyObject *py_process_new(struct core_state *st, bool tty, cws_process *take_p,
                         PyObject *command, cws_error *take_error);

/* ---------------------------------------------------------------- streams */

#define UTF8_CARRY_MAX 4 /* RFC 3629: a character has at most four bytes */

struct py_reader {
    PyObject ob_base;   /* PyObject_HEAD */
    cws_reader *reader; /* NULL: ended since birth, after `error` */
    PyObject *error;    /* raised once */
    PyObject *weakrefs;
    struct await_entry *orphan;    /* of a cancelled __anext__; the next one uses it */
    uint8_t carry[UTF8_CARRY_MAX]; /* incomplete character of the last chunk */
    uint8_t n_carry;
    bool text;
    bool owns_producer; /* a file or log reader: dropping it ends the transfer */
    bool ended;         /* somebody saw the end; a chunk taken before may still be on its way */
    bool closed;        /* by close(): what is on its way is dropped */
};

int py_reader_init(PyObject *module, struct core_state *st);
/** py_reader_new() - @take_r NULL: a reader that raises the raised exception (if any) on first
 * use, then ends. */
PyObject *py_reader_new(struct core_state *st, cws_reader *take_r, bool text,
                        bool owns_producer);
enum reader_step {
    READER_ITEM, /* *ret set */
    READER_END,
    READER_PENDING, /* nothing yet */
    READER_RAISED
};
/** py_reader_try() - the next item without waiting. */
enum reader_step py_reader_try(struct core_state *st, struct py_reader *r, PyObject **ret);

struct py_writer {
    PyObject ob_base; /* PyObject_HEAD */
    cws_writer *writer;
    PyObject *weakrefs;
};
int py_writer_init(PyObject *module, struct core_state *st);
PyObject *py_writer_new(struct core_state *st, cws_writer *take_w);

/* ------------------------------------------------------------------ ports */

int py_forward_init(PyObject *module, struct core_state *st);
/** py_sandbox_forward() - Sandbox.forward(). */
PyObject *py_sandbox_forward(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                             PyObject *kwnames);

/* --------------------------------------------------------------- awaiting */

int py_await_init(PyObject *module, struct core_state *st);
/** py_await_ref() / py_await_reader() - the iterator that `await` drives. */
PyObject *py_await_ref(PyObject *self);
PyObject *py_await_reader(PyObject *self);
/** py_await_drop_closed() - forget the loops that are closed, and who waited on them: how many, or -1. */
int py_await_drop_closed(struct core_state *st);
/** py_await_orphan_drop() - forget the entry of a reader that goes away. */
void py_await_orphan_drop(struct py_reader *r);

int py_completions_init(PyObject *module, struct core_state *st);

/* -------------------------------------------------------------- sandboxes */

struct py_sandbox {
    PyObject ob_base; /* PyObject_HEAD */
    cws_sandbox *sb;  /* NULL until first used: _open() of the subclass calls _attach() */
    uint64_t request_timeout_ns;
    size_t n_uses;  /* operations begun, less the starts that were cancelled */
    bool abandoned; /* a start was cancelled, or its await never began */
    PyObject *weakrefs;
};

#define DEFAULT_REQUEST_TIMEOUT_NS (300 * NS_PER_S) /* as the published client */
#define DEFAULT_RETRY_BUDGET_NS (30 * NS_PER_S)     /* the same */

int py_sandbox_init(PyObject *module, struct core_state *st);
/** py_sandbox_wrap() - an instance of @cls (a subclass of the sandbox type) for @sb; borrows
 * @sb.
 */
PyObject *py_sandbox_wrap(struct core_state *st, PyObject *cls, cws_sandbox *sb);
/** py_sandbox_handle() - the open sandbox, for one operation; borrowed. NULL with the exception of _open(). */
cws_sandbox *py_sandbox_handle(struct core_state *st, PyObject *self);
/** py_sandbox_disown() - a start was cancelled. Without other users what it made is stopped: at once when it was done already, else
 * by the library (the create is not answered) or with the last reference to @self. */
void py_sandbox_disown(struct core_state *st, PyObject *self, bool was_done);
extern PyMethodDef py_sandbox_io_methods[];    /* exec, shell, files, logs */
extern PyMethodDef py_sandbox_files_methods[]; /* names and trees */
extern PyGetSetDef py_sandbox_properties[];

struct py_options {
    PyObject ob_base; /* PyObject_HEAD */
    cws_options *options;
};
struct py_target {
    PyObject ob_base; /* PyObject_HEAD */
    cws_target *target;
};
struct option_setter {
    const char *name;
    int (*set)(cws_options *o, PyObject *value, cws_error **error);
};
extern const struct option_setter py_option_lists[]; /* ends with a NULL name */
int py_options_init(PyObject *module, struct core_state *st);

/* ---------------------------------------------------------------- records */

/** py_record_fill() - set the fields that @dict names (None: not set); lists append. @r NULL: *@error is set
 * already. -1 with *@error or an exception. */
int py_record_fill(cws_record *r, PyObject *dict, cws_error **error);
/** py_record_dict() - what is set in a record, by field name. */
PyObject *py_record_dict(const cws_record *r);

extern PyMethodDef py_client_functions[]; /* of the module */
extern PyMethodDef py_signal_functions[];
extern PyMethodDef py_query_functions[]; /* likewise */

#endif
