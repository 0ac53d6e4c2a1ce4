/*
 * OperationRef: a handle to something the service is doing, consumed by result() or by await.
 *
 * States: pending -> done -> collected. "Done" belongs to libcwsandbox (or to the parts of the
 * handle); "collected" means that some consumer asked and the value or exception was made,
 * once, on that consumer's thread. From then on everybody gets that object.
 */
#include "objects.h"

PyObject *py_ref_new(struct core_state *st, const struct py_ref_class *cls, cws_op *take_op,
                     PyObject *subject, cws_error **take_error)
{
    cws_op *op CLEANUP_OP = take_op;
    PyObject *failure CLEANUP_PY = NULL;
    struct py_ref *self;

    if (!op && cls != &py_ref_parts && cls != &py_ref_future) {
        if (!PyErr_Occurred())
            (void)py_errors_raise(st, take_error ? *take_error : NULL); /* taken again below */
        if (!PyErr_ExceptionMatches(PyExc_Exception))
            return NULL; /* Ctrl-C and SystemExit go to the caller now, not into a handle */
        failure = py_errors_take();
        cls = &py_ref_fixed;
    }
    self = (struct py_ref *)st->ref_type->tp_alloc(st->ref_type, 0);
    if (!self)
        return NULL;
    self->cls = cls;
    self->op = TAKE_PTR(op);
    self->subject = Py_XNewRef(subject);
    self->error = TAKE_PTR(failure);
    return (PyObject *)self;
}

/* ---- waiting ---- */

static int future_done(PyObject *future)
{
    PyObject *done CLEANUP_PY = PyObject_CallMethod(future, "done", NULL);

    if (!done)
        PyErr_Clear(); /* not a future after all: result() will say so */
    return done == Py_True;
}

bool py_ref_is_done(struct py_ref *self)
{
    cws_op *op CLEANUP_OP = NULL;

    if (self->value || self->error)
        return true;
    if (self->cls == &py_ref_future)
        return future_done(self->subject);
    op = py_ref_pending_op(self);
    return !op;
}

cws_op *py_ref_pending_op(struct py_ref *self)
{
    self->asked = true;
    if (self->cls->on_wait)
        self->cls->on_wait(self);
    if (self->op)
        return cws_op_done(self->op) ? NULL : cws_op_ref(self->op);
    if (self->cls == &py_ref_parts && self->subject) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->subject); i++) {
            cws_op *op = py_ref_pending_op((struct py_ref *)PyTuple_GET_ITEM(self->subject, i));

            if (op)
                return op;
        }
    }
    return NULL;
}

static int wait_for_op(cws_op *op, uint64_t deadline_ns)
{
    for (;;) {
        cws_wait_result r;

        Py_BEGIN_ALLOW_THREADS r = cws_op_wait(op, py_deadline_left(deadline_ns));
        Py_END_ALLOW_THREADS switch (r)
        {
        case CWS_WAIT_DONE:
            return 0;
        case CWS_WAIT_TIMEOUT:
            return 1;
        case CWS_WAIT_INTERRUPTED:
            if (PyErr_CheckSignals() < 0)
                return -1;
            break; /* the handler returned: go on waiting */
        }
    }
}

int py_ref_wait(struct py_ref *self, uint64_t timeout_ns)
{
    uint64_t deadline = timeout_ns == CWS_FOREVER ? CWS_FOREVER : py_deadline_after(timeout_ns);

    for (;;) {
        cws_op *op CLEANUP_OP = py_ref_pending_op(self);
        int r;

        if (!op)
            return 0;
        r = wait_for_op(op, deadline);
        if (r != 0)
            return r;
    }
}

void py_ref_cancel(struct core_state *st, struct py_ref *self)
{
    bool collected = self->value || self->error;

    if (self->cls == &py_ref_future) {
        PyObject *ignored CLEANUP_PY = PyObject_CallMethod(self->subject, "cancel", NULL);

        if (!ignored)
            PyErr_Clear(); /* somebody's callback raised, or it has no cancel() */
        return;
    }
    if (self->op) {
        bool was_done = !cws_op_cancel(self->op);

        if (self->starts && self->subject && !collected) {
            py_sandbox_disown(st, self->subject, was_done && !cws_op_error(self->op));
            self->starts = false; /* once */
        }
    }
    if (self->cls == &py_ref_parts && self->subject) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->subject); i++)
            py_ref_cancel(st, (struct py_ref *)PyTuple_GET_ITEM(self->subject, i));
    }
}

