#include "base/strmap.h"

#include <errno.h>
#include <string.h>

static const char tombstone[] = "";

static uint64_t hash_str(const char *s)
{
    uint64_t h = 1469598103934665603ULL; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 1099511628211ULL;
    return h;
}

/* The slot that holds @key, or the slot where it would go. */
static struct strmap_slot *find(const struct strmap *m, const char *key)
{
    size_t mask = m->n_slots - 1;
    struct strmap_slot *grave = NULL;
    for (size_t i = (size_t)hash_str(key) & mask;; i = (i + 1) & mask) {
        struct strmap_slot *s = &m->slots[i];
        if (!s->key)
            return grave ? grave : s;
        if (s->key == tombstone) {
            if (!grave)
                grave = s;
        } else if (strcmp(s->key, key) == 0) {
            return s;
        }
    }
}

static int rehash(struct strmap *m, size_t n_slots)
{
    struct strmap grown = {.slots = calloc(n_slots, sizeof(struct strmap_slot)),
                           .n_slots = n_slots};
    if (!grown.slots)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_slots; i++) {
        struct strmap_slot *s = &m->slots[i];
        if (!s->key || s->key == tombstone)
            continue;
        *find(&grown, s->key) = *s;
        grown.n_used++;
        grown.n_entries++;
    }
    free(m->slots);
    *m = grown;
    return 0;
}

int strmap_put(struct strmap *m, const char *key, void *value)
{
    if ((m->n_used + 1) * 4 > m->n_slots * 3) {
        size_t want = 16;
        while (want < (m->n_entries + 1) * 2)
            want *= 2;
        int r = rehash(m, want);
        if (r < 0)
            return r;
    }
    struct strmap_slot *s = find(m, key);
    if (s->key && s->key != tombstone)
        return -EEXIST;
    if (!s->key)
        m->n_used++;
    *s = (struct strmap_slot){key, value};
    m->n_entries++;
    return 0;
}

void *strmap_get(const struct strmap *m, const char *key)
{
    if (m->n_slots == 0)
        return NULL;
    struct strmap_slot *s = find(m, key);
    return s->key && s->key != tombstone ? s->value : NULL;
}

void *strmap_remove(struct strmap *m, const char *key)
{
    if (m->n_slots == 0)
        return NULL;
    struct strmap_slot *s = find(m, key);
    if (!s->key || s->key == tombstone)
        return NULL;
    void *value = s->value;
    *s = (struct strmap_slot){tombstone, NULL};
    m->n_entries--;
    return value;
}

void *strmap_next(const struct strmap *m, size_t *pos)
{
    while (*pos < m->n_slots) {
        struct strmap_slot *s = &m->slots[(*pos)++];
        if (s->key && s->key != tombstone)
            return s->value;
    }
    return NULL;
}

void strmap_done(struct strmap *m)
{
    free(m->slots);
    *m = (struct strmap){0};
}
