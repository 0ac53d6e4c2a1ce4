/*
 * PortForward: a port of a sandbox on this machine's loopback. Made with its handle, so that a handle which nobody collects
 * closes it when it goes.
 */
#include "args.h"
#include "objects.h"

#include <structmember.h>

struct py_forward {
    PyObject ob_base; /* PyObject_HEAD */
    cws_op *op;
    int remote_port;
    bool closed;
    PyObject *weakrefs;
};

/* 0..65535; -1 with TypeError or ValueError. */
static int port_arg(PyObject *o, const char *name, int min)
{
    long n = PyLong_Check(o) && !PyBool_Check(o) ? PyLong_AsLong(o) : -1;

    if (!PyLong_Check(o) || PyBool_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %s", name, Py_TYPE(o)->tp_name);
        return -1;
    }
    if (n < min || n > UINT16_MAX) { /* also what does not fit a long */
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s must be %d to 65535", name, min);
        return -1;
    }
    return (int)n;
}

static PyObject *forward_new(struct core_state *st, cws_op *op, int remote_port)
{
    struct py_forward *self =
        (struct py_forward *)st->forward_type->tp_alloc(st->forward_type, 0);

    if (!self)
        return NULL;
    self->op = cws_op_ref(op);
    self->remote_port = remote_port;
    return (PyObject *)self;
}

static cws_op *begin(struct core_state *st, PyObject *sandbox, PyObject *const *out,
                     PyObject **ret_forward, cws_error **error)
{
    cws_forward_options options = {0};
    int port = port_arg(out[0], "port", 1);
    int local = port < 0 ? -1 : arg_given(out[1]) ? port_arg(out[1], "local_port", 0) : 0;
    cws_sandbox *sb = local < 0 ? NULL : py_sandbox_handle(st, sandbox);
    cws_op *op;

    if (!sb)
        return NULL;
    options.local_port = (uint16_t)local;
    op = cws_sandbox_forward(sb, (uint16_t)port, &options, error);
    *ret_forward = op ? forward_new(st, op, port) : NULL;
    if (!op || *ret_forward)
        return op;
    cws_forward_close(op); /* no memory */
    cws_op_unref(op);
    return NULL;
}

PyObject *py_sandbox_forward(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                             PyObject *kwnames)
{
    static const char *const names[] = {"port", "local_port"};
    static const struct arg_spec spec = {"forward", names, 2, 1, 1};
    struct core_state *st = core_state(self);
    PyObject *out[2], *forward CLEANUP_PY = NULL;
    cws_error *error = NULL;
    cws_op *op;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0)
        return NULL;
    op = begin(st, self, out, &forward, &error);
    return py_ref_new(st, &py_ref_object, op, forward, &error);
}

static PyObject *forward_close(PyObject *self, PyObject *unused)
{
    struct py_forward *f = (struct py_forward *)self;

    f->closed = true;
    cws_forward_close(f->op);
    Py_RETURN_NONE;
}

static PyObject *forward_enter(PyObject *self, PyObject *unused)
{
    return Py_NewRef(self);
}

static PyObject *forward_exit(PyObject *self, PyObject *args)
{
    return forward_close(self, NULL);
}

static PyObject *get_host(PyObject *self, void *unused)
{
    return PyUnicode_FromString("127.0.0.1");
}

static PyObject *get_port(PyObject *self, void *unused)
{
    return PyLong_FromLong(cws_op_int(((struct py_forward *)self)->op));
}

static PyObject *get_remote_port(PyObject *self, void *unused)
{
    return PyLong_FromLong(((struct py_forward *)self)->remote_port);
}

static PyObject *get_closed(PyObject *self, void *unused)
{
    return PyBool_FromLong(((struct py_forward *)self)->closed);
}

static PyObject *forward_repr(PyObject *self)
{
    struct py_forward *f = (struct py_forward *)self;

    return PyUnicode_FromFormat("<PortForward 127.0.0.1:%d to port %d%s>", cws_op_int(f->op),
                                f->remote_port, f->closed ? ", closed" : "");
}

static int forward_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void forward_dealloc(PyObject *self)
{
    struct py_forward *f = (struct py_forward *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (f->weakrefs)
        PyObject_ClearWeakRefs(self);
    if (f->op)
        cws_forward_close(f->op);
    cws_op_unref(f->op);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    forward_doc,
    "A port of a sandbox on this machine's loopback, from Sandbox.forward().\n\n"
    "Connections to (host, port) reach remote_port in the sandbox until close(), the end "
    "of a with\n"
    "block, or until this object goes.");
PyDoc_STRVAR(forward_close_doc,
             "close($self, /)\n--\n\n"
             "Stop listening and reset the connections. May be called again.");

static PyMethodDef forward_methods[] = {
    {"close", forward_close, METH_NOARGS, forward_close_doc},
    {"__enter__", forward_enter, METH_NOARGS, NULL},
    {"__exit__", forward_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef forward_getset[] = {
    {"host", get_host, NULL, "str: where it listens here, 127.0.0.1", NULL},
    {"port", get_port, NULL, "int: where it listens here", NULL},
    {"remote_port", get_remote_port, NULL, "int: the port in the sandbox", NULL},
    {"closed", get_closed, NULL, "bool: close() was called", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef forward_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_forward, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot forward_slots[] = {
    {Py_tp_doc, (void *)forward_doc},   {Py_tp_dealloc, forward_dealloc},
    {Py_tp_traverse, forward_traverse}, {Py_tp_repr, forward_repr},
    {Py_tp_methods, forward_methods},   {Py_tp_getset, forward_getset},
    {Py_tp_members, forward_members},   {0, NULL},
};

static PyType_Spec forward_type_spec = {
    .name = "cwsandbox.PortForward",
    .basicsize = sizeof(struct py_forward),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = forward_slots,
};

int py_forward_init(PyObject *module, struct core_state *st)
{
    st->forward_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &forward_type_spec, NULL);
    return st->forward_type ? PyModule_AddType(module, st->forward_type) : -1;
}
