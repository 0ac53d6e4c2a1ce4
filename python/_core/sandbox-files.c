/*
 * Names and trees of a sandbox. As sandbox-io.c: every call returns at once with a handle; bad arguments raise here, all else is in
 * the handle.
 */
#include "objects.h"

/* What all of them end with: user, timeout_seconds, container. */
#define N_COMMON 3
#define COMMON "user", "timeout_seconds", "container"

struct names_args {
    cws_sandbox *sb; /* NULL: the sandbox cannot be opened, and an exception is set */
    cws_file_options options;
};

static int common_args(struct core_state *st, PyObject *self, PyObject *const *last,
                       struct names_args *ret)
{
    uint64_t default_ns = ((struct py_sandbox *)self)->request_timeout_ns;

    *ret = (struct names_args){0};
    if ((arg_given(last[0]) && !(ret->options.user = py_arg_utf8(last[0], "user"))) ||
        (arg_given(last[2]) && !(ret->options.container = py_arg_utf8(last[2], "container"))) ||
        py_arg_seconds(last[1], "timeout_seconds", default_ns, default_ns,
                       &ret->options.timeout_ns) < 0)
        return -1;
    ret->sb = py_sandbox_handle(st, self);
    return 0;
}

/* A bad argument raises; what else went wrong is in the handle. @take_error: a pointer, as py_ref_new() has it. */
static PyObject *ref_of(struct core_state *st, const struct py_ref_class *cls, cws_op *take_op,
                        cws_error **take_error)
{
    if (!take_op && *take_error && cws_error_get_kind(*take_error) == CWS_E_INVALID)
        return py_errors_raise(st, *take_error);
    return py_ref_new(st, cls, take_op, NULL, take_error);
}

/* Names are bytes; what is no UTF-8 comes as in os.listdir(). */
static PyObject *name_of(const char *s)
{
    return s ? PyUnicode_DecodeUTF8(s, (Py_ssize_t)strlen(s), "surrogateescape")
             : Py_NewRef(Py_None);
}

/* (name, kind, mode, uid, gid, size, seconds, nanoseconds, target): cwsandbox/_files.py makes a FileInfo of it. */
static PyObject *info_tuple(const cws_file_info *info)
{
    PyObject *name CLEANUP_PY = name_of(info->name), *target CLEANUP_PY = name_of(info->target);

    if (!name || !target)
        return NULL;
    return Py_BuildValue("(OiIIIKLIO)", name, (int)info->kind, (unsigned)info->mode_bits,
                         (unsigned)info->uid, (unsigned)info->gid,
                         (unsigned long long)info->size_bytes, (long long)info->mtime_s,
                         (unsigned)info->mtime_ns, target);
}

static PyObject *infos_value(struct core_state *st, struct py_ref *self)
{
    size_t n;
    const cws_file_info *all = cws_op_files(self->op, &n);
    PyObject *list CLEANUP_PY = PyList_New((Py_ssize_t)n);

    for (size_t i = 0; list && i < n; i++) {
        PyObject *item = info_tuple(&all[i]);

        if (!item)
            return NULL;
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(list);
}

static const struct py_ref_class infos_class = {.value = infos_value};

typedef cws_op *(*look_fn)(cws_sandbox *sb, const char *path, const cws_file_options *options,
                           cws_error **error);

/* (path, user, timeout_seconds, container) */
static PyObject *look(PyObject *self, PyObject *const *args, Py_ssize_t n_args, look_fn fn)
{
    struct core_state *st = core_state(self);
    cws_error *error = NULL;
    struct names_args a;
    PyObject *bytes CLEANUP_PY = NULL;
    const char *path;

    if (n_args != 1 + N_COMMON) {
        PyErr_SetString(PyExc_TypeError, "four arguments are needed");
        return NULL;
    }
    if (!st || !(path = py_arg_path(args[0], "path", &bytes)) ||
        common_args(st, self, args + 1, &a) < 0)
        return NULL;
    return ref_of(st, &infos_class, a.sb ? fn(a.sb, path, &a.options, &error) : NULL, &error);
}

static PyObject *sandbox_list_dir(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return look(self, args, n_args, cws_sandbox_list_dir);
}

static PyObject *sandbox_stat_file(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    return look(self, args, n_args, cws_sandbox_stat_file);
}

static PyObject *sandbox_make_dir(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                  PyObject *kwnames)
{
    static const char *const names[] = {"path", "mode", COMMON};
    static const struct arg_spec spec = {"make_dir", names, 2 + N_COMMON, 1, 1};
    struct core_state *st = core_state(self);
    PyObject *out[2 + N_COMMON], *bytes CLEANUP_PY = NULL;
    cws_error *error = NULL;
    unsigned long mode = 0755;
    struct names_args a;
    const char *path;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0 ||
        !(path = py_arg_path(out[0], "path", &bytes)))
        return NULL;
    if (arg_given(out[1]))
        mode = PyLong_AsUnsignedLong(out[1]);
    if (PyErr_Occurred() || common_args(st, self, out + 2, &a) < 0)
        return NULL;
    return ref_of(st, &py_ref_none,
                  a.sb ? cws_sandbox_make_dir(a.sb, path, (uint32_t)Py_MIN(mode, 010000),
                                              &a.options, &error)
                       : NULL,
                  &error);
}

