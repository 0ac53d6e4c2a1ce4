/*
 * StreamReader: what a command, a log or a file sends, as str or bytes; a one-shot iterator and
 * async iterator.
 *
 * Items are chunks as they arrived. Text is decoded incrementally: a character that was split
 * between two chunks comes out whole in the later one. Several consumers may share a reader;
 * each chunk goes to one of them, the end to all.
 */
#include "objects.h"

PyObject *py_reader_new(struct core_state *st, cws_reader *take_r, bool text,
                        bool owns_producer)
{
    PyObject *failure CLEANUP_PY = NULL;
    struct py_reader *self;

    if (!take_r && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception))
            return NULL;
        failure = py_errors_take();
    }
    self = (struct py_reader *)st->reader_type->tp_alloc(st->reader_type, 0);
    if (!self) {
        cws_reader_unref(take_r);
        return NULL;
    }
    self->reader = take_r;
    self->error = TAKE_PTR(failure);
    self->text = text;
    self->owns_producer = owns_producer;
    return (PyObject *)self;
}

/* ---- decoding ---- */

/* Appends @size bytes to what was carried over; keeps an incomplete last character unless
 * @final. */
static PyObject *decode(struct py_reader *r, const uint8_t *data, size_t size, bool final)
{
    size_t total = r->n_carry + size;
    Py_ssize_t used = (Py_ssize_t)total;
    char *joined = NULL;
    const char *from = (const char *)data;
    PyObject *text;

    if (r->n_carry) {
        joined = PyMem_Malloc(total);
        if (!joined)
            return PyErr_NoMemory();
        memcpy(joined, r->carry, r->n_carry);
        if (size)
            memcpy(joined + r->n_carry, data, size);
        from = joined;
    }
    text =
        PyUnicode_DecodeUTF8Stateful(from, (Py_ssize_t)total, "replace", final ? NULL : &used);
    if (text) {
        r->n_carry =
            (uint8_t)(total - (size_t)used); /* an incomplete character: at most 3 bytes */
        memmove(r->carry, from + used, r->n_carry);
    }
    PyMem_Free(joined);
    return text;
}

/* READER_PENDING: the chunk held only part of a character. */
static enum reader_step item_of(struct py_reader *r, cws_chunk *take_chunk, PyObject **ret)
{
    PyObject *item = r->text ? decode(r, take_chunk->data, take_chunk->size, false)
                             : py_new_bytes(take_chunk->data, take_chunk->size);

    cws_chunk_release(take_chunk);
    if (!item)
        return READER_RAISED;
    if (r->text && PyUnicode_GET_LENGTH(item) == 0) {
        Py_DECREF(item);
        return READER_PENDING;
    }
    *ret = item;
    return READER_ITEM;
}

/* The end of the stream may still owe the replacement of a character that was never finished.
 */
static enum reader_step end_of(struct py_reader *r, PyObject **ret)
{
    if (r->n_carry && !r->ended) {
        *ret = decode(r, NULL, 0, true);
        return *ret ? READER_ITEM : READER_RAISED;
    }
    r->ended = true;
    return READER_END;
}

static enum reader_step raise_stored(struct py_reader *r)
{
    PyObject *error CLEANUP_PY = TAKE_PTR(r->error);

    r->ended = true;
    py_errors_reraise(error);
    return READER_RAISED;
}

/* Handles what cws_reader_read() said; READER_PENDING means: ask again. */
static enum reader_step step_of(struct core_state *st, struct py_reader *r,
                                cws_read_result result, cws_chunk *take_chunk,
                                const cws_error *error, PyObject **ret)
{
    PyObject *exc CLEANUP_PY = NULL;

    switch (result) {
    case CWS_READ_DATA:
        if (r->closed) { /* while this thread was waiting */
            cws_chunk_release(take_chunk);
            return READER_END;
        }
        return item_of(r, take_chunk, ret);
    case CWS_READ_END:
        return end_of(r, ret);
    case CWS_READ_ERROR:
        exc = py_errors_make(st, error);
        if (exc) {
            r->ended = true;
            PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        }
        return READER_RAISED;
    case CWS_READ_TIMEOUT:
        return READER_PENDING;
    case CWS_READ_INTERRUPTED:
        return PyErr_CheckSignals() < 0 ? READER_RAISED : READER_PENDING;
    }
    Py_UNREACHABLE();
}

