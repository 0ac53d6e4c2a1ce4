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

static PyObject *volume_dict(const cws_volume *v)
{
    PyObject *dict CLEANUP_PY = PyDict_New();
    PyObject *pvc CLEANUP_PY = NULL;

    if (v->has_pvc) {
        pvc = PyDict_New();
        if (!pvc || put(pvc, "runner_id", text(v->pvc.runner_id)) < 0 ||
            put(pvc, "namespace", text(v->pvc.namespace_name)) < 0 ||
            put(pvc, "claim_name", text(v->pvc.claim_name)) < 0 ||
            put(pvc, "sub_path", text(v->pvc.sub_path)) < 0)
            return NULL;
    }
    if (!dict || put(dict, "volume_id", text(v->id)) < 0 ||
        PyDict_SetItemString(dict, "pvc", pvc ? pvc : Py_None) < 0 ||
        put(dict, "read_only", PyBool_FromLong(v->read_only)) < 0 ||
        put(dict, "description", text(v->description)) < 0 ||
        put(dict, "state", PyLong_FromLong(v->state)) < 0 ||
        put(dict, "state_reason", text(v->state_reason)) < 0 ||
        put(dict, "locality", PyLong_FromLong(v->locality)) < 0 ||
        put(dict, "access_modes", texts(v->access_modes, v->n_access_modes)) < 0 ||
        put(dict, "capacity", text(v->capacity)) < 0 ||
        put(dict, "attached_sandbox_count", PyLong_FromLong(v->attached_sandbox_count)) < 0 ||
        put(dict, "created_at", PyLong_FromUnsignedLongLong(v->created_ns)) < 0 ||
        put(dict, "updated_at", PyLong_FromUnsignedLongLong(v->updated_ns)) < 0 ||
        put(dict, "last_validated_at", PyLong_FromUnsignedLongLong(v->validated_ns)) < 0)
        return NULL;
    return TAKE_PTR(dict);
}

static PyObject *record_of(const cws_op *op, size_t i)
{
    if (cws_op_volume(op, i))
        return volume_dict(cws_op_volume(op, i));
    if (cws_op_snapshot(op, i))
        return snapshot_dict(cws_op_snapshot(op, i));
    return runner_dict(cws_op_runner(op, i));
}

/* The dict or list of dicts that a query resolves to. */
static PyObject *records_value(struct core_state *st, struct py_ref *self)
{
    const cws_op *op = self->op;
    size_t n = cws_op_n_snapshots(op) + cws_op_n_runners(op) + cws_op_n_volumes(op);
    PyObject *list CLEANUP_PY = NULL;

    if (cws_op_bucket_config(op))
        return bucket_dict(cws_op_bucket_config(op));
    list = PyList_New((Py_ssize_t)n); /* all but one of the three are 0 */
    for (size_t i = 0; list && i < n; i++) {
        PyObject *item = record_of(op, i);

        if (!item)
            return NULL;
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(list);
}

static const struct py_ref_class records_class = {.value = records_value};

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
    return ((struct py_target *)o)->target;
}

static PyObject *records_ref(PyObject *module, cws_op *take_op, cws_error **take_error)
{
    return py_ref_new(core_state_of_module(module), &records_class, take_op, NULL, take_error);
}

/* Converters of PyArg_ParseTuple(): a const char *, borrowed. */
static int snapshot_id_arg(PyObject *o, void *ret)
{
    return (*(const char **)ret = py_arg_utf8(o, "file_system_snapshot_id")) != NULL;
}

static int volume_id_arg(PyObject *o, void *ret)
{
    return (*(const char **)ret = py_arg_utf8(o, "volume_id")) != NULL;
}

