/*
 * The loop both benchmarks share: run a step for 0.2 s, print nanoseconds per step.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAME_BYTES \
    65535 /* one pipe read, less one: Debian builds nanopb with 16 bit sizes \
                           */
#define MEASURE_NS 200000000u

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A step returns 0 when it did not work. */
static void measure(const char *library, const char *what, size_t (*step)(void))
{
    uint64_t n = 0, start = now_ns(), end;
    do {
        for (int i = 0; i < 64; i++, n++) {
            if (step() == 0) {
                printf("%-11s %-16s failed\n", library, what);
                exit(1);
            }
        }
        end = now_ns();
    } while (end - start < MEASURE_NS);
    printf("%-11s %-16s %8.0f ns\n", library, what, (double)(end - start) / (double)n);
}

static uint8_t input[4096], output[2 * FRAME_BYTES], frame[FRAME_BYTES];
static uint8_t frame_message[FRAME_BYTES + 64];
static size_t input_len, frame_message_len;

static void load(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        exit(1);
    frame[0] = 1; /* written, so that it is not a constant of the program */
    input_len = fread(input, 1, sizeof(input), f);
    fclose(f);
}

#endif
