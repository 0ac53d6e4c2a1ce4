/*
 * Awaiting handles and readers on whatever asyncio-compatible loop is running, without a thread
 * and without polling.
 *
 * One `hook` per event loop: a cws_queue whose descriptor is registered once with
 * loop.add_reader(). An `awaiter` (what `await` drives) that finds its source not ready makes
 * loop.create_future(), queues an `await_entry` as the tag and yields the future. When the loop
 * sees the descriptor readable it calls the hook, which takes the tags and sets the futures.
 *
 * A hook lives until its loop is collected or found closed. An entry belongs to the list of its
 * hook until it is delivered or the hook goes away; whoever points at an entry registers that
 * pointer in `entry->slot`, so that it can be set to NULL. A loop's hook and entries are only
 * used on that loop's thread, and freed by whoever drops the last reference; the GIL is held.
 */
#include "objects.h"

struct await_entry {
    struct await_entry *prev, *next;
    struct await_entry **slot; /* the one pointer to this entry outside the list, or NULL */
    PyObject *future;          /* NULL: nobody waits any more */
    struct hook *hook;         /* borrowed: the owner */
};

struct hook {
    PyObject ob_base; /* PyObject_HEAD */
    cws_queue *queue;
    PyObject *loop_ref;         /* weak, with forget() as its callback */
    PyObject *key;              /* id(loop), as in core_state.hooks */
    struct await_entry pending; /* list head */
};

struct awaiter {
    PyObject ob_base;          /* PyObject_HEAD */
    PyObject *source;          /* struct py_ref or struct py_reader; NULL: finished */
    PyObject *inner;           /* iterator of the future being waited for */
    struct await_entry *entry; /* of that future, while it is pending */
    bool reads;                /* source is a struct py_reader */
};

/* ---- entries ---- */

static void entry_unslot(struct await_entry *e)
{
    if (e->slot)
        *e->slot = NULL;
    e->slot = NULL;
}

static void entry_move(struct await_entry *e, struct await_entry **slot)
{
    entry_unslot(e);
    e->slot = slot;
    *slot = e;
}

static void entry_free(struct await_entry *e)
{
    entry_unslot(e);
    e->prev->next = e->next;
    e->next->prev = e->prev;
    Py_XDECREF(e->future);
    PyMem_Free(e);
}

void py_await_orphan_drop(struct py_reader *r)
{
    if (r->orphan)
        entry_unslot(r->orphan);
}

/* ---- hooks ---- */

static int wake(struct core_state *st, PyObject *future)
{
    PyObject *done CLEANUP_PY = PyObject_CallMethodNoArgs(future, st->s_done);
    PyObject *ignored CLEANUP_PY = NULL;

    if (!done || done == Py_True) /* cancelled, most likely */
        return done ? 0 : -1;
    ignored = PyObject_CallMethodOneArg(future, st->s_set_result, Py_None);
    return ignored ? 0 : -1;
}

/* The loop calls the hook when its descriptor is readable. */
static PyObject *hook_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    struct core_state *st = core_state(self);
    struct hook *hook = (struct hook *)self;
    struct await_entry *e;

    while (st && (e = cws_queue_next(hook->queue))) {
        PyObject *future CLEANUP_PY = TAKE_PTR(e->future);

        entry_free(e);
        if (future && wake(st, future) < 0)
            PyErr_WriteUnraisable(self); /* the others still want to be woken */
    }
    Py_RETURN_NONE;
}

/* Callback of the weak reference to the loop. */
static PyObject *hook_forget(PyObject *self, PyObject *ref)
{
    struct core_state *st = core_state(self);
    struct hook *hook = (struct hook *)self;

    if (st && st->hooks && PyDict_GetItemWithError(st->hooks, hook->key) == self)
        (void)PyDict_DelItem(st->hooks, hook->key);
    PyErr_Clear(); /* it was gone: nothing to forget */
    Py_CLEAR(hook->loop_ref);
    Py_RETURN_NONE;
}

