/*
 * Sleeping until a 32-bit word changes: a futex on Linux (event-linux.c), a table of condition
 * variables elsewhere (event-posix.c). The word is the state itself, so a handle needs no
 * kernel object until somebody sleeps on it.
 *
 * The waker changes the word first, then calls event_wake(). Thread: any.
 */
#ifndef CWS_CLIENT_EVENT_H
#define CWS_CLIENT_EVENT_H

#include <stdatomic.h>

#include "base/macros.h"

/**
 * event_wait() - sleep while *@word == @expected
 * @deadline_ns: CLOCK_MONOTONIC; UINT64_MAX = for ever
 *
 * Return: 0 (woken, or the word had changed; spurious wake-ups happen), -ETIMEDOUT, -EINTR (a
 * signal handler ran).
 */
int event_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);
/** event_wake() - wake everybody who sleeps on @word. */
void event_wake(_Atomic uint32_t *word);
/** event_deadline() - now + @timeout_ns, saturating; UINT64_MAX stays. */
uint64_t event_deadline(uint64_t timeout_ns);

#endif
