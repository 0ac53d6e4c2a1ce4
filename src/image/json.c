/* See json.h. */
#include "image/json.h"

#include <string.h>

json_t *json_parse(const char *text, size_t n, const char *what, struct err *err)
{
    json_error_t error;
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (j == NULL) {
        (void)err_set(err, ERR_INVALID_ARGUMENT, "%s is no JSON: line %d: %s", what, error.line,
                      error.text);
        return NULL;
    }
    if (!json_is_object(j)) {
        json_decref(j);
        (void)err_set(err, ERR_INVALID_ARGUMENT, "%s is no JSON object", what);
        return NULL;
    }
    return j;
}

int json_member(const json_t *j, const char *key, json_type type, json_t **ret, struct err *err)
{
    json_t *member = json_object_get(j, key);
    if (member != NULL && !json_is_null(member) && json_typeof(member) != type)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "its `%s` is of another type than it should be", key);
    *ret = json_is_null(member) ? NULL : member;
    return 0;
}

int json_member_text(const json_t *j, const char *key, const char **ret, struct err *err)
{
    json_t *member = NULL;
    if (json_member(j, key, JSON_STRING, &member, err) < 0)
        return -1;
    *ret = member ? json_string_value(member) : NULL;
    return 0;
}

int json_member_size(const json_t *j, const char *key, uint64_t *ret, struct err *err)
{
    json_t *member = NULL;
    if (json_member(j, key, JSON_INTEGER, &member, err) < 0)
        return -1;
    if (member == NULL || json_integer_value(member) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "its `%s` is no size", key);
    *ret = (uint64_t)json_integer_value(member);
    return 0;
}