/* ---- starts whose await never begins ---- */

/*
 * asyncio wraps a handle into a coroutine of its own; a task that is cancelled before its first turn (wait_for(start, 0), gather()
 * cancelled at once) never runs that, so nobody calls __await__() and nobody cancels. Such a handle was kept beyond the turn that
 * made it and dropped without a question. (One that is dropped on the spot was not meant to be waited for, and goes on.)
 */
static PyObject *on_next_turn(PyObject *weakref, PyObject *unused)
{
    PyObject *ref CLEANUP_PY = PyObject_CallNoArgs(weakref);

    if (!ref)
        return NULL;
    if (ref != Py_None)
        ((struct py_ref *)ref)->kept = true;
    Py_RETURN_NONE;
}

static PyMethodDef on_next_turn_method = {"on_next_turn", on_next_turn, METH_NOARGS, NULL};

/* The event loop of this thread, or None. NULL: asyncio was never imported. */
static PyObject *running_loop(struct core_state *st)
{
    PyObject *name CLEANUP_PY = PyUnicode_InternFromString("asyncio");
    PyObject *asyncio CLEANUP_PY = name ? PyImport_GetModule(name) : NULL;

    return asyncio ? PyObject_CallMethodNoArgs(asyncio, st->s_get_running_loop_or_none) : NULL;
}

static void call_on_next_turn(struct core_state *st, PyObject *loop, PyObject *ref)
{
    PyObject *weakref CLEANUP_PY = PyWeakref_NewRef(ref, NULL);
    PyObject *callback CLEANUP_PY =
        weakref ? PyCFunction_New(&on_next_turn_method, weakref) : NULL;

    if (callback)
        Py_XDECREF(PyObject_CallMethodOneArg(loop, st->s_call_soon, callback));
}

PyObject *py_ref_as_start(struct core_state *st, PyObject *take_ref)
{
    struct py_ref *self = (struct py_ref *)take_ref;

    if (!self || !self->op)
        return take_ref;
    self->starts = true;
    PyObject *loop CLEANUP_PY = running_loop(st);
    if (loop && loop != Py_None)
        call_on_next_turn(st, loop, take_ref);
    PyErr_Clear(); /* no memory: as if it was dropped on the spot */
    return take_ref;
}

static void drop_start(struct py_ref *self)
{
    if (!self->starts || !self->kept || self->asked || !self->subject)
        return;
    PyObject *raised = py_errors_take();
    struct core_state *st = core_state((PyObject *)self);

    self->starts = false; /* once */
    if (st)
        py_sandbox_disown(st, self->subject, false);
    PyErr_Clear();
    py_errors_restore(raised);
}

/* ---- collecting ---- */

static PyObject *none_value(struct core_state *st, struct py_ref *self)
{
    return Py_NewRef(Py_None);
}

static PyObject *bytes_value(struct core_state *st, struct py_ref *self)
{
    size_t n;
    const void *data = cws_op_data(self->op, &n);

    return py_new_bytes(data, n);
}

static PyObject *status_value(struct core_state *st, struct py_ref *self)
{
    PyObject *table = py_core_late(st, LATE_STATUS_BY_NUMBER);
    int number = cws_op_int(self->op);

    if (!table)
        return NULL;
    if (number < 0 || number >= PyTuple_GET_SIZE(table))
        number = CWS_STATUS_UNSPECIFIED;
    return Py_NewRef(PyTuple_GET_ITEM(table, number));
}

static PyObject *subject_value(struct core_state *st, struct py_ref *self)
{
    return Py_NewRef(self->subject ? self->subject : Py_None);
}

