/*
 * Errors: the one place where a cws_error becomes a Python exception, and where exceptions are
 * stored for later.
 *
 * The classes are defined in cwsandbox/exceptions.py and looked up once. Attributes are set
 * after construction, because the classes differ in what their constructors take.
 */
#include "core.h"

/* By cws_error_kind; kinds from CWS_E_CANCELLED on are local conditions: class_of(). */
static const char *const class_names[N_ERROR_KINDS] = {
    [CWS_E_GENERIC] = "CWSandboxError",
    [CWS_E_AUTHENTICATION] = "CWSandboxAuthenticationError",
    [CWS_E_SANDBOX] = "SandboxError",
    [CWS_E_VALIDATION] = "SandboxValidationError",
    [CWS_E_NOT_RUNNING] = "SandboxNotRunningError",
    [CWS_E_UNAVAILABLE] = "SandboxUnavailableError",
    [CWS_E_TIMEOUT] = "SandboxTimeoutError",
    [CWS_E_REQUEST_TIMEOUT] = "SandboxRequestTimeoutError",
    [CWS_E_COMMAND_TIMEOUT] = "SandboxCommandTimeoutError",
    [CWS_E_TERMINATED] = "SandboxTerminatedError",
    [CWS_E_FAILED] = "SandboxFailedError",
    [CWS_E_NOT_FOUND] = "SandboxNotFoundError",
    [CWS_E_EXECUTION] = "SandboxExecutionError",
    [CWS_E_STREAM_BACKPRESSURE] = "SandboxStreamBackpressureError",
    [CWS_E_STREAM_TRUNCATED] = "SandboxStreamTruncatedError",
    [CWS_E_FILE] = "SandboxFileError",
    [CWS_E_RESOURCE_EXHAUSTED] = "SandboxResourceExhaustedError",
    [CWS_E_TERMINAL_STATE_UNAVAILABLE] = "SandboxTerminalStateUnavailableError",
    [CWS_E_SNAPSHOT] = "SandboxSnapshotError",
    [CWS_E_SNAPSHOT_NOT_FOUND] = "SnapshotNotFoundError",
    [CWS_E_SNAPSHOT_NOT_READY] = "SnapshotNotReadyError",
    [CWS_E_SNAPSHOT_NOT_SUPPORTED] = "SnapshotNotSupportedError",
    [CWS_E_SNAPSHOT_SIZE_EXCEEDED] = "SnapshotSizeExceededError",
    [CWS_E_SNAPSHOT_QUOTA_EXCEEDED] = "SnapshotQuotaExceededError",
    [CWS_E_SNAPSHOT_BUCKET_MISMATCH] = "SnapshotBucketMismatchError",
    [CWS_E_SNAPSHOT_ON_STOP_CONFLICT] = "SnapshotOnStopConflictError",
    [CWS_E_SNAPSHOT_WAIT_TIMEOUT] = "SnapshotWaitTimeoutError",
    [CWS_E_SNAPSHOT_THROTTLED] = "SnapshotBackendThrottledError",
    [CWS_E_DISCOVERY] = "DiscoveryError",
    [CWS_E_DISCOVERY_VALIDATION] = "DiscoveryValidationError",
    [CWS_E_RUNNER_NOT_FOUND] = "RunnerNotFoundError",
    [CWS_E_PROTOCOL] = "SandboxProtocolError",
    [CWS_E_SNAPSHOT_BUCKET_PROVISIONING] = "SnapshotBucketProvisioningError",
    [CWS_E_VOLUME] = "VolumeError",
    [CWS_E_VOLUME_NOT_FOUND] = "VolumeNotFoundError",
    [CWS_E_VOLUME_NOT_READY] = "VolumeNotReadyError",
    [CWS_E_VOLUME_PLACEMENT_CONFLICT] = "VolumePlacementConflictError",
    [CWS_E_VOLUME_TYPE_NOT_SUPPORTED] = "VolumeTypeNotSupportedError",
    [CWS_E_VOLUME_NOT_SNAPSHOTTABLE] = "VolumeNotSnapshottableError",
    [CWS_E_VOLUME_RUNNER_INELIGIBLE] = "VolumeRunnerIneligibleError",
    [CWS_E_VOLUME_BACKEND_NOT_FOUND] = "VolumeBackendNotFoundError",
    [CWS_E_VOLUME_IN_USE] = "VolumeInUseError",
    [CWS_E_VOLUME_QUOTA_EXCEEDED] = "VolumeQuotaExceededError",
    [CWS_E_VOLUME_RUNNER_UNAVAILABLE] = "VolumeRunnerUnavailableError",
    [CWS_E_VOLUME_WAIT_TIMEOUT] = "VolumeWaitTimeoutError",
};

