/* What the programs of the benchmark share: time, and the end of a program that met an error. */
#ifndef CWS_BENCH_BENCH_H
#define CWS_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cwsandbox.h"

static inline uint64_t now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/** die() - @what failed, for the reason @e (NULL: not known). */
__attribute__((noreturn)) static inline void die(const char *what, const cws_error *e)
{
    (void)fprintf(stderr, "bench: %s: %s\n", what, e ? cws_error_message(e) : "?");
    exit(1);
}

/** finish() - waits for @op, which must succeed. */
static inline void finish(cws_op *op, const char *what)
{
    while (cws_op_wait(op, CWS_FOREVER) != CWS_WAIT_DONE)
        ;
    if (cws_op_error(op))
        die(what, cws_op_error(op));
}

#endif
