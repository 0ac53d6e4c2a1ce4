/*
 * What happens inside a sandbox: commands, terminals, files, logs. Every call returns at once
 * with a handle or a stream.
 *
 * Bad arguments raise here; a sandbox that cannot be opened, and all that the service refuses,
 * is in the handle.
 */
#include "objects.h"

/* ---- commands ---- */

static int truth(PyObject *o)
{
    return o ? PyObject_IsTrue(o) : 0;
}

static PyObject *start_process(struct core_state *st, PyObject *self, PyObject *command,
                               const struct arg_strings *argv, const cws_exec_options *options)
{
    cws_sandbox *sb = py_sandbox_handle(st, self);
    cws_error *error = NULL;
    cws_process *p = sb ? cws_sandbox_exec(sb, argv->items, argv->n, options, &error) : NULL;

    if (!p && error && cws_error_get_kind(error) == CWS_E_INVALID)
        return py_errors_raise(st, error);
    return py_process_new(st, options->tty != 0, p, command, error);
}

/* What exec() is given as stdin or input. */
struct exec_input {
    bool wanted;
    Py_buffer view; /* view.obj NULL: a writer for the caller */
};

/* True, False, None: a writer or none. bytes and str: fed and closed. */
static int exec_input(PyObject *o, const char *name, struct exec_input *ret)
{
    if (!arg_given(o) || o == Py_False)
        return 0;
    ret->wanted = true;
    if (o == Py_True && strcmp(name, "stdin") == 0)
        return 0;
    if (PyUnicode_Check(o)) {
        PyObject *bytes CLEANUP_PY = py_arg_utf8_bytes(o, name);

        return bytes ? PyObject_GetBuffer(bytes, &ret->view, PyBUF_SIMPLE) : -1;
    }
    if (PyObject_CheckBuffer(o))
        return PyObject_GetBuffer(o, &ret->view, PyBUF_SIMPLE);
    PyErr_Format(PyExc_TypeError, "%s must be %sbytes or str, not %.100s", name,
                 strcmp(name, "stdin") == 0 ? "True, False, " : "", Py_TYPE(o)->tp_name);
    return -1;
}

/* A process that failed at once has no stdin; its handle says why. */
static int feed(struct core_state *st, PyObject *process, const struct exec_input *in)
{
    cws_process *p = ((struct py_process *)process)->process;
    cws_writer *w = p ? cws_process_stdin(p) : NULL;
    cws_error *error = NULL;
    cws_op *write, *close;

    if (!in->view.obj || !w)
        return 0;
    write = cws_writer_write(w, in->view.buf, (size_t)in->view.len, &error);
    close = write ? cws_writer_close(w, &error) : NULL;
    cws_op_unref(write);
    cws_op_unref(close);
    if (close)
        return 0;
    (void)py_errors_raise(st, error);
    return -1;
}