static PyObject *sandbox_remove_file(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                     PyObject *kwnames)
{
    static const char *const names[] = {"path", "recursive", COMMON};
    static const struct arg_spec spec = {"remove_file", names, 2 + N_COMMON, 1, 1};
    struct core_state *st = core_state(self);
    PyObject *out[2 + N_COMMON], *bytes CLEANUP_PY = NULL;
    cws_error *error = NULL;
    struct names_args a;
    const char *path;
    int recursive;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0 ||
        !(path = py_arg_path(out[0], "path", &bytes)))
        return NULL;
    recursive = out[1] ? PyObject_IsTrue(out[1]) : 0;
    if (recursive < 0 || common_args(st, self, out + 2, &a) < 0)
        return NULL;
    return ref_of(st, &py_ref_none,
                  a.sb ? cws_sandbox_remove_file(a.sb, path, recursive, &a.options, &error)
                       : NULL,
                  &error);
}

typedef cws_op *(*pair_fn)(cws_sandbox *sb, const char *from, const char *to,
                           const cws_file_options *options, cws_error **error);

/* @local: which of the two paths is one of this machine, -1: none. */
static PyObject *from_to(PyObject *self, const struct arg_spec *spec, PyObject *const *args,
                         Py_ssize_t n_args, PyObject *kwnames, int local, pair_fn fn)
{
    struct core_state *st = core_state(self);
    PyObject *out[2 + N_COMMON], *first CLEANUP_PY = NULL, *second CLEANUP_PY = NULL;
    PyObject **bytes[] = {&first, &second};
    const char *paths[2];
    cws_error *error = NULL;
    struct names_args a;

    if (!st || py_args_unpack(spec, args, n_args, kwnames, out) < 0)
        return NULL;
    for (int i = 0; i < 2; i++) {
        if (i == local && !PyUnicode_FSConverter(out[i], bytes[i]))
            return NULL;
        paths[i] = i == local ? PyBytes_AS_STRING(*bytes[i])
                              : py_arg_path(out[i], spec->names[i], bytes[i]);
        if (!paths[i])
            return NULL;
    }
    if (common_args(st, self, out + 2, &a) < 0)
        return NULL;
    return ref_of(st, &py_ref_none,
                  a.sb ? fn(a.sb, paths[0], paths[1], &a.options, &error) : NULL, &error);
}

static PyObject *sandbox_rename_file(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                     PyObject *kwnames)
{
    static const char *const names[] = {"path", "new_path", COMMON};
    static const struct arg_spec spec = {"rename_file", names, 2 + N_COMMON, 2, 2};

    return from_to(self, &spec, args, n_args, kwnames, -1, cws_sandbox_rename_file);
}

static PyObject *sandbox_upload_dir(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                    PyObject *kwnames)
{
    static const char *const names[] = {"local_path", "path", COMMON};
    static const struct arg_spec spec = {"upload_dir", names, 2 + N_COMMON, 2, 2};

    return from_to(self, &spec, args, n_args, kwnames, 0, cws_sandbox_upload_dir);
}

