/*
 * StreamWriter: the standard input of a command. Each call returns a handle that is done when
 * the data is queued, which is the back-pressure; calls keep their order whether or not their
 * handles are waited for.
 */
#include "objects.h"

#define WRITER_QUEUE_SIZE 16 /* as the published client; enforced by libcwsandbox */

PyObject *py_writer_new(struct core_state *st, cws_writer *take_w)
{
    struct py_writer *self = (struct py_writer *)st->writer_type->tp_alloc(st->writer_type, 0);

    if (self)
        self->writer = take_w;
    else
        cws_writer_unref(take_w);
    return (PyObject *)self;
}

static PyObject *write_bytes(struct core_state *st, struct py_writer *self, const void *data,
                             size_t size)
{
    cws_error *error = NULL;
    cws_op *op = cws_writer_write(self->writer, data, size, &error);

    return op ? py_ref_new(st, &py_ref_none, op, NULL, NULL)
              : py_errors_raise(st, error); /* closed, failed: at once */
}

static PyObject *writer_write(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                              PyObject *kwnames)
{
    static const char *const names[] = {"data"};
    static const struct arg_spec spec = {"write", names, 1, 1, 1};
    struct core_state *st = core_state(self);
    PyObject *data, *ref;
    Py_buffer view;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, &data) < 0 ||
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    ref = write_bytes(st, (struct py_writer *)self, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return ref;
}

static PyObject *writer_writeline(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                  PyObject *kwnames)
{
    static const char *const names[] = {"text", "encoding"};
    static const struct arg_spec spec = {"writeline", names, 2, 2, 1};
    struct core_state *st = core_state(self);
    PyObject *out[2], *line CLEANUP_PY = NULL, *data CLEANUP_PY = NULL;
    const char *encoding = "utf-8";

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0)
        return NULL;
    if (!PyUnicode_Check(out[0])) {
        PyErr_Format(PyExc_TypeError, "writeline() takes a str, not %.100s",
                     Py_TYPE(out[0])->tp_name);
        return NULL;
    }
    if (out[1]) {
        encoding = py_arg_utf8(out[1], "encoding");
        if (!encoding)
            return NULL;
    }
    line = PyUnicode_FromFormat("%U\n", out[0]);
    data = line ? PyUnicode_AsEncodedString(line, encoding, NULL) : NULL;
    if (!data)
        return NULL;
    return write_bytes(st, (struct py_writer *)self, PyBytes_AS_STRING(data),
                       (size_t)PyBytes_GET_SIZE(data));
}

static PyObject *writer_close(PyObject *self, PyObject *unused)
{
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    cws_op *op;

    if (!st)
        return NULL;
    op = cws_writer_close(((struct py_writer *)self)->writer, &error);
    return py_ref_new(st, &py_ref_none, op, NULL, &error);
}

static PyObject *get_closed(PyObject *self, void *closure)
{
    return PyBool_FromLong(cws_writer_closed(((struct py_writer *)self)->writer));
}

static int writer_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void writer_dealloc(PyObject *self)
{
    struct py_writer *w = (struct py_writer *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (w->weakrefs)
        PyObject_ClearWeakRefs(self);
    cws_writer_unref(w->writer);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    write_doc,
    "write($self, /, data)\n--\n\n"
    "Queue bytes. The handle is done once they are queued (at most 16 writes wait at a time).\n"
    "SandboxExecutionError at once when the stream is closed or has failed.");
PyDoc_STRVAR(
    writeline_doc,
    "writeline($self, /, text, encoding='utf-8')\n--\n\nQueue a line: text plus a newline.");
PyDoc_STRVAR(writer_close_doc, "close($self, /)\n--\n\n"
                               "Send end-of-file behind what is queued. May be called again.");

static PyMethodDef writer_methods[] = {
    {"write", (PyCFunction)(void (*)(void))writer_write, METH_FASTCALL | METH_KEYWORDS,
     write_doc},
    {"writeline", (PyCFunction)(void (*)(void))writer_writeline, METH_FASTCALL | METH_KEYWORDS,
     writeline_doc},
    {"close", writer_close, METH_NOARGS, writer_close_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef writer_getset[] = {
    {"closed", get_closed, NULL, "bool: close() was called", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef writer_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_writer, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(writer_doc,
             "The standard input of a command. Writes are sent in the order of the calls.");

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, (void *)writer_doc},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_traverse, writer_traverse},
    {Py_tp_methods, writer_methods},
    {Py_tp_getset, writer_getset},
    {Py_tp_members, writer_members},
    {0, NULL},
};

/* Not IMMUTABLETYPE: QUEUE_SIZE is set once below, on the finished type. */
static PyType_Spec writer_type_spec = {
    .name = "cwsandbox.StreamWriter",
    .basicsize = sizeof(struct py_writer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = writer_slots,
};

int py_writer_init(PyObject *module, struct core_state *st)
{
    PyObject *size CLEANUP_PY = PyLong_FromLong(WRITER_QUEUE_SIZE);

    st->writer_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &writer_type_spec, NULL);
    if (!st->writer_type || !size ||
        PyObject_SetAttrString((PyObject *)st->writer_type, "QUEUE_SIZE", size) < 0)
        return -1;
    return PyModule_AddType(module, st->writer_type);
}
