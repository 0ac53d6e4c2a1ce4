/*
 * The C half of `make bench`: times libcwsandbox itself and prints one JSON object. Run by bench/bench.py against the
 * embedded service. No assertions on time; an error ends the program with its text.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

static double cpu_ms(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, double *ms, size_t n)
{
    qsort(ms, n, sizeof(*ms), compare);
    printf("\"%s\": {\"p50_ms\": %.4f, \"p99_ms\": %.4f, \"n\": %zu}", name, ms[n / 2],
           ms[(n * 99) / 100], n);
}

static const char *const echo_argv[] = {"/bin/echo", "hello"};

static cws_process *start_echo(cws_sandbox *sb)
{
    cws_error *error = NULL;
    cws_process *p = cws_sandbox_exec(sb, echo_argv, 2, NULL, &error);
    if (!p)
        die("exec", error);
    return p;
}

static void stop(cws_sandbox *sb)
{
    cws_error *error = NULL;
    cws_op *op = cws_sandbox_stop(sb, 0, 1, &error);
    if (!op)
        die("stop", error);
    finish(op, "stop");
    cws_op_unref(op);
}

static void bench_create(size_t n)
{
    double *ms = calloc(n, sizeof(*ms));
    for (size_t i = 0; i < n; i++) {
        cws_error *error = NULL;
        uint64_t began = now_ns();
        cws_sandbox *sb = cws_sandbox_run(NULL, NULL, &error);
        if (!sb)
            die("create", error);
        cws_process *p = start_echo(sb);
        finish(cws_process_op(p), "first exec");
        ms[i] = (double)(now_ns() - began) / 1e6;
        cws_process_unref(p);
        stop(sb);
        cws_sandbox_unref(sb);
    }
    print_times("create_first_exec", ms, n);
    free(ms);
}

static void bench_exec(cws_sandbox *sb, size_t n)
{
    double *ms = calloc(n, sizeof(*ms));
    for (size_t i = 0; i < n; i++) {
        uint64_t began = now_ns();
        cws_process *p = start_echo(sb);
        finish(cws_process_op(p), "exec");
        ms[i] = (double)(now_ns() - began) / 1e6;
        cws_process_unref(p);
    }
    print_times("exec_running", ms, n);
    free(ms);
}

/* Client CPU per exec with @n in flight. */
static void bench_client_cpu(cws_sandbox *sb, size_t n)
{
    cws_process **ps = calloc(n, sizeof(cws_process *));
    double began_cpu = cpu_ms();
    uint64_t began = now_ns();
    for (size_t i = 0; i < n; i++)
        ps[i] = start_echo(sb);
    for (size_t i = 0; i < n; i++) {
        finish(cws_process_op(ps[i]), "exec in flight");
        cws_process_unref(ps[i]);
    }
    printf("\"client_cpu\": {\"ms_per_exec\": %.4f, \"execs_per_second\": %.1f, \"in_flight\": "
           "%zu}",
           (cpu_ms() - began_cpu) / (double)n, (double)n / ((double)(now_ns() - began) / 1e9),
           n);
    free(ps);
}

