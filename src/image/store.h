/*
 * The store of images: docs/images.md, "The store". Names below one descriptor; several processes use it at once.
 *
 * Locks: whoever adds holds the store shared, whoever removes holds it alone; a layer is made by who holds its lock file; a
 * layer that somebody mounts is held by a shared flock on its directory, and is not removed.
 * Errors of all: INTERNAL or RESOURCE_EXHAUSTED (no room), NOT_FOUND where it says so.
 */
#ifndef CWS_IMAGE_STORE_H
#define CWS_IMAGE_STORE_H

#include "base/err.h"
#include "image/digest.h"
#include "image/unpack.h"

struct store {
    int fd;           /* the directory */
    int lock;         /* locks/store, or -1 */
    bool keep_owners; /* see unpack.h */
};

enum store_blob { STORE_MANIFEST, STORE_CONFIG, STORE_BLOB_MAX };

struct store_ref {
    char *reference; /* as reference_format() writes it */
    char manifest[DIGEST_HEX + 1];
    char config[DIGEST_HEX + 1];
    int64_t created_s, used_s; /* since 1970 */
};

/** store_open() - make what is missing of the directory @path, which is absolute. */
int store_open(struct store *s, const char *path, struct err *err);
/** store_open_to_read() - one that is there, for store_get(), store_get_ref() and value_read(); nothing is made. */
int store_open_to_read(struct store *s, const char *path, struct err *err);
/** store_lock() - waits; held until store_close(). @try: false with no error when it is held by others. */
int store_lock(struct store *s, bool alone, struct err *err);
bool store_try_lock_alone(struct store *s);
void store_close(struct store *s);

/** store_put() - write a blob under its digest, which the caller has compared. */
int store_put(const struct store *s, enum store_blob kind, const char *hex, const char *text,
              size_t n, struct err *err);
/** store_get() - NOT_FOUND, or a heap string. */
int store_get(const struct store *s, enum store_blob kind, const char *hex, char **ret_text,
              size_t *ret_n, struct err *err);

/** store_put_ref() - replaces what the reference meant; durable when it returns. */
int store_put_ref(const struct store *s, const char *reference, const char *manifest,
                  const char *config, struct err *err);
int store_get_ref(const struct store *s, const char *reference, struct store_ref *ret,
                  struct err *err);
int store_remove_ref(const struct store *s, const char *reference, struct err *err);
/** store_list_refs() - heap array, by name; a file that cannot be read is left out. */
int store_list_refs(const struct store *s, struct store_ref **ret, size_t *ret_n,
                    struct err *err);
void store_ref_done(struct store_ref *r);
void store_refs_free(struct store_ref *refs, size_t n);

bool store_has_layer(const struct store *s, const char *diff_id);
/** store_layer_in_use() - a sandbox stands on it now. */
bool store_layer_in_use(const struct store *s, const char *diff_id);
/** store_layer_bytes() - of its files; 0 when it is not there. */
uint64_t store_layer_bytes(const struct store *s, const char *diff_id);

struct layer_work {
    const struct store *store;
    char diff_id[DIGEST_HEX + 1]; /* "" until it is known: layers that are made here */
    char *name;                   /* in tmp/ */
    bool whole;                   /* see unpack.h */
    int lock, dir;
};
#define LAYER_WORK_NONE \
    { \
        .lock = -1, .dir = -1 \
    }

/**
 * layer_begin() - take the layer's lock (waits for who makes it) and make an empty directory
 * @diff_id: NULL when it is only known afterwards
 * Return: 1 with a directory in @w; 0 when the layer is there; -1.
 */
int layer_begin(const struct store *s, const char *diff_id, struct layer_work *w,
                struct err *err);
/** layer_fill() - unpack the tar or packed tar @from; DATA_LOSS when its digest is another than was begun with. */
int layer_fill(struct layer_work *w, struct source *from, uint64_t max_bytes, struct err *err);
/** layer_done() - lets the lock go; what was not filled is removed. */
void layer_done(struct layer_work *w);
#define CLEANUP_LAYER CLEANUP(layer_done)

/** store_open_partial() - the file of a compressed layer under way, locked; waits for who has it. -1 on error. */
int store_open_partial(const struct store *s, const char *hex, struct err *err);
void store_remove_partial(const struct store *s, const char *hex);

struct store_sweep {
    uint64_t n_layers, n_bytes; /* removed */
    uint64_t n_in_use;          /* that nothing refers to but somebody mounts */
};
/** store_sweep() - remove what no reference needs and nobody mounts; the store must be held alone. */
int store_sweep(const struct store *s, struct store_sweep *ret, struct err *err);

#endif