/* snapshot_get(target, id, timeout_seconds) */
static PyObject *core_snapshot_get(PyObject *module, PyObject *args)
{
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;

    if (!PyArg_ParseTuple(args, "OO&O:snapshot_get", &target, snapshot_id_arg, &id, &timeout))
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
    struct arg_text source = {"source_sandbox_id", .optional = true};
    cws_target *t;
    int status;

    if (!PyArg_ParseTuple(args, "OO&iO:snapshot_list", &target, py_arg_text, &source, &status,
                          &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    if (!t)
        return NULL;
    return records_ref(module,
                       cws_snapshot_list(NULL, t, source.text, (cws_snapshot_status)status,
                                         timeout_ns, &error),
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

    if (!PyArg_ParseTuple(args, "OO&pO:snapshot_delete", &target, snapshot_id_arg, &id,
                          &missing_ok, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    if (!t)
        return NULL;
    return py_ref_new(core_state_of_module(module), &py_ref_none,
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
    struct arg_text bucket = {"bucket_name"}, region = {"region"};
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OO&O&O:bucket_set", &target, py_arg_text, &bucket, py_arg_text,
                          &region, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    if (!t)
        return NULL;
    return records_ref(
        module, cws_bucket_config_set(NULL, t, bucket.text, region.text, timeout_ns, &error),
        &error);
}

/* list_runners(target, group, gpu_type, architecture, healthy_only, visibility, with_resources)
 */
static PyObject *core_list_runners(PyObject *module, PyObject *args)
{
    struct arg_text group = {"runner_group_id", .optional = true},
                    gpu_type = {"gpu_type", .optional = true},
                    architecture = {"architecture", .optional = true};
    cws_runner_filter filter = {0};
    cws_error *error = NULL;
    PyObject *target;
    int visibility;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OO&O&O&pip:list_runners", &target, py_arg_text, &group,
                          py_arg_text, &gpu_type, py_arg_text, &architecture,
                          &filter.healthy_only, &visibility, &filter.with_resources))
        return NULL;
    filter.runner_group_id = group.text;
    filter.gpu_type = gpu_type.text;
    filter.architecture = architecture.text;
    filter.visibility = (cws_visibility)visibility;
    t = target_of(module, target, Py_None, &filter.timeout_ns);
    return t ? records_ref(module, cws_list_runners(NULL, t, &filter, &error), &error) : NULL;
}

/* get_runner(target, runner_id, organization_id) */
static PyObject *core_get_runner(PyObject *module, PyObject *args)
{
    struct arg_text runner_id = {"runner_id"}, organization_id = {"organization_id"};
    cws_error *error = NULL;
    uint64_t timeout_ns;
    PyObject *target;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OO&O&:get_runner", &target, py_arg_text, &runner_id,
                          py_arg_text, &organization_id))
        return NULL;
    t = target_of(module, target, Py_None, &timeout_ns);
    if (!t)
        return NULL;
    return records_ref(
        module,
        cws_get_runner(NULL, t, runner_id.text, organization_id.text, timeout_ns, &error),
        &error);
}

/* volume_create(target, id, (runner_id, namespace, claim_name, sub_path), read_only, description,
 * request_id or None, timeout_seconds) */
static PyObject *core_volume_create(PyObject *module, PyObject *args)
{
    struct arg_text runner = {"pvc: runner_id"}, space = {"pvc: namespace"},
                    claim = {"pvc: claim_name"}, sub_path = {"pvc: sub_path", .optional = true},
                    description = {"description"},
                    request_id = {"request_id", .optional = true};
    cws_volume_create_options o = {0};
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;

    if (!PyArg_ParseTuple(args, "OO&(O&O&O&O&)pO&O&O:volume_create", &target, volume_id_arg,
                          &id, py_arg_text, &runner, py_arg_text, &space, py_arg_text, &claim,
                          py_arg_text, &sub_path, &o.read_only, py_arg_text, &description,
                          py_arg_text, &request_id, &timeout))
        return NULL;
    o.pvc = (cws_pvc_source){.runner_id = runner.text,
                             .namespace_name = space.text,
                             .claim_name = claim.text,
                             .sub_path = sub_path.text};
    o.description = description.text;
    o.request_id = request_id.text;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(module, cws_volume_create(NULL, t, id, &o, timeout_ns, &error),
                           &error)
             : NULL;
}

/* volume_get(target, id, timeout_seconds), volume_validate(the same) */
static PyObject *ask_volume(PyObject *module, PyObject *args,
                            cws_op *(*ask)(cws_client *, cws_target *, const char *, uint64_t,
                                           cws_error **))
{
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;

    if (!PyArg_ParseTuple(args, "OO&O", &target, volume_id_arg, &id, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(module, ask(NULL, t, id, timeout_ns, &error), &error) : NULL;
}

static PyObject *core_volume_get(PyObject *module, PyObject *args)
{
    return ask_volume(module, args, cws_volume_get);
}

static PyObject *core_volume_validate(PyObject *module, PyObject *args)
{
    return ask_volume(module, args, cws_volume_validate);
}

/* volume_list(target, tuple of numbers, sequence of runner ids, timeout_seconds) */
static PyObject *core_volume_list(PyObject *module, PyObject *args)
{
    struct arg_strings runners CLEANUP_STRINGS = {0};
    cws_volume_list_options o = {0};
    PyObject *target, *states, *runner_ids, *timeout;
    cws_volume_state numbers[CWS_VOLUME_DELETING + 1];
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OO!OO:volume_list", &target, &PyTuple_Type, &states,
                          &runner_ids, &timeout) ||
        py_arg_strings(runner_ids, "runner_ids", &runners) < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(states); i++) {
        long number = PyLong_AsLong(PyTuple_GET_ITEM(states, i));

        if (number == -1 && PyErr_Occurred())
            return NULL;
        if (o.n_states < sizeof(numbers) / sizeof(*numbers))
            numbers[o.n_states++] = (cws_volume_state)number;
    }
    o.states = numbers;
    o.runner_ids = runners.items;
    o.n_runner_ids = runners.n;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(module, cws_volume_list(NULL, t, &o, timeout_ns, &error), &error)
             : NULL;
}

/* volume_update(target, id, description, timeout_seconds) */
static PyObject *core_volume_update(PyObject *module, PyObject *args)
{
    struct arg_text description = {"description"};
    PyObject *target, *timeout;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    const char *id;
    cws_target *t;

    if (!PyArg_ParseTuple(args, "OO&O&O:volume_update", &target, volume_id_arg, &id,
                          py_arg_text, &description, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(module,
                           cws_volume_update(NULL, t, id, description.text, timeout_ns, &error),
                           &error)
             : NULL;
}

/* volume_delete(target, id, allow_missing, force, timeout_seconds) */
static PyObject *core_volume_delete(PyObject *module, PyObject *args)
{
    PyObject *target, *timeout;
    int allow_missing, force;
    cws_error *error = NULL;
    uint64_t timeout_ns;
    cws_target *t;
    const char *id;

    if (!PyArg_ParseTuple(args, "OO&ppO:volume_delete", &target, volume_id_arg, &id,
                          &allow_missing, &force, &timeout))
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(
                   module,
                   cws_volume_delete(NULL, t, id, allow_missing, force, timeout_ns, &error),
                   &error)
             : NULL;
}

/* volume_wait(target, id, seconds, timeout_seconds) */
static PyObject *core_volume_wait(PyObject *module, PyObject *args)
{
    PyObject *target, *seconds, *timeout;
    uint64_t timeout_ns, wait_ns;
    cws_error *error = NULL;
    cws_target *t;
    const char *id;

    if (!PyArg_ParseTuple(args, "OO&OO:volume_wait", &target, volume_id_arg, &id, &seconds,
                          &timeout) ||
        py_arg_seconds(seconds, "timeout", 0, 1, &wait_ns) < 0)
        return NULL;
    t = target_of(module, target, timeout, &timeout_ns);
    return t ? records_ref(module, cws_volume_wait(NULL, t, id, wait_ns, timeout_ns, &error),
                           &error)
             : NULL;
}

PyMethodDef py_query_functions[] = {
    {"volume_create", core_volume_create, METH_VARARGS, NULL},
    {"volume_get", core_volume_get, METH_VARARGS, NULL},
    {"volume_list", core_volume_list, METH_VARARGS, NULL},
    {"volume_update", core_volume_update, METH_VARARGS, NULL},
    {"volume_delete", core_volume_delete, METH_VARARGS, NULL},
    {"volume_validate", core_volume_validate, METH_VARARGS, NULL},
    {"volume_wait", core_volume_wait, METH_VARARGS, NULL},
    {"snapshot_get", core_snapshot_get, METH_VARARGS, NULL},
    {"snapshot_list", core_snapshot_list, METH_VARARGS, NULL},
    {"snapshot_delete", core_snapshot_delete, METH_VARARGS, NULL},
    {"bucket_get", core_bucket_get, METH_VARARGS, NULL},
    {"bucket_set", core_bucket_set, METH_VARARGS, NULL},
    {"list_runners", core_list_runners, METH_VARARGS, NULL},
    {"get_runner", core_get_runner, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
