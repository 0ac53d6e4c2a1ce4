/*
 * cwsandbox._core: the module itself. Multi-phase initialisation, all types on the heap, all
 * objects in module state: each subinterpreter has its own. libcwsandbox below is one per
 * process and safe from any thread.
 */
#include "objects.h"

static const struct {
    const char *module, *name;
} late_table[LATE_MAX] = {
    [LATE_PROCESS_RESULT] = {"cwsandbox._types", "ProcessResult"},
    [LATE_TERMINAL_RESULT] = {"cwsandbox._types", "TerminalResult"},
    [LATE_STATUS_BY_NUMBER] = {"cwsandbox._status", "BY_NUMBER"},
    [LATE_FIELD_VIOLATION] = {"cwsandbox.exceptions", "FieldViolation"},
    [LATE_FUTURE_CANCELLED] = {"concurrent.futures", "CancelledError"},
    [LATE_ASYNCIO_CANCELLED] = {"asyncio", "CancelledError"},
    [LATE_ASYNCIO] = {"asyncio", NULL}, /* the module */
    [LATE_WRAP_FUTURE] = {"asyncio", "wrap_future"},
    [LATE_TIMEDELTA] = {"datetime", "timedelta"},
    [LATE_DATETIME] = {"datetime", "datetime"},
    [LATE_UTC] = {"datetime", "UTC"},
};

PyObject *py_core_late(struct core_state *st, enum late which)
{
    if (!st->late[which]) {
        PyObject *module CLEANUP_PY = PyImport_ImportModule(late_table[which].module);
        const char *name = late_table[which].name;
        PyObject *value = !module ? NULL
                          : name  ? PyObject_GetAttrString(module, name)
                                  : Py_NewRef(module);

        /* importing may have run other threads that filled it */
        Py_XSETREF(st->late[which], value);
    }
    return st->late[which];
}

static int names_init(struct core_state *st)
{
    st->s_set_result = PyUnicode_InternFromString("set_result");
    st->s_done = PyUnicode_InternFromString("done");
    st->s_create_future = PyUnicode_InternFromString("create_future");
    st->s_add_reader = PyUnicode_InternFromString("add_reader");
    st->s_open = PyUnicode_InternFromString("_open");
    st->s_get_running_loop = PyUnicode_InternFromString("get_running_loop");
    st->s_get_running_loop_or_none = PyUnicode_InternFromString("_get_running_loop");
    st->s_call_soon = PyUnicode_InternFromString("call_soon");
    return st->s_set_result && st->s_done && st->s_create_future && st->s_add_reader &&
                   st->s_open && st->s_get_running_loop && st->s_get_running_loop_or_none &&
                   st->s_call_soon
               ? 0
               : -1;
}

static int core_exec(PyObject *module)
{
    struct core_state *st = core_state_of_module(module);

    if (names_init(st) < 0 || py_errors_init(st) < 0 || py_ref_init(module, st) < 0 ||
        py_process_init(module, st) < 0 || py_reader_init(module, st) < 0 ||
        py_writer_init(module, st) < 0 || py_forward_init(module, st) < 0 ||
        py_await_init(module, st) < 0 || py_completions_init(module, st) < 0 ||
        py_options_init(module, st) < 0 || py_sandbox_init(module, st) < 0)
        return -1;
    if (PyModule_AddFunctions(module, py_client_functions) < 0 ||
        PyModule_AddFunctions(module, py_query_functions) < 0 ||
        PyModule_AddFunctions(module, py_signal_functions) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", cws_version());
}

/* Everything the state owns, for traverse and clear alike. */
static int for_each_object(struct core_state *st,
                           int (*visit)(PyObject **slot, visitproc inner, void *arg),
                           visitproc inner, void *arg)
{
    PyObject **types[] = {
        (PyObject **)&st->ref_type,
        (PyObject **)&st->process_type,
        (PyObject **)&st->terminal_type,
        (PyObject **)&st->reader_type,
        (PyObject **)&st->writer_type,
        (PyObject **)&st->forward_type,
        (PyObject **)&st->sandbox_type,
        (PyObject **)&st->options_type,
        (PyObject **)&st->target_type,
        (PyObject **)&st->awaiter_type,
        (PyObject **)&st->hook_type,
        &st->hooks,
        &st->s_set_result,
        &st->s_done,
        &st->s_create_future,
        &st->s_add_reader,
        &st->s_open,
        &st->s_get_running_loop,
        &st->s_get_running_loop_or_none,
        &st->s_call_soon,
    };
    int r = 0;

    for (size_t i = 0; i < N_ELEMENTS(types) && r == 0; i++)
        r = visit(types[i], inner, arg);
    for (size_t i = 0; i < N_ERROR_KINDS && r == 0; i++)
        r = visit(&st->errors[i], inner, arg);
    for (size_t i = 0; i < LATE_MAX && r == 0; i++)
        r = visit(&st->late[i], inner, arg);
    return r;
}

static int visit_slot(PyObject **slot, visitproc visit, void *arg)
{
    Py_VISIT(*slot);
    return 0;
}

static int clear_slot(PyObject **slot, visitproc visit, void *arg)
{
    Py_CLEAR(*slot);
    return 0;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    return for_each_object(core_state_of_module(module), visit_slot, visit, arg);
}

static int core_clear(PyObject *module)
{
    return for_each_object(core_state_of_module(module), clear_slot, NULL, NULL);
}

static void core_free(void *module)
{
    (void)core_clear(module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(
    core_doc,
    "The C side of cwsandbox. Use the package; nothing here is a public name of its own.");

struct PyModuleDef py_core_module = {
    PyModuleDef_HEAD_INIT, .m_name = "cwsandbox._core",
    .m_doc = core_doc,     .m_size = sizeof(struct core_state),
    .m_slots = core_slots, .m_traverse = core_traverse,
    .m_clear = core_clear, .m_free = core_free,
};

PyMODINIT_FUNC
PyInit__core(void); /* the one symbol of this library: CPython looks it up by name */

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&py_core_module);
}
