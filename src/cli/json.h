/*
 * JSON as Python's json.dumps(value, indent=2) writes it, one value after the other.
 *
 * Keys are given inside of objects and NULL elsewhere. What begins must end; an empty list or object takes no line of its own.
 */
#ifndef CWS_CLI_JSON_H
#define CWS_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Zero it but for `out`. */
struct json {
    FILE *out;
    unsigned depth;
    bool has_values; /* in what is open */
};

/** json_begin() / json_end() - an object ('{', '}') or a list ('[', ']'). */
void json_begin(struct json *j, const char *key, char bracket);
void json_end(struct json *j, char bracket);
/** json_text() - NULL is null. */
void json_text(struct json *j, const char *key, const char *text);
void json_int(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);

#endif
