/*
 * A registry that speaks the distribution API v2: where its mirrors and itself are asked, and what it wants to be shown.
 * Threads share one; each has its own connection (struct http).
 */
#ifndef CWS_IMAGE_REGISTRY_H
#define CWS_IMAGE_REGISTRY_H

#include <pthread.h>

#include "image/http.h"
#include "image/reference.h"
#include "image/registries.h"

#define REGISTRY_TRIES 5 /* in a row that bring nothing, 0.5 s, 1 s, 2 s, 4 s apart. Chosen */

struct registry {
    const struct registries *settings; /* borrowed */
    const struct reference *reference; /* borrowed */
    char *base;                        /* URL before "/v2/": the one that answered */
    const char *authority;             /* of its host; borrowed from the settings */
    bool plain;                        /* http is allowed */
    bool public_only;                  /* no address that is not public is asked */
    struct credentials credentials;
    pthread_mutex_t lock;
    char *token;     /* [lock] or NULL */
    bool with_basic; /* [lock] the password is sent with every request */
};

/* Why a request failed, as far as it says what to do. */
enum registry_trouble {
    TROUBLE_OTHER,
    TROUBLE_BROKEN,  /* the connection, or the server for now: another try may do */
    TROUBLE_NOT_TLS, /* what answered speaks no TLS */
};

struct registry_get {
    const char *what;    /* "manifests" or "blobs" */
    const char *version; /* tag or digest */
    const char *accept;  /* or NULL */
    uint64_t offset, max_bytes;
    int (*on_data)(void *context, const void *data, size_t n, bool restarted,
                   struct err *err); /* or NULL */
    void *context;
};

void registry_init(struct registry *r, const struct registries *settings,
                   const struct reference *reference);
/**
 * registry_find() - ask each mirror and then the registry itself for the reference's manifest, and stay with who has it
 * Errors: NOT_FOUND, UNAUTHENTICATED, PERMISSION_DENIED, UNAVAILABLE: the registry's own; those of mirrors are passed over.
 */
int registry_find(struct registry *r, struct http *h, struct buf *ret_manifest,
                  struct err *err);
/** registry_get() - from who was found; once. @ret_body: replaced; NULL with on_data; @ret_trouble: set with -1. */
int registry_get(struct registry *r, struct http *h, const struct registry_get *g,
                 struct buf *ret_body, enum registry_trouble *ret_trouble, struct err *err);
/** registry_wait() - before try @n, counted from 0; false when there is none left. */
bool registry_wait(unsigned n);
void registry_done(struct registry *r);

#endif
