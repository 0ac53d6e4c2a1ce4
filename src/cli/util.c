/* See util.h. */
#include "cli/util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void cleanup_free(void *slot)
{
    free(*(void **)slot);
}

void cleanup_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing useful to do on failure: Linux frees the number anyway */
}

void *must(void *p)
{
    if (!p) {
        (void)fputs("Error: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

char *text_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : text);
}

char *text_dup(const char *s)
{
    return must(strdup(s));
}

void words_add(struct words *w, const char *word)
{
    /* Lists of a command line are short; growing by one keeps the struct to two fields. */
    w->items = must(reallocarray(w->items, w->n + 1, sizeof(*w->items)));
    w->items[w->n++] = word;
}

void words_done(struct words *w)
{
    free(w->items);
    *w = (struct words){0};
}

uint64_t monotonic_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

bool path_is_executable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}
