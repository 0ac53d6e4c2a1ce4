#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#ifdef __linux__
#include <sys/random.h>
#include <sys/socket.h>
#endif

static uint64_t clock_read(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts); /* cannot fail for these two clocks */
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return clock_read(CLOCK_REALTIME);
}

int fd_write_all(int fd, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

ssize_t fd_read_all(int fd, void *data, size_t max)
{
    size_t got = 0;
    while (got < max) {
        ssize_t r = read(fd, (uint8_t *)data + got, max - got);
        if (r < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

int file_read(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    CLEANUP_FREE char *text = malloc(max + 2);
    if (!text)
        return -ENOMEM;
    ssize_t n = fd_read_all(fd, text, max + 1);
    if (n < 0)
        return (int)n;
    if ((size_t)n > max)
        return -EFBIG;
    text[n] = '\0';
    if (ret_len)
        *ret_len = (size_t)n;
    *ret_text = TAKE_PTR(text);
    return 0;
}

size_t exec_max_bytes(void)
{
    const rlim_t least = 128u << 10, most = 6u << 20; /* ARG_MAX; three quarters of _STK_LIM */
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) < 0)
        return least;
    return MAX(least, MIN(most, stack.rlim_cur / 4));
}

ssize_t fd_receive(int socket, void *data, size_t size, int *ret_fd, int *ret_flags)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen =
            CMSG_LEN(sizeof(int)), /* CMSG_SPACE would take a second one, unseen */
    };

    *ret_fd = -1;
    ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    *ret_flags = msg.msg_flags;
    return n;
}

int fd_set_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool on)
{
    return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

void random_bytes(void *data, size_t n)
{
#ifdef __linux__
    uint8_t *p = data;
    while (n > 0) {
        ssize_t r = getrandom(p, n, 0);
        if (r < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        p += r;
        n -= (size_t)r;
    }
#else
    arc4random_buf(data, n);
#endif
}

void random_uuid(char ret_text[static 37])
{
    uint8_t b[16];
    random_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562 section 5.4: version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant 10 */
    static const char hex[] = "0123456789abcdef";
    char *out = ret_text;
    for (size_t i = 0; i < sizeof(b); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[b[i] >> 4];
        *out++ = hex[b[i] & 15];
    }
    *out = '\0';
}

const char *str_startswith(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

void str_free_all(char **strings, size_t n)
{
    for (size_t i = 0; strings && i < n; i++)
        free(strings[i]);
    free(strings);
}

char *str_dup_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}

int parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
    if (*s == '\0')
        return -EINVAL;
    uint64_t v = 0;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return -ERANGE;
    }
    if (v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

/* Length of the sequence that starts with @c, 0 if @c cannot start one; sets the bounds of its second byte. */
static size_t utf8_sequence(uint8_t c, uint8_t *lo, uint8_t *hi)
{
    *lo = 0x80;
    *hi = 0xbf;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return 2;
    if (c >= 0xe0 && c <= 0xef) {
        if (c == 0xe0)
            *lo = 0xa0; /* overlong */
        if (c == 0xed)
            *hi = 0x9f; /* surrogates */
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (c == 0xf0)
            *lo = 0x90;
        if (c == 0xf4)
            *hi = 0x8f; /* above U+10FFFF */
        return 4;
    }
    return 0;
}

bool utf8_valid(const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n;) {
        uint8_t lo, hi;
        size_t len = utf8_sequence(p[i], &lo, &hi);
        if (len == 0 || len > n - i)
            return false;
        if (len > 1 && (p[i + 1] < lo || p[i + 1] > hi))
            return false;
        for (size_t k = 2; k < len; k++)
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
        i += len;
    }
    return true;
}
