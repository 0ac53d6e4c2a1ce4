/*
 * Process and TerminalSession: handles of commands. Both are an OperationRef (same head struct,
 * same result and await) plus the streams of the command, which become objects when first
 * looked at.
 */
#include "objects.h"

/* ---- results ---- */

static PyObject *output_of(const cws_process *p, cws_stream stream)
{
    size_t size = cws_process_output_size(p, stream);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    char *data = bytes ? PyBytes_AS_STRING(bytes) : NULL;

    if (!bytes || !size)
        return bytes;
    if (size < BIG_COPY_BYTES) {
        (void)cws_process_copy_output(p, stream, data,
                                      size); /* the handle is done: nothing can be added */
        return bytes;
    }
    Py_BEGIN_ALLOW_THREADS /* nobody else knows `bytes` yet */
        (void) cws_process_copy_output(p, stream, data, size);
    Py_END_ALLOW_THREADS return bytes;
}

static PyObject *text_of(PyObject *bytes)
{
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes), "replace");
}

static PyObject *terminal_result_of(struct core_state *st, struct py_process *p, int code)
{
    PyObject *cls = py_core_late(st, LATE_TERMINAL_RESULT);
    PyObject *command CLEANUP_PY = PySequence_List(p->command);

    return cls && command ? PyObject_CallFunction(cls, "iO", code, command) : NULL;
}

/* ---- large results: made when they are first asked for ---- */

#define LATE_BYTES ((size_t)4 << 20) /* chosen: below, two copies cost under a millisecond */
#define LATE_CAPSULE "cwsandbox._core.output"

static void late_output_free(PyObject *capsule)
{
    cws_process_unref(PyCapsule_GetPointer(capsule, LATE_CAPSULE));
}

/* The text without its bytes beside it: a third copy of much. Other than ASCII is decoded once more. */
static PyObject *late_text(const cws_process *p, cws_stream stream)
{
    size_t size = cws_process_output_size(p, stream), at = 0;
    PyObject *ascii = PyUnicode_New((Py_ssize_t)size, 127), *text;
    char *data = ascii ? PyUnicode_DATA(ascii) : NULL;

    if (!ascii || !size)
        return ascii;
    Py_BEGIN_ALLOW_THREADS /* nobody else knows `ascii` yet */
        (void) cws_process_copy_output(p, stream, data, size);
    while (at < size && (data[at] & 0x80) == 0)
        at++;
    Py_END_ALLOW_THREADS if (at == size) return ascii;
    text = PyUnicode_DecodeUTF8(data, (Py_ssize_t)size, "replace");
    Py_DECREF(ascii);
    return text;
}

/* _output(is_stdout, is_text) of a ProcessResult; @self is the capsule. It holds the output but not the Process, whose
 * result the caller is: that would be a cycle around a gigabyte. */
static PyObject *late_output(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    cws_process *p = PyCapsule_GetPointer(self, LATE_CAPSULE);
    cws_stream stream = n > 0 && args[0] == Py_True ? CWS_STDOUT : CWS_STDERR;

    if (!p)
        return NULL;
    return n > 1 && args[1] == Py_True ? late_text(p, stream) : output_of(p, stream);
}

static PyMethodDef late_output_def = {"_output", (PyCFunction)(void (*)(void))late_output,
                                      METH_FASTCALL, NULL};

/* The fields of a ProcessResult behind its output. */
enum {
    COMMAND,
    STDOUT_TRUNCATED,
    STDERR_TRUNCATED,
    TIMED_OUT,
    OOM_KILLED,
    SIGNAL,
    DURATION,
    CPU_SECONDS,
    PEAK_MEMORY,
    N_REST
};

static PyObject *seconds_or_none(uint64_t ns)
{
    return ns == CWS_NOT_KNOWN ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)ns / 1e9);
}

