/*
 * Cached facts about a sandbox. None of these asks the service, and none opens a sandbox that
 * was not used yet.
 */
#include "objects.h"

static cws_sandbox *opened(PyObject *self)
{
    return ((struct py_sandbox *)self)->sb;
}

/* @take_s from the library; NULL and "" are None. */
static PyObject *text_or_none(char *take_s)
{
    PyObject *o = take_s && *take_s
                      ? PyUnicode_DecodeUTF8(take_s, (Py_ssize_t)strlen(take_s), "replace")
                      : Py_NewRef(Py_None);

    free(take_s);
    return o;
}

static PyObject *get_id(PyObject *self, void *closure)
{
    return text_or_none(opened(self) ? cws_sandbox_id(opened(self)) : NULL);
}

/* What the library knows only after the sandbox was seen running. */
static PyObject *get_status_reason(PyObject *self, void *closure)
{
    return text_or_none(opened(self) ? cws_sandbox_status_reason(opened(self)) : NULL);
}

static PyObject *get_runner_id(PyObject *self, void *closure)
{
    return text_or_none(opened(self) ? cws_sandbox_runner_id(opened(self)) : NULL);
}

static PyObject *get_runner_group_id(PyObject *self, void *closure)
{
    return text_or_none(opened(self) ? cws_sandbox_runner_group_id(opened(self)) : NULL);
}

static PyObject *get_status(PyObject *self, void *closure)
{
    struct core_state *st = core_state(self);
    PyObject *table;
    cws_status status;

    if (!st || !opened(self) || !cws_sandbox_status(opened(self), &status))
        return st ? Py_NewRef(Py_None) : NULL;
    table = py_core_late(st, LATE_STATUS_BY_NUMBER);
    if (!table)
        return NULL;
    if ((Py_ssize_t)status >= PyTuple_GET_SIZE(table))
        status = CWS_STATUS_UNSPECIFIED;
    return Py_NewRef(PyTuple_GET_ITEM(table, (Py_ssize_t)status));
}

/* datetime.fromtimestamp(); @tz is timezone.utc or None for a naive UTC time. */
static PyObject *datetime_of(struct core_state *st, uint64_t wall_ns, bool aware)
{
    PyObject *cls = py_core_late(st, LATE_DATETIME);
    PyObject *utc = cls ? py_core_late(st, LATE_UTC) : NULL;
    PyObject *value CLEANUP_PY = NULL, *none CLEANUP_PY = NULL, *args CLEANUP_PY = NULL,
                    *method CLEANUP_PY = NULL;

    if (!wall_ns || !utc)
        return utc ? Py_NewRef(Py_None) : NULL;
    value = PyObject_CallMethod(cls, "fromtimestamp", "dO", (double)wall_ns / (double)NS_PER_S,
                                utc);
    if (!value || aware)
        return TAKE_PTR(value);
    none = Py_BuildValue("{s:O}", "tzinfo", Py_None);
    args = PyTuple_New(0);
    method = PyObject_GetAttrString(value, "replace");
    return none && args && method ? PyObject_Call(method, args, none) : NULL;
}

static PyObject *get_status_updated_at(PyObject *self, void *closure)
{
    struct core_state *st = core_state(self);

    return st ? datetime_of(st, opened(self) ? cws_sandbox_status_updated_ns(opened(self)) : 0,
                            true)
              : NULL;
}

/* Naive, as in 1.6.0: programs subtract it from datetime.utcnow(). */
static PyObject *get_started_at(PyObject *self, void *closure)
{
    struct core_state *st = core_state(self);

    return st ? datetime_of(st, opened(self) ? cws_sandbox_started_ns(opened(self)) : 0, false)
              : NULL;
}

static PyObject *get_returncode(PyObject *self, void *closure)
{
    int code;

    return opened(self) && cws_sandbox_returncode(opened(self), &code) ? PyLong_FromLong(code)
                                                                       : Py_NewRef(Py_None);
}