const struct py_ref_class py_ref_none = {.value = none_value};
const struct py_ref_class py_ref_bytes = {.value = bytes_value};
const struct py_ref_class py_ref_status = {.value = status_value};
const struct py_ref_class py_ref_object = {.value = subject_value};
const struct py_ref_class py_ref_parts = {.value = subject_value};
const struct py_ref_class py_ref_future = {.value = subject_value};
const struct py_ref_class py_ref_fixed = {.value = subject_value};

/* The exception of a failed operation, a new reference; NULL with *ret_failed = false when it
 * succeeded. */
static PyObject *failure_of(struct core_state *st, struct py_ref *self, bool *ret_failed)
{
    const cws_error *e = self->op ? cws_op_error(self->op) : NULL;
    PyObject *exc CLEANUP_PY = NULL;

    *ret_failed = e != NULL;
    if (!e)
        return NULL;
    exc = py_errors_make(st, e);
    if (exc && self->cls->amend && self->cls->amend(st, self, e, exc) < 0)
        return NULL;
    return TAKE_PTR(exc);
}

static int collect_now(struct core_state *st, struct py_ref *self)
{
    bool failed;
    PyObject *exc CLEANUP_PY = failure_of(st, self, &failed);
    PyObject *value CLEANUP_PY = failed ? NULL : self->cls->value(st, self);
    PyObject *finish CLEANUP_PY = Py_XNewRef(self->finish);
    bool was_cancelled =
        failed && cws_error_get_kind(cws_op_error(self->op)) == CWS_E_CANCELLED;

    if (!exc && !value)
        return -1; /* out of memory or the like: not cached, asking again may work */
    if (finish) {
        PyObject *finished = PyObject_CallFunctionObjArgs(finish, value ? value : Py_None,
                                                          exc ? exc : Py_None, NULL);

        if (!finished) {
            PyObject *raised =
                PyErr_ExceptionMatches(PyExc_Exception) ? py_errors_take() : NULL;

            if (!raised)
                return -1;
            was_cancelled = was_cancelled && raised == exc;
            Py_XSETREF(exc, raised);
        } else {
            Py_CLEAR(exc);
            Py_XSETREF(value, finished);
        }
    }
    if (self->value ||
        self->error) /* another thread collected while finish() ran: its object is the one */
        return 0;
    self->cancelled = exc && was_cancelled;
    if (exc)
        self->error = TAKE_PTR(exc);
    else
        self->value = TAKE_PTR(value);
    Py_CLEAR(self->finish);
    if (self->cls != &py_ref_future)
        Py_CLEAR(self->subject);
    return 0;
}

PyObject *py_ref_collect(struct core_state *st, struct py_ref *self, bool awaited)
{
    if (!self->value && !self->error && collect_now(st, self) < 0)
        return NULL;
    if (self->value)
        return Py_NewRef(self->value);
    if (self->cancelled && awaited) {
        PyObject *cls = py_core_late(st, LATE_ASYNCIO_CANCELLED);

        if (cls)
            PyErr_SetNone(cls);
        return NULL;
    }
    py_errors_reraise(self->error);
    return NULL;
}

/* ---- the type ---- */

static PyObject *future_result(struct py_ref *self, PyObject *timeout)
{
    return PyObject_CallMethod(self->subject, "result", "O", timeout ? timeout : Py_None);
}

PyObject *py_ref_result(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                        PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    static const struct arg_spec spec = {"result", names, 1, 1, 0};
    struct core_state *st = core_state(self);
    struct py_ref *ref = (struct py_ref *)self;
    PyObject *timeout;
    uint64_t timeout_ns;
    int r;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, &timeout) < 0)
        return NULL;
    if (ref->cls == &py_ref_future)
        return future_result(ref, timeout);
    if (ref->value || ref->error)
        return py_ref_collect(st, ref, false);
    if (py_arg_patience(timeout, CWS_FOREVER, 0, &timeout_ns) < 0)
        return NULL;
    r = py_ref_wait(ref, timeout_ns);
    if (r < 0 && ref->starts) { /* Ctrl-C: most likely nobody asks again */
        PyObject *raised = py_errors_take();

        py_ref_cancel(st, ref);
        py_errors_reraise(raised);
        Py_XDECREF(raised);
    }
    if (r == 1)
        PyErr_SetString(PyExc_TimeoutError, "the operation is still running");
    return r == 0 ? py_ref_collect(st, ref, false) : NULL;
}

