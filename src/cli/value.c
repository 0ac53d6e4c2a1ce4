/* See value.h. */
#include "cli/value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Chosen: 30 years keeps every later sum of nanoseconds far from overflow. */
#define SECONDS_MAX (30.0 * 365 * 24 * 3600)

/* strtod() alone would take " 1", "0x1p3", "nan" and the empty string. */
static bool parse_decimal(const char *text, double *ret)
{
    if (!*text || text[strspn(text, "0123456789.eE+-")])
        return false;
    char *end;
    errno = 0;
    *ret = strtod(text, &end);
    return !*end && errno == 0 && isfinite(*ret);
}

static bool parse_seconds(const char *text, bool zero_ok, uint64_t *ret_ns, char **ret_why)
{
    double seconds;
    if (!parse_decimal(text, &seconds)) {
        *ret_why = text_dup("is not a number of seconds");
        return false;
    }
    if (seconds < 0 || (seconds == 0 && !zero_ok) || seconds > SECONDS_MAX) {
        *ret_why = text_printf("is not in the range x%s0", zero_ok ? ">=" : ">");
        if (seconds > SECONDS_MAX) {
            free(*ret_why);
            *ret_why = text_dup("is too long (the limit is 30 years)");
        }
        return false;
    }
    *ret_ns = (uint64_t)(seconds * (double)NS_PER_SEC);
    if (*ret_ns == 0 && seconds > 0)
        *ret_ns = 1; /* 0 means "not given" to the library */
    return true;
}

static bool parse_count(const char *text, uint32_t *ret, char **ret_why)
{
    char *end;
    errno = 0;
    unsigned long value = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;
    if (!isdigit((unsigned char)*text) || *end || errno || value > INT32_MAX) {
        *ret_why = text_printf("is not a count (0 to %d)", INT32_MAX);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

static bool parse_choice(const struct option *o, const char *text, int *ret, char **ret_why)
{
    CLEANUP_FREE char *all = text_dup("");
    for (int i = 0; o->choices[i]; i++) {
        if (strcasecmp(o->choices[i], text) == 0) {
            *ret = i + 1;
            return true;
        }
        char *more = text_printf("%s%s%s", all, i ? ", " : "", o->choices[i]);
        free(all);
        all = more;
    }
    *ret_why = text_printf("is not one of %s", all);
    return false;
}

bool value_parse_time(const char *text, uint64_t *ret_ns)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"};
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, formats[i], &tm);
        if (!end || (*end && strcmp(end, "Z") != 0))
            continue;
        int day = tm.tm_mday;
        time_t seconds = timegm(&tm);
        /* timegm() turns 30 February into 1 March; such a date is a mistake, not a date. */
        if (tm.tm_mday != day || seconds < 0)
            return false;
        *ret_ns = (uint64_t)seconds * NS_PER_SEC;
        return true;
    }
    return false;
}

bool value_parse(const struct option *option, const char *text, void *slot, char **ret_why)
{
    switch (option->kind) {
    case OPTION_FLAG:
    case OPTION_UNFLAG:
        *(bool *)slot = option->kind == OPTION_FLAG;
        return true;
    case OPTION_STRING:
        *(const char **)slot = text;
        return true;
    case OPTION_LIST:
        words_add(slot, text);
        return true;
    case OPTION_SECONDS:
        return parse_seconds(text, false, slot, ret_why);
    case OPTION_SECONDS0:
        return parse_seconds(text, true, slot, ret_why);
    case OPTION_COUNT:
        return parse_count(text, slot, ret_why);
    case OPTION_CHOICE:
        return parse_choice(option, text, slot, ret_why);
    case OPTION_TIME:
        if (value_parse_time(text, slot))
            return true;
        *ret_why = text_dup("is not a time: write YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS (UTC)");
        return false;
    }
    return false;
}

/* One word of value_split_command(): copies it to @out without its quotes. NULL on an open
 * quote. */
static const char *split_word(const char *in, char **out)
{
    char quote = 0;
    for (; *in && (quote || !isspace((unsigned char)*in)); in++) {
        if (*in == quote) {
            quote = 0;
        } else if (!quote && (*in == '\'' || *in == '"')) {
            quote = *in;
        } else if (*in == '\\' && quote != '\'') {
            if (!in[1])
                return NULL;
            /* In "…" a backslash only escapes what is special there. */
            if (quote && in[1] != '"' && in[1] != '\\')
                *(*out)++ = '\\';
            *(*out)++ = *++in;
        } else {
            *(*out)++ = *in;
        }
    }
    *(*out)++ = '\0';
    return quote ? NULL : in;
}

bool value_split_command(const char *text, struct words *ret_words, char **ret_block)
{
    /* Each word needs at most its own bytes and a NUL, and words are separated by at least one
     * byte. */
    char *out = *ret_block = must(malloc(strlen(text) + 2));
    while (*(text += strspn(text, " \t\r\n\v\f"))) {
        words_add(ret_words, out);
        text = split_word(text, &out);
        if (!text)
            return false;
    }
    return true;
}
