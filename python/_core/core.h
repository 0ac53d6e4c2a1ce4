/*
 * cwsandbox._core: the CPython extension over libcwsandbox. Shared by the files of this room.
 *
 * One file per noun: ref (OperationRef), process (Process, TerminalSession), reader, writer,
 * sandbox, options (Options, Target), client (list, from_id, delete, wait), await (awaiting on
 * an event loop), errors (cws_error -> exception), args (arguments), signals (SIGTERM).
 *
 * Threads: the loop thread of libcwsandbox never calls Python. A Python thread that must block
 * releases the GIL; one that awaits lets its event loop watch a cws_queue descriptor. Results
 * become Python objects on the consumer's thread, when asked for. The GIL guards every field of
 * every object here; blocking helpers take references before they release it.
 */
#ifndef CWS_PYTHON_CORE_H
#define CWS_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <structmember.h>

#include "cwsandbox.h"

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define TAKE_PTR(p) \
    ({ \
        __typeof__(p) take_p_ = (p); \
        (p) = NULL; \
        take_p_; \
    })
#define NS_PER_S UINT64_C(1000000000)
#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_py(PyObject **o)
{
    Py_XDECREF(*o);
}
#define CLEANUP_PY CLEANUP(cleanup_py)

static inline void cleanup_op(cws_op **op)
{
    cws_op_unref(*op);
}
#define CLEANUP_OP CLEANUP(cleanup_op)

static inline void cleanup_error(cws_error **e)
{
    cws_error_free(*e);
}
#define CLEANUP_ERROR CLEANUP(cleanup_error)

/* Python names that are imported on first need, so that importing the package stays cheap. */
enum late {
    LATE_PROCESS_RESULT,
    LATE_TERMINAL_RESULT,
    LATE_STATUS_BY_NUMBER, /* tuple: wire number -> SandboxStatus */
    LATE_FIELD_VIOLATION,
    LATE_FUTURE_CANCELLED,  /* concurrent.futures.CancelledError */
    LATE_ASYNCIO_CANCELLED, /* asyncio.CancelledError */
    LATE_ASYNCIO,
    LATE_WRAP_FUTURE,
    LATE_TIMEDELTA,
    LATE_DATETIME,
    LATE_UTC,
    LATE_MAX
};

#define N_ERROR_KINDS (CWS_E_VOLUME_WAIT_TIMEOUT + 1)

/* Module state: every object of this module, so that subinterpreters do not share any. */
struct core_state {
    PyTypeObject *ref_type, *process_type, *terminal_type, *reader_type, *writer_type,
        *forward_type;
    PyTypeObject *sandbox_type, *options_type, *target_type, *awaiter_type, *hook_type;
    PyObject *errors[N_ERROR_KINDS]; /* by cws_error_kind */
    PyObject *late[LATE_MAX];        /* NULL until asked for */
    bool abandoned;  /* a start was cancelled: _core.settle() has something to wait for */
    PyObject *hooks; /* id(loop) -> hook; entries leave by a weakref's callback */
    PyObject *s_set_result, *s_done, *s_create_future, *s_add_reader, *s_open;
    PyObject *s_get_running_loop, *s_get_running_loop_or_none, *s_call_soon;
};

extern struct PyModuleDef py_core_module;

static inline struct core_state *core_state_of_module(PyObject *module)
{
    return PyModule_GetState(module);
}

/** core_state() - of the module that made the type of @self, also for Python subclasses. */
static inline struct core_state *core_state(PyObject *self)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(self), &py_core_module);

    return module ? PyModule_GetState(module) : NULL;
}

/** py_core_late() - borrowed; NULL with an exception. */
PyObject *py_core_late(struct core_state *st, enum late which);

/* ---------------------------------------------------------------- errors */

int py_errors_init(struct core_state *st);
/** py_errors_make() - new exception instance for @e with all attributes and causes; NULL with
 * another exception set. */
PyObject *py_errors_make(struct core_state *st, const cws_error *e);
/** py_errors_raise() - make and raise, then free @take_e. Always NULL. */
PyObject *py_errors_raise(struct core_state *st, cws_error *take_e);
/** py_errors_take() - the raised exception as an object; NULL when none is raised. */
PyObject *py_errors_take(void);
/** py_errors_restore() - raise again what py_errors_take() took; NULL: nothing was raised. */
void py_errors_restore(PyObject *take_exc);
/** py_errors_reraise() - raise a stored instance without letting its traceback grow. */
void py_errors_reraise(PyObject *exc);

