/*
 * The pairing heap behind timers.h. Melding is iterative: the depth of a heap is the peer's to
 * choose.
 */
#include "server/timers.h"

#include "base/util.h"

static struct timer *meld(struct timer *a, struct timer *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (b->when_ns < a->when_ns) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->sibling = a->child;
    if (b->sibling != NULL)
        b->sibling->back = b;
    b->back = a;
    a->child = b;
    a->sibling = NULL;
    a->back = NULL;
    return a;
}

/* One heap out of a list of siblings: pairs from left to right, then all of them from the last
 * pair back. */
static struct timer *meld_siblings(struct timer *first)
{
    struct timer *pairs = NULL; /* a stack through ->sibling */
    while (first != NULL) {
        struct timer *a = first;
        struct timer *b = a->sibling;
        first = b != NULL ? b->sibling : NULL;
        a->sibling = a->back = NULL;
        if (b != NULL)
            b->sibling = b->back = NULL;
        struct timer *pair = meld(a, b);
        pair->sibling = pairs;
        pairs = pair;
    }
    struct timer *root = NULL;
    while (pairs != NULL) {
        struct timer *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void heap_remove(struct timers *t, struct timer *node)
{
    if (node->back == NULL) {
        t->root = meld_siblings(node->child);
    } else {
        if (node->back->child == node)
            node->back->child = node->sibling;
        else
            node->back->sibling = node->sibling;
        if (node->sibling != NULL)
            node->sibling->back = node->back;
        t->root = meld(t->root, meld_siblings(node->child));
    }
    node->child = node->sibling = node->back = NULL;
    node->set = false;
}

static void on_timer(uv_timer_t *handle);

static void arm(struct timers *t)
{
    if (t->running)
        return;
    if (t->root == NULL) {
        (void)uv_timer_stop(&t->handle); /* fails only for closing handles */
        return;
    }
    uint64_t now_ns = clock_now_ns();
    uint64_t wait_ns = t->root->when_ns > now_ns ? t->root->when_ns - now_ns : 0;
    /* libuv counts whole milliseconds from the time it cached when this pass of the loop began.
     */
    uv_update_time(t->handle.loop);
    (void)uv_timer_start(&t->handle, on_timer, (wait_ns + NS_PER_MS - 1) / NS_PER_MS, 0);
}

static void on_timer(uv_timer_t *handle)
{
    struct timers *t = CONTAINER_OF(handle, struct timers, handle);
    t->running = true;
    uint64_t now_ns = clock_now_ns();
    while (t->root != NULL && t->root->when_ns <= now_ns) {
        struct timer *due = t->root;
        heap_remove(t, due);
        due->cb(due->user); /* may free @due */
    }
    t->running = false;
    arm(t);
}

int timers_init(struct timers *t, uv_loop_t *loop)
{
    *t = (struct timers){0};
    return uv_timer_init(loop, &t->handle);
}

void timers_close(struct timers *t)
{
    while (t->root != NULL)
        heap_remove(t, t->root);
    uv_close((uv_handle_t *)&t->handle, NULL);
}

void timer_set(struct timers *t, struct timer *node, uint64_t when_ns, void (*cb)(void *user),
               void *user)
{
    if (node->set)
        heap_remove(t, node);
    struct timer *old_root = t->root;
    *node = (struct timer){.when_ns = when_ns, .set = true, .cb = cb, .user = user};
    t->root = meld(t->root, node);
    if (t->root != old_root)
        arm(t);
}

void timer_clear(struct timers *t, struct timer *node)
{
    if (node->set)
        heap_remove(t, node); /* a wake-up for nothing is cheaper than re-arming for every call
                                 that ends in time */
}
