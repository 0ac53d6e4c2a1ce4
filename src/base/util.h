/*
 * Clock, file descriptor and path helpers. Non-logging; functions return 0 / a value >= 0, or -errno.
 */
#ifndef CWS_BASE_UTIL_H
#define CWS_BASE_UTIL_H

#include <sys/types.h>

#include "base/macros.h"

#define NS_PER_SEC 1000000000ULL
#define NS_PER_MS 1000000ULL

/** clock_now_ns() - CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_now_ns(void);
/** clock_wall_ns() - CLOCK_REALTIME, nanoseconds since 1970. */
uint64_t clock_wall_ns(void);

/** fd_write_all() - write every byte, retrying EINTR; for blocking descriptors. */
int fd_write_all(int fd, const void *data, size_t n);
/** fd_read_all() - read up to @max bytes until EOF; returns the count. */
ssize_t fd_read_all(int fd, void *data, size_t max);
/** file_read() - whole small file as a NUL-terminated heap string; -EFBIG above @max. */
int file_read(const char *path, size_t max, char **ret_text, size_t *ret_len);
/**
 * fd_receive() - one packet and at most one descriptor from a Unix socket; does not block
 * @ret_fd:    close-on-exec, or -1
 * @ret_flags: msg_flags of recvmsg(2): MSG_TRUNC, the packet was longer than @size; MSG_CTRUNC with a descriptor, it came
 *             with several; MSG_CTRUNC without, this process has no number left for it
 * Return: bytes, 0 at EOF, -errno (-EAGAIN: nothing there).
 */
ssize_t fd_receive(int socket, void *data, size_t size, int *ret_fd, int *ret_flags);
int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

#define EXEC_MAX_STRING \
    131072u /* MAX_ARG_STRLEN of Linux (32 pages of 4 KiB), with NUL: of an argument, and of NAME=VALUE */
/**
 * exec_max_bytes() - what execve(2) takes of arguments and environment together, strings and the pointers to them, of
 * who has our limit of the stack: a quarter of it, within what the kernel has for anybody (fs/exec.c).
 */
size_t exec_max_bytes(void);

/** random_bytes() - getrandom(2), never fails on a supported kernel. */
void random_bytes(void *data, size_t n);
/** random_uuid() - UUID4 with hyphens, 36 characters and NUL. */
void random_uuid(char ret_text[static 37]);

/** str_startswith() - the rest after @prefix, or NULL. */
const char *str_startswith(const char *s, const char *prefix);
/** ascii_lower() - in any locale; what is no capital letter of ASCII stays. */
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}
/** str_dup_printf() - NULL on out of memory. */
char *str_dup_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/** str_free_all() - @n strings, some of which may be NULL, and their array, which may be NULL, too. */
void str_free_all(char **strings, size_t n);
/** parse_u64() - whole string decimal; -EINVAL or -ERANGE. */
int parse_u64(const char *s, uint64_t max, uint64_t *ret);
/** utf8_valid() - strict UTF-8 (no surrogates, no overlong forms), NUL allowed. */
bool utf8_valid(const void *data, size_t n);

#endif