static int hook_open(struct hook *hook, PyObject *loop, PyObject *add_reader)
{
    PyObject *forget CLEANUP_PY = PyObject_GetAttrString((PyObject *)hook, "forget");
    PyObject *fd CLEANUP_PY = PyLong_FromLong(cws_queue_fd(hook->queue));
    PyObject *ignored CLEANUP_PY = NULL;

    hook->loop_ref = forget ? PyWeakref_NewRef(loop, forget) : NULL;
    if (!hook->loop_ref || !fd)
        return -1;
    ignored = PyObject_CallMethodObjArgs(loop, add_reader, fd, (PyObject *)hook, NULL);
    return ignored ? 0 : -1;
}

static PyObject *hook_new(struct core_state *st, PyObject *loop, PyObject *key)
{
    struct hook *hook = (struct hook *)st->hook_type->tp_alloc(st->hook_type, 0);
    PyObject *self CLEANUP_PY = (PyObject *)hook;
    cws_error *error = NULL;

    if (!hook)
        return NULL;
    hook->pending.prev = hook->pending.next = &hook->pending;
    hook->key = Py_NewRef(key);
    hook->queue = cws_queue_new(&error);
    if (!hook->queue)
        return py_errors_raise(st, error);
    if (hook_open(hook, loop, st->s_add_reader) < 0)
        return NULL;
    return TAKE_PTR(self);
}

/* Loops that were closed but are still referenced would keep their descriptors until collected.
 */
int py_await_drop_closed(struct core_state *st)
{
    PyObject *all CLEANUP_PY = PyDict_Values(st->hooks);
    int n_dropped = 0;

    for (Py_ssize_t i = 0; all && i < PyList_GET_SIZE(all); i++) {
        struct hook *hook = (struct hook *)PyList_GET_ITEM(all, i);
        PyObject *loop CLEANUP_PY = hook->loop_ref ? PyObject_CallNoArgs(hook->loop_ref) : NULL;
        PyObject *closed CLEANUP_PY =
            loop && loop != Py_None ? PyObject_CallMethod(loop, "is_closed", NULL) : NULL;

        if (PyErr_Occurred())
            return -1;
        if (closed == Py_True) {
            Py_DECREF(hook_forget((PyObject *)hook, NULL));
            n_dropped++;
        }
    }
    return all ? n_dropped : -1;
}

/* The hook of @loop, a new reference; made on first use. */
static PyObject *hook_of(struct core_state *st, PyObject *loop)
{
    PyObject *key CLEANUP_PY = PyLong_FromVoidPtr(loop);
    PyObject *hook CLEANUP_PY =
        key ? Py_XNewRef(PyDict_GetItemWithError(st->hooks, key)) : NULL;

    if (hook || PyErr_Occurred())
        return TAKE_PTR(hook);
    if (py_await_drop_closed(st) < 0)
        return NULL;
    hook = hook_new(st, loop, key);
    if (!hook || PyDict_SetItem(st->hooks, key, hook) < 0)
        return NULL;
    return TAKE_PTR(hook);
}

static int hook_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct hook *hook = (struct hook *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(hook->loop_ref);
    for (struct await_entry *e = hook->pending.next; e && e != &hook->pending; e = e->next)
        Py_VISIT(e->future);
    return 0;
}

static int hook_clear(PyObject *self)
{
    struct hook *hook = (struct hook *)self;

    Py_CLEAR(hook->loop_ref);
    for (struct await_entry *e = hook->pending.next; e && e != &hook->pending; e = e->next)
        Py_CLEAR(e->future);
    return 0;
}

