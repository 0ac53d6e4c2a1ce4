/*
 * Reading JSON that is not ours: what is absent or null is NULL, what is of another type is an error that names it.
 */
#ifndef CWS_IMAGE_JSON_H
#define CWS_IMAGE_JSON_H

#include <jansson.h>

#include "base/err.h"

static inline void cleanup_json(json_t **j)
{
    json_decref(*j);
}
#define CLEANUP_JSON CLEANUP(cleanup_json)

/** json_parse() - an object, or NULL with INVALID_ARGUMENT; no key twice, no NUL in a text. */
json_t *json_parse(const char *text, size_t n, const char *what, struct err *err);
/** json_member() - @key of the object @j, borrowed; *@ret NULL when absent or null. */
int json_member(const json_t *j, const char *key, json_type type, json_t **ret,
                struct err *err);
/** json_member_text() - the same for a text; borrowed from @j. */
int json_member_text(const json_t *j, const char *key, const char **ret, struct err *err);
/** json_member_size() - a number that is not negative; an error when absent. */
int json_member_size(const json_t *j, const char *key, uint64_t *ret, struct err *err);
#endif
