/*
 * Records of the library as dicts and back. Both ways follow the fields that the record itself
 * tells, so whatever the wire has can travel; which Python value becomes which field is said in
 * cwsandbox/_wire.py.
 */
#include "objects.h"

/* ---- dict to record ---- */

/* Where we are: the field that is set, and those around it. */
struct trail {
    const struct trail *up;
    const char *field;
};

/* Fields of the wire that are other words in Python. */
static const char *word_of(const char *field)
{
    static const char *const words[][2] = {{"files", "mounted_files"},
                                           {"resource_requirements", "resources"},
                                           {"secret_stores", "secrets"},
                                           {"store_name", "store"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(words[i][0], field) == 0)
            return words[i][1];
    }
    return field;
}

/* "containers.environment_variables.value", as much of it as there is room for. */
static size_t spell(const struct trail *at, char *out, size_t size)
{
    size_t n = at->up ? spell(at->up, out, size) : 0;

    if (n >= size)
        return n;
    return n + (size_t)snprintf(out + n, size - n, "%s%s", n ? "." : "", word_of(at->field));
}

static int set_value(cws_record *r, const struct trail *at, PyObject *value, cws_error **error);

static int set_fields(cws_record *r, const struct trail *up, PyObject *dict, cws_error **error)
{
    Py_ssize_t at = 0;
    PyObject *k, *v;

    if (!r)
        return -1;
    while (PyDict_Next(dict, &at, &k, &v)) {
        const char *name = py_arg_utf8(k, "field");

        if (!name || (v != Py_None && set_value(r, &(struct trail){up, name}, v, error) < 0))
            return -1;
    }
    return 0;
}

static int set_list(cws_record *r, const struct trail *at, PyObject *value, cws_error **error)
{
    PyObject *list CLEANUP_PY = PySequence_Fast(value, at->field);

    for (Py_ssize_t i = 0; list && i < PySequence_Fast_GET_SIZE(list); i++) {
        if (set_value(r, at, PySequence_Fast_GET_ITEM(list, i), error) < 0)
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

static int set_text(cws_record *r, const struct trail *at, PyObject *value, cws_error **error)
{
    char name[128];
    const char *text;

    (void)spell(at, name, sizeof(name));
    text = py_arg_utf8(value, name);
    return text ? cws_record_set_text(r, at->field, text, error) : -1;
}

static int set_value(cws_record *r, const struct trail *at, PyObject *value, cws_error **error)
{
    if (PyUnicode_Check(value))
        return set_text(r, at, value, error);
    if (PyLong_Check(value)) {
        long long n = PyLong_AsLongLong(value);

        return n == -1 && PyErr_Occurred() ? -1 : cws_record_set_int(r, at->field, n, error);
    }
    if (PyDict_Check(value))
        return set_fields(cws_record_add(r, at->field, error), at, value, error);
    if (PyObject_CheckBuffer(value))
        return set_bytes(r, at->field, value, error);
    return set_list(r, at, value, error);
}

int py_record_fill(cws_record *r, PyObject *dict, cws_error **error)
{
    if (!r)
        return -1;
    if (PyDict_Check(dict))
        return set_fields(r, NULL, dict, error);
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
