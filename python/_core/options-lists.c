/*
 * Setters of Options that take lists and records: secrets, and whatever the wire names;
 * and where a sandbox comes from and goes to. The shapes are made by cwsandbox/_config.py.
 */
#include "objects.h"

/* Calls @add for each tuple of the sequence. */
static int each_tuple(cws_options *o, PyObject *value, const char *name, cws_error **error,
                      int (*add)(cws_options *o, PyObject *tuple, cws_error **error))
{
    PyObject *list CLEANUP_PY = PySequence_Fast(value, name);

    for (Py_ssize_t i = 0; list && i < PySequence_Fast_GET_SIZE(list); i++) {
        if (add(o, PySequence_Fast_GET_ITEM(list, i), error) < 0)
            return -1;
    }
    return list ? 0 : -1;
}

/* (count, type or None, memory_gb) */
static int set_gpu(cws_options *o, PyObject *value, cws_error **error)
{
    long long count, memory_gb;
    struct arg_text type = {"resources: gpu type", .optional = true};

    if (!PyArg_ParseTuple(value, "LO&L", &count, py_arg_text, &type, &memory_gb))
        return -1;
    return cws_options_set_gpu(o, count, type.text, memory_gb, error);
}

/* (store, name, field, env_var) */
static int add_secret(cws_options *o, PyObject *value, cws_error **error)
{
    struct arg_text store = {"secrets: store"}, name = {"secrets: name"},
                    field = {"secrets: field"}, env_var = {"secrets: env_var"};

    if (!PyArg_ParseTuple(value, "O&O&O&O&", py_arg_text, &store, py_arg_text, &name,
                          py_arg_text, &field, py_arg_text, &env_var))
        return -1;
    return cws_options_add_secret(o, store.text, name.text, field.text, env_var.text, error);
}

static int set_secrets(cws_options *o, PyObject *value, cws_error **error)
{
    return each_tuple(o, value, "secrets must be a sequence", error, add_secret);
}

static int add_host_directory(cws_options *o, PyObject *value, cws_error **error)
{
    struct arg_text path = {"volumes: path"}, mount_path = {"volumes: mount_path"};

    if (!PyArg_ParseTuple(value, "O&O&", py_arg_text, &path, py_arg_text, &mount_path))
        return -1;
    return cws_options_add_host_directory(o, path.text, mount_path.text, error);
}

/* (path, mount_path) of each */
static int set_host_directories(cws_options *o, PyObject *value, cws_error **error)
{
    return each_tuple(o, value, "volumes must be a sequence", error, add_host_directory);
}

/* (registry, store, name, field) */
static int set_pull_credentials(cws_options *o, PyObject *value, cws_error **error)
{
    struct arg_text registry = {"image_pull_credentials: registry"},
                    store = {"image_pull_credentials: store"},
                    name = {"image_pull_credentials: name"},
                    field = {"image_pull_credentials: field"};

    if (!PyArg_ParseTuple(value, "O&O&O&O&", py_arg_text, &registry, py_arg_text, &store,
                          py_arg_text, &name, py_arg_text, &field))
        return -1;
    return cws_options_set_pull_credentials(o, registry.text, store.text, name.text, field.text,
                                            error);
}

static int set_template(cws_options *o, PyObject *value, cws_error **error)
{
    const char *id = py_arg_utf8(value, "template_id");

    return id ? cws_options_set_template(o, id, error) : -1;
}

static int set_spillover(cws_options *o, PyObject *value, cws_error **error)
{
    long spillover = PyLong_AsLong(value);

    if (spillover == -1 && PyErr_Occurred())
        return -1;
    cws_options_set_spillover(o, (cws_spillover)spillover);
    return 0;
}

/* dicts of field names of the wire */
static int set_spec(cws_options *o, PyObject *value, cws_error **error)
{
    return py_record_fill(cws_options_spec(o, error), value, error);
}

static int set_container(cws_options *o, PyObject *value, cws_error **error)
{
    return py_record_fill(cws_options_container(o, error), value, error);
}

static int set_from_file(cws_options *o, PyObject *value, cws_error **error)
{
    return py_record_fill(cws_options_from_file(o, error), value, error);
}

const struct option_setter py_option_lists[] = {
    {"spec", set_spec},
    {"container", set_container},
    {"from_file", set_from_file},
    {"gpu", set_gpu},
    {"secrets", set_secrets},
    {"host_directories", set_host_directories},
    {"pull_credentials", set_pull_credentials},
    {"template", set_template},
    {"spillover", set_spillover},
    {NULL, NULL},
};