/* ------------------------------------------------------------------ refs */

struct py_ref;

/* What a handle is of. */
struct py_ref_class {
    void (*on_wait)(struct py_ref *self); /* somebody waits for its end; may be NULL */
    /* The value of a success, a new reference. */
    PyObject *(*value)(struct core_state *st, struct py_ref *self);
    /* What the exception of a failure gets besides; 0 or -1. May be NULL. */
    int (*amend)(struct core_state *st, struct py_ref *self, const cws_error *e, PyObject *exc);
};

extern const struct py_ref_class py_ref_none;    /* resolves to None */
extern const struct py_ref_class py_ref_bytes;   /* cws_op_data() */
extern const struct py_ref_class py_ref_status;  /* cws_op_int() as SandboxStatus */
extern const struct py_ref_class py_ref_object;  /* resolves to `subject` */
extern const struct py_ref_class py_ref_sandbox; /* cws_op_sandbox(0), of the class `subject` */
extern const struct py_ref_class py_ref_sandboxes; /* the list of them */
extern const struct py_ref_class
    py_ref_parts; /* `subject` is a tuple of refs: done when all are */
extern const struct py_ref_class py_ref_future; /* `subject` is somebody else's Future */
extern const struct py_ref_class py_ref_fixed;  /* done since birth: value or error is set */

struct py_ref {
    PyObject ob_base; /* PyObject_HEAD */
    const struct py_ref_class *cls;
    bool cancelled; /* result() and await raise different CancelledErrors */
    bool starts;    /* it may have made the py_sandbox `subject`: py_ref_cancel() undoes that */
    bool asked;     /* somebody waited for it, or asked whether it is done */
    bool kept;      /* a start that outlived the turn of the event loop that made it */
    cws_op *op;     /* NULL: parts, future, fixed */
    PyObject *subject; /* see the classes */
    PyObject *finish;  /* callable(value, error) run once on the consumer's thread, or NULL */
    PyObject *value;   /* one of the two once collected; then the same for everybody */
    PyObject *error;
    PyObject *weakrefs;
};

int py_ref_init(PyObject *module, struct core_state *st);
/** py_ref_new() - @take_op NULL: the raised exception or *@take_error becomes a failed handle
 * (a pointer, so that callers can write `py_ref_new(st, cls, call(&error), NULL, &error)`).
 * Owns both on failure too. */
PyObject *py_ref_new(struct core_state *st, const struct py_ref_class *cls, cws_op *take_op,
                     PyObject *subject, cws_error **take_error);
/** py_ref_as_start() - @take_ref (may be NULL) is a start of the py_sandbox `subject`. Returns it. */
PyObject *py_ref_as_start(struct core_state *st, PyObject *take_ref);
/** py_ref_is_own() - @o is a handle, and of operations of this library. */
static inline bool py_ref_is_own(struct core_state *st, PyObject *o)
{
    return PyObject_TypeCheck(o, st->ref_type) && ((struct py_ref *)o)->cls != &py_ref_future;
}
bool py_ref_is_done(struct py_ref *self);
/** py_ref_pending_op() - something to wait for; new reference, NULL when done. */
cws_op *py_ref_pending_op(struct py_ref *self);
/** py_ref_wait() - 0 done, 1 time-out, -1 exception (a signal handler raised). Releases the
 * GIL. */
int py_ref_wait(struct py_ref *self, uint64_t timeout_ns);
/** py_ref_collect() - value or exception of a done handle. @awaited picks asyncio's
 * CancelledError. */
PyObject *py_ref_collect(struct core_state *st, struct py_ref *self, bool awaited);
/** py_ref_cancel() - of a start that is done already, whose value nobody has and whose sandbox nobody has used: stops it. */
void py_ref_cancel(struct core_state *st, struct py_ref *self);
int py_ref_traverse(PyObject *self, visitproc visit, void *arg);
int py_ref_clear(PyObject *self);
PyObject *py_ref_result(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                        PyObject *kwnames);

#endif
