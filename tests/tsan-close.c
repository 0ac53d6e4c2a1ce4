/*
 * Preloaded beside ThreadSanitizer: libuv closes descriptors by syscall(SYS_close), which ThreadSanitizer does not see. It would take
 * the next file with that number for the old one, used by two threads, and report a race.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long syscall_fn(long number, ...);

static syscall_fn *real;

__attribute__((constructor)) static void find_real(void)
{
    real = (syscall_fn *)dlsym(RTLD_NEXT, "syscall");
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_close)
        return close((int)a[0]);
    if (!real) /* an earlier constructor */
        find_real();
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
