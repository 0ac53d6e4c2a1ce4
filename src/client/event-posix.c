/*
 * The portable form of event.h. A condition variable does not report signals, so a sleeper
 * looks up every SLICE_NS and says -EINTR: its caller runs pending handlers and waits again.
 * That is the one place where the client polls, and only on systems without a futex.
 */
#include "client/event.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/util.h"

#define N_BUCKETS 64u
#define SLICE_NS (50 * NS_PER_MS)

struct bucket {
    pthread_mutex_t lock;
    pthread_cond_t cond;
};
static struct bucket buckets[N_BUCKETS];
static pthread_once_t buckets_once = PTHREAD_ONCE_INIT;

static void buckets_init(void)
{
    for (size_t i = 0; i < N_BUCKETS; i++) {
        (void)pthread_mutex_init(&buckets[i].lock, NULL);
        (void)pthread_cond_init(&buckets[i].cond, NULL);
    }
}

/* After fork() a bucket may be locked by a thread that the child does not have. */
static void buckets_once_init(void)
{
    buckets_init();
    (void)pthread_atfork(NULL, NULL, buckets_init);
}

static struct bucket *bucket_of(const void *word)
{
    (void)pthread_once(&buckets_once, buckets_once_init);
    return &buckets[((uintptr_t)word >> 4) % N_BUCKETS];
}

uint64_t event_deadline(uint64_t timeout_ns)
{
    uint64_t deadline_ns;
    if (__builtin_add_overflow(clock_now_ns(), timeout_ns, &deadline_ns))
        return UINT64_MAX;
    return deadline_ns;
}

int event_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct bucket *b = bucket_of(word);
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= deadline_ns)
        return -ETIMEDOUT;
    uint64_t until_ns = clock_wall_ns() + MIN(deadline_ns - now_ns, SLICE_NS);
    struct timespec at = {(time_t)(until_ns / NS_PER_SEC), (long)(until_ns % NS_PER_SEC)};
    (void)pthread_mutex_lock(&b->lock);
    int r = 0;
    if (atomic_load(word) == expected)
        r = pthread_cond_timedwait(&b->cond, &b->lock, &at);
    (void)pthread_mutex_unlock(&b->lock);
    if (r != ETIMEDOUT)
        return 0;
    return clock_now_ns() >= deadline_ns ? -ETIMEDOUT : -EINTR;
}

void event_wake(_Atomic uint32_t *word)
{
    struct bucket *b = bucket_of(word);
    (void)pthread_mutex_lock(&b->lock);
    (void)pthread_cond_broadcast(&b->cond);
    (void)pthread_mutex_unlock(&b->lock);
}
