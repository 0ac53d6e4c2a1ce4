/*
 * Arguments: vectorcall unpacking by name, strings, times, and the monotonic clock that
 * time-outs use.
 */
#ifndef CWS_PYTHON_ARGS_H
#define CWS_PYTHON_ARGS_H

#include "core.h"

struct arg_spec {
    const char *function;
    const char *const *names; /* all parameters, positional ones first */
    int n;
    int n_positional; /* may be given by position */
    int n_required;   /* the first so many must be given */
};

/** py_args_unpack() - vectorcall arguments to @out (borrowed, NULL = not given); -1 with
 * TypeError. */
int py_args_unpack(const struct arg_spec *spec, PyObject *const *args, Py_ssize_t n_args,
                   PyObject *kwnames, PyObject **out);
/** py_arg_seconds() - a time-out in seconds. NULL, None: @if_none. 0: @if_zero. Negative, NaN:
 * ValueError. */
int py_arg_seconds(PyObject *o, const char *name, uint64_t if_none, uint64_t if_zero,
                   uint64_t *ret_ns);
/** py_arg_patience() - the time-out of a wait: what is left until a deadline, so a negative one
 * has passed and is as 0; see py_arg_seconds(). */
int py_arg_patience(PyObject *o, uint64_t if_none, uint64_t if_zero, uint64_t *ret_ns);
/** py_arg_terminal_size() - characters, 0-65535 as the kernel counts them. */
int py_arg_terminal_size(PyObject *o, const char *name, uint32_t *ret);
/** py_arg_utf8() - borrowed from @o; NULL with TypeError/ValueError (NUL inside). */
const char *py_arg_utf8(PyObject *o, const char *name);
/* A str of a tuple: an O& of PyArg_ParseTuple() whose errors name it. */
struct arg_text {
    const char *name; /* of the argument */
    bool optional;    /* None: text is NULL */
    const char *text; /* borrowed */
};
int py_arg_text(PyObject *o, void *text);
/** py_arg_utf8_bytes() - new bytes of a str, NULs and all; NULL with ValueError. */
PyObject *py_arg_utf8_bytes(PyObject *o, const char *name);
/** py_arg_path() - the bytes of a file's name, which need not be UTF-8: bytes, or a str in which surrogates stand for what is
 * not (os.fsdecode()). Borrowed from @ret_owner, which the caller releases, also on failure. */
const char *py_arg_path(PyObject *o, const char *name, PyObject **ret_owner);
static inline bool arg_given(PyObject *o)
{
    return o && o != Py_None;
}

struct arg_strings { /* zero it; borrowed strings live as long as `seq` */
    PyObject *seq;
    const char **items;
    size_t n;
};
/** py_arg_strings() - a sequence of str, not a str itself. */
int py_arg_strings(PyObject *o, const char *name, struct arg_strings *ret);
void py_arg_strings_done(struct arg_strings *s);
#define CLEANUP_STRINGS CLEANUP(py_arg_strings_done)

/* chosen: copying less takes less time than handing over the GIL */
#define BIG_COPY_BYTES 65536
/** py_new_bytes() - PyBytes_FromStringAndSize(); a big copy is made without the GIL, so @data
 * must be kept alive by the caller. */
PyObject *py_new_bytes(const void *data, size_t size);

uint64_t py_now_ns(void); /* monotonic */
/** py_deadline_left() - nanoseconds until @deadline_ns, 0 when past; CWS_FOREVER stays. */
uint64_t py_deadline_left(uint64_t deadline_ns);
uint64_t py_deadline_after(uint64_t timeout_ns);

#endif
