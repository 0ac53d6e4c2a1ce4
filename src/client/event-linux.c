#include "client/event.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/util.h"

uint64_t event_deadline(uint64_t timeout_ns)
{
    uint64_t deadline_ns;
    if (__builtin_add_overflow(clock_now_ns(), timeout_ns, &deadline_ns))
        return UINT64_MAX;
    return deadline_ns;
}

int event_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct timespec at = {(time_t)(deadline_ns / NS_PER_SEC), (long)(deadline_ns % NS_PER_SEC)};
    /* The BITSET form, because its time-out is absolute: a wait that is interrupted and
     * repeated does not grow. */
    long r =
        syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                deadline_ns == UINT64_MAX ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
    if (r == 0 || errno == EAGAIN)
        return 0;
    return errno == ETIMEDOUT ? -ETIMEDOUT : -EINTR;
}

void event_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL,
                  NULL, 0);
}
