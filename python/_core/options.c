/*
 * Options and Target: what a sandbox is made of and where it goes, copied once from Python
 * values that cwsandbox/_sandbox.py has already checked and merged. Internal: users see keyword
 * arguments.
 */
#include "objects.h"

/* ---- setters; each takes a value that is not None ---- */

static int set_image(cws_options *o, PyObject *value, cws_error **error)
{
    const char *s = py_arg_utf8(value, "container_image");

    return s ? cws_options_set_image(o, s, error) : -1;
}

/* (command, args) */
static int set_command(cws_options *o, PyObject *value, cws_error **error)
{
    struct arg_strings args CLEANUP_STRINGS = {0};
    PyObject *command, *list;
    const char *s;

    if (!PyArg_ParseTuple(value, "OO", &command, &list))
        return -1;
    s = py_arg_utf8(command, "command");
    if (!s || py_arg_strings(list, "args", &args) < 0)
        return -1;
    return cws_options_set_command(o, s, args.items, args.n, error);
}

static int add_each(cws_options *o, PyObject *value, const char *name, cws_error **error,
                    int (*add)(cws_options *, const char *, cws_error **))
{
    struct arg_strings strings CLEANUP_STRINGS = {0};

    if (py_arg_strings(value, name, &strings) < 0)
        return -1;
    for (size_t i = 0; i < strings.n; i++) {
        if (add(o, strings.items[i], error) < 0)
            return -1;
    }
    return 0;
}

static int add_pairs(cws_options *o, PyObject *value, const char *name, cws_error **error,
                     int (*add)(cws_options *, const char *, const char *, cws_error **))
{
    Py_ssize_t at = 0;
    PyObject *k, *v;

    if (!PyDict_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be a dict of strings, not %.100s", name,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    while (PyDict_Next(value, &at, &k, &v)) {
        const char *key = py_arg_utf8(k, name), *text;

        if (key && !PyUnicode_Check(v)) {
            PyErr_Format(PyExc_TypeError, "%s[%R] must be a str, not %.100s", name, k,
                         Py_TYPE(v)->tp_name);
            return -1;
        }
        text = key ? py_arg_utf8(v, name) : NULL;
        if (!text || add(o, key, text, error) < 0)
            return -1;
    }
    return 0;
}

static int set_env(cws_options *o, PyObject *value, cws_error **error)
{
    return add_pairs(o, value, "environment_variables", error, cws_options_add_env);
}

static int set_annotations(cws_options *o, PyObject *value, cws_error **error)
{
    return add_pairs(o, value, "annotations", error, cws_options_add_annotation);
}

static int set_tags(cws_options *o, PyObject *value, cws_error **error)
{
    return add_each(o, value, "tags", error, cws_options_add_tag);
}

static int set_runner_ids(cws_options *o, PyObject *value, cws_error **error)
{
    return add_each(o, value, "runner_ids", error, cws_options_add_runner_id);
}

/* [(path, bytes), ...] */
static int set_files(cws_options *o, PyObject *value, cws_error **error)
{
    PyObject *list CLEANUP_PY = PySequence_Fast(value, "mounted_files must be a sequence");

    for (Py_ssize_t i = 0; list && i < PySequence_Fast_GET_SIZE(list); i++) {
        struct arg_text path = {"mounted_files: the path"};
        const char *data;
        Py_ssize_t size;

        if (!PyArg_ParseTuple(PySequence_Fast_GET_ITEM(list, i), "O&y#", py_arg_text, &path,
                              &data, &size) ||
            cws_options_add_file(o, path.text, data, (size_t)size, error) < 0)
            return -1;
    }
    return list ? 0 : -1;
}

