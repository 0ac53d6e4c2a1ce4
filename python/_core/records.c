/*
 * Records of the library as dicts and back. Both ways follow the fields that the record itself
 * tells, so whatever the wire has can travel; which Python value becomes which field is said in
 * cwsandbox/_wire.py.
 */
#include "objects.h"

/* ---- dict to record ---- */

static int set_value(cws_record *r, const char *field, PyObject *value, cws_error **error);

static int set_fields(cws_record *r, PyObject *dict, cws_error **error)
{
    Py_ssize_t at = 0;
    PyObject *k, *v;

    if (!r)
        return -1;
    while (PyDict_Next(dict, &at, &k, &v)) {
        const char *name = py_arg_utf8(k, "field");

        if (!name || (v != Py_None && set_value(r, name, v, error) < 0))
            return -1;
    }
    return 0;
}

static int set_list(cws_record *r, const char *field, PyObject *value, cws_error **error)
{
    PyObject *list CLEANUP_PY = PySequence_Fast(value, field);

    for (Py_ssize_t i = 0; list && i < PySequence_Fast_GET_SIZE(list); i++) {
        if (set_value(r, field, PySequence_Fast_GET_ITEM(list, i), error) < 0)
            return -1;
    }
    return list ? 0 : -1;
}

static int set_bytes(cws_record *r, const char *field, PyObject *value, cws_error **error)
{
    Py_buffer view;
    int result;

    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0)
        return -1;
    result = cws_record_set_bytes(r, field, view.buf, (size_t)view.len, error);
    PyBuffer_Release(&view);
    return result;
}

static int set_value(cws_record *r, const char *field, PyObject *value, cws_error **error)
{
    if (PyUnicode_Check(value)) {
        const char *text = py_arg_utf8(value, field);

        return text ? cws_record_set_text(r, field, text, error) : -1;
    }
    if (PyLong_Check(value)) {
        long long n = PyLong_AsLongLong(value);

        return n == -1 && PyErr_Occurred() ? -1 : cws_record_set_int(r, field, n, error);
    }
    if (PyDict_Check(value))
        return set_fields(cws_record_add(r, field, error), value, error);
    if (PyObject_CheckBuffer(value))
        return set_bytes(r, field, value, error);
    return set_list(r, field, value, error);
}

int py_record_fill(cws_record *r, PyObject *dict, cws_error **error)
{
    if (!r)
        return -1;
    if (PyDict_Check(dict))
        return set_fields(r, dict, error);
    PyErr_Format(PyExc_TypeError, "a dict is needed, not %.100s", Py_TYPE(dict)->tp_name);
    return -1;
}

/* ---- record to dict ---- */

static PyObject *text_of(const char *s)
{
    return PyUnicode_DecodeUTF8(s, (Py_ssize_t)strlen(s), "replace");
}

static PyObject *bytes_of(const cws_record *r, const char *field, size_t i)
{
    size_t n;
    const void *data = cws_record_bytes(r, field, i, &n);

    return PyBytes_FromStringAndSize(data, (Py_ssize_t)n);
}

static PyObject *value_of(const cws_record *r, const cws_field *f, size_t i)
{
    switch (f->kind) {
    case CWS_VALUE_INT:
    case CWS_VALUE_ENUM:
        return PyLong_FromLongLong(cws_record_int(r, f->name, i));
    case CWS_VALUE_BOOL:
        return PyBool_FromLong((long)cws_record_int(r, f->name, i));
    case CWS_VALUE_TEXT:
        return text_of(cws_record_text(r, f->name, i));
    case CWS_VALUE_BYTES:
        return bytes_of(r, f->name, i);
    case CWS_VALUE_RECORD:
        return py_record_dict(cws_record_record(r, f->name, i));
    }
    PyErr_SetString(PyExc_SystemError, "a kind of value that is not known");
    return NULL;
}

static PyObject *list_of(const cws_record *r, const cws_field *f)
{
    PyObject *list CLEANUP_PY = PyList_New((Py_ssize_t)f->n);

    for (size_t i = 0; list && i < f->n; i++) {
        PyObject *item = value_of(r, f, i);

        if (!item)
            return NULL;
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(list);
}

PyObject *py_record_dict(const cws_record *r)
{
    PyObject *dict CLEANUP_PY = PyDict_New();
    cws_field f;

    for (size_t i = 0; dict && cws_record_field(r, i, &f); i++) {
        PyObject *value CLEANUP_PY = NULL;

        if (f.n == 0)
            continue;
        value = f.repeated ? list_of(r, &f) : value_of(r, &f, 0);
        if (!value || PyDict_SetItemString(dict, f.name, value) < 0)
            return NULL;
    }
    return TAKE_PTR(dict);
}
