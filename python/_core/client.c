/*
 * Functions of the module: calls that need no sandbox object (list, from_id, delete), and work
 * on handles (wait, gather, derive, resolved, failed).
 */
#include "objects.h"

static cws_target *target_of(struct core_state *st, PyObject *o)
{
    if (Py_IS_TYPE(o, st->target_type))
        return ((struct py_target *)o)->target;
    PyErr_SetString(PyExc_TypeError, "expected a Target");
    return NULL;
}

/* ---- calls ---- */

/* list_sandboxes(cls, target, tags, runner_ids, status, show_terminated, timeout_seconds[,
 * volume_ids]) */
static PyObject *core_list(PyObject *module, PyObject *args)
{
    struct core_state *st = core_state_of_module(module);
    struct arg_strings tags CLEANUP_STRINGS = {0}, runner_ids CLEANUP_STRINGS = {0};
    struct arg_strings volume_ids CLEANUP_STRINGS = {0};
    PyObject *cls, *target, *tag_list, *runner_list, *timeout, *volume_list = NULL;
    cws_list_options options = {0};
    cws_error *error = NULL;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OOOOipO|O:list_sandboxes", &cls, &target, &tag_list,
                          &runner_list, &options.status, &options.show_terminated, &timeout,
                          &volume_list))
        return NULL;
    t = target_of(st, target);
    if (!t || py_arg_strings(tag_list, "tags", &tags) < 0 ||
        py_arg_strings(runner_list, "runner_ids", &runner_ids) < 0 ||
        (volume_list && py_arg_strings(volume_list, "volume_ids", &volume_ids) < 0) ||
        py_arg_seconds(timeout, "timeout_seconds", CWS_DEFAULT_TIMEOUT, CWS_DEFAULT_TIMEOUT,
                       &options.timeout_ns) < 0)
        return NULL;
    options.tags = tags.items;
    options.n_tags = tags.n;
    options.runner_ids = runner_ids.items;
    options.n_runner_ids = runner_ids.n;
    options.volume_ids = volume_ids.items;
    options.n_volume_ids = volume_ids.n;
    return py_ref_new(st, &py_ref_sandboxes, cws_list(NULL, t, &options, &error), cls, &error);
}

/* A converter of PyArg_ParseTuple(): a const char *, borrowed. */
static int sandbox_id_arg(PyObject *o, void *ret)
{
    return (*(const char **)ret = py_arg_utf8(o, "sandbox_id")) != NULL;
}

/* from_id(cls, target, sandbox_id, timeout_seconds) */
static PyObject *core_from_id(PyObject *module, PyObject *args)
{
    struct core_state *st = core_state_of_module(module);
    PyObject *cls, *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;

    if (!PyArg_ParseTuple(args, "OOO&O:from_id", &cls, &target, sandbox_id_arg, &id, &timeout))
        return NULL;
    t = target_of(st, target);
    if (!t || py_arg_seconds(timeout, "timeout_seconds", CWS_DEFAULT_TIMEOUT,
                             CWS_DEFAULT_TIMEOUT, &timeout_ns) < 0)
        return NULL;
    return py_ref_new(st, &py_ref_sandbox, cws_from_id(NULL, t, id, timeout_ns, &error), cls,
                      &error);
}

/* delete(target, sandbox_id, missing_ok, timeout_seconds) */
static PyObject *core_delete(PyObject *module, PyObject *args)
{
    struct core_state *st = core_state_of_module(module);
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;
    int missing_ok;

    if (!PyArg_ParseTuple(args, "OO&pO:delete", &target, sandbox_id_arg, &id, &missing_ok,
                          &timeout))
        return NULL;
    t = target_of(st, target);
    if (!t || py_arg_seconds(timeout, "timeout_seconds", CWS_DEFAULT_TIMEOUT,
                             CWS_DEFAULT_TIMEOUT, &timeout_ns) < 0)
        return NULL;
    return py_ref_new(st, &py_ref_none, cws_delete(NULL, t, id, missing_ok, timeout_ns, &error),
                      NULL, &error);
}

/* ---- handles from handles ---- */

/* derive(ref, finish): finish(value, error) runs once, on the first consumer's thread, and
 * makes the result */