static int rest_of(const struct py_process *p, PyObject *ret[static N_REST])
{
    cws_process_facts f;

    if (!cws_process_get_facts(p->process, &f)) {
        PyErr_SetString(PyExc_SystemError, "the command has not ended");
        return -1;
    }
    ret[COMMAND] = PySequence_List(p->command);
    ret[STDOUT_TRUNCATED] =
        PyBool_FromLong(cws_process_output_truncated(p->process, CWS_STDOUT));
    ret[STDERR_TRUNCATED] =
        PyBool_FromLong(cws_process_output_truncated(p->process, CWS_STDERR));
    ret[TIMED_OUT] = PyBool_FromLong(f.timed_out);
    ret[OOM_KILLED] = f.oom_killed < 0 ? Py_NewRef(Py_None) : PyBool_FromLong(f.oom_killed);
    ret[SIGNAL] = f.signal <= 0 ? Py_NewRef(Py_None) : PyLong_FromLong(f.signal);
    ret[DURATION] = seconds_or_none(f.duration_ns);
    ret[CPU_SECONDS] = seconds_or_none(f.cpu_ns);
    ret[PEAK_MEMORY] = f.peak_memory_bytes == CWS_NOT_KNOWN
                           ? Py_NewRef(Py_None)
                           : PyLong_FromUnsignedLongLong(f.peak_memory_bytes);
    return PyErr_Occurred() ? -1 : 0;
}

/* @all: @n references, some NULL when one could not be made. */
static PyObject *call_and_drop(PyObject *callable, PyObject **all, size_t n)
{
    PyObject *result = PyErr_Occurred() ? NULL : PyObject_Vectorcall(callable, all, n, NULL);

    for (size_t i = 0; i < n; i++)
        Py_XDECREF(all[i]);
    return result;
}

static PyObject *late_result_of(PyObject *cls, struct py_process *p, int code)
{
    PyObject *make CLEANUP_PY = PyObject_GetAttrString(cls, "_late");
    PyObject *capsule CLEANUP_PY =
        make ? PyCapsule_New(cws_process_ref(p->process), LATE_CAPSULE, late_output_free)
             : NULL;
    PyObject *all[2 + N_REST] = {NULL};

    if (make && !capsule)
        cws_process_unref(p->process);
    all[0] = capsule ? PyLong_FromLong(code) : NULL;
    all[1] = all[0] ? PyCFunction_New(&late_output_def, capsule) : NULL;
    if (all[1])
        (void)rest_of(p, all + 2);
    return call_and_drop(make, all, N_ELEMENTS(all));
}

/* What the service said of a command that timed out: killed, or nothing. */
static int code_of_timeout(const struct py_process *p)
{
    cws_process_facts f;

    return cws_process_get_facts(p->process, &f) && f.signal > 0 ? 128 + f.signal : -1;
}

static int code_of(const struct py_process *p)
{
    int code;

    if (cws_process_returncode(p->process, &code))
        return code;
    return cws_op_error(p->ref.op) ? code_of_timeout(p) : cws_op_int(p->ref.op);
}

static PyObject *terminal_value(struct core_state *st, struct py_ref *self)
{
    struct py_process *p = (struct py_process *)self;

    return terminal_result_of(st, p, code_of(p));
}

static PyObject *process_value(struct core_state *st, struct py_ref *self)
{
    struct py_process *p = (struct py_process *)self;
    PyObject *cls = py_core_late(st, LATE_PROCESS_RESULT), *all[5 + N_REST] = {NULL};
    int code = code_of(p);

    if (cls && cws_process_output_size(p->process, CWS_STDOUT) +
                       cws_process_output_size(p->process, CWS_STDERR) >=
                   LATE_BYTES)
        return late_result_of(cls, p, code);
    all[3] = cls ? output_of(p->process, CWS_STDOUT) : NULL;
    all[4] = all[3] ? output_of(p->process, CWS_STDERR) : NULL;
    all[0] = all[4] ? text_of(all[3]) : NULL;
    all[1] = all[0] ? text_of(all[4]) : NULL;
    all[2] = all[1] ? PyLong_FromLong(code) : NULL;
    if (all[2])
        (void)rest_of(p, all + 5);
    return call_and_drop(cls, all, N_ELEMENTS(all));
}

static int add_result(struct core_state *st, struct py_process *p, PyObject *exc)
{
    PyObject *result CLEANUP_PY = process_value(st, &p->ref);

    return result ? PyObject_SetAttrString(exc, "exec_result", result) : -1;
}