/* A new list of "NAME=value". */
static PyObject *env_strings(PyObject *dict)
{
    PyObject *list CLEANUP_PY = PyList_New(0);
    PyObject *k, *v;
    Py_ssize_t at = 0;

    if (!PyDict_Check(dict))
        return PyErr_Format(PyExc_TypeError, "env must be a dict of strings, not %.100s",
                            Py_TYPE(dict)->tp_name);
    while (list && PyDict_Next(dict, &at, &k, &v)) {
        if (!PyUnicode_Check(k) || !PyUnicode_Check(v))
            return PyErr_Format(PyExc_TypeError, "env[%R] must be a str, and so must its name",
                                k);
        if (!PyUnicode_GET_LENGTH(k) || PyUnicode_FindChar(k, '=', 0, PY_SSIZE_T_MAX, 1) >= 0)
            return PyErr_Format(PyExc_ValueError, "env: %R cannot be the name of a variable",
                                k);
        PyObject *text CLEANUP_PY = PyUnicode_FromFormat("%U=%U", k, v);
        if (!text || PyList_Append(list, text) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}

static int exec_env(PyObject *dict, struct arg_strings *strings, cws_exec_options *o)
{
    PyObject *list CLEANUP_PY = arg_given(dict) ? env_strings(dict) : NULL;

    if (!list)
        return arg_given(dict) ? -1 : 0;
    if (py_arg_strings(list, "env", strings) < 0)
        return -1;
    o->env = strings->items;
    o->n_env = (size_t)strings->n;
    return 0;
}

static int exec_options(PyObject *self, PyObject *const *out, cws_exec_options *o,
                        struct exec_input *in)
{
    uint64_t default_ns = ((struct py_sandbox *)self)->request_timeout_ns;

    o->check = truth(out[2]);
    o->discard_output = truth(out[10]);
    if (o->check < 0 || o->discard_output < 0 ||
        py_arg_seconds(out[3], "timeout_seconds", default_ns, default_ns, &o->timeout_ns) < 0)
        return -1;
    if (arg_given(out[4]) && out[4] != Py_False && arg_given(out[5])) {
        PyErr_SetString(PyExc_ValueError, "stdin and input may not both be given");
        return -1;
    }
    if (arg_given(out[1]) && !(o->cwd = py_arg_utf8(out[1], "cwd")))
        return -1;
    if (arg_given(out[9]) && !(o->user = py_arg_utf8(out[9], "user")))
        return -1;
    if (arg_given(out[7]) && !(o->container = py_arg_utf8(out[7], "container")))
        return -1;
    if (arg_given(out[6])) {
        size_t n = PyLong_AsSize_t(out[6]);

        if (n == (size_t)-1 && PyErr_Occurred())
            return -1;
        o->max_output_bytes = n ? n : SIZE_MAX;
    }
    if (exec_input(out[4], "stdin", in) < 0 || exec_input(out[5], "input", in) < 0)
        return -1;
    o->want_stdin = in->wanted;
    return 0;
}

static PyObject *sandbox_exec(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                              PyObject *kwnames)
{
    static const char *const names[] = {
        "command",   "cwd", "check", "timeout_seconds", "stdin", "input", "max_output_bytes",
        "container", "env", "user",  "discard_output"};
    static const struct arg_spec spec = {"exec", names, N_ELEMENTS(names), 1, 1};
    struct core_state *st = core_state(self);
    struct arg_strings argv CLEANUP_STRINGS = {0}, env CLEANUP_STRINGS = {0};
    cws_exec_options options = {0};
    struct exec_input in = {0};
    PyObject *process CLEANUP_PY = NULL;
    PyObject *out[N_ELEMENTS(names)];

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0 ||
        py_arg_strings(out[0], "command", &argv) < 0)
        return NULL;
    if (exec_env(out[8], &env, &options) == 0 && exec_options(self, out, &options, &in) == 0)
        process = start_process(st, self, argv.seq, &argv, &options);
    if (process)
        ((struct py_process *)process)->discards =
            options.discard_output && ((struct py_process *)process)->process;
    if (process && feed(st, process, &in) < 0)
        Py_CLEAR(process);
    PyBuffer_Release(&in.view);
    return TAKE_PTR(process);
}

static PyObject *sandbox_shell(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                               PyObject *kwnames)
{
    static const char *const names[] = {"command", "width", "height", "container"};
    static const struct arg_spec spec = {"shell", names, 4, 1, 0};
    struct core_state *st = core_state(self);
    struct arg_strings argv CLEANUP_STRINGS = {0};
    cws_exec_options options = {.tty = 1, .want_stdin = 1};
    PyObject *command CLEANUP_PY = NULL;
    PyObject *out[4];

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0 ||
        (arg_given(out[3]) && !(options.container = py_arg_utf8(out[3], "container"))))
        return NULL;
    command = arg_given(out[0]) ? Py_NewRef(out[0]) : Py_BuildValue("[s]", "/bin/bash");
    if (!command || py_arg_strings(command, "command", &argv) < 0 ||
        (arg_given(out[1]) && py_arg_terminal_size(out[1], "width", &options.tty_width) < 0) ||
        (arg_given(out[2]) && py_arg_terminal_size(out[2], "height", &options.tty_height) < 0))
        return NULL;
    return start_process(st, self, argv.seq, &argv, &options);
}

/* ---- files ---- */

struct file_args {
    const char *path;
    PyObject *path_bytes; /* its owner, where the argument itself is not */
    PyObject *content;    /* NULL for reads */
    cws_file_options options;
};

static void file_args_done(struct file_args *a)
{
    Py_CLEAR(a->path_bytes);
}
#define CLEANUP_FILE_ARGS __attribute__((cleanup(file_args_done)))