PyDoc_STRVAR(
    result_doc,
    "result($self, /, timeout=None)\n--\n\n"
    "Block until the operation is done and return its value.\n\n"
    "timeout: seconds, None = wait for ever. When it passes, TimeoutError is raised and the\n"
    "operation goes on; call result() again. Every call returns the same object or raises\n"
    "the same exception. Do not call it on an event loop: use `await` there.");

/* OperationRef(future): code that tests against this package, and helpers that run on a thread
 * of their own. */
static PyObject *ref_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"future", NULL};
    PyObject *future;
    struct py_ref *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:OperationRef", keywords, &future))
        return NULL;
    if (!PyObject_HasAttrString(future, "result") ||
        !PyObject_HasAttrString(future, "add_done_callback")) {
        PyErr_Format(PyExc_TypeError,
                     "OperationRef() takes a concurrent.futures.Future, not %.100s",
                     Py_TYPE(future)->tp_name);
        return NULL;
    }
    self = (struct py_ref *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->cls = &py_ref_future;
    self->subject = Py_NewRef(future);
    return (PyObject *)self;
}

int py_ref_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_ref *ref = (struct py_ref *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(ref->subject);
    Py_VISIT(ref->finish);
    Py_VISIT(ref->value);
    Py_VISIT(ref->error);
    return 0;
}

int py_ref_clear(PyObject *self)
{
    struct py_ref *ref = (struct py_ref *)self;

    drop_start(ref);
    Py_CLEAR(ref->subject);
    Py_CLEAR(ref->finish);
    Py_CLEAR(ref->value);
    Py_CLEAR(ref->error);
    return 0;
}

static void ref_dealloc(PyObject *self)
{
    struct py_ref *ref = (struct py_ref *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (ref->weakrefs)
        PyObject_ClearWeakRefs(self);
    (void)py_ref_clear(self);
    cws_op_unref(ref->op); /* never cancels: the operation goes on without us */
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *ref_repr(PyObject *self)
{
    struct py_ref *ref = (struct py_ref *)self;
    const char *state = ref->error ? "failed" : py_ref_is_done(ref) ? "done" : "pending";

    return PyUnicode_FromFormat("<%s %s>", Py_TYPE(self)->tp_name, state);
}

static PyObject *get_future(PyObject *self, void *closure)
{
    struct py_ref *ref = (struct py_ref *)self;

    return Py_NewRef(ref->cls == &py_ref_future ? ref->subject : Py_None);
}

static PyGetSetDef ref_getset[] = {
    {"_future", get_future, NULL, "The Future it was made from, or None", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef ref_methods[] = {
    {"result", (PyCFunction)(void (*)(void))py_ref_result, METH_FASTCALL | METH_KEYWORDS,
     result_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef ref_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_ref, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(ref_doc,
             "A handle to an operation that has already started.\n\n"
             "ref.result() blocks for the value, `await ref` awaits it; both raise the same "
             "exceptions.\n"
             "Cancelling a task that awaits it cancels the operation; dropping it does not.");

static PyType_Slot ref_slots[] = {
    {Py_tp_doc, (void *)ref_doc},
    {Py_tp_new, ref_tp_new},
    {Py_tp_dealloc, ref_dealloc},
    {Py_tp_traverse, py_ref_traverse},
    {Py_tp_clear, py_ref_clear},
    {Py_tp_repr, ref_repr},
    {Py_tp_methods, ref_methods},
    {Py_tp_members, ref_members},
    {Py_tp_getset, ref_getset},
    {Py_am_await, py_await_ref},
    {0, NULL},
};

static PyType_Spec ref_type_spec = {
    .name = "cwsandbox.OperationRef",
    .basicsize = sizeof(struct py_ref),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ref_slots,
};

int py_ref_init(PyObject *module, struct core_state *st)
{
    st->ref_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &ref_type_spec, NULL);
    return st->ref_type ? PyModule_AddType(module, st->ref_type) : -1;
}