enum reader_step py_reader_try(struct core_state *st, struct py_reader *r, PyObject **ret)
{
    for (;;) {
        cws_chunk chunk = {0};
        const cws_error *error = NULL;
        cws_read_result result;
        enum reader_step step;

        if (r->error)
            return raise_stored(r);
        if (!r->reader || r->ended)
            return READER_END;
        result = cws_reader_read(r->reader, 0, &chunk, &error);
        step = step_of(st, r, result, &chunk, error, ret);
        if (step != READER_PENDING || result == CWS_READ_TIMEOUT)
            return step;
    }
}

/* ---- sync iteration ---- */

static PyObject *reader_next(PyObject *self)
{
    struct core_state *st = core_state(self);
    struct py_reader *r = (struct py_reader *)self;
    PyObject *item = NULL;
    enum reader_step step;

    if (!st)
        return NULL;
    /* First without releasing the GIL: taking and decoding a chunk that is there is then one
     * step. */
    step = py_reader_try(st, r, &item);
    while (step == READER_PENDING) {
        cws_chunk chunk = {0};
        const cws_error *error = NULL;
        cws_read_result result;
        cws_reader *reader = cws_reader_ref(r->reader);

        Py_BEGIN_ALLOW_THREADS result = cws_reader_read(reader, CWS_FOREVER, &chunk, &error);
        Py_END_ALLOW_THREADS step = step_of(st, r, result, &chunk, error, &item);
        cws_reader_unref(reader);
    }
    return step == READER_ITEM ? item
                               : NULL; /* the end: NULL without an exception is StopIteration */
}

static PyObject *reader_close(PyObject *self, PyObject *unused)
{
    struct py_reader *r = (struct py_reader *)self;

    r->ended = r->closed = true;
    r->n_carry = 0;
    Py_CLEAR(r->error);
    if (r->reader)
        cws_reader_close(r->reader);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static int reader_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct py_reader *)self)->error);
    return 0;
}

static int reader_clear(PyObject *self)
{
    Py_CLEAR(((struct py_reader *)self)->error);
    return 0;
}

static void reader_dealloc(PyObject *self)
{
    struct py_reader *r = (struct py_reader *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (r->weakrefs)
        PyObject_ClearWeakRefs(self);
    (void)reader_clear(self);
    py_await_orphan_drop(r);
    if (r->reader && r->owns_producer)
        cws_reader_close(r->reader); /* nobody can read on: end the transfer */
    cws_reader_unref(r->reader);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Drop what has not been read and end every iteration. Ends a log, file "
                        "or terminal stream;\n"
                        "a command whose output is closed goes on. May be called again.");

static PyMethodDef reader_methods[] = {
    {"close", reader_close, METH_NOARGS, close_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef reader_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_reader, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(reader_doc,
             "A one-shot stream: `for chunk in reader` or `async for chunk in reader`.\n\n"
             "Items are str or bytes, in chunks as they arrived. A failure of the stream "
             "itself is raised\n"
             "once by the iteration; a failure of a command is raised by its result().");

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, (void *)reader_doc},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_traverse, reader_traverse},
    {Py_tp_clear, reader_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, reader_next},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, py_await_reader},
    {Py_tp_methods, reader_methods},
    {Py_tp_members, reader_members},
    {0, NULL},
};

static PyType_Spec reader_type_spec = {
    .name = "cwsandbox.StreamReader",
    .basicsize = sizeof(struct py_reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = reader_slots,
};

int py_reader_init(PyObject *module, struct core_state *st)
{
    st->reader_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &reader_type_spec, NULL);
    return st->reader_type ? PyModule_AddType(module, st->reader_type) : -1;
}