static bool is_timeout(cws_error_kind kind)
{
    return kind == CWS_E_TIMEOUT || kind == CWS_E_COMMAND_TIMEOUT ||
           kind == CWS_E_REQUEST_TIMEOUT;
}

static int process_amend(struct core_state *st, struct py_ref *self, const cws_error *e,
                         PyObject *exc)
{
    struct py_process *p = (struct py_process *)self;
    cws_process_facts f;
    int code;

    if (is_timeout(cws_error_get_kind(e))) /* of a command that was begun, that is */
        return cws_process_get_facts(p->process, &f) && f.timed_out ? add_result(st, p, exc)
                                                                    : 0;
    /* check=True: the command did finish, so its output belongs to the exception */
    if (cws_error_get_kind(e) != CWS_E_EXECUTION || !cws_process_returncode(p->process, &code))
        return 0;
    return add_result(st, p, exc);
}

/* With discard_output, streams that nobody asked for until now are dropped. */
static void ignore_output(struct py_ref *self)
{
    struct py_process *p = (struct py_process *)self;

    if (!p->discards)
        return;
    p->discards = false;
    if (!p->out)
        cws_reader_close(cws_process_stdout(p->process));
    if (!p->err)
        cws_reader_close(cws_process_stderr(p->process));
}

static const struct py_ref_class process_class = {
    .on_wait = ignore_output, .value = process_value, .amend = process_amend};
static const struct py_ref_class terminal_class = {.value = terminal_value};