int py_errors_init(struct core_state *st)
{
    PyObject *module CLEANUP_PY = PyImport_ImportModule("cwsandbox.exceptions");

    if (!module)
        return -1;
    for (int kind = CWS_E_GENERIC; kind < N_ERROR_KINDS; kind++) {
        st->errors[kind] = PyObject_GetAttrString(module, class_names[kind]);
        if (!st->errors[kind])
            return -1;
    }
    return 0;
}

/* Borrowed. */
static PyObject *class_of(struct core_state *st, cws_error_kind kind)
{
    if (kind == CWS_E_CANCELLED)
        return py_core_late(st, LATE_FUTURE_CANCELLED);
    if (kind == CWS_E_INVALID)
        return PyExc_ValueError;
    if (kind == CWS_E_CLOSED || kind == CWS_E_FORKED)
        return PyExc_RuntimeError;
    if (kind == CWS_E_NOMEM)
        return PyExc_MemoryError;
    return (int)kind > 0 && (int)kind < N_ERROR_KINDS ? st->errors[kind]
                                                      : st->errors[CWS_E_GENERIC];
}

static int set_decoded(PyObject *exc, const char *name, const char *value, const char *errors)
{
    PyObject *o CLEANUP_PY = NULL;

    if (!value)
        return 0;
    o = PyUnicode_DecodeUTF8(value, (Py_ssize_t)strlen(value), errors);
    return o ? PyObject_SetAttrString(exc, name, o) : -1;
}

static int set_string(PyObject *exc, const char *name, const char *value)
{
    return set_decoded(exc, name, value, "replace");
}

static int set_metadata(PyObject *exc, const cws_error *e)
{
    size_t n = cws_error_n_metadata(e);
    PyObject *dict CLEANUP_PY = PyDict_New();

    if (!dict)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const char *key = NULL, *value = NULL;
        PyObject *text CLEANUP_PY = NULL;

        cws_error_metadata(e, i, &key, &value);
        text = PyUnicode_DecodeUTF8(value, (Py_ssize_t)strlen(value), "replace");
        if (!text || PyDict_SetItemString(dict, key, text) < 0)
            return -1;
    }
    return PyObject_SetAttrString(exc, "metadata", dict);
}

static int set_retry_delay(struct core_state *st, PyObject *exc, uint64_t delay_ns)
{
    PyObject *timedelta, *value CLEANUP_PY = NULL;

    if (!delay_ns)
        return 0;
    timedelta = py_core_late(st, LATE_TIMEDELTA);
    if (!timedelta)
        return -1;
    value = PyObject_CallFunction(timedelta, "id", 0, (double)delay_ns / (double)NS_PER_S);
    return value ? PyObject_SetAttrString(exc, "retry_delay", value) : -1;
}

static int set_violations(struct core_state *st, PyObject *exc, const cws_error *e)
{
    size_t n = cws_error_n_violations(e);
    PyObject *cls, *tuple CLEANUP_PY = NULL;

    if (!n)
        return 0;
    cls = py_core_late(st, LATE_FIELD_VIOLATION);
    tuple = cls ? PyTuple_New((Py_ssize_t)n) : NULL;
    if (!tuple)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const char *field = NULL, *description = NULL;
        PyObject *item;

        cws_error_violation(e, i, &field, &description);
        item = PyObject_CallFunction(cls, "ss", field ? field : "",
                                     description ? description : "");
        if (!item)
            return -1;
        PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
    }
    return PyObject_SetAttrString(exc, "field_violations", tuple);
}