static PyObject *core_derive(PyObject *module, PyObject *args)
{
    struct core_state *st = core_state_of_module(module);
    PyObject *ref, *finish;

    if (!PyArg_ParseTuple(args, "O!O:derive", st->ref_type, &ref, &finish))
        return NULL;
    Py_XSETREF(((struct py_ref *)ref)->finish, Py_NewRef(finish));
    return Py_NewRef(ref);
}

/* gather(refs, finish): done when all of @refs are; finish((refs...), None) makes the result */
static PyObject *core_gather(PyObject *module, PyObject *args)
{
    struct core_state *st = core_state_of_module(module);
    PyObject *refs, *finish, *tuple CLEANUP_PY = NULL, *ref;

    if (!PyArg_ParseTuple(args, "OO:gather", &refs, &finish))
        return NULL;
    tuple = PySequence_Tuple(refs);
    if (!tuple)
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *part = PyTuple_GET_ITEM(tuple, i);

        if (!py_ref_is_own(st, part))
            return PyErr_Format(PyExc_TypeError, "gather() cannot wait for %R", part);
    }
    ref = py_ref_new(st, &py_ref_parts, NULL, tuple, NULL);
    if (ref)
        ((struct py_ref *)ref)->finish = Py_NewRef(finish);
    return ref;
}

static PyObject *core_resolved(PyObject *module, PyObject *value)
{
    PyObject *ref = py_ref_new(core_state_of_module(module), &py_ref_future, NULL, NULL, NULL);

    if (ref) {
        ((struct py_ref *)ref)->cls = &py_ref_fixed;
        ((struct py_ref *)ref)->value = Py_NewRef(value);
    }
    return ref;
}

static PyObject *core_failed(PyObject *module, PyObject *exc)
{
    if (!PyExceptionInstance_Check(exc))
        return PyErr_Format(PyExc_TypeError, "failed() takes an exception, not %R", exc);
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    return py_ref_new(core_state_of_module(module), &py_ref_fixed, NULL, NULL, NULL);
}

static PyObject *core_failed_reader(PyObject *module, PyObject *exc)
{
    if (!PyExceptionInstance_Check(exc))
        return PyErr_Format(PyExc_TypeError, "failed_reader() takes an exception, not %R", exc);
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    return py_reader_new(core_state_of_module(module), NULL, true, false);
}

static PyObject *core_cancel(PyObject *module, PyObject *ref)
{
    struct core_state *st = core_state_of_module(module);

    if (!PyObject_TypeCheck(ref, st->ref_type))
        return PyErr_Format(PyExc_TypeError, "cancel() takes a handle, not %R", ref);
    py_ref_cancel(core_state_of_module(module), (struct py_ref *)ref);
    Py_RETURN_NONE;
}

static PyObject *core_is_done(PyObject *module, PyObject *ref)
{
    struct core_state *st = core_state_of_module(module);

    if (!PyObject_TypeCheck(ref, st->ref_type))
        return PyErr_Format(PyExc_TypeError, "is_done() takes a handle, not %R", ref);
    return PyBool_FromLong(py_ref_is_done((struct py_ref *)ref));
}

/* ---- wait ---- */

struct wait_set { /* the handles that are not done: one operation of each */
    cws_op **ops;
    unsigned char *done;
    size_t n;
};

static void wait_set_done(struct wait_set *w)
{
    for (size_t i = 0; i < w->n; i++)
        cws_op_unref(w->ops[i]);
    PyMem_Free(w->ops);
    PyMem_Free(w->done);
}

static int wait_set_fill(struct wait_set *w, PyObject *tuple)
{
    size_t n = (size_t)PyTuple_GET_SIZE(tuple);

    w->ops = PyMem_New(cws_op *, n + 1);
    w->done = PyMem_Malloc(n + 1);
    if (!w->ops || !w->done) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        cws_op *op = py_ref_pending_op((struct py_ref *)PyTuple_GET_ITEM(tuple, (Py_ssize_t)i));

        if (op)
            w->ops[w->n++] = op;
    }
    return 0;
}