PyObject *py_process_new(struct core_state *st, bool tty, cws_process *take_p,
                         PyObject *command, cws_error *take_error)
{
    PyTypeObject *type = tty ? st->terminal_type : st->process_type;
    struct py_process *self;

    if (!take_p) {
        if (!PyErr_Occurred())
            (void)py_errors_raise(st, take_error);
        if (!PyErr_ExceptionMatches(PyExc_Exception))
            return NULL;
    }
    /* tp_alloc must not run with an exception set: the collector may call Python code */
    PyObject *failure CLEANUP_PY = take_p ? NULL : py_errors_take();

    self = (struct py_process *)type->tp_alloc(type, 0);
    if (!self) {
        cws_process_unref(take_p);
        return NULL;
    }
    self->process = take_p;
    self->command = PySequence_List(command);
    self->ref.cls = !take_p ? &py_ref_fixed : tty ? &terminal_class : &process_class;
    self->ref.op = take_p ? cws_op_ref(cws_process_op(take_p)) : NULL;
    self->ref.error = TAKE_PTR(failure);
    if (!self->command)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* ---- streams, made on first access ---- */

static PyObject *stream_of(PyObject *self, PyObject **slot, cws_reader *reader, bool text,
                           bool owns)
{
    struct core_state *st = core_state(self);

    if (!*slot && st)
        *slot = py_reader_new(st, cws_reader_ref(reader), text, owns);
    return Py_XNewRef(*slot);
}

/* A process that failed before it existed has streams that are at their end. */
static PyObject *ended_stream(PyObject *self, PyObject **slot, bool text)
{
    struct core_state *st = core_state(self);

    if (!*slot && st)
        *slot = py_reader_new(st, NULL, text, false);
    return Py_XNewRef(*slot);
}

static PyObject *get_stdout(PyObject *self, void *closure)
{
    struct py_process *p = (struct py_process *)self;

    return p->process ? stream_of(self, &p->out, cws_process_stdout(p->process), true, false)
                      : ended_stream(self, &p->out, true);
}

static PyObject *get_stderr(PyObject *self, void *closure)
{
    struct py_process *p = (struct py_process *)self;

    return p->process ? stream_of(self, &p->err, cws_process_stderr(p->process), true, false)
                      : ended_stream(self, &p->err, true);
}

static PyObject *get_output(PyObject *self, void *closure)
{
    struct py_process *p = (struct py_process *)self;
    struct core_state *st = core_state(self);

    if (p->process || p->out || !st)
        return stream_of(self, &p->out, p->process ? cws_process_stdout(p->process) : NULL,
                         false, true);
    /* As in the published client: an early failure is seen through the output as well as through
     * result() */
    if (p->ref.error)
        py_errors_reraise(p->ref.error);
    p->out = py_reader_new(st, NULL, false, false);
    return Py_XNewRef(p->out);
}

static PyObject *get_stdin(PyObject *self, void *closure)
{
    struct py_process *p = (struct py_process *)self;
    struct core_state *st = core_state(self);
    cws_writer *w = p->process ? cws_process_stdin(p->process) : NULL;

    if (!w || !st)
        return st ? Py_NewRef(Py_None) : NULL;
    if (!p->in)
        p->in = py_writer_new(st, cws_writer_ref(w));
    return Py_XNewRef(p->in);
}

/* ---- state ---- */

static PyObject *get_command(PyObject *self, void *closure)
{
    return PySequence_List(((struct py_process *)self)->command);
}

static PyObject *get_returncode(PyObject *self, void *closure)
{
    struct py_process *p = (struct py_process *)self;
    int code;

    return p->process && cws_process_returncode(p->process, &code) ? PyLong_FromLong(code)
                                                                   : Py_NewRef(Py_None);
}

/* The exit code once done without an error; a terminal whose stream ended without one is -1, as
 * in its result. */
static PyObject *code_if_succeeded(struct py_process *p)
{
    int code;

    if (p->ref.error || !p->process || !cws_op_done(p->ref.op) || cws_op_error(p->ref.op))
        return Py_NewRef(Py_None);
    return PyLong_FromLong(cws_process_returncode(p->process, &code) ? code
                                                                     : cws_op_int(p->ref.op));
}

static PyObject *process_poll(PyObject *self, PyObject *unused)
{
    return code_if_succeeded((struct py_process *)self);
}

static PyObject *process_wait(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                              PyObject *kwnames)
{
    PyObject *result CLEANUP_PY = py_ref_result(self, args, n_args, kwnames);

    return result ? PyObject_GetAttrString(result, "returncode") : NULL;
}

static PyObject *process_cancel(PyObject *self, PyObject *unused)
{
    struct py_ref *ref = (struct py_ref *)self;

    return PyBool_FromLong(ref->op && cws_op_cancel(ref->op));
}

static PyObject *terminal_resize(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                 PyObject *kwnames)
{
    static const char *const names[] = {"width", "height"};
    static const struct arg_spec spec = {"resize", names, 2, 2, 2};
    struct core_state *st = core_state(self);
    struct py_process *p = (struct py_process *)self;
    cws_error *error = NULL;
    PyObject *out[2];
    uint32_t width = 0, height = 0;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0 ||
        py_arg_terminal_size(out[0], "width", &width) < 0 ||
        py_arg_terminal_size(out[1], "height", &height) < 0)
        return NULL;
    if (!p->process) {
        PyErr_SetString(st->errors[CWS_E_EXECUTION], "terminal session has ended");
        return NULL;
    }
    if (cws_process_resize(p->process, width, height, &error) < 0)
        return py_errors_raise(st, error);
    Py_RETURN_NONE;
}

/* ---- types ---- */

static int process_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_process *p = (struct py_process *)self;

    Py_VISIT(p->command);
    Py_VISIT(p->out);
    Py_VISIT(p->err);
    Py_VISIT(p->in);
    return py_ref_traverse(self, visit, arg);
}

static int process_clear(PyObject *self)
{
    struct py_process *p = (struct py_process *)self;

    Py_CLEAR(p->command);
    Py_CLEAR(p->out);
    Py_CLEAR(p->err);
    Py_CLEAR(p->in);
    return py_ref_clear(self);
}

