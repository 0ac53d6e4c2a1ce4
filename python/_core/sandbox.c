/*
 * The sandbox type below cwsandbox.Sandbox: lifecycle. Exec, files and logs are in
 * sandbox-io.c, cached facts in sandbox-props.c; keyword arguments, defaults and everything
 * that is policy live in Python.
 *
 * A sandbox opens late: constructing one checks its arguments, the first operation calls
 * _open() of the Python class, which hands over target and options with _attach(). So
 * credentials are read, and wire-level errors are raised, when the sandbox starts, as
 * with the published client.
 */
#include "objects.h"

cws_sandbox *py_sandbox_handle(struct core_state *st, PyObject *self)
{
    struct py_sandbox *sandbox = (struct py_sandbox *)self;
    PyObject *ignored CLEANUP_PY = NULL;

    sandbox->n_uses++;
    if (sandbox->sb)
        return sandbox->sb;
    ignored = PyObject_CallMethodNoArgs(self, st->s_open);
    if (ignored && !sandbox->sb)
        PyErr_SetString(PyExc_RuntimeError, "_open() did not attach the sandbox");
    return ignored ? sandbox->sb : NULL;
}

/* All that was begun with it were starts that nobody waits for any more. */
static bool is_unwanted(const struct py_sandbox *sandbox)
{
    return sandbox->sb && sandbox->abandoned && sandbox->n_uses == 0;
}

static void stop_unwanted(struct py_sandbox *sandbox)
{
    if (is_unwanted(sandbox))
        cws_op_unref(cws_sandbox_stop(sandbox->sb, 0, 1, NULL)); /* else its lifetime ends it */
}

void py_sandbox_disown(struct core_state *st, PyObject *self, bool was_done)
{
    struct py_sandbox *sandbox = (struct py_sandbox *)self;

    if (sandbox->n_uses > 0)
        sandbox->n_uses--;
    st->abandoned = sandbox->abandoned = true;
    if (was_done)
        stop_unwanted(sandbox);
}

PyObject *py_sandbox_wrap(struct core_state *st, PyObject *cls, cws_sandbox *sb)
{
    PyTypeObject *type = (PyTypeObject *)cls;
    struct py_sandbox *self;

    if (!PyType_Check(cls) || !PyType_IsSubtype(type, st->sandbox_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a subclass of the sandbox type");
        return NULL;
    }
    self = (struct py_sandbox *)type->tp_alloc(type, 0);
    if (self) {
        self->sb = cws_sandbox_ref(sb);
        self->request_timeout_ns = DEFAULT_REQUEST_TIMEOUT_NS;
    }
    return (PyObject *)self;
}

static PyObject *sandbox_value(struct core_state *st, struct py_ref *self)
{
    return py_sandbox_wrap(st, self->subject, cws_op_sandbox(self->op, 0));
}

static PyObject *sandboxes_value(struct core_state *st, struct py_ref *self)
{
    size_t n = cws_op_n_sandboxes(self->op);
    PyObject *list CLEANUP_PY = PyList_New((Py_ssize_t)n);

    if (!list)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        PyObject *sb = py_sandbox_wrap(st, self->subject, cws_op_sandbox(self->op, i));

        if (!sb)
            return NULL;
        PyList_SET_ITEM(list, (Py_ssize_t)i, sb);
    }
    return TAKE_PTR(list);
}

const struct py_ref_class py_ref_sandbox = {.value = sandbox_value};
const struct py_ref_class py_ref_sandboxes = {.value = sandboxes_value};

static PyObject *sandbox_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct py_sandbox *self = (struct py_sandbox *)type->tp_alloc(type, 0);

    if (self)
        self->request_timeout_ns = DEFAULT_REQUEST_TIMEOUT_NS;
    return (PyObject *)self;
}

/* _attach(target, options): what _open() ends with. Two threads may race; the first wins. */
static PyObject *sandbox_attach(PyObject *o, PyObject *const *args, Py_ssize_t n_args)
{
    struct core_state *st = core_state(o);
    struct py_sandbox *self = (struct py_sandbox *)o;
    cws_error *error = NULL;

    if (!st)
        return NULL;
    if (n_args != 2 || !Py_IS_TYPE(args[0], st->target_type) ||
        !Py_IS_TYPE(args[1], st->options_type)) {
        PyErr_SetString(PyExc_TypeError, "_attach() takes a Target and Options");
        return NULL;
    }
    if (!self->sb) {
        self->sb = cws_sandbox_new(NULL, ((struct py_target *)args[0])->target,
                                   ((struct py_options *)args[1])->options, &error);
        if (!self->sb)
            return py_errors_raise(st, error);
    }
    Py_RETURN_NONE;
}

