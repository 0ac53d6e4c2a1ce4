/*
 * See args.h. CPython has no public parser for METH_FASTCALL | METH_KEYWORDS, hence
 * py_args_unpack().
 */
#include "args.h"

#include <math.h>
#include <time.h>

/* About 31 years; longer means for ever, and the nanoseconds of this still fit. */
#define TIMEOUT_MAX_S 1e9

static int find_name(const struct arg_spec *spec, PyObject *name)
{
    for (int i = 0; i < spec->n; i++) {
        if (PyUnicode_CompareWithASCIIString(name, spec->names[i]) == 0)
            return i;
    }
    return -1;
}

static int unpack_keywords(const struct arg_spec *spec, PyObject *const *values,
                           PyObject *kwnames, PyObject **out)
{
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(kwnames); k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        int i = find_name(spec, name);

        if (i < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                         spec->function, name);
            return -1;
        }
        if (out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                         spec->function, name);
            return -1;
        }
        out[i] = values[k];
    }
    return 0;
}

int py_args_unpack(const struct arg_spec *spec, PyObject *const *args, Py_ssize_t n_args,
                   PyObject *kwnames, PyObject **out)
{
    for (int i = 0; i < spec->n; i++)
        out[i] = i < n_args && i < spec->n_positional ? args[i] : NULL;
    if (n_args > spec->n_positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments (%zd given)",
                     spec->function, spec->n_positional, n_args);
        return -1;
    }
    if (kwnames && unpack_keywords(spec, args + n_args, kwnames, out) < 0)
        return -1;

    for (int i = 0; i < spec->n_required; i++) {
        if (!out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'",
                         spec->function, spec->names[i]);
            return -1;
        }
    }
    return 0;
}

/* @least: what is below it is refused, as NaN is. */
static int seconds_of(PyObject *o, const char *name, double least, uint64_t if_zero,
                      uint64_t *ret_ns)
{
    double seconds = PyFloat_AsDouble(o);

    if (seconds == -1.0 && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError, "%s must be a number of seconds, not %.100s", name,
                     Py_TYPE(o)->tp_name);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(seconds) || seconds < least) {
        PyErr_Format(PyExc_ValueError, "%s must be a non-negative number of seconds, not %R",
                     name, o);
        return -1;
    }

    if (seconds <= 0)
        *ret_ns = if_zero;
    else if (seconds > TIMEOUT_MAX_S)
        *ret_ns = CWS_FOREVER;
    else
        *ret_ns = (uint64_t)fmax(seconds * (double)NS_PER_S, 1);
    return 0;
}

int py_arg_seconds(PyObject *o, const char *name, uint64_t if_none, uint64_t if_zero,
                   uint64_t *ret_ns)
{
    if (arg_given(o))
        return seconds_of(o, name, 0, if_zero, ret_ns);
    *ret_ns = if_none;
    return 0;
}

int py_arg_patience(PyObject *o, uint64_t if_none, uint64_t if_zero, uint64_t *ret_ns)
{
    if (arg_given(o))
        return seconds_of(o, "timeout", -HUGE_VAL, if_zero, ret_ns);
    *ret_ns = if_none;
    return 0;
}

int py_arg_terminal_size(PyObject *o, const char *name, uint32_t *ret)
{
    long n;
    int overflow;

    n = PyLong_AsLongAndOverflow(o, &overflow);
    if (n == -1 && PyErr_Occurred())
        return -1;
    if (overflow || n < 0 || n > UINT16_MAX) {
        PyErr_Format(PyExc_ValueError, "%s must be between 0 and 65535, not %S", name, o);
        return -1;
    }
    *ret = (uint32_t)n;
    return 0;
}

/* An encoder knows no arguments. */
static void name_no_text(PyObject *o, const char *name)
{
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        PyErr_Format(PyExc_ValueError, "%s is no text: UTF-8 cannot hold %R", name, o);
}

PyObject *py_arg_utf8_bytes(PyObject *o, const char *name)
{
    PyObject *bytes = PyUnicode_AsUTF8String(o);

    if (!bytes)
        name_no_text(o, name);
    return bytes;
}