/* One round: 1 = enough are done, 0 = look again, 2 = time is up, -1 = exception. */
static int wait_round(PyObject *tuple, size_t wanted, uint64_t deadline)
{
    struct wait_set w CLEANUP(wait_set_done) = {0};
    size_t n_done;
    cws_wait_result r;

    if (wait_set_fill(&w, tuple) < 0)
        return -1;
    n_done = (size_t)PyTuple_GET_SIZE(tuple) - w.n;
    if (n_done >= wanted)
        return 1;
    Py_BEGIN_ALLOW_THREADS r =
        cws_wait(w.ops, w.n, wanted - n_done, py_deadline_left(deadline), w.done);
    Py_END_ALLOW_THREADS if (r == CWS_WAIT_INTERRUPTED && PyErr_CheckSignals() < 0) return -1;
    return r == CWS_WAIT_TIMEOUT ? 2 : 0;
}

static PyObject *flags_of(PyObject *tuple)
{
    Py_ssize_t n = PyTuple_GET_SIZE(tuple);
    PyObject *list = PyList_New(n);

    for (Py_ssize_t i = 0; list && i < n; i++)
        PyList_SET_ITEM(
            list, i,
            PyBool_FromLong(py_ref_is_done((struct py_ref *)PyTuple_GET_ITEM(tuple, i))));
    return list;
}

/* wait(refs, num_returns, timeout) -> [is done] in the order given; blocks */
static PyObject *core_wait(PyObject *module, PyObject *args)
{
    struct core_state *st = core_state_of_module(module);
    PyObject *refs, *timeout, *tuple CLEANUP_PY = NULL;
    uint64_t timeout_ns, deadline;
    Py_ssize_t wanted;
    int r = 0;

    if (!PyArg_ParseTuple(args, "OnO:wait", &refs, &wanted, &timeout) ||
        py_arg_patience(timeout, CWS_FOREVER, 0, &timeout_ns) < 0)
        return NULL;
    tuple = PySequence_Tuple(refs);
    for (Py_ssize_t i = 0; tuple && i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);

        if (!py_ref_is_own(st, item))
            return PyErr_Format(PyExc_TypeError, "cannot wait for %R", item);
    }
    if (!tuple)
        return NULL;
    deadline = timeout_ns == CWS_FOREVER ? CWS_FOREVER : py_deadline_after(timeout_ns);
    while (r == 0)
        r = wait_round(tuple, (size_t)wanted, deadline);
    return r < 0 ? NULL : flags_of(tuple);
}

static PyObject *core_set_service_dir(PyObject *module, PyObject *dir)
{
    const char *s = py_arg_utf8(dir, "service directory");

    if (!s)
        return NULL;
    if (cws_set_service_dir(s) < 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* settle(seconds): before the program ends, what its cancelled starts made is stopped; without any, nothing happens */
static PyObject *core_settle(PyObject *module, PyObject *seconds)
{
    struct core_state *st = core_state_of_module(module);
    cws_error *error = NULL;
    uint64_t timeout_ns;
    PyObject *ref CLEANUP_PY = NULL;

    int n_closed = py_await_drop_closed(st);
    if (n_closed < 0)
        return NULL;
    if (n_closed > 0)
        (void)PyGC_Collect(); /* a task and what it waits for are a cycle */
    if (!st->abandoned)
        Py_RETURN_NONE;
    if (py_arg_seconds(seconds, "seconds", NS_PER_S, 0, &timeout_ns) < 0)
        return NULL;
    ref = py_ref_new(st, &py_ref_none, cws_client_settle(NULL, &error), NULL, &error);
    if (!ref || py_ref_wait((struct py_ref *)ref, timeout_ns) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef py_client_functions[] = {
    {"list_sandboxes", core_list, METH_VARARGS, NULL},
    {"from_id", core_from_id, METH_VARARGS, NULL},
    {"delete", core_delete, METH_VARARGS, NULL},
    {"derive", core_derive, METH_VARARGS, NULL},
    {"gather", core_gather, METH_VARARGS, NULL},
    {"resolved", core_resolved, METH_O, NULL},
    {"failed", core_failed, METH_O, NULL},
    {"failed_reader", core_failed_reader, METH_O, NULL},
    {"cancel", core_cancel, METH_O, NULL},
    {"is_done", core_is_done, METH_O, NULL},
    {"settle", core_settle, METH_O, NULL},
    {"wait", core_wait, METH_VARARGS, NULL},
    {"set_service_dir", core_set_service_dir, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
