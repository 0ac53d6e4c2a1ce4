/*
 * Intrusive doubly linked list. A head and a node are the same type; both must be initialised with list_init().
 * Removing a node leaves it initialised, so removing twice is harmless.
 */
#ifndef CWS_BASE_LIST_H
#define CWS_BASE_LIST_H

#include "base/macros.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
/* Inserts @node before @at; with a head as @at this appends. */
static inline void list_append(struct list *at, struct list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}
/* Moves all of @from's nodes behind those of @to. */
static inline void list_splice(struct list *from, struct list *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
static inline struct list *list_first(struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

#define LIST_FOREACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* Safe against removal of the current node. */
#define LIST_FOREACH_SAFE(it, head) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