/* The last three of @spec are the time-out, the container and the user. */
static int file_args(PyObject *self, const struct arg_spec *spec, PyObject *const *args,
                     Py_ssize_t n_args, PyObject *kwnames, struct file_args *ret)
{
    uint64_t default_ns = ((struct py_sandbox *)self)->request_timeout_ns;
    PyObject *out[5], *user, *container, *timeout;

    if (py_args_unpack(spec, args, n_args, kwnames, out) < 0)
        return -1;
    ret->path = py_arg_path(out[0], "filepath", &ret->path_bytes);
    ret->content = spec->n == 5 ? out[1] : NULL;
    timeout = out[spec->n - 3];
    container = out[spec->n - 2];
    user = out[spec->n - 1];
    if (!ret->path || (arg_given(container) &&
                       !(ret->options.container = py_arg_utf8(container, "container"))))
        return -1;
    if (arg_given(user) && !(ret->options.user = py_arg_utf8(user, "user")))
        return -1;
    return py_arg_seconds(timeout, "timeout_seconds", default_ns, default_ns,
                          &ret->options.timeout_ns);
}

static const char *const read_names[] = {"filepath", "timeout_seconds", "container", "user"};

static PyObject *sandbox_read_file(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                   PyObject *kwnames)
{
    static const struct arg_spec spec = {"read_file", read_names, 4, 1, 1};
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    struct file_args a CLEANUP_FILE_ARGS = {0};
    cws_sandbox *sb;

    if (!st || file_args(self, &spec, args, n_args, kwnames, &a) < 0)
        return NULL;
    sb = py_sandbox_handle(st, self);
    return py_ref_new(st, &py_ref_bytes,
                      sb ? cws_sandbox_read_file(sb, a.path, &a.options, &error) : NULL, NULL,
                      &error);
}

static PyObject *sandbox_read_file_streaming(PyObject *self, PyObject *const *args,
                                             Py_ssize_t n_args, PyObject *kwnames)
{
    static const struct arg_spec spec = {"read_file_streaming", read_names, 4, 1, 1};
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    cws_reader *reader = NULL;
    struct file_args a CLEANUP_FILE_ARGS = {0};
    cws_sandbox *sb;

    if (!st || file_args(self, &spec, args, n_args, kwnames, &a) < 0)
        return NULL;
    sb = py_sandbox_handle(st, self);
    if (sb) {
        reader = cws_sandbox_read_file_stream(sb, a.path, &a.options, &error);
        if (!reader)
            (void)py_errors_raise(st, error); /* raised by the first iteration */
    }
    return py_reader_new(st, reader, false, true);
}

/* The library copies, so the caller may change its buffer as soon as this returns. */
static cws_op *write_copy(cws_sandbox *sb, const struct file_args *a, const Py_buffer *view,
                          cws_error **error)
{
    cws_op *op;

    if (view->len < BIG_COPY_BYTES)
        return cws_sandbox_write_file(sb, a->path, view->buf, (size_t)view->len, &a->options,
                                      error);
    (void)cws_sandbox_ref(sb);
    Py_BEGIN_ALLOW_THREADS op =
        cws_sandbox_write_file(sb, a->path, view->buf, (size_t)view->len, &a->options, error);
    Py_END_ALLOW_THREADS cws_sandbox_unref(sb);
    return op;
}