/* (request cpu, request memory, limit cpu, limit memory), each str or None */
static int set_resources(cws_options *o, PyObject *value, cws_error **error)
{
    struct arg_text request_cpu = {"resources: requests cpu", .optional = true},
                    request_memory = {"resources: requests memory", .optional = true},
                    limit_cpu = {"resources: limits cpu", .optional = true},
                    limit_memory = {"resources: limits memory", .optional = true};

    if (!PyArg_ParseTuple(value, "O&O&O&O&", py_arg_text, &request_cpu, py_arg_text,
                          &request_memory, py_arg_text, &limit_cpu, py_arg_text, &limit_memory))
        return -1;
    return cws_options_set_resources(o, request_cpu.text, request_memory.text, limit_cpu.text,
                                     limit_memory.text, error);
}

static int set_max_lifetime(cws_options *o, PyObject *value, cws_error **error)
{
    long seconds = PyLong_AsLong(value);

    if (seconds == -1 && PyErr_Occurred())
        return -1;
    if (seconds < 0 || seconds > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "max_lifetime_seconds must be between 0 and %d, not %ld",
                     INT32_MAX, seconds);
        return -1;
    }
    cws_options_set_max_lifetime(o, (int32_t)seconds);
    return 0;
}

static int set_mode(cws_options *o, PyObject *value, cws_error **error)
{
    long mode = PyLong_AsLong(value);

    if (mode == -1 && PyErr_Occurred())
        return -1;
    cws_options_set_mode(o, (int)mode);
    return 0;
}

static int set_request_timeout(cws_options *o, PyObject *value, cws_error **error)
{
    uint64_t ns;

    if (py_arg_seconds(value, "request_timeout_seconds", 0, 1, &ns) < 0)
        return -1;
    cws_options_set_request_timeout(o, ns);
    return 0;
}

/* (retry budget, rpc time-out) in seconds */
static int set_poll(cws_options *o, PyObject *value, cws_error **error)
{
    uint64_t budget, rpc;
    PyObject *a, *b;

    if (!PyArg_ParseTuple(value, "OO", &a, &b) ||
        py_arg_seconds(a, "poll_retry_budget_seconds", 0, 0, &budget) < 0 ||
        py_arg_seconds(b, "poll_rpc_timeout_seconds", 0, 1, &rpc) < 0)
        return -1;
    cws_options_set_poll(o, budget, rpc);
    return 0;
}

static int set_create_retry(cws_options *o, PyObject *value, cws_error **error)
{
    uint64_t ns;

    if (py_arg_seconds(value, "create_retry_budget_seconds", 0, 0, &ns) < 0)
        return -1;
    cws_options_set_create_retry(o, ns);
    return 0;
}

static const struct option_setter option_table[] = {
    {"image", set_image},
    {"command", set_command},
    {"env", set_env},
    {"tags", set_tags},
    {"annotations", set_annotations},
    {"runner_ids", set_runner_ids},
    {"files", set_files},
    {"resources", set_resources},
    {"max_lifetime", set_max_lifetime},
    {"mode", set_mode},
    {"request_timeout", set_request_timeout},
    {"poll", set_poll},
    {"create_retry", set_create_retry},
    {NULL, NULL},
};

static const struct option_setter *find_setter(const struct option_setter *table,
                                               PyObject *name)
{
    for (; table->name; table++) {
        if (PyUnicode_CompareWithASCIIString(name, table->name) == 0)
            return table;
    }
    return NULL;
}

static int set_option(struct core_state *st, cws_options *o, PyObject *name, PyObject *value)
{
    const struct option_setter *found = find_setter(option_table, name);
    cws_error *error = NULL;

    if (!found)
        found = find_setter(py_option_lists, name);
    if (!found) {
        PyErr_Format(PyExc_TypeError, "Options() got an unexpected keyword argument '%U'",
                     name);
        return -1;
    }
    if (value == Py_None || found->set(o, value, &error) == 0)
        return 0;
    if (!PyErr_Occurred())
        (void)py_errors_raise(st, error);
    return -1;
}

static struct core_state *state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &py_core_module);

    return module ? core_state_of_module(module) : NULL;
}

