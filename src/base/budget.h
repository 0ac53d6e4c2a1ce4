/*
 * Shares of one amount (bytes, calls, connections), so that one user's appetite is not another's
 * hunger. Pure counting: no clock, no allocation, no locks.
 *
 * Each user has `own` units that nobody can take from it. What it holds beyond them comes out of
 * a pool for all, and `max` bounds what one user holds at all. So what all together hold is at
 * most the pool plus `own` of each, and somebody who holds less than `own` is never refused.
 *
 * Invariant: pool->used is the sum over all its users of what they hold above `own`.
 */
#ifndef CWS_BASE_BUDGET_H
#define CWS_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct budget_pool {
    size_t size; /* [const] */
    size_t used; /* above `size` only by budget_force() */
};

struct budget {
    size_t own; /* [const] */
    size_t max; /* [const] */
    struct budget_pool *pool;
    size_t used;
};

void budget_init(struct budget *b, size_t own, size_t max, struct budget_pool *pool);
/** budget_room() - how much budget_take() would give now. */
size_t budget_room(const struct budget *b);
/** budget_take() - @n units, or none. */
bool budget_take(struct budget *b, size_t n);
/** budget_force() - takes @n units also where there is no room: of what is there already and can
 * only be held back from now on. */
void budget_force(struct budget *b, size_t n);
/** budget_give() - @n units back; not more than was taken. */
void budget_give(struct budget *b, size_t n);

#endif