static PyObject *sandbox_set_request_timeout(PyObject *self, PyObject *seconds)
{
    if (py_arg_seconds(seconds, "request_timeout_seconds", DEFAULT_REQUEST_TIMEOUT_NS,
                       DEFAULT_REQUEST_TIMEOUT_NS,
                       &((struct py_sandbox *)self)->request_timeout_ns) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* _set_times(request, retry_budget, poll_rpc): of a sandbox that was found; None = the default */
static PyObject *sandbox_set_times(PyObject *o, PyObject *args)
{
    struct py_sandbox *self = (struct py_sandbox *)o;
    PyObject *request, *budget, *rpc;
    uint64_t budget_ns, rpc_ns;

    if (!PyArg_ParseTuple(args, "OOO:_set_times", &request, &budget, &rpc) ||
        py_arg_seconds(request, "timeout_seconds", DEFAULT_REQUEST_TIMEOUT_NS,
                       DEFAULT_REQUEST_TIMEOUT_NS, &self->request_timeout_ns) < 0 ||
        py_arg_seconds(budget, "poll_retry_budget_seconds", DEFAULT_RETRY_BUDGET_NS, 0,
                       &budget_ns) < 0 ||
        py_arg_seconds(rpc, "poll_rpc_timeout_seconds", CWS_DEFAULT_TIMEOUT, 1, &rpc_ns) < 0)
        return NULL;
    if (self->sb)
        cws_sandbox_set_times(self->sb, self->request_timeout_ns, budget_ns, rpc_ns);
    Py_RETURN_NONE;
}

/* _set_data_plane(number): of an opened one */
static PyObject *sandbox_set_data_plane(PyObject *self, PyObject *number)
{
    long mode = PyLong_AsLong(number);

    if (mode == -1 && PyErr_Occurred())
        return NULL;
    if (((struct py_sandbox *)self)->sb)
        cws_sandbox_set_data_plane(((struct py_sandbox *)self)->sb, (cws_data_plane)mode);
    Py_RETURN_NONE;
}

/* ---- operations ---- */

static PyObject *sandbox_start(PyObject *self, PyObject *unused)
{
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    cws_sandbox *sb;

    if (!st)
        return NULL;
    sb = py_sandbox_handle(st, self);
    return py_ref_as_start(
        st,
        py_ref_new(st, &py_ref_none, sb ? cws_sandbox_start(sb, &error) : NULL, self, &error));
}

/* A handle that resolves to the sandbox itself. */
static PyObject *running_ref(struct core_state *st, PyObject *self, uint64_t timeout_ns)
{
    cws_sandbox *sb = py_sandbox_handle(st, self);
    cws_error *error = NULL;

    return py_ref_as_start(
        st,
        py_ref_new(st, &py_ref_object,
                   sb ? cws_sandbox_wait_running(sb, timeout_ns, &error) : NULL, self, &error));
}

static PyObject *wait_for_ref(struct core_state *st, PyObject *take_ref)
{
    PyObject *ref CLEANUP_PY = take_ref;

    if (!ref || py_ref_wait((struct py_ref *)ref, CWS_FOREVER) < 0)
        return NULL;
    return py_ref_collect(st, (struct py_ref *)ref, false);
}

static PyObject *sandbox_wait(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                              PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    static const struct arg_spec spec = {"wait", names, 1, 1, 0};
    struct core_state *st = core_state(self);
    PyObject *timeout;
    uint64_t timeout_ns;

    /* 0 would mean "the default" below; a nanosecond is as short as a wait gets */
    if (!st || py_args_unpack(&spec, args, n_args, kwnames, &timeout) < 0 ||
        py_arg_patience(timeout, ((struct py_sandbox *)self)->request_timeout_ns, 1,
                        &timeout_ns) < 0)
        return NULL;
    return wait_for_ref(st, running_ref(st, self, timeout_ns));
}

/* _running(): the handle behind `await sandbox` and cwsandbox.wait([sandbox]). */
static PyObject *sandbox_running(PyObject *self, PyObject *unused)
{
    struct core_state *st = core_state(self);

    return st ? running_ref(st, self, ((struct py_sandbox *)self)->request_timeout_ns) : NULL;
}

static PyObject *sandbox_await(PyObject *self)
{
    PyObject *ref CLEANUP_PY = sandbox_running(self, NULL);

    return ref ? py_await_ref(ref) : NULL;
}

static PyObject *sandbox_wait_until_complete(PyObject *self, PyObject *const *args,
                                             Py_ssize_t n_args, PyObject *kwnames)
{
    static const char *const names[] = {"timeout", "raise_on_termination"};
    static const struct arg_spec spec = {"wait_until_complete", names, 2, 1, 0};
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    PyObject *out[2];
    uint64_t timeout_ns;
    cws_sandbox *sb;
    int raise;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0 ||
        py_arg_patience(out[0], ((struct py_sandbox *)self)->request_timeout_ns, 1,
                        &timeout_ns) < 0)
        return NULL;
    raise = out[1] ? PyObject_IsTrue(out[1]) : 1;
    if (raise < 0)
        return NULL;
    sb = py_sandbox_handle(st, self);
    return py_ref_new(st, &py_ref_object,
                      sb ? cws_sandbox_wait_complete(sb, timeout_ns, raise, &error) : NULL,
                      self, &error);
}

static PyObject *sandbox_get_status(PyObject *self, PyObject *unused)
{
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    cws_sandbox *sb;

    if (!st)
        return NULL;
    sb = py_sandbox_handle(st, self);
    return wait_for_ref(st, py_ref_new(st, &py_ref_status,
                                       sb ? cws_sandbox_get_status(sb, &error) : NULL, NULL,
                                       &error));
}

/* The last three of _stop(): (snapshot, wait_for_ready, request_id or None). */
static int stop_snapshot_args(PyObject *const *args, cws_stop_options *options)
{
    int wait;

    options->snapshot = PyObject_IsTrue(args[0]);
    wait = PyObject_IsTrue(args[1]);
    if (options->snapshot < 0 || wait < 0)
        return -1;
    options->no_wait_ready = !wait;
    if (args[2] != Py_None)
        options->request_id = py_arg_utf8(args[2], "request_id");
    return args[2] != Py_None && !options->request_id ? -1 : 0;
}

/* _stop(grace_seconds, missing_ok[, snapshot, wait_for_ready, request_id]) */
static PyObject *sandbox_stop(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    struct core_state *st = core_state(self);
    cws_stop_options options = {0};
    cws_error *error = NULL;
    cws_sandbox *sb;

    if (!st)
        return NULL;
    if (n_args != 2 && n_args != 5) {
        PyErr_SetString(PyExc_TypeError, "_stop() takes 2 or 5 arguments");
        return NULL;
    }
    options.missing_ok = PyObject_IsTrue(args[1]);
    if (options.missing_ok < 0 ||
        py_arg_seconds(args[0], "graceful_shutdown_seconds", CWS_DEFAULT_GRACE_NS, 0,
                       &options.grace_ns) < 0 ||
        (n_args == 5 && stop_snapshot_args(args + 2, &options) < 0))
        return NULL;
    sb = py_sandbox_handle(st, self);
    return py_ref_new(st, &py_ref_none, sb ? cws_sandbox_stop_with(sb, &options, &error) : NULL,
                      NULL, &error);
}

/* _snapshot(wait_for_ready, request_id or None): resolves to the id as bytes */
static PyObject *sandbox_snapshot(PyObject *self, PyObject *args)
{
    struct core_state *st = core_state(self);
    struct arg_text request_id = {"request_id", .optional = true};
    cws_snapshot_options options = {0};
    cws_error *error = NULL;
    cws_sandbox *sb;
    PyObject *budget;
    int wait;

    if (!st ||
        !PyArg_ParseTuple(args, "pO&O:_snapshot", &wait, py_arg_text, &request_id, &budget) ||
        py_arg_seconds(budget, "retry_budget_seconds", 0, 0, &options.retry_budget_ns) < 0)
        return NULL;
    options.request_id = request_id.text;
    options.no_wait_ready = !wait;
    options.has_retry_budget = budget != Py_None;
    sb = py_sandbox_handle(st, self);
    return py_ref_new(st, &py_ref_bytes,
                      sb ? cws_sandbox_snapshot_with(sb, &options, &error) : NULL, NULL,
                      &error);
}

/* ---- the type ---- */

static int sandbox_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* A sandbox that may still be running somewhere and that nobody can stop through this object
 * any more. */
static void sandbox_finalize(PyObject *self)
{
    struct py_sandbox *sandbox = (struct py_sandbox *)self;
    PyObject *saved = py_errors_take();
    cws_status status;

    if (sandbox->sb && !is_unwanted(sandbox) && cws_sandbox_status(sandbox->sb, &status) &&
        status != CWS_STATUS_COMPLETED && status != CWS_STATUS_FAILED &&
        status != CWS_STATUS_TERMINATED) {
        char *id = cws_sandbox_id(sandbox->sb);

        if (id &&
            PyErr_ResourceWarning(self, 1, "sandbox %s was not stopped; use `with` or stop()",
                                  id) < 0 &&
            PyErr_ExceptionMatches(PyExc_Warning))
            PyErr_WriteUnraisable(self);
        free(id);
        PyErr_Clear();
    }
    py_errors_restore(saved);
}

static void sandbox_dealloc(PyObject *self)
{
    struct py_sandbox *sandbox = (struct py_sandbox *)self;
    PyTypeObject *type = Py_TYPE(self);

    if (PyObject_CallFinalizerFromDealloc(self) < 0)
        return; /* a warning filter kept it alive */
    PyObject_GC_UnTrack(self);
    if (sandbox->weakrefs)
        PyObject_ClearWeakRefs(self);
    stop_unwanted(sandbox);
    cws_sandbox_unref(sandbox->sb);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(start_doc, "start($self, /)\n--\n\n"
                        "Create the sandbox. The handle is done when the service accepted it "
                        "(sandbox_id is known), not\n"
                        "when it runs. Calling it again returns the same start.");
PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Block until the sandbox is RUNNING (starting it if needed) and return it.\n\n"
             "timeout: seconds, default request_timeout_seconds (300).\n"
             "Raises SandboxFailedError, SandboxTerminatedError, SandboxTimeoutError. In async "
             "code: await sandbox.");
PyDoc_STRVAR(
    complete_doc,
    "wait_until_complete($self, /, timeout=None, *, raise_on_termination=True)\n--\n\n"
    "Handle that resolves to the sandbox when its main process has ended.\n\n"
    "timeout: seconds, default request_timeout_seconds (300); then SandboxTimeoutError. "
    "FAILED raises\n"
    "SandboxFailedError; TERMINATED raises SandboxTerminatedError unless "
    "raise_on_termination is False.");
PyDoc_STRVAR(status_doc, "get_status($self, /)\n--\n\n"
                         "Ask the service for the status (blocks, poll_rpc_timeout_seconds at "
                         "most).\n\n"
                         "A final status is known and not asked for again. "
                         "SandboxNotRunningError: it was never started.\n"
                         "SandboxNotFoundError, SandboxUnavailableError, "
                         "SandboxRequestTimeoutError: not retried.");

static PyMethodDef lifecycle_methods[] = {
    {"start", sandbox_start, METH_NOARGS, start_doc},
    {"wait", (PyCFunction)(void (*)(void))sandbox_wait, METH_FASTCALL | METH_KEYWORDS,
     wait_doc},
    {"wait_until_complete", (PyCFunction)(void (*)(void))sandbox_wait_until_complete,
     METH_FASTCALL | METH_KEYWORDS, complete_doc},
    {"get_status", sandbox_get_status, METH_NOARGS, status_doc},
    {"_running", sandbox_running, METH_NOARGS, NULL},
    {"_stop", (PyCFunction)(void (*)(void))sandbox_stop, METH_FASTCALL, NULL},
    {"_snapshot", sandbox_snapshot, METH_VARARGS, NULL},
    {"_attach", (PyCFunction)(void (*)(void))sandbox_attach, METH_FASTCALL, NULL},
    {"_set_request_timeout", sandbox_set_request_timeout, METH_O, NULL},
    {"_set_data_plane", sandbox_set_data_plane, METH_O, NULL},
    {"_set_times", sandbox_set_times, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef sandbox_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_sandbox, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot sandbox_slots[] = {
    {Py_tp_new, sandbox_tp_new},
    {Py_tp_dealloc, sandbox_dealloc},
    {Py_tp_finalize, sandbox_finalize},
    {Py_tp_traverse, sandbox_traverse},
    {Py_am_await, sandbox_await},
    {Py_tp_methods, lifecycle_methods},
    {Py_tp_getset, py_sandbox_properties},
    {Py_tp_members, sandbox_members},
    {0, NULL},
};

/* Not IMMUTABLETYPE: the methods of sandbox-io.c are added below. */
static PyType_Spec sandbox_type_spec = {
    .name = "cwsandbox._core.SandboxBase",
    .basicsize = sizeof(struct py_sandbox),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = sandbox_slots,
};

static int add_methods(PyTypeObject *type, PyMethodDef *methods)
{
    for (PyMethodDef *m = methods; m->ml_name; m++) {
        PyObject *descriptor CLEANUP_PY = PyDescr_NewMethod(type, m);

        if (!descriptor || PyObject_SetAttrString((PyObject *)type, m->ml_name, descriptor) < 0)
            return -1;
    }
    return 0;
}

int py_sandbox_init(PyObject *module, struct core_state *st)
{
    st->sandbox_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &sandbox_type_spec, NULL);
    if (!st->sandbox_type || add_methods(st->sandbox_type, py_sandbox_io_methods) < 0 ||
        add_methods(st->sandbox_type, py_sandbox_files_methods) < 0)
        return -1;
    return PyModule_AddType(module, st->sandbox_type);
}