const char *py_arg_utf8(PyObject *o, const char *name)
{
    Py_ssize_t size;
    const char *s;

    if (!PyUnicode_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %.100s", name,
                     Py_TYPE(o)->tp_name);
        return NULL;
    }
    s = PyUnicode_AsUTF8AndSize(o, &size);
    if (!s)
        name_no_text(o, name);
    if (s && strlen(s) != (size_t)size) {
        PyErr_Format(PyExc_ValueError, "%s contains a NUL character", name);
        return NULL;
    }
    return s;
}

int py_arg_text(PyObject *o, void *text)
{
    struct arg_text *t = text;

    t->text = t->optional && o == Py_None ? NULL : py_arg_utf8(o, t->name);
    return t->text || !PyErr_Occurred();
}

const char *py_arg_path(PyObject *o, const char *name, PyObject **ret_owner)
{
    PyObject *bytes;

    if (PyBytes_Check(o))
        bytes = Py_NewRef(o);
    else if (PyUnicode_Check(o))
        bytes = PyUnicode_AsEncodedString(o, "utf-8", "surrogateescape");
    else
        bytes = PyErr_Format(PyExc_TypeError, "%s must be str or bytes, not %.100s", name,
                             Py_TYPE(o)->tp_name);
    if (!bytes)
        name_no_text(o, name);
    if (bytes && strlen(PyBytes_AS_STRING(bytes)) != (size_t)PyBytes_GET_SIZE(bytes)) {
        PyErr_Format(PyExc_ValueError, "%s contains a NUL character", name);
        Py_CLEAR(bytes);
    }
    *ret_owner = bytes;
    return bytes ? PyBytes_AS_STRING(bytes) : NULL;
}

int py_arg_strings(PyObject *o, const char *name, struct arg_strings *ret)
{
    /* A lone string is a sequence of strings too, and never what was meant. */
    if (PyUnicode_Check(o) || PyBytes_Check(o)) {
        PyErr_Format(PyExc_TypeError, "%s must be a sequence of strings, not %.100s", name,
                     Py_TYPE(o)->tp_name);
        return -1;
    }
    ret->seq = PySequence_Fast(o, "expected a sequence of strings");
    if (!ret->seq) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "%s must be a sequence of strings, not %.100s", name,
                         Py_TYPE(o)->tp_name);
        return -1;
    }
    ret->n = (size_t)PySequence_Fast_GET_SIZE(ret->seq);
    ret->items = PyMem_New(const char *, ret->n + 1);
    if (!ret->items) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < ret->n; i++) {
        ret->items[i] = py_arg_utf8(PySequence_Fast_GET_ITEM(ret->seq, (Py_ssize_t)i), name);
        if (!ret->items[i])
            return -1;
    }
    ret->items[ret->n] = NULL;
    return 0;
}

void py_arg_strings_done(struct arg_strings *s)
{
    PyMem_Free(s->items);
    s->items = NULL;
    Py_CLEAR(s->seq);
}

PyObject *py_new_bytes(const void *data, size_t size)
{
    PyObject *bytes;

    if (size < BIG_COPY_BYTES)
        return PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes)
        return NULL;
    char *to = PyBytes_AS_STRING(bytes);

    Py_BEGIN_ALLOW_THREADS /* nobody else knows `bytes` yet */
        memcpy(to, data, size);
    Py_END_ALLOW_THREADS return bytes;
}

uint64_t py_now_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t py_deadline_after(uint64_t timeout_ns)
{
    uint64_t now = py_now_ns();

    return timeout_ns >= CWS_FOREVER - now ? CWS_FOREVER : now + timeout_ns;
}

uint64_t py_deadline_left(uint64_t deadline_ns)
{
    uint64_t now;

    if (deadline_ns == CWS_FOREVER)
        return CWS_FOREVER;
    now = py_now_ns();
    return deadline_ns > now ? deadline_ns - now : 0;
}
