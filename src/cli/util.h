/*
 * What the command line needs of a base library: the room sees include/cwsandbox.h and nothing
 * of src/, so that it stays a user of the public interface like any other. Allocation failure
 * ends the program: a command line has nobody to report it to.
 *
 * Thread: main only.
 */
#ifndef CWS_CLI_UTIL_H
#define CWS_CLI_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_SEC UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

void cleanup_free(void *slot);
void cleanup_fd(int *fd);
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_FD CLEANUP(cleanup_fd)

/** must() - @p, or the end of the program when it is NULL. */
void *must(void *p);
/** text_printf() - heap string, never NULL. */
char *text_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
char *text_dup(const char *s);

/* A growing list of strings. Zero-initialise; words_done() frees it. */
struct words {
    const char **items;
    size_t n;
};
/** words_add() - @word is borrowed; it must outlive the list (argv, or a block that the caller
 * keeps). */
void words_add(struct words *w, const char *word);
void words_done(struct words *w);

/** monotonic_ns() - CLOCK_MONOTONIC. */
uint64_t monotonic_ns(void);

/** path_is_executable() - a regular file that this user may execute. */
bool path_is_executable(const char *path);

#endif