static int add_resource(PyObject *dict, const cws_sandbox *sb, const char *side,
                        const char *name)
{
    char which[32]; /* the longest is "requests.memory" */
    PyObject *value CLEANUP_PY = NULL;

    (void)snprintf(which, sizeof(which), "%s.%s", side, name);
    value = text_or_none(cws_sandbox_resource(sb, which));
    if (!value || value == Py_None)
        return value ? 0 : -1;
    return PyDict_SetItemString(dict, name, value);
}

static PyObject *get_resources(PyObject *self, void *side)
{
    PyObject *dict CLEANUP_PY = PyDict_New();

    if (!dict)
        return NULL;
    if (opened(self) && (add_resource(dict, opened(self), side, "cpu") < 0 ||
                         add_resource(dict, opened(self), side, "memory") < 0))
        return NULL;
    return PyDict_GET_SIZE(dict) ? TAKE_PTR(dict) : Py_NewRef(Py_None);
}

/* The details as known now; NULL = none. The caller drops them. */
static void cleanup_details(const cws_sandbox_details **d)
{
    cws_sandbox_details_unref(*d);
}

static const cws_sandbox_details *details_of(PyObject *self)
{
    return opened(self) ? cws_sandbox_get_details(opened(self)) : NULL;
}

static PyObject *addresses(const cws_service_address *items, size_t n, bool with_url)
{
    PyObject *tuple CLEANUP_PY = PyTuple_New((Py_ssize_t)n);

    for (size_t i = 0; tuple && i < n; i++) {
        const cws_service_address *a = &items[i];
        PyObject *item = with_url ? Py_BuildValue("(iss)", (int)a->port, a->name, a->url)
                                  : Py_BuildValue("(is)", (int)a->port, a->name);

        if (!item)
            return NULL;
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(tuple);
}

static PyObject *get_service_urls(PyObject *self, void *closure)
{
    const cws_sandbox_details *d CLEANUP(cleanup_details) = details_of(self);

    return addresses(d ? d->urls : NULL, d ? d->n_urls : 0, true);
}

static PyObject *get_exposed_ports(PyObject *self, void *closure)
{
    const cws_sandbox_details *d CLEANUP(cleanup_details) = details_of(self);

    if (!d || !d->has_ports)
        Py_RETURN_NONE;
    return addresses(d->ports, d->n_ports, false);
}

static PyObject *get_dns_egress_names(PyObject *self, void *closure)
{
    const cws_sandbox_details *d CLEANUP(cleanup_details) = details_of(self);
    size_t n = d ? d->n_dns_names : 0;
    PyObject *tuple CLEANUP_PY = PyTuple_New((Py_ssize_t)n);

    for (size_t i = 0; tuple && i < n; i++) {
        PyObject *item = PyUnicode_FromString(d->dns_names[i]);

        if (!item)
            return NULL;
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
    }
    return TAKE_PTR(tuple);
}

static int put_number(PyObject *dict, const char *key, int64_t value)
{
    PyObject *number CLEANUP_PY = value ? PyLong_FromLongLong(value) : NULL;

    if (!value)
        return 0;
    return number ? PyDict_SetItemString(dict, key, number) : -1;
}

static PyObject *get_resource_gpu(PyObject *self, void *closure)
{
    const cws_sandbox_details *d CLEANUP(cleanup_details) = details_of(self);
    PyObject *dict CLEANUP_PY = PyDict_New(), *type CLEANUP_PY = NULL;

    if (!dict || !d)
        return dict ? Py_NewRef(Py_None) : NULL;
    if (d->gpu_type && *d->gpu_type && !(type = PyUnicode_FromString(d->gpu_type)))
        return NULL;
    if (put_number(dict, "count", d->gpu_count) < 0 ||
        (type && PyDict_SetItemString(dict, "type", type) < 0) ||
        put_number(dict, "memory_gb", d->gpu_memory_gb) < 0)
        return NULL;
    return PyDict_GET_SIZE(dict) ? TAKE_PTR(dict) : Py_NewRef(Py_None);
}

/* The last answer as a dict of the wire's field names, or None. */
static PyObject *get_described(PyObject *self, void *closure)
{
    cws_record *r = opened(self) ? cws_sandbox_describe(opened(self)) : NULL;
    PyObject *dict = r ? py_record_dict(r) : Py_NewRef(Py_None);

    cws_record_free(r);
    return dict;
}

static PyObject *get_share_token(PyObject *self, void *closure)
{
    return text_or_none(opened(self) ? cws_sandbox_share_token(opened(self)) : NULL);
}

/* ((port, name, "host:port"), ...) */
static PyObject *get_tls_addresses(PyObject *self, void *closure)
{
    const cws_sandbox_details *d CLEANUP(cleanup_details) = details_of(self);

    return addresses(d ? d->tls_addresses : NULL, d ? d->n_tls_addresses : 0, true);
}

static PyObject *get_snapshot_id(PyObject *self, void *closure)
{
    return text_or_none(opened(self) ? cws_sandbox_snapshot_id(opened(self), 0) : NULL);
}

static PyObject *get_spilled(PyObject *self, void *closure)
{
    return PyBool_FromLong(opened(self) && cws_sandbox_spilled(opened(self)));
}

static PyObject *get_startup_seconds(PyObject *self, void *closure)
{
    uint64_t ns = opened(self) ? cws_sandbox_startup_ns(opened(self)) : 0;

    return ns ? PyFloat_FromDouble((double)ns / 1e9) : Py_NewRef(Py_None);
}

static PyObject *get_exec_stats(PyObject *self, void *closure)
{
    cws_exec_stats stats = {0};

    if (opened(self))
        cws_sandbox_exec_stats(opened(self), &stats);
    return Py_BuildValue("{s:K,s:K,s:K,s:K}", "exec_count", (unsigned long long)stats.count,
                         "exec_completed_ok", (unsigned long long)stats.completed_ok,
                         "exec_completed_nonzero", (unsigned long long)stats.completed_nonzero,
                         "exec_failures", (unsigned long long)stats.failures);
}

PyGetSetDef py_sandbox_properties[] = {
    {"sandbox_id", get_id, NULL, "str, or None before the service accepted the sandbox", NULL},
    {"status", get_status, NULL,
     "SandboxStatus as last seen, or None before start; get_status() asks", NULL},
    {"status_updated_at", get_status_updated_at, NULL,
     "datetime (UTC) when status was last seen, or None", NULL},
    {"started_at", get_started_at, NULL,
     "naive datetime in UTC when the sandbox began to run, or None", NULL},
    {"status_reason", get_status_reason, NULL,
     "The service's words on the status (why it failed, what it waits for), or None", NULL},
    {"runner_id", get_runner_id, NULL, "str, or None", NULL},
    {"runner_group_id", get_runner_group_id, NULL, "str, or None", NULL},
    {"returncode", get_returncode, NULL, "int exit code of the main process, or None", NULL},
    {"resource_requests", get_resources, NULL, "dict with cpu and memory as granted, or None",
     "requests"},
    {"resource_limits", get_resources, NULL, "dict with cpu and memory as granted, or None",
     "limits"},
    {"service_urls", get_service_urls, NULL,
     "tuple of (port, name, url): services that can be reached by URL, as last heard", NULL},
    {"exposed_ports", get_exposed_ports, NULL,
     "tuple of (port, name): services that are visible to somebody, or None", NULL},
    {"dns_egress_names", get_dns_egress_names, NULL,
     "tuple of names that the sandbox may connect to", NULL},
    {"resource_gpu", get_resource_gpu, NULL, "dict with count, type, memory_gb, or None", NULL},
    {"file_system_snapshot_id", get_snapshot_id, NULL,
     "str: the first snapshot that stop(snapshot_on_stop=True) has taken, or None", NULL},
    {"_described", get_described, NULL, NULL, NULL},
    {"_share_token", get_share_token, NULL, NULL, NULL},
    {"_tls_addresses", get_tls_addresses, NULL, NULL, NULL},
    {"_spilled", get_spilled, NULL, NULL, NULL},
    {"_startup_seconds", get_startup_seconds, NULL,
     "float: how long it took from its creation here to RUNNING, or None", NULL},
    {"exec_stats", get_exec_stats, NULL,
     "dict: exec_count, exec_completed_ok, exec_completed_nonzero, exec_failures", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
