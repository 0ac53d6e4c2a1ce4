/*
 * An image as a value: what it gives to a sandbox. Whoever has one owns it.
 */
#ifndef CWS_RUNTIME_IMAGE_H
#define CWS_RUNTIME_IMAGE_H

#include "base/err.h"
#include "base/list.h"

/* Arrays end with NULL; they and their strings are on the heap, and may be NULL. Without layers it is "host", the machine's
 * own root. */
struct runtime_image {
    bool host;     /* the layers stand on the machine's own root */
    char *id;      /* by which it is known to whom it comes from */
    char **layers; /* names of directories of the store, from the lowest */
    char **env;    /* NAME=value */
    char **entrypoint, **cmd;
    int stop_signal;   /* 0: SIGTERM */
    char *user;        /* "": root */
    char *working_dir; /* absolute */
    char **volumes;    /* directories that are there, and writable as all of the root */
};

/* Somebody who waits for an image to be there. */
struct image_wait {
    struct list link; /* for whom runtime_config.get_image belongs to, while it waits */
    void (*cb)(struct image_wait *wait,
               const struct err *why); /* from the loop; NULL: it is there */
    const char *answer;                /* in cb without @why: what was said with it; borrowed */
};

/** runtime_image_bytes() - of its words: what each sandbox of it has a copy of. */
size_t runtime_image_bytes(const struct runtime_image *image);
void runtime_image_done(struct runtime_image *image);
#define CLEANUP_IMAGE CLEANUP(runtime_image_done)

/** strings_count() - of an array that ends with NULL, or is NULL. */
size_t strings_count(char *const *strings);
/** strings_bytes() - about what they take of memory. */
size_t strings_bytes(char *const *strings);
/** strings_free() - the strings and the array. */
void strings_free(char **strings);

#endif
