/*
 * An image out of a registry into the store: its manifest, its config, then the layers that are not there, several at once.
 */
#ifndef CWS_IMAGE_PULL_H
#define CWS_IMAGE_PULL_H

#include <stdatomic.h>

#include "image/reference.h"
#include "image/registries.h"
#include "image/store.h"

#define PULL_THREADS_MAX \
    4 /* layers at once. Chosen: unpacking is what takes time, and machines have few cores */

/* Written by pull_image() and its threads, read by whoever shows it. */
struct pull_progress {
    _Atomic uint64_t n_bytes, total_bytes; /* packed; total is 0 until it is known */
    _Atomic unsigned n_layers, total_layers;
};

/**
 * pull_image() - the store must be held shared
 * Errors: those of registry_find(), of the parsers and of layer_fill(); DATA_LOSS for a digest or a size that is wrong. A layer
 * that came in part stays in the store for the next pull.
 */
int pull_image(const struct store *s, const struct registries *settings,
               const struct reference *reference, struct pull_progress *progress,
               struct err *err);

#endif