static PyObject *sandbox_write_file(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                    PyObject *kwnames)
{
    static const char *const names[] = {"filepath", "contents", "timeout_seconds", "container",
                                        "user"};
    static const struct arg_spec spec = {"write_file", names, 5, 2, 2};
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    struct file_args a CLEANUP_FILE_ARGS = {0};
    Py_buffer view;
    cws_sandbox *sb;
    cws_op *op;

    if (!st || file_args(self, &spec, args, n_args, kwnames, &a) < 0)
        return NULL;
    if (PyUnicode_Check(a.content)) {
        PyErr_SetString(PyExc_TypeError, "contents must be bytes, not str: encode it first");
        return NULL;
    }
    if (PyObject_GetBuffer(a.content, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    sb = py_sandbox_handle(st, self);
    op = sb ? write_copy(sb, &a, &view, &error) : NULL;
    PyObject *failure CLEANUP_PY = sb ? NULL : py_errors_take();

    PyBuffer_Release(&view); /* may run Python code: not with an exception set */
    if (failure)
        PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
    return py_ref_new(st, &py_ref_none, op, NULL, &error);
}

/* _write_file_stream(filepath, timeout_seconds, container, user) -> (OperationRef, StreamWriter | None) */
static PyObject *sandbox_write_file_stream(PyObject *self, PyObject *const *args,
                                           Py_ssize_t n_args, PyObject *kwnames)
{
    static const struct arg_spec spec = {"_write_file_stream", read_names, 4, 4, 1};
    struct core_state *st = core_state(self);
    PyObject *ref CLEANUP_PY = NULL, *writer CLEANUP_PY = NULL;
    cws_error *error = NULL;
    cws_writer *w = NULL;
    cws_op *op = NULL;
    struct file_args a CLEANUP_FILE_ARGS = {0};
    cws_sandbox *sb;

    if (!st || file_args(self, &spec, args, n_args, kwnames, &a) < 0)
        return NULL;
    sb = py_sandbox_handle(st, self);
    if (sb)
        op = cws_sandbox_write_file_stream(sb, a.path, &a.options, &w, &error);
    ref = py_ref_new(st, &py_ref_none, op, NULL, &error);
    writer = ref && w ? py_writer_new(st, TAKE_PTR(w)) : ref ? Py_NewRef(Py_None) : NULL;
    cws_writer_unref(w);
    return writer ? PyTuple_Pack(2, ref, writer) : NULL;
}

/* ---- logs ---- */

static int log_options(PyObject *const *out, uint64_t default_ns, cws_log_options *ret)
{
    PyObject *tail = out[1], *since = out[2];

    ret->follow = truth(out[0]);
    ret->timestamps = truth(out[3]);
    if (ret->follow < 0 || ret->timestamps < 0)
        return -1;
    if (arg_given(tail)) {
        unsigned long n = PyLong_AsUnsignedLong(tail);

        if (PyErr_Occurred()) {
            PyErr_Format(PyLong_Check(tail) ? PyExc_ValueError : PyExc_TypeError,
                         "tail_lines must be a number of lines, not %R", tail);
            return -1;
        }
        ret->tail_lines = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    }
    if (arg_given(since)) {
        ret->since_ns = PyLong_AsUnsignedLongLong(since);
        if (PyErr_Occurred())
            return -1;
    }
    if (arg_given(out[5]) && !(ret->container = py_arg_utf8(out[5], "container")))
        return -1;
    return py_arg_seconds(out[4], "timeout_seconds", default_ns, default_ns, &ret->timeout_ns);
}

/* _logs(follow, tail_lines, since_ns, timestamps, timeout_seconds, container); a bad argument is raised by
 * the first iteration. */
static PyObject *sandbox_logs(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    struct core_state *st = core_state(self);
    cws_log_options options = {0};
    cws_reader *reader = NULL;
    cws_error *error = NULL;
    cws_sandbox *sb;

    if (!st)
        return NULL;
    if (n_args != 6) {
        PyErr_SetString(PyExc_TypeError, "_logs() takes 6 arguments");
        return NULL;
    }
    if (log_options(args, ((struct py_sandbox *)self)->request_timeout_ns, &options) == 0) {
        sb = py_sandbox_handle(st, self);
        reader = sb ? cws_sandbox_logs(sb, &options, &error) : NULL;
        if (sb && !reader)
            (void)py_errors_raise(st, error);
    }
    return py_reader_new(st, reader, true, true);
}

PyDoc_STRVAR(
    exec_doc,
    "exec($self, /, command, *, cwd=None, check=False, timeout_seconds=None, "
    "stdin=False, container=None, input=None, max_output_bytes=None, env=None, "
    "user=None, discard_output=False)\n--\n\n"
    "Start a command; returns a Process at once. Starts the sandbox if needed.\n\n"
    "command: list of str, run without a shell. cwd: absolute directory in the sandbox.\n"
    "check: a non-zero exit raises SandboxExecutionError (with .exec_result) from result().\n"
    "timeout_seconds: limit of the command, default request_timeout_seconds (300); then\n"
    "SandboxTimeoutError. stdin: True gives the Process a StreamWriter as .stdin; bytes or str "
    "(UTF-8) are\n"
    "fed to the command, then its end; input: the same, as subprocess.run() calls it.\n"
    "max_output_bytes: what the result keeps of each stream, default "
    "CWSANDBOX_MAX_OUTPUT_BYTES or 256 MiB, 0 for\n"
    "no bound. The rest is dropped, and stdout_truncated says so; a stream that was asked for "
    "(.stdout, .stderr)\n"
    "delivers everything, and is then to be read or closed.\n"
    "container: name of the container to run in; None, blanks: the primary one.\n"
    "env: dict of str, over the variables of the sandbox for this command.\n"
    "user: name or number, or USER:GROUP, in the sandbox's own /etc/passwd; None: root.\n"
    "discard_output: the result has no output, whatever its length. A stream is delivered in "
    "full to who asks for it\n"
    "before anybody waits for the end, and is then to be read or closed.\n"
    "ValueError: empty command, empty or relative cwd.");
PyDoc_STRVAR(
    shell_doc,
    "shell($self, /, command=None, *, width=None, height=None, container=None)\n--\n\n"
    "Start a command (default /bin/bash) on a terminal; returns a TerminalSession at once.\n\n"
    "command: list of str. width, height: size in characters, None = the service's choice.\n"
    "container: name of the container to run in; None, blanks: the primary one.\n"
    "It has no time-out. ValueError: empty command. Errors of the start come from result().");
PyDoc_STRVAR(
    read_doc,
    "read_file($self, /, filepath, *, timeout_seconds=None, container=None, user=None)\n--\n\n"
    "Handle for the bytes of a file, up to 256 MiB; read_file_streaming() has no limit.\n\n"
    "filepath: str or bytes, absolute. timeout_seconds: of the call, default "
    "request_timeout_seconds "
    "(300).\n"
    "container: name of the container whose files are meant; None, blanks: the primary one.\n"
    "user: who does it, as of exec(); None: root.\n"
    "SandboxFileError (filepath, reason): missing, a directory, not allowed, too large.");
PyDoc_STRVAR(
    write_doc,
    "write_file($self, /, filepath, contents, *, timeout_seconds=None, container=None, "
    "user=None)\n--\n\n"
    "Create or replace a file with bytes, up to 256 MiB; write_file_streaming() has no limit. "
    "A file that is\n"
    "there keeps owner and mode, and its content when the disk is full.\n\n"
    "filepath: str or bytes, absolute. contents: bytes-like, may be changed after the call.\n"
    "timeout_seconds: of the call, default request_timeout_seconds (300). SandboxFileError "
    "(filepath, reason): a\n"
    "directory, not allowed, a full disk, too large.");
PyDoc_STRVAR(
    read_stream_doc,
    "read_file_streaming($self, /, filepath, *, timeout_seconds=None, container=None, "
    "user=None)\n--\n\n"
    "StreamReader[bytes] over a file of any size. Errors are raised by the iteration.\n\n"
    "filepath: str or bytes, absolute. timeout_seconds: until the whole file is read, default "
    "request_timeout_seconds (300).\n"
    "SandboxFileError (filepath, reason): missing, a directory, not allowed, or cut off.");

PyDoc_STRVAR(
    forward_doc,
    "forward($self, /, port, *, local_port=None)\n--\n\n"
    "Handle for a PortForward: a port of the sandbox as one of this machine's loopback.\n\n"
    "port: int, of the sandbox's loopback, TCP. local_port: int, on 127.0.0.1; None or 0: any "
    "that is free.\n"
    "Works without a network of the sandbox. Starts the sandbox if needed. A connection that "
    "nobody takes inside\n"
    "is reset. CWSandboxError: the local port is taken; SandboxError: a service that is not "
    "ours.");

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS

PyMethodDef py_sandbox_io_methods[] = {
    {"exec", FAST(sandbox_exec), exec_doc},
    {"shell", FAST(sandbox_shell), shell_doc},
    {"read_file", FAST(sandbox_read_file), read_doc},
    {"write_file", FAST(sandbox_write_file), write_doc},
    {"read_file_streaming", FAST(sandbox_read_file_streaming), read_stream_doc},
    {"forward", FAST(py_sandbox_forward), forward_doc},
    {"_write_file_stream", FAST(sandbox_write_file_stream), NULL},
    {"_logs", (PyCFunction)(void (*)(void))sandbox_logs, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};
