/*
 * Completions: many handles, told as they get done. One queue of the library behind one descriptor, so each costs the same however
 * many there are. The tag of a handle is its place in the list, from 1.
 */
#include <limits.h>
#include <poll.h>

#include "objects.h"

struct completions {
    PyObject ob_base; /* PyObject_HEAD */
    cws_queue *queue; /* NULL: closed */
    PyObject *refs;   /* tuple of struct py_ref */
    PyObject *ready;  /* list of places: done, not told yet */
};

/* -1 with an exception. A handle of several operations is queued again for the next of them. */
static int look_at(struct core_state *st, struct completions *self, Py_ssize_t i)
{
    cws_op *op CLEANUP_OP = py_ref_pending_op((struct py_ref *)PyTuple_GET_ITEM(self->refs, i));
    cws_error *error = NULL;

    if (!op) {
        PyObject *place CLEANUP_PY = PyLong_FromSsize_t(i);

        return place ? PyList_Append(self->ready, place) : -1;
    }
    if (cws_queue_add(self->queue, op, (void *)(uintptr_t)(i + 1), &error) < 0) {
        (void)py_errors_raise(st, error);
        return -1;
    }
    return 0;
}

static int begin(struct core_state *st, struct completions *self, PyObject *refs)
{
    cws_error *error = NULL;

    self->refs = PySequence_Tuple(refs);
    self->ready = PyList_New(0);
    if (!self->refs || !self->ready)
        return -1;
    self->queue = cws_queue_new(&error);
    if (!self->queue) {
        (void)py_errors_raise(st, error);
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->refs); i++) {
        PyObject *ref = PyTuple_GET_ITEM(self->refs, i);

        if (!py_ref_is_own(st, ref)) {
            PyErr_Format(PyExc_TypeError, "cannot wait for %R", ref);
            return -1;
        }
        if (look_at(st, self, i) < 0)
            return -1;
    }
    return 0;
}

static PyObject *completions_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self CLEANUP_PY = NULL, *refs;
    struct core_state *st;

    if (!PyArg_ParseTuple(args, "O:Completions", &refs))
        return NULL;
    self = type->tp_alloc(type, 0);
    st = self ? core_state(self) : NULL;
    if (!st || begin(st, (struct completions *)self, refs) < 0)
        return NULL;
    return TAKE_PTR(self);
}

/* 1 readable, 0 the time is up, -1 a signal handler raised. */
static int wait_readable(int fd, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t left_ns = py_deadline_left(deadline_ns);
        uint64_t ms = left_ns / 1000000 + (left_ns % 1000000 > 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int r;

        Py_BEGIN_ALLOW_THREADS r = poll(&p, 1, ms > INT_MAX ? INT_MAX : (int)ms);
        Py_END_ALLOW_THREADS if (r > 0) return 1;
        if (r < 0 && PyErr_CheckSignals() < 0)
            return -1;
        if (r == 0 && py_deadline_left(deadline_ns) == 0)
            return 0;
    }
}

static int drain(struct core_state *st, struct completions *self)
{
    uintptr_t place;

    while ((place = (uintptr_t)cws_queue_next(self->queue)))
        if (look_at(st, self, (Py_ssize_t)place - 1) < 0)
            return -1;
    return 0;
}

static PyObject *completions_next(PyObject *o, PyObject *timeout)
{
    struct core_state *st = core_state(o);
    struct completions *self = (struct completions *)o;
    PyObject *fresh CLEANUP_PY = PyList_New(0);
    uint64_t timeout_ns, deadline;
    int r = 1;

    if (!st || !fresh || py_arg_patience(timeout, CWS_FOREVER, 0, &timeout_ns) < 0)
        return NULL;
    if (!self->queue) {
        PyErr_SetString(PyExc_ValueError, "next() after close()");
        return NULL;
    }
    deadline = timeout_ns == CWS_FOREVER ? CWS_FOREVER : py_deadline_after(timeout_ns);
    while (r > 0) {
        if (drain(st, self) < 0)
            return NULL;
        if (PyList_GET_SIZE(self->ready) > 0)
            break;
        r = wait_readable(cws_queue_fd(self->queue), deadline);
    }
    if (r < 0)
        return NULL;
    PyObject *told = self->ready;
    self->ready = TAKE_PTR(fresh);
    return told;
}

static PyObject *completions_close(PyObject *o, PyObject *unused)
{
    struct completions *self = (struct completions *)o;

    cws_queue_free(TAKE_PTR(self->queue));
    Py_RETURN_NONE;
}

static int completions_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct completions *)self)->refs);
    Py_VISIT(((struct completions *)self)->ready);
    return 0;
}

static int completions_clear(PyObject *self)
{
    Py_CLEAR(((struct completions *)self)->refs);
    Py_CLEAR(((struct completions *)self)->ready);
    return 0;
}

static void completions_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    cws_queue_free(((struct completions *)self)->queue);
    (void)completions_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(next_doc, "next($self, timeout, /)\n--\n\n"
                       "The places of those that got done since the last call; blocks for one "
                       "at least. Empty when the "
                       "time is up.");
PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\nForget them; nothing is cancelled.");
PyDoc_STRVAR(completions_doc, "The handles in a list as they get done.");

static PyMethodDef completions_methods[] = {
    {"next", completions_next, METH_O, next_doc},
    {"close", completions_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot completions_slots[] = {
    {Py_tp_doc, (void *)completions_doc},
    {Py_tp_new, completions_tp_new},
    {Py_tp_dealloc, completions_dealloc},
    {Py_tp_traverse, completions_traverse},
    {Py_tp_clear, completions_clear},
    {Py_tp_methods, completions_methods},
    {0, NULL},
};

static PyType_Spec completions_type_spec = {
    .name = "cwsandbox._core.Completions",
    .basicsize = sizeof(struct completions),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = completions_slots,
};

int py_completions_init(PyObject *module, struct core_state *st)
{
    PyObject *type CLEANUP_PY = PyType_FromModuleAndSpec(module, &completions_type_spec, NULL);

    return type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
}
