/*
 * The name of an image: [registry/]name[:tag][@digest], with Docker Hub's defaults.
 *
 *   python                -> docker.io/library/python:latest
 *   localhost:5000/a/b@sha256:…  -> as written; with a digest the tag means nothing and is dropped
 *
 * Grammar as in the distribution project's reference package; everything else is refused, so no part can hold a `..`, a
 * blank, a `%` or a control character, and parts can stand in a URL as they are.
 */
#ifndef CWS_IMAGE_REFERENCE_H
#define CWS_IMAGE_REFERENCE_H

#include "base/err.h"
#include "image/digest.h"

#define REFERENCE_NAME_MAX 255 /* registry and name together. Source: the reference package */
#define REFERENCE_TAG_MAX 128  /* Source: the same */

struct reference {
    char *registry;              /* host[:port]: "docker.io" */
    char *name;                  /* "library/python" */
    char *tag;                   /* NULL when there is a digest */
    char digest[DIGEST_HEX + 1]; /* "" when there is none */
};

/**
 * reference_parse() - take @text apart, with defaults filled in
 * Errors: INVALID_ARGUMENT, with the text and the reason; RESOURCE_EXHAUSTED.
 */
int reference_parse(const char *text, struct reference *ret, struct err *err);
/** reference_parse_tagged() - of an image that is made or brought here: a digest would promise what nobody has looked at, and is refused. */
int reference_parse_tagged(const char *text, struct reference *ret, struct err *err);
/** reference_format() - heap: the one way to write it; NULL when out of memory. */
char *reference_format(const struct reference *r);
/** reference_version() - what a registry is asked for: the tag or "sha256:…". Heap, or NULL. */
char *reference_version(const struct reference *r);
void reference_done(struct reference *r);
#define CLEANUP_REFERENCE CLEANUP(reference_done)

#endif