static void process_dealloc(PyObject *self)
{
    struct py_process *p = (struct py_process *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (p->ref.weakrefs)
        PyObject_ClearWeakRefs(self);
    (void)process_clear(self);
    cws_op_unref(p->ref.op);
    cws_process_unref(p->process); /* the command goes on */
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(poll_doc, "poll($self, /)\n--\n\n"
                       "The exit code, or None while the command runs or when the operation "
                       "failed. Never blocks.");
PyDoc_STRVAR(
    wait_doc,
    "wait($self, /, timeout=None)\n--\n\n"
    "Block until the command ended and return its exit code; raises what result() raises.\n\n"
    "timeout: seconds; when it passes, TimeoutError is raised and the command goes on.");
PyDoc_STRVAR(
    cancel_doc,
    "cancel($self, /)\n--\n\n"
    "Give up on the command: its call is cancelled and result() raises CancelledError.\n"
    "True if it had not finished.");
PyDoc_STRVAR(resize_doc, "resize($self, /, width, height)\n--\n\n"
                         "Tell the terminal its new size in characters, 0-65535. "
                         "SandboxExecutionError when it has ended.");

static PyMethodDef process_methods[] = {
    {"poll", process_poll, METH_NOARGS, poll_doc},
    {"wait", (PyCFunction)(void (*)(void))process_wait, METH_FASTCALL | METH_KEYWORDS,
     wait_doc},
    {"cancel", process_cancel, METH_NOARGS, cancel_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef terminal_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))process_wait, METH_FASTCALL | METH_KEYWORDS,
     wait_doc},
    {"resize", (PyCFunction)(void (*)(void))terminal_resize, METH_FASTCALL | METH_KEYWORDS,
     resize_doc},
    {NULL, NULL, 0, NULL},
};

#define RETURNCODE_DOC "int exit code once it is known, else None"
#define COMMAND_DOC "list[str]: the command as it was given"

static PyGetSetDef process_getset[] = {
    {"stdout", get_stdout, NULL,
     "StreamReader[str] of the standard output, in chunks as they arrive", NULL},
    {"stderr", get_stderr, NULL, "StreamReader[str] of the standard error", NULL},
    {"stdin", get_stdin, NULL,
     "StreamWriter of the standard input, or None (exec without stdin=True)", NULL},
    {"command", get_command, NULL, COMMAND_DOC, NULL},
    {"returncode", get_returncode, NULL, RETURNCODE_DOC, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef terminal_getset[] = {
    {"output", get_output, NULL,
     "StreamReader[bytes]: what the terminal shows, raw; close() ends the session", NULL},
    {"stdin", get_stdin, NULL, "StreamWriter: what is typed at the terminal", NULL},
    {"command", get_command, NULL, COMMAND_DOC, NULL},
    {"returncode", get_returncode, NULL, RETURNCODE_DOC, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef process_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct py_process, ref.weakrefs), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(
    process_doc,
    "A command that was started with exec(): an OperationRef[ProcessResult] with streams.");
PyDoc_STRVAR(terminal_doc, "A terminal started with shell(): an OperationRef[TerminalResult] "
                           "with raw output and stdin.");

static PyType_Slot process_slots[] = {
    {Py_tp_doc, (void *)process_doc},   {Py_tp_dealloc, process_dealloc},
    {Py_tp_traverse, process_traverse}, {Py_tp_clear, process_clear},
    {Py_tp_methods, process_methods},   {Py_tp_getset, process_getset},
    {Py_tp_members, process_members},   {0, NULL},
};
static PyType_Slot terminal_slots[] = {
    {Py_tp_doc, (void *)terminal_doc},  {Py_tp_dealloc, process_dealloc},
    {Py_tp_traverse, process_traverse}, {Py_tp_clear, process_clear},
    {Py_tp_methods, terminal_methods},  {Py_tp_getset, terminal_getset},
    {Py_tp_members, process_members},   {0, NULL},
};

#define PROCESS_FLAGS \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | \
     Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Spec process_type_spec = {
    .name = "cwsandbox.Process",
    .basicsize = sizeof(struct py_process),
    .flags = PROCESS_FLAGS,
    .slots = process_slots,
};
static PyType_Spec terminal_type_spec = {
    .name = "cwsandbox.TerminalSession",
    .basicsize = sizeof(struct py_process),
    .flags = PROCESS_FLAGS,
    .slots = terminal_slots,
};

int py_process_init(PyObject *module, struct core_state *st)
{
    PyObject *base = (PyObject *)st->ref_type;

    st->process_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &process_type_spec, base);
    if (!st->process_type || PyModule_AddType(module, st->process_type) < 0)
        return -1;
    st->terminal_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &terminal_type_spec, base);
    return st->terminal_type ? PyModule_AddType(module, st->terminal_type) : -1;
}
