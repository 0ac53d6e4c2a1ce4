/* See json.h. */
#include "cli/json.h"

#include <inttypes.h>

#include "cli/format.h"

static void new_line(const struct json *j)
{
    (void)fprintf(j->out, "\n%*s", (int)j->depth * 2, "");
}

/* What stands before every value. */
static void lead(struct json *j, const char *key)
{
    if (j->has_values)
        (void)fputc(',', j->out);
    if (j->depth > 0)
        new_line(j);
    j->has_values = true;
    if (!key)
        return;
    json_string(j->out, key);
    (void)fputs(": ", j->out);
}

void json_begin(struct json *j, const char *key, char bracket)
{
    lead(j, key);
    (void)fputc(bracket, j->out);
    j->depth++;
    j->has_values = false;
}

void json_end(struct json *j, char bracket)
{
    j->depth--;
    if (j->has_values)
        new_line(j);
    (void)fputc(bracket, j->out);
    j->has_values = true;
}

void json_text(struct json *j, const char *key, const char *text)
{
    lead(j, key);
    json_string(j->out, text);
}

void json_int(struct json *j, const char *key, int64_t value)
{
    lead(j, key);
    (void)fprintf(j->out, "%" PRId64, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
    lead(j, key);
    (void)fputs(value ? "true" : "false", j->out);
}
