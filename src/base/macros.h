/*
 * Small language helpers shared by every room: cleanup attributes, checked casts, array sizes.
 * No functions with state, no allocation. init/ may include this file and nothing else of base/.
 */
#ifndef CWS_BASE_MACROS_H
#define CWS_BASE_MACROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#ifndef MIN /* sys/param.h, which uv.h includes, has the same pair */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
#define UNUSED __attribute__((unused))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define WARN_UNUSED __attribute__((warn_unused_result))
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Hands the value of an owning local to somebody else and disarms its cleanup. */
#define TAKE_PTR(p) \
    ({ \
        __typeof__(p) take_p_ = (p); \
        (p) = NULL; \
        take_p_; \
    })
#define TAKE_FD(fd) \
    ({ \
        int take_fd_ = (fd); \
        (fd) = -1; \
        take_fd_; \
    })

/* Always on, also with NDEBUG: guards memory or privilege, never input. */
#define CHECK(cond) \
    do { \
        if (__builtin_expect(!(cond), 0)) \
            check_failed(#cond, __FILE__, __LINE__); \
    } while (0)

__attribute__((noreturn)) static inline void check_failed(const char *cond, const char *file,
                                                          int line)
{
    (void)fprintf(stderr, "%s:%d: check failed: %s\n", file, line, cond);
    abort();
}

static inline void cleanup_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing useful to do on failure: Linux frees the number anyway */
    *fd = -1;
}
#define CLEANUP_FD CLEANUP(cleanup_fd)

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}
#define CLEANUP_FREE CLEANUP(cleanup_free)

#endif