/* SandboxError and its relatives have these; the builtin classes of local conditions do not. */
static int set_details(struct core_state *st, PyObject *exc, const cws_error *e)
{
    if (set_string(exc, "reason", cws_error_reason(e)) < 0 || set_metadata(exc, e) < 0 ||
        set_retry_delay(st, exc, cws_error_retry_delay_ns(e)) < 0 ||
        set_violations(st, exc, e) < 0)
        return -1;
    return set_string(exc, "sandbox_id", cws_error_sandbox_id(e)) < 0 ||
                   set_decoded(exc, "filepath", cws_error_filepath(e), "surrogateescape") < 0 ||
                   set_string(exc, "stream_code", cws_error_stream_code(e)) < 0 ||
                   set_string(exc, "file_system_snapshot_id", cws_error_snapshot_id(e)) < 0 ||
                   set_string(exc, "volume_id", cws_error_volume_id(e)) < 0 ||
                   set_string(exc, "status_reason", cws_error_status_reason(e)) < 0 ||
                   set_string(exc, "runner_id", cws_error_runner_id(e)) < 0
               ? -1
               : 0;
}

/* What pytest and the traceback print below the message. */
static int add_note(PyObject *exc, const char *note)
{
    PyObject *none CLEANUP_PY = note ? PyObject_CallMethod(exc, "add_note", "s", note) : NULL;

    return note && !none ? -1 : 0;
}

static PyObject *instantiate(cws_error_kind kind, PyObject *cls, const cws_error *e)
{
    const char *message = cws_error_message(e);
    PyObject *text CLEANUP_PY =
        PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    PyObject *args CLEANUP_PY = text ? PyTuple_Pack(1, text) : NULL;
    PyObject *kwargs CLEANUP_PY = NULL;

    if (!args)
        return NULL;
    if (kind == CWS_E_RUNNER_NOT_FOUND) { /* the one class with a required keyword */
        kwargs = Py_BuildValue("{s:s}", "runner_id", "");
        if (!kwargs)
            return NULL;
    }
    return PyObject_Call(cls, args, kwargs);
}

PyObject *py_errors_make(struct core_state *st, const cws_error *e)
{
    cws_error_kind kind = cws_error_get_kind(e);
    const cws_error *cause = cws_error_cause(e);
    PyObject *cls = class_of(st, kind);
    PyObject *exc CLEANUP_PY = cls ? instantiate(kind, cls, e) : NULL;

    if (!exc)
        return NULL;
    if (kind < CWS_E_CANCELLED && set_details(st, exc, e) < 0)
        return NULL;
    if (add_note(exc, cws_error_note(e)) < 0)
        return NULL;
    if (cause) {
        PyObject *cause_exc = py_errors_make(st, cause);

        if (!cause_exc)
            return NULL;
        PyException_SetCause(exc, cause_exc); /* steals */
    }
    return TAKE_PTR(exc);
}

PyObject *py_errors_raise(struct core_state *st, cws_error *take_e)
{
    cws_error *e CLEANUP_ERROR = take_e;
    PyObject *exc CLEANUP_PY = NULL;

    if (!e)
        return PyErr_NoMemory(); /* the library could not even make the error */
    exc = py_errors_make(st, e);
    if (exc)
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    return NULL;
}

PyObject *py_errors_take(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

void py_errors_restore(PyObject *take_exc)
{
    if (take_exc)
        PyErr_SetObject((PyObject *)Py_TYPE(take_exc), take_exc);
    Py_XDECREF(take_exc);
}

void py_errors_reraise(PyObject *exc)
{
    /* The instance is the same each time; without this every raise would append its frames and
     * keep them alive. */
    (void)PyException_SetTraceback(exc, Py_None); /* cannot fail with None */
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
}
