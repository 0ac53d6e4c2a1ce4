#include "base/budget.h"

#include "base/macros.h"

static size_t above(const struct budget *b, size_t used)
{
    return used > b->own ? used - b->own : 0;
}

void budget_init(struct budget *b, size_t own, size_t max, struct budget_pool *pool)
{
    *b = (struct budget){.own = own, .max = max, .pool = pool};
}

size_t budget_room(const struct budget *b)
{
    size_t of_own = b->used < b->own ? b->own - b->used : 0;
    size_t of_pool = b->pool->used < b->pool->size ? b->pool->size - b->pool->used : 0;
    size_t to_max = b->used < b->max ? b->max - b->used : 0;
    return to_max <= of_own || to_max - of_own <= of_pool ? to_max : of_own + of_pool;
}

bool budget_take(struct budget *b, size_t n)
{
    if (n > budget_room(b))
        return false;
    budget_force(b, n);
    return true;
}

void budget_force(struct budget *b, size_t n)
{
    size_t before = above(b, b->used);
    b->used += n;
    b->pool->used += above(b, b->used) - before;
}

void budget_give(struct budget *b, size_t n)
{
    CHECK(n <= b->used);
    size_t before = above(b, b->used);
    b->used -= n;
    b->pool->used -= before - above(b, b->used);
}