static PyObject *sandbox_download_dir(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                      PyObject *kwnames)
{
    static const char *const names[] = {"path", "local_path", COMMON};
    static const struct arg_spec spec = {"download_dir", names, 2 + N_COMMON, 2, 2};

    return from_to(self, &spec, args, n_args, kwnames, 1, cws_sandbox_download_dir);
}

#define COMMON_TEXT \
    "user, timeout_seconds (default 300, for all of it), container: as of read_file().\n"

PyDoc_STRVAR(
    make_dir_doc,
    "make_dir($self, /, path, *, mode=0o755, user=None, timeout_seconds=None, "
    "container=None)\n--\n\n"
    "Make a directory, and what is missing above it. One that is there is left as it is.\n\n"
    "path: str or bytes, absolute. mode: permission bits.\n" COMMON_TEXT
    "SandboxFileError (filepath, reason): a file is in the way, or not allowed.");
PyDoc_STRVAR(remove_file_doc,
             "remove_file($self, /, path, *, recursive=False, user=None, timeout_seconds=None, "
             "container=None)\n--\n\n"
             "Remove a file, a link or an empty directory; with recursive a directory with "
             "what is in it.\n\n"
             "path: str or bytes, absolute. Links are removed, not followed.\n" COMMON_TEXT
             "SandboxFileError (filepath, reason): not there, not empty, not allowed.");
PyDoc_STRVAR(
    rename_file_doc,
    "rename_file($self, /, path, new_path, *, user=None, timeout_seconds=None, "
    "container=None)\n--\n\n"
    "Give a file or directory another name, in one step; a file that has the new name is "
    "gone.\n\n"
    "path, new_path: str or bytes, absolute, in one file system of the sandbox.\n" COMMON_TEXT
    "SandboxFileError (filepath, reason): not there, a directory in the way, not allowed.");
#define TREE_TEXT \
    "A stream, never whole in memory. Modes and times come along, owners do not: files " \
    "belong to who wrote them.\n" \
    "A file that is there is overwritten and keeps owner and mode; a link in its place is " \
    "replaced; other\n" \
    "files stay. Links are copied as links and followed on neither side. Sockets, FIFOs and " \
    "devices are\n" \
    "left out. On a failure, what came before it stays.\n"
PyDoc_STRVAR(
    upload_dir_doc,
    "upload_dir($self, /, local_path, path, *, user=None, timeout_seconds=None, "
    "container=None)\n--\n\n"
    "Copy what is in a directory of this machine into one of the sandbox, which is made if it "
    "is missing.\n\n" TREE_TEXT
    "local_path: str or path. path: str or bytes, absolute. Nothing of the "
    "sandbox is executed, not even a tar.\n" COMMON_TEXT
    "SandboxFileError (filepath, reason): either end failed; the text names the file.");
PyDoc_STRVAR(
    download_dir_doc,
    "download_dir($self, /, path, local_path, *, user=None, timeout_seconds=None, "
    "container=None)\n--\n\n"
    "Copy what is in a directory of the sandbox into one of this machine, which is made if it "
    "is missing.\n\n" TREE_TEXT "What is in the sandbox is not trusted: a name or a link that "
    "leads out of local_path ends it.\n"
    "path: str or bytes, absolute. local_path: str or path.\n" COMMON_TEXT
    "SandboxFileError (filepath, reason): either end failed; the text names the file.");

static PyObject *text_value(struct core_state *st, struct py_ref *self)
{
    size_t n;
    const char *data = cws_op_data(self->op, &n);

    return PyUnicode_DecodeUTF8(data, (Py_ssize_t)n, "replace");
}

static const struct py_ref_class text_class = {.value = text_value};

