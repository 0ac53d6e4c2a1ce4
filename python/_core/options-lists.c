/*
 * Setters of Options that take lists and records: network names, services, secrets, volumes;
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
    const char *type;

    if (!PyArg_ParseTuple(value, "LzL", &count, &type, &memory_gb))
        return -1;
    return cws_options_set_gpu(o, count, type, memory_gb, error);
}

static int add_egress(cws_options *o, PyObject *value, cws_error **error)
{
    const char *name = py_arg_utf8(value, "dns_name");

    return name ? cws_options_add_egress(o, name, error) : -1;
}

static int set_egress(cws_options *o, PyObject *value, cws_error **error)
{
    return each_tuple(o, value, "egress must be a sequence", error, add_egress);
}

/* (port, name or None, protocol, visibility, endpoint kind, endpoint auth) */
static int add_service(cws_options *o, PyObject *value, cws_error **error)
{
    int protocol, visibility, kind, auth;
    cws_service_options service = {0};

    if (!PyArg_ParseTuple(value, "iziiii", &service.port, &service.name, &protocol, &visibility,
                          &kind, &auth))
        return -1;
    service.protocol = (cws_protocol)protocol;
    service.visibility = (cws_visibility)visibility;
    service.endpoint_kind = (cws_endpoint_kind)kind;
    service.endpoint_auth = (cws_endpoint_auth)auth;
    return cws_options_add_service(o, &service, error);
}

static int set_services(cws_options *o, PyObject *value, cws_error **error)
{
    return each_tuple(o, value, "services must be a sequence", error, add_service);
}

/* (store, name, field, env_var) */
static int add_secret(cws_options *o, PyObject *value, cws_error **error)
{
    const char *store, *name, *field, *env_var;

    if (!PyArg_ParseTuple(value, "ssss", &store, &name, &field, &env_var))
        return -1;
    return cws_options_add_secret(o, store, name, field, env_var, error);
}

static int set_secrets(cws_options *o, PyObject *value, cws_error **error)
{
    return each_tuple(o, value, "secrets must be a sequence", error, add_secret);
}

/* (registry, store, name, field) */
static int set_pull_credentials(cws_options *o, PyObject *value, cws_error **error)
{
    const char *registry, *store, *name, *field;

    if (!PyArg_ParseTuple(value, "ssss", &registry, &store, &name, &field))
        return -1;
    return cws_options_set_pull_credentials(o, registry, store, name, field, error);
}

/* (name, mount_path, size or None, snapshot id or None), or (name, mount_path or None, volume
 * id) */
static int add_volume(cws_options *o, PyObject *value, cws_error **error)
{
    const char *name, *mount_path, *size, *snapshot_id, *volume_id;

    if (PyTuple_Check(value) && PyTuple_GET_SIZE(value) == 3) {
        if (!PyArg_ParseTuple(value, "szs", &name, &mount_path, &volume_id))
            return -1;
        return cws_options_add_volume(o, name, volume_id, mount_path, error);
    }
    if (!PyArg_ParseTuple(value, "sszz", &name, &mount_path, &size, &snapshot_id))
        return -1;
    return cws_options_add_scratch_volume(o, name, mount_path, size, snapshot_id, error);
}

static int set_volumes(cws_options *o, PyObject *value, cws_error **error)
{
    return each_tuple(o, value, "volumes must be a sequence", error, add_volume);
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

const struct option_setter py_option_lists[] = {
    {"gpu", set_gpu},
    {"egress", set_egress},
    {"services", set_services},
    {"secrets", set_secrets},
    {"pull_credentials", set_pull_credentials},
    {"volumes", set_volumes},
    {"template", set_template},
    {"spillover", set_spillover},
    {NULL, NULL},
};
