/*
 * Functions of the module that ask for data: snapshots, bucket configuration, runners. Their
 * handles resolve to dicts; the classes for people are made of those in Python.
 */
#include "objects.h"

/* ---- results ---- */

static int put(PyObject *dict, const char *key, PyObject *take_value)
{
    PyObject *value CLEANUP_PY = take_value;

    return value ? PyDict_SetItemString(dict, key, value) : -1;
}

static PyObject *text(const char *s)
{
    return PyUnicode_DecodeUTF8(s, (Py_ssize_t)strlen(s), "replace");
}

static PyObject *texts(const char *const *items, size_t n)
{
    PyObject *tuple CLEANUP_PY = PyTuple_New((Py_ssize_t)n);

    for (size_t i = 0; tuple && i < n; i++) {
        PyObject *item = text(items[i]);

        if (!item)
            return NULL;
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(tuple);
}

static PyObject *snapshot_dict(const cws_snapshot *s)
{
    PyObject *dict CLEANUP_PY = PyDict_New();

    if (!dict || put(dict, "file_system_snapshot_id", text(s->id)) < 0 ||
        put(dict, "status", PyLong_FromLong(s->status)) < 0 ||
        put(dict, "status_reason", text(s->status_reason)) < 0 ||
        put(dict, "size_bytes", PyLong_FromLongLong(s->size_bytes)) < 0 ||
        put(dict, "source_sandbox_id", text(s->source_sandbox_id)) < 0 ||
        put(dict, "trigger", PyLong_FromLong(s->trigger)) < 0 ||
        put(dict, "request_id", text(s->request_id)) < 0 ||
        put(dict, "object_bucket", text(s->object_bucket)) < 0 ||
        put(dict, "source_volume_name", text(s->source_volume_name)) < 0 ||
        put(dict, "created_at", PyLong_FromUnsignedLongLong(s->created_ns)) < 0 ||
        put(dict, "updated_at", PyLong_FromUnsignedLongLong(s->updated_ns)) < 0 ||
        put(dict, "completed_at", PyLong_FromUnsignedLongLong(s->completed_ns)) < 0)
        return NULL;
    return TAKE_PTR(dict);
}

static PyObject *bucket_dict(const cws_bucket_config *c)
{
    PyObject *dict CLEANUP_PY = PyDict_New();

    if (!dict || put(dict, "mode", PyLong_FromLong(c->mode)) < 0 ||
        put(dict, "bucket_name", text(c->bucket_name)) < 0 ||
        put(dict, "region", text(c->region)) < 0 ||
        put(dict, "effective_bucket_name", text(c->effective_bucket_name)) < 0)
        return NULL;
    return TAKE_PTR(dict);
}

static PyObject *visibilities(const cws_runner *r)
{
    PyObject *tuple CLEANUP_PY = PyTuple_New((Py_ssize_t)r->n_visibilities);

    for (size_t i = 0; tuple && i < r->n_visibilities; i++) {
        PyObject *item = PyLong_FromLong(r->visibilities[i]);

        if (!item)
            return NULL;
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(tuple);
}

static PyObject *resources_dict(const cws_runner *r)
{
    if (!r->has_resources)
        Py_RETURN_NONE;
    return Py_BuildValue(
        "{s:L,s:L,s:L,s:i}", "available_cpu_millicores", (long long)r->available_cpu_millicores,
        "available_memory_bytes", (long long)r->available_memory_bytes, "available_gpu_count",
        (long long)r->available_gpu_count, "running_sandboxes", (int)r->running_sandboxes);
}

static int put_capabilities(PyObject *dict, const cws_runner *r)
{
    if (put(dict, "max_cpu_millicores", PyLong_FromLongLong(r->max_cpu_millicores)) < 0 ||
        put(dict, "max_memory_bytes", PyLong_FromLongLong(r->max_memory_bytes)) < 0 ||
        put(dict, "max_gpu_count", PyLong_FromLongLong(r->max_gpu_count)) < 0 ||
        put(dict, "supported_gpu_types", texts(r->gpu_types, r->n_gpu_types)) < 0 ||
        put(dict, "supported_architectures", texts(r->architectures, r->n_architectures)) < 0 ||
        put(dict, "supports_privileged", PyBool_FromLong(r->supports_privileged)) < 0 ||
        put(dict, "available_storage_classes",
            texts(r->storage_classes, r->n_storage_classes)) < 0)
        return -1;
    return put(dict, "supported_service_visibilities", visibilities(r));
}

static PyObject *runner_dict(const cws_runner *r)
{
    PyObject *dict CLEANUP_PY = PyDict_New();

    if (!dict || put(dict, "runner_id", text(r->runner_id)) < 0 ||
        put(dict, "organization_id", text(r->organization_id)) < 0 ||
        put(dict, "runner_group_id", text(r->runner_group_id)) < 0 ||
        put(dict, "tags", texts(r->tags, r->n_tags)) < 0 ||
        put(dict, "healthy", PyBool_FromLong(r->healthy)) < 0 ||
        put(dict, "is_shared", PyBool_FromLong(r->is_shared)) < 0 ||
        put(dict, "connected_at", PyLong_FromUnsignedLongLong(r->connected_ns)) < 0 ||
        put_capabilities(dict, r) < 0 || put(dict, "resources", resources_dict(r)) < 0)
        return NULL;
    return TAKE_PTR(dict);
}

PyObject *py_records_of(const cws_op *op)
{
    size_t n_snapshots = cws_op_n_snapshots(op), n_runners = cws_op_n_runners(op);
    PyObject *list CLEANUP_PY = NULL;

    if (cws_op_bucket_config(op))
        return bucket_dict(cws_op_bucket_config(op));
    list = PyList_New((Py_ssize_t)(n_snapshots + n_runners)); /* one of the two is 0 */
    for (size_t i = 0; list && i < n_snapshots + n_runners; i++) {
        PyObject *item = n_snapshots ? snapshot_dict(cws_op_snapshot(op, i))
                                     : runner_dict(cws_op_runner(op, i));

        if (!item)
            return NULL;
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(list);
}

/* ---- calls ---- */

/* What all of them begin with: a Target and a time-out. */
static cws_target *target_of(PyObject *module, PyObject *o, PyObject *timeout,
                             uint64_t *ret_timeout_ns)
{
    if (!Py_IS_TYPE(o, core_state_of_module(module)->target_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a Target");
        return NULL;
    }
    if (py_arg_seconds(timeout, "timeout_seconds", CWS_DEFAULT_TIMEOUT, CWS_DEFAULT_TIMEOUT,
                       ret_timeout_ns) < 0)
        return NULL;
    return ((struct target *)o)->target;
}

static PyObject *records_ref(PyObject *module, cws_op *take_op, cws_error **take_error)
{
    return py_ref_new(core_state_of_module(module), REF_RECORDS, take_op, NULL, take_error);
}

/* snapshot_get(target, id, timeout_seconds) */
static PyObject *core_snapshot_get(PyObject *module, PyObject *args)
{
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;

    if (!PyArg_ParseTuple(args, "OsO:snapshot_get", &target, &id, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(module, cws_snapshot_get(NULL, t, id, timeout_ns, &error), &error)
             : NULL;
}

/* snapshot_list(target, source_sandbox_id or None, status, timeout_seconds) */
static PyObject *core_snapshot_list(PyObject *module, PyObject *args)
{
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    const char *source;
    cws_target *t;
    int status;

    if (!PyArg_ParseTuple(args, "OziO:snapshot_list", &target, &source, &status, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    if (!t)
        return NULL;
    return records_ref(
        module,
        cws_snapshot_list(NULL, t, source, (cws_snapshot_status)status, timeout_ns, &error),
        &error);
}

/* snapshot_delete(target, id, missing_ok, timeout_seconds) */
static PyObject *core_snapshot_delete(PyObject *module, PyObject *args)
{
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;
    int missing_ok;

    if (!PyArg_ParseTuple(args, "OspO:snapshot_delete", &target, &id, &missing_ok, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    if (!t)
        return NULL;
    return py_ref_new(core_state_of_module(module), REF_NONE,
                      cws_snapshot_delete(NULL, t, id, missing_ok, timeout_ns, &error), NULL,
                      &error);
}

/* bucket_get(target, timeout_seconds) */
static PyObject *core_bucket_get(PyObject *module, PyObject *args)
{
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OO:bucket_get", &target, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(module, cws_bucket_config_get(NULL, t, timeout_ns, &error), &error)
             : NULL;
}

/* bucket_set(target, bucket_name, region, timeout_seconds) */
static PyObject *core_bucket_set(PyObject *module, PyObject *args)
{
    PyObject *target, *timeout;
    const char *bucket, *region;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OssO:bucket_set", &target, &bucket, &region, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    if (!t)
        return NULL;
    return records_ref(
        module, cws_bucket_config_set(NULL, t, bucket, region, timeout_ns, &error), &error);
}

/* list_runners(target, group, gpu_type, architecture, healthy_only, visibility, with_resources)
 */
static PyObject *core_list_runners(PyObject *module, PyObject *args)
{
    cws_runner_filter filter = {0};
    cws_error *error = NULL;
    PyObject *target;
    int visibility;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "Ozzzpip:list_runners", &target, &filter.runner_group_id,
                          &filter.gpu_type, &filter.architecture, &filter.healthy_only,
                          &visibility, &filter.with_resources))
        return NULL;
    filter.visibility = (cws_visibility)visibility;
    t = target_of(module, target, Py_None, &filter.timeout_ns);
    return t ? records_ref(module, cws_list_runners(NULL, t, &filter, &error), &error) : NULL;
}

/* get_runner(target, runner_id, organization_id) */
static PyObject *core_get_runner(PyObject *module, PyObject *args)
{
    const char *runner_id, *organization_id;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    PyObject *target;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "Oss:get_runner", &target, &runner_id, &organization_id))
        return NULL;
    t = target_of(module, target, Py_None, &timeout_ns);
    if (!t)
        return NULL;
    return records_ref(module,
                       cws_get_runner(NULL, t, runner_id, organization_id, timeout_ns, &error),
                       &error);
}

PyMethodDef py_query_functions[] = {
    {"snapshot_get", core_snapshot_get, METH_VARARGS, NULL},
    {"snapshot_list", core_snapshot_list, METH_VARARGS, NULL},
    {"snapshot_delete", core_snapshot_delete, METH_VARARGS, NULL},
    {"bucket_get", core_bucket_get, METH_VARARGS, NULL},
    {"bucket_set", core_bucket_set, METH_VARARGS, NULL},
    {"list_runners", core_list_runners, METH_VARARGS, NULL},
    {"get_runner", core_get_runner, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