/* A dict as "NAME=value" each; the strings are @ret_owner's, the array is the caller's. */
static int commit_env(PyObject *dict, PyObject **ret_owner, cws_commit_options *ret)
{
    PyObject *items CLEANUP_PY = PyMapping_Items(dict);
    Py_ssize_t n = items ? PyList_GET_SIZE(items) : -1;
    const char **env = n < 0 ? NULL : PyMem_Calloc((size_t)n + 1, sizeof(*env));

    if (n < 0 || !env || !(*ret_owner = PyList_New(0))) {
        PyMem_Free(env);
        return PyErr_Occurred() ? -1 : (PyErr_NoMemory(), -1);
    }
    ret->env = env;
    for (; ret->n_env < (size_t)n; ret->n_env++) {
        PyObject *item = PyList_GET_ITEM(items, (Py_ssize_t)ret->n_env);
        PyObject *word CLEANUP_PY =
            PyUnicode_FromFormat("%U=%U", PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1));

        if (!word || PyList_Append(*ret_owner, word) < 0 ||
            !(env[ret->n_env] = py_arg_utf8(word, "environment_variables")))
            return -1;
    }
    return 0;
}

static PyObject *sandbox_commit(PyObject *self, PyObject *const *args, Py_ssize_t n_args,
                                PyObject *kwnames)
{
    static const char *const names[] = {"reference", "environment_variables", "working_dir",
                                        "timeout_seconds"};
    static const struct arg_spec spec = {"commit", names, 4, 1, 1};
    struct core_state *st = core_state(self);
    PyObject *out[4], *env CLEANUP_PY = NULL, *ref;
    cws_error *error = NULL;
    cws_commit_options options = {0};
    const char *reference;
    cws_sandbox *sb;

    if (!st || py_args_unpack(&spec, args, n_args, kwnames, out) < 0 ||
        !(reference = py_arg_utf8(out[0], "reference")) ||
        (arg_given(out[1]) && commit_env(out[1], &env, &options) < 0) ||
        (arg_given(out[2]) && !(options.working_dir = py_arg_utf8(out[2], "working_dir"))) ||
        py_arg_seconds(out[3], "timeout_seconds", CWS_FOREVER, CWS_FOREVER,
                       &options.timeout_ns) < 0) {
        PyMem_Free((void *)options.env);
        return NULL;
    }
    sb = py_sandbox_handle(st, self);
    ref = ref_of(st, &text_class,
                 sb ? cws_sandbox_commit(sb, reference, &options, &error) : NULL, &error);
    PyMem_Free((void *)options.env);
    return ref;
}

PyDoc_STRVAR(
    commit_doc,
    "commit($self, /, reference, *, environment_variables=None, working_dir=None, "
    "timeout_seconds=None)\n--\n\n"
    "Handle for the id, a str, of an image made of what the sandbox has written.\n\n"
    "reference: str, the image's name; what it meant before is replaced. The image has the "
    "layers "
    "of the sandbox's\n"
    "own, one more, and its environment, entry point, user and working directory. /tmp is not "
    "part "
    "of it. The sandbox\n"
    "runs on. environment_variables: dict of str, added to its own. working_dir: str, "
    "absolute; None: as it was.\n"
    "timeout_seconds: until it is there, default none. Starts the sandbox if needed.\n"
    "SandboxError: a service that commits none, or something that cannot be in an image; "
    "nothing "
    "is left then.");

#define FAST(f) (PyCFunction)(void (*)(void))(f), METH_FASTCALL | METH_KEYWORDS

PyMethodDef py_sandbox_files_methods[] = {
    {"_list_dir", (PyCFunction)(void (*)(void))sandbox_list_dir, METH_FASTCALL, NULL},
    {"_stat_file", (PyCFunction)(void (*)(void))sandbox_stat_file, METH_FASTCALL, NULL},
    {"make_dir", FAST(sandbox_make_dir), make_dir_doc},
    {"remove_file", FAST(sandbox_remove_file), remove_file_doc},
    {"rename_file", FAST(sandbox_rename_file), rename_file_doc},
    {"upload_dir", FAST(sandbox_upload_dir), upload_dir_doc},
    {"commit", FAST(sandbox_commit), commit_doc},
    {"download_dir", FAST(sandbox_download_dir), download_dir_doc},
    {NULL, NULL, 0, NULL},
};