static double mb_per_second(size_t size, uint64_t began)
{
    return (double)size / 1e6 / ((double)(now_ns() - began) / 1e9);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

static double stdout_once(cws_sandbox *sb, size_t mib)
{
    char count[32];
    (void)snprintf(count, sizeof(count), "count=%zu", mib);
    const char *argv[] = {"dd", "if=/dev/zero", "bs=1M", count, "status=none"};
    cws_error *error = NULL;
    uint64_t began = now_ns();
    cws_process *p = cws_sandbox_exec(sb, argv, 5, NULL, &error);
    if (!p)
        die("exec dd", error);
    size_t got = 0;
    for (;;) {
        cws_chunk chunk = {0};
        cws_read_result r = cws_reader_read(cws_process_stdout(p), CWS_FOREVER, &chunk, NULL);
        if (r == CWS_READ_END)
            break;
        got += chunk.size;
        cws_chunk_release(&chunk);
    }
    finish(cws_process_op(p), "dd");
    if (got != mib << 20)
        die("dd: bytes missing", NULL);
    double result = mb_per_second(got, began);
    cws_process_unref(p);
    return result;
}

#define N_STDOUT 5

static void bench_stdout(cws_sandbox *sb, size_t mib)
{
    double results[N_STDOUT];
    for (int i = 0; i < N_STDOUT; i++)
        results[i] = stdout_once(sb, mib);
    printf("\"stdout\": {\"mb_per_second\": %.1f}", median(results, N_STDOUT));
}

#define N_FILE 9

static void bench_file(cws_sandbox *sb, size_t size)
{
    char *data = malloc(size);
    memset(data, 'x', size);
    cws_error *error = NULL;
    double writes[N_FILE], reads[N_FILE];
    for (int i = 0; i < N_FILE; i++) {
        uint64_t began = now_ns();
        cws_op *op = cws_sandbox_write_file(sb, "/tmp/bench.bin", data, size, 0, &error);
        if (!op)
            die("write", error);
        finish(op, "write");
        writes[i] = mb_per_second(size, began);
        cws_op_unref(op);
        began = now_ns();
        op = cws_sandbox_read_file(sb, "/tmp/bench.bin", 0, &error);
        if (!op)
            die("read", error);
        finish(op, "read");
        reads[i] = mb_per_second(size, began);
        cws_op_unref(op);
    }
    printf("\"file\": {\"write_mb_per_second\": %.1f, \"read_mb_per_second\": %.1f, \"mib\": "
           "%zu, \"n\": %d}",
           median(writes, N_FILE), median(reads, N_FILE), size >> 20, N_FILE);
    free(data);
}

/* create + exec + stop, @width at a time, @total in all: each slot goes on to its next step as soon as one is done. */
struct slot {
    cws_sandbox *sb;
    cws_process *exec;
    cws_op *stopping;
};

static void slot_begin(struct slot *s)
{
    cws_error *error = NULL;
    s->sb = cws_sandbox_new(NULL, NULL, NULL, &error);
    if (!s->sb)
        die("new", error);
    s->exec = start_echo(s->sb); /* creates the sandbox on the way */
}

static double cycle_rate(size_t width, size_t total)
{
    cws_error *error = NULL;
    cws_queue *queue = cws_queue_new(&error);
    struct slot *slots = calloc(width, sizeof(*slots));
    size_t started = 0, finished = 0;
    uint64_t began = now_ns();
    for (; started < width && started < total; started++) {
        slot_begin(&slots[started]);
        if (cws_queue_add(queue, cws_process_op(slots[started].exec), &slots[started], &error) <
            0)
            die("queue", error);
    }
    while (finished < total) {
        struct slot *s = cws_queue_next(queue);
        if (!s) {
            /* Nothing ready: block on the descriptor. */
            fd_set set;
            FD_ZERO(&set);
            FD_SET(cws_queue_fd(queue), &set);
            (void)select(cws_queue_fd(queue) + 1, &set, NULL, NULL, NULL);
            continue;
        }
        if (s->exec) {
            finish(cws_process_op(s->exec), "exec");
            cws_process_unref(s->exec);
            s->exec = NULL;
            s->stopping = cws_sandbox_stop(s->sb, 0, 1, &error);
            if (!s->stopping || cws_queue_add(queue, s->stopping, s, &error) < 0)
                die("stop", error);
            continue;
        }
        finish(s->stopping, "stop");
        cws_op_unref(s->stopping);
        cws_sandbox_unref(s->sb);
        *s = (struct slot){0};
        finished++;
        if (started < total) {
            started++;
            slot_begin(s);
            if (cws_queue_add(queue, cws_process_op(s->exec), s, &error) < 0)
                die("queue", error);
        }
    }
    double rate = (double)total / ((double)(now_ns() - began) / 1e9);
    cws_queue_free(queue);
    free(slots);
    return rate;
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 300;
    cws_error *error = NULL;
    cws_sandbox *sb = cws_sandbox_run(NULL, NULL, &error);
    if (!sb)
        die("create", error);
    printf("{");
    bench_create(n);
    printf(",\n ");
    bench_exec(sb, n * 3);
    printf(",\n ");
    bench_client_cpu(sb, 1000);
    printf(",\n ");
    bench_stdout(sb, 512);
    printf(",\n ");
    bench_file(sb, 32u << 20);
    printf(",\n \"cycles_per_second\": {");
    static const size_t widths[] = {1, 2, 4, 8, 16, 32, 64};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++)
        printf("%s\"%zu\": %.1f", i ? ", " : "", widths[i],
               cycle_rate(widths[i], n > 200 ? 600 : 2 * n));
    printf("}}\n");
    stop(sb);
    cws_sandbox_unref(sb);
    return 0;
}
