/*
 * Hash map from NUL-terminated strings (borrowed: the key must live as long as its entry, usually inside the
 * value) to pointers. Open addressing, grows at 3/4. Used for registries of up to tens of thousands of objects.
 * Keys come from us (random ids) or are bounded in number by quotas, so the hash needs no secret.
 */
#ifndef CWS_BASE_STRMAP_H
#define CWS_BASE_STRMAP_H

#include "base/macros.h"

struct strmap_slot {
    const char *key; /* NULL = empty */
    void *value;     /* NULL with a key set = deleted */
};

struct strmap {
    struct strmap_slot *slots;
    size_t n_slots;   /* power of two or 0 */
    size_t n_used;    /* live entries and tombstones */
    size_t n_entries; /* live entries */
};

/** strmap_put() - 0, -EEXIST, or -ENOMEM. @value must not be NULL. */
int strmap_put(struct strmap *m, const char *key, void *value) WARN_UNUSED;
void *strmap_get(const struct strmap *m, const char *key);
/** strmap_remove() - the removed value or NULL. */
void *strmap_remove(struct strmap *m, const char *key);
/** strmap_next() - iterate: start with *@pos = 0; NULL at the end. Removal during iteration is fine, insertion is not. */
void *strmap_next(const struct strmap *m, size_t *pos);
void strmap_done(struct strmap *m);

#endif
