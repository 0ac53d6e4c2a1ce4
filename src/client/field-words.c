/* See field-words.h. */
#include "client/field-words.h"

#include <string.h>

#include "base/buf.h"
#include "base/util.h"

struct name_pair {
    const char *wire, *word;
};

/* First names below a specification. Those of one of several containers (`containers[1].image`) are the fields of a Container. */
static const struct name_pair spec_names[] = {
    {"resource_requirements", "resources"},
    {"image", "container_image"},
    {"files", "mounted_files"},
    {"secret_stores", "secrets"},
    {"mode", "placement_mode"},
};
static const struct name_pair request_names[] = {
    {"path", "filepath"},
    {"grace_period_seconds", "graceful_shutdown_seconds"},
    {"allow_missing", "missing_ok"},
    {"snapshot_volumes", "snapshot_on_stop"},
    {"state", "status"},
};
static const char *const roots[] = {"sandbox.spec.", "overrides."};
#define ONLY_CONTAINER "containers[0]."

static const char name_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

/* The length of the root that @text begins with; 0 = none with a name behind it. */
static size_t root_length(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        const char *rest = str_startswith(text, roots[i]);
        if (rest)
            return strspn(rest, name_bytes) ? strlen(roots[i]) : 0;
    }
    return 0;
}

static const char *word_of(const struct name_pair *names, size_t n, const char *name,
                           size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i].wire) == len && memcmp(names[i].wire, name, len) == 0)
            return names[i].word;
    return NULL;
}

/* Puts the first name of the path at *@text, and moves behind it. */
static int put_name(struct buf *out, const char **text)
{
    const char *inside = str_startswith(*text, ONLY_CONTAINER);
    if (inside && strspn(inside, name_bytes))
        *text = inside;
    size_t len = strspn(*text, name_bytes);
    const char *word = word_of(spec_names, ARRAY_SIZE(spec_names), *text, len);
    int r = word ? buf_put_str(out, word) : buf_put(out, *text, len);
    *text += len;
    return r;
}

char *field_words(const char *text)
{
    CLEANUP_BUF struct buf out = {0};
    while (*text) {
        size_t root = root_length(text);
        text += root;
        /* A word as a whole, so that no root is seen in the middle of one. */
        size_t len = root ? 0 : MAX(strspn(text, name_bytes), (size_t)1);
        if ((root ? put_name(&out, &text) : buf_put(&out, text, len)) < 0)
            return NULL;
        text += len;
    }
    size_t n;
    return buf_put(&out, "", 1) < 0 ? NULL : (char *)buf_take(&out, &n);
}

const char *field_word(const char *name)
{
    const char *word = word_of(request_names, ARRAY_SIZE(request_names), name, strlen(name));
    return word ? word : name;
}