static void hook_dealloc(PyObject *self)
{
    struct hook *hook = (struct hook *)self;
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    Py_CLEAR(hook->loop_ref);
    Py_CLEAR(hook->key);
    cws_queue_free(hook->queue); /* before the entries: after it no tag is delivered */
    while (hook->pending.next && hook->pending.next != &hook->pending)
        entry_free(hook->pending.next);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- arming: one future for one wake-up ---- */

static struct await_entry *entry_new(struct hook *hook, PyObject *future)
{
    struct await_entry *e = PyMem_Calloc(1, sizeof(*e));

    if (!e) {
        PyErr_NoMemory();
        return NULL;
    }
    e->hook = hook;
    e->future = Py_NewRef(future);
    e->prev = hook->pending.prev;
    e->next = &hook->pending;
    e->prev->next = e->next->prev = e;
    return e;
}

/* A cancelled __anext__ left its entry in the queue: use it, so that retries with a time-out do
 * not pile up. */
static bool adopt_orphan(struct awaiter *self, struct hook *hook, PyObject *future)
{
    struct py_reader *r = (struct py_reader *)self->source;

    if (!self->reads || !r->orphan || r->orphan->hook != hook)
        return false;
    Py_XSETREF(r->orphan->future, Py_NewRef(future));
    entry_move(r->orphan, &self->entry);
    return true;
}

static int enqueue(struct core_state *st, struct awaiter *self, struct hook *hook, cws_op *op,
                   PyObject *future)
{
    cws_error *error = NULL;
    struct await_entry *e;
    int r;

    if (adopt_orphan(self, hook, future))
        return 0;
    e = entry_new(hook, future);
    if (!e)
        return -1;
    r = op ? cws_queue_add(hook->queue, op, e, &error)
           : cws_queue_add_reader(hook->queue, ((struct py_reader *)self->source)->reader, e,
                                  &error);
    if (r < 0) {
        entry_free(e);
        (void)py_errors_raise(st, error);
        return -1;
    }
    entry_move(e, &self->entry);
    return 0;
}

/* @op NULL: the source is a reader. */
static int arm(struct core_state *st, struct awaiter *self, cws_op *op)
{
    PyObject *asyncio = py_core_late(st, LATE_ASYNCIO);
    /* Looked up each time: trio-asyncio replaces it when it is imported */
    PyObject *loop CLEANUP_PY =
        asyncio ? PyObject_CallMethodNoArgs(asyncio, st->s_get_running_loop) : NULL;
    PyObject *hook CLEANUP_PY = loop ? hook_of(st, loop) : NULL;
    PyObject *future CLEANUP_PY =
        hook ? PyObject_CallMethodNoArgs(loop, st->s_create_future) : NULL;
    PyAsyncMethods *async;

    if (!future || enqueue(st, self, (struct hook *)hook, op, future) < 0)
        return -1;
    async = Py_TYPE(future)->tp_as_async;
    if (!async || !async->am_await) {
        PyErr_SetString(
            PyExc_TypeError,
            "the event loop's create_future() returned something that cannot be awaited");
        return -1;
    }
    self->inner = async->am_await(future);
    return self->inner ? 0 : -1;
}

/* ---- awaiters ---- */

static PyObject *awaiter_new(struct core_state *st, PyObject *source, bool reads)
{
    struct awaiter *self = (struct awaiter *)st->awaiter_type->tp_alloc(st->awaiter_type, 0);

    if (self) {
        self->source = Py_NewRef(source);
        self->reads = reads;
    }
    return (PyObject *)self;
}

PyObject *py_await_reader(PyObject *self)
{
    struct core_state *st = core_state(self);

    return st ? awaiter_new(st, self, true) : NULL;
}

/* Somebody else's concurrent.futures.Future: asyncio knows how to await those. */
static PyObject *await_foreign(struct core_state *st, struct py_ref *ref)
{
    PyObject *wrap = py_core_late(st, LATE_WRAP_FUTURE);
    PyObject *future CLEANUP_PY = wrap ? PyObject_CallOneArg(wrap, ref->subject) : NULL;

    return future ? Py_TYPE(future)->tp_as_async->am_await(future) : NULL;
}

PyObject *py_await_ref(PyObject *self)
{
    struct core_state *st = core_state(self);

    if (!st)
        return NULL;
    if (((struct py_ref *)self)->cls == &py_ref_future)
        return await_foreign(st, (struct py_ref *)self);
    return awaiter_new(st, self, false);
}

/* Stops waiting. What is in the queue stays there; a reader's entry is kept for the next wait.
 */
static void detach(struct awaiter *self)
{
    struct await_entry *e = self->entry;

    Py_CLEAR(self->inner);
    if (!e)
        return;
    Py_CLEAR(e->future);
    if (self->reads && !((struct py_reader *)self->source)->orphan)
        entry_move(e, &((struct py_reader *)self->source)->orphan);
    else
        entry_unslot(e);
}

static PySendResult finish(struct awaiter *self, PySendResult result)
{
    detach(self);
    Py_CLEAR(self->source);
    return result;
}

/* As in the published client: cancelling the task that awaits a handle cancels the operation. A start is undone whatever
 * ended the wait: nobody else would know of its sandbox. */
static void cancel_if_cancelled(struct core_state *st, struct awaiter *self)
{
    PyObject *exc, *cls;

    if (self->reads || !self->source)
        return;
    exc = py_errors_take();
    cls = py_core_late(st, LATE_ASYNCIO_CANCELLED);
    if (((struct py_ref *)self->source)->starts ||
        (cls && exc && PyErr_GivenExceptionMatches(exc, cls)))
        py_ref_cancel(st, (struct py_ref *)self->source);
    PyErr_Clear();
    py_errors_restore(exc);
}

/* Looks at the source: PYGEN_NEXT means that it is not ready and the awaiter is armed. */
static PySendResult poll_source(struct core_state *st, struct awaiter *self, PyObject **ret)
{
    if (self->reads) {
        switch (py_reader_try(st, (struct py_reader *)self->source, ret)) {
        case READER_ITEM:
            return PYGEN_RETURN;
        case READER_END:
            PyErr_SetNone(PyExc_StopAsyncIteration);
            return PYGEN_ERROR;
        case READER_RAISED:
            return PYGEN_ERROR;
        case READER_PENDING:
            return arm(st, self, NULL) < 0 ? PYGEN_ERROR : PYGEN_NEXT;
        }
    }
    cws_op *op CLEANUP_OP = py_ref_pending_op((struct py_ref *)self->source);

    if (op)
        return arm(st, self, op) < 0 ? PYGEN_ERROR : PYGEN_NEXT;
    *ret = py_ref_collect(st, (struct py_ref *)self->source, true);
    return *ret ? PYGEN_RETURN : PYGEN_ERROR;
}

static PySendResult awaiter_send(PyObject *o, PyObject *arg, PyObject **ret)
{
    struct core_state *st = core_state(o);
    struct awaiter *self = (struct awaiter *)o;

    *ret = NULL;
    if (!st)
        return PYGEN_ERROR;
    if (!self->source) {
        PyErr_SetString(PyExc_RuntimeError, "this awaitable was already used");
        return PYGEN_ERROR;
    }
    for (;;) {
        PySendResult r;

        if (!self->inner) {
            r = poll_source(st, self, ret);
            if (r != PYGEN_NEXT)
                return finish(self, r);
        }
        r = PyIter_Send(self->inner, Py_None, ret);
        if (r == PYGEN_NEXT)
            return r;
        if (r == PYGEN_ERROR) {
            cancel_if_cancelled(st, self);
            return finish(self, r);
        }
        Py_CLEAR(*ret); /* the future's None */
        Py_CLEAR(self->inner);
    }
}

static PyObject *awaiter_next(PyObject *o)
{
    PyObject *value CLEANUP_PY = NULL, *stop CLEANUP_PY = NULL;

    switch (awaiter_send(o, Py_None, &value)) {
    case PYGEN_NEXT:
        return TAKE_PTR(value);
    case PYGEN_RETURN:
        stop = PyObject_CallOneArg(PyExc_StopIteration,
                                   value); /* an instance: the value may be a tuple */
        if (stop)
            PyErr_SetObject(PyExc_StopIteration, stop);
        return NULL;
    case PYGEN_ERROR:
        return NULL;
    }
    Py_UNREACHABLE();
}

static PyObject *awaiter_send_method(PyObject *self, PyObject *arg)
{
    return awaiter_next(self);
}

static void raise_thrown(PyObject *type, PyObject *value)
{
    if (PyExceptionInstance_Check(type))
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
    else if (PyExceptionClass_Check(type))
        PyErr_SetObject(type, value == Py_None ? NULL : value);
    else
        PyErr_SetString(PyExc_TypeError, "throw() takes an exception");
}

static PyObject *awaiter_throw(PyObject *o, PyObject *args)
{
    struct core_state *st = core_state(o);
    struct awaiter *self = (struct awaiter *)o;
    PyObject *type, *value = Py_None, *traceback = Py_None;

    if (!st || !PyArg_ParseTuple(args, "O|OO:throw", &type, &value, &traceback))
        return NULL;
    raise_thrown(type, value);
    cancel_if_cancelled(st, self);
    (void)finish(self, PYGEN_ERROR);
    return NULL;
}

/* The coroutine goes away while it waits: its loop was closed, for example. */
static void drop_start(PyObject *o)
{
    struct core_state *st = core_state(o);
    struct awaiter *self = (struct awaiter *)o;

    if (st && self->inner && self->source && !self->reads &&
        ((struct py_ref *)self->source)->starts)
        py_ref_cancel(st, (struct py_ref *)self->source);
}

static PyObject *awaiter_close(PyObject *o, PyObject *unused)
{
    drop_start(o);
    (void)finish((struct awaiter *)o, PYGEN_RETURN);
    Py_RETURN_NONE;
}

/* Who looked, and does not care any more: nothing is undone. */
static PyObject *awaiter_detach(PyObject *o, PyObject *unused)
{
    (void)finish((struct awaiter *)o, PYGEN_RETURN);
    Py_RETURN_NONE;
}

static int awaiter_traverse(PyObject *o, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(o));
    Py_VISIT(((struct awaiter *)o)->source);
    Py_VISIT(((struct awaiter *)o)->inner);
    return 0;
}

