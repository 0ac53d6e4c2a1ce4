/*
 * What the program does behind its wall: one function a verb, a world they share.
 */
#ifndef CWS_IMAGE_VERBS_H
#define CWS_IMAGE_VERBS_H

#include "image/fetch.h"
#include "image/options.h"
#include "image/registries.h"
#include "image/store.h"

struct verb_world {
    struct image_options options;
    struct store store;
    int input, output; /* -1: the verb has none */
    struct registries registries;
    struct fetch fetch;
};

/** verb_run() - prints what it did on stdout. */
int verb_run(struct verb_world *w, struct err *err);
void verb_world_done(struct verb_world *w);

#endif
