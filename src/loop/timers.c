#include "loop/timers.h"

#include "base/util.h"

#define NEARLY_NS 100000u

/* Makes the later of two roots the first child of the earlier one. Accepts NULL. */
static struct timer *meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->deadline_ns < a->deadline_ns) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (b->next)
        b->next->back = &b->next;
    a->child = b;
    b->back = &a->child;
    return a;
}

/* The two-pass merge of a list of siblings: pairs from the left, then all of them from the
 * right. */
static struct timer *meld_siblings(struct timer *list)
{
    struct timer *pairs = NULL;
    while (list) {
        struct timer *a = list, *b = a->next;
        list = b ? b->next : NULL;
        a->next = NULL;
        if (b)
            b->next = NULL;
        struct timer *pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    struct timer *root = NULL;
    while (pairs) {
        struct timer *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        root = meld(root, pair);
    }
    return root;
}

static void set_root(struct timers *ts, struct timer *root)
{
    ts->root = root;
    if (root) {
        root->back = &ts->root;
        root->next = NULL;
    }
}

static void heap_remove(struct timers *ts, struct timer *t)
{
    struct timer *children = meld_siblings(t->child);
    t->child = NULL;
    if (t == ts->root) {
        set_root(ts, children);
    } else {
        *t->back = t->next;
        if (t->next)
            t->next->back = t->back;
        set_root(ts, meld(ts->root, children));
    }
    t->next = NULL;
    t->back = NULL;
}

static void on_uv_timer(uv_timer_t *uv);

static void rearm(struct timers *ts)
{
    if (!ts->root) {
        if (ts->armed_ns != UINT64_MAX)
            (void)uv_timer_stop(&ts->uv);
        ts->armed_ns = UINT64_MAX;
        return;
    }
    /* An earlier set-up that fires for nobody costs one pass; most deadlines are stopped long
     * before, so leave it. */
    if (ts->root->deadline_ns >= ts->armed_ns && uv_is_active((uv_handle_t *)&ts->uv))
        return;
    uint64_t now_ns = clock_now_ns();
    uint64_t deadline_ns = ts->root->deadline_ns;
    uint64_t ms =
        0; /* nearly due counts as due: libuv's unit is a millisecond, "at once" must not become one */
    if (deadline_ns > now_ns + NEARLY_NS)
        ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (ms > 0)
        uv_update_time(
            ts->uv.loop); /* uv counts from the start of this pass, which may be long ago */
    ts->armed_ns = deadline_ns;
    (void)uv_timer_start(&ts->uv, on_uv_timer, ms, 0); /* fails only while closing */
}

static void on_uv_timer(uv_timer_t *uv)
{
    struct timers *ts = CONTAINER_OF(uv, struct timers, uv);
    uint64_t now_ns = clock_now_ns();
    ts->armed_ns = UINT64_MAX;
    while (ts->root && ts->root->deadline_ns <= now_ns) {
        struct timer *t = ts->root;
        heap_remove(ts, t);
        t->fire(t); /* may free @t */
    }
    rearm(ts);
}

int timers_init(struct timers *ts, uv_loop_t *loop)
{
    ts->root = NULL;
    ts->armed_ns = UINT64_MAX;
    return uv_timer_init(loop, &ts->uv);
}

void timers_close(struct timers *ts, uv_close_cb on_closed)
{
    while (ts->root)
        heap_remove(ts, ts->root);
    uv_close((uv_handle_t *)&ts->uv, on_closed);
}

void timer_start(struct timers *ts, struct timer *t, uint64_t deadline_ns,
                 void (*fire)(struct timer *t))
{
    if (timer_armed(t))
        heap_remove(ts, t);
    t->child = t->next = NULL;
    /* "At once" still means after what is due already: a timer started while timers fire waits
     * for the next pass. */
    t->deadline_ns = deadline_ns ? deadline_ns : clock_now_ns() + 1;
    t->fire = fire;
    set_root(ts, meld(ts->root, t));
    rearm(ts);
}

void timer_start_in(struct timers *ts, struct timer *t, uint64_t delay_ns,
                    void (*fire)(struct timer *t))
{
    uint64_t deadline_ns;
    if (__builtin_add_overflow(clock_now_ns(), delay_ns, &deadline_ns))
        timer_stop(ts, t);
    else
        timer_start(ts, t, deadline_ns, fire);
}

void timer_stop(struct timers *ts, struct timer *t)
{
    if (!timer_armed(t))
        return;
    heap_remove(ts, t);
    rearm(ts);
}