static int awaiter_clear(PyObject *o)
{
    (void)finish((struct awaiter *)o, PYGEN_RETURN);
    return 0;
}

static void awaiter_dealloc(PyObject *o)
{
    PyTypeObject *type = Py_TYPE(o);

    PyObject_GC_UnTrack(o);
    drop_start(o);
    (void)awaiter_clear(o);
    type->tp_free(o);
    Py_DECREF(type);
}

/* ---- types ---- */

static PyMethodDef hook_methods[] = {
    {"forget", hook_forget, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMethodDef awaiter_methods[] = {
    {"send", awaiter_send_method, METH_O, NULL},
    {"throw", awaiter_throw, METH_VARARGS, NULL},
    {"_detach", awaiter_detach, METH_NOARGS, NULL},
    {"close", awaiter_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hook_slots[] = {
    {Py_tp_dealloc, hook_dealloc}, {Py_tp_traverse, hook_traverse}, {Py_tp_clear, hook_clear},
    {Py_tp_call, hook_call},       {Py_tp_methods, hook_methods},   {0, NULL},
};
static PyType_Slot awaiter_slots[] = {
    {Py_tp_dealloc, awaiter_dealloc},
    {Py_tp_traverse, awaiter_traverse},
    {Py_tp_clear, awaiter_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, awaiter_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, awaiter_send},
    {Py_tp_methods, awaiter_methods},
    {0, NULL},
};

#define INTERNAL_FLAGS \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | \
     Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Spec hook_type_spec = {
    .name = "cwsandbox._core._LoopHook",
    .basicsize = sizeof(struct hook),
    .flags = INTERNAL_FLAGS,
    .slots = hook_slots,
};
static PyType_Spec awaiter_type_spec = {
    .name = "cwsandbox._core._Awaiter",
    .basicsize = sizeof(struct awaiter),
    .flags = INTERNAL_FLAGS,
    .slots = awaiter_slots,
};

int py_await_init(PyObject *module, struct core_state *st)
{
    st->hook_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &hook_type_spec, NULL);
    st->awaiter_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &awaiter_type_spec, NULL);
    st->hooks = PyDict_New();
    return st->hook_type && st->awaiter_type && st->hooks ? 0 : -1;
}