/* Options(**names of option_table); None means unset */
static PyObject *options_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct core_state *st = state_of_type(type);
    struct py_options *self = st ? (struct py_options *)type->tp_alloc(type, 0) : NULL;
    PyObject *owned CLEANUP_PY = (PyObject *)self;
    cws_error *error = NULL;
    Py_ssize_t at = 0;
    PyObject *k, *v;

    if (!self)
        return NULL;
    self->options = cws_options_new(&error);
    if (!self->options)
        return py_errors_raise(st, error);
    while (kwargs && PyDict_Next(kwargs, &at, &k, &v)) {
        if (set_option(st, self->options, k, v) < 0)
            return NULL;
    }
    return TAKE_PTR(owned);
}

static void options_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    cws_options_free(((struct py_options *)self)->options);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- Target(base_url=None, headers=None): headers None = the API key of the environment ----
 */

static int header_list(PyObject *headers, cws_header **ret, size_t *ret_n)
{
    Py_ssize_t at = 0;
    PyObject *k, *v;
    size_t n = 0;

    if (!PyDict_Check(headers)) {
        PyErr_SetString(PyExc_TypeError, "headers must be a dict");
        return -1;
    }
    *ret = PyMem_New(cws_header, (size_t)PyDict_GET_SIZE(headers) + 1);
    if (!*ret) {
        PyErr_NoMemory();
        return -1;
    }
    while (PyDict_Next(headers, &at, &k, &v)) {
        (*ret)[n].name = py_arg_utf8(k, "header name");
        (*ret)[n].value = (*ret)[n].name ? py_arg_utf8(v, "header value") : NULL;
        if (!(*ret)[n].value)
            return -1;
        n++;
    }
    *ret_n = n;
    return 0;
}

static void cleanup_mem(cws_header **p)
{
    PyMem_Free(*p);
}

static PyObject *target_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"base_url", "headers", NULL};
    struct core_state *st = state_of_type(type);
    cws_header *headers CLEANUP(cleanup_mem) = NULL;
    PyObject *header_dict = Py_None, *owned CLEANUP_PY = NULL;
    struct arg_text url = {"base_url", .optional = true};
    cws_error *error = NULL;
    struct py_target *self;
    size_t n = 0;

    if (!st || !PyArg_ParseTupleAndKeywords(args, kwargs, "|O&O:Target", keywords, py_arg_text,
                                            &url, &header_dict))
        return NULL;
    if (header_dict != Py_None && header_list(header_dict, &headers, &n) < 0)
        return NULL;
    self = (struct py_target *)type->tp_alloc(type, 0);
    owned = (PyObject *)self;
    if (!self)
        return NULL;
    self->target = cws_target_new(url.text, headers, n, &error);
    if (!self->target)
        return py_errors_raise(st, error);
    return TAKE_PTR(owned);
}

static void target_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    cws_target_unref(((struct py_target *)self)->target);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_url(PyObject *self, void *closure)
{
    return PyUnicode_FromString(cws_target_url(((struct py_target *)self)->target));
}

static PyGetSetDef target_getset[] = {
    {"url", get_url, NULL, "str: where calls go", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot options_slots[] = {
    {Py_tp_new, options_tp_new},
    {Py_tp_dealloc, options_dealloc},
    {0, NULL},
};
static PyType_Slot target_slots[] = {
    {Py_tp_new, target_tp_new},
    {Py_tp_dealloc, target_dealloc},
    {Py_tp_getset, target_getset},
    {0, NULL},
};
static PyType_Spec options_type_spec = {
    .name = "cwsandbox._core.Options",
    .basicsize = sizeof(struct py_options),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = options_slots,
};
static PyType_Spec target_type_spec = {
    .name = "cwsandbox._core.Target",
    .basicsize = sizeof(struct py_target),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = target_slots,
};

int py_options_init(PyObject *module, struct core_state *st)
{
    st->options_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &options_type_spec, NULL);
    st->target_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &target_type_spec, NULL);
    if (!st->options_type || !st->target_type || PyModule_AddType(module, st->options_type) < 0)
        return -1;
    return PyModule_AddType(module, st->target_type);
}
