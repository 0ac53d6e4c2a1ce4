/*
 * `make bench-kill`, `bench-kill [ROUNDS [SECONDS [MEMORY]]]`: what a time-out that reports "killed" leaves, and how soon the
 * sandbox is of use again.
 *
 * A fork bomb under MEMORY (64Mi), 0.1 CPU and the service's limit of processes (1,024) gets SECONDS (3), then its exec
 * times out. Every other round looks for living processes of it at the moment of the report, and until there are none; the
 * rounds between start the next exec at that moment. Through libcwsandbox and the embedded service, whatever the machine's
 * control groups are. Prints lines of words, no verdict; an error ends the program with its text.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define MS (1000 * 1000ull)

/* The kernel names a script's process, and what it forks, by its file: so they are found among all of the machine. */
#define BOMB_NAME "cws-bench-bomb"
#define BOMB_PATH "/tmp/" BOMB_NAME
static const char bomb[] = "#!/usr/bin/perl\nwhile (1) { fork }\n";

static double ms_since(uint64_t began)
{
    return (double)(now_ns() - began) / (double)MS;
}

/* Processes of the bomb that are neither zombies nor gone. */
static size_t count_living(void)
{
    const struct dirent *entry;
    size_t n = 0;
    DIR *proc = opendir("/proc");
    if (!proc)
        die("open /proc", NULL);
    while ((entry = readdir(proc))) {
        char path[300], line[128] = "";
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue; /* gone meanwhile */
        const char *end =
            fgets(line, sizeof(line), file) ? strstr(line, "(" BOMB_NAME ") ") : NULL;
        char state = end ? end[sizeof("(" BOMB_NAME ")")] : 'X';
        n += state != 'Z' && state != 'X';
        (void)fclose(file);
    }
    (void)closedir(proc);
    return n;
}

static cws_process *start(cws_sandbox *sb, const char *program, uint64_t timeout_ns)
{
    cws_error *error = NULL;
    const char *const argv[] = {program, "next"};
    const cws_exec_options options = {.timeout_ns = timeout_ns};
    cws_process *p = cws_sandbox_exec(sb, argv, 2, &options, &error);
    if (!p)
        die("exec", error);
    return p;
}

/* Until the report of the time-out; says how many processes were seen, and how late the report came. */
static void explode(cws_sandbox *sb, uint64_t seconds)
{
    uint64_t began = now_ns();
    cws_process *p = start(sb, BOMB_PATH, seconds * 1000 * MS);
    size_t most = 0;
    while (cws_op_wait(cws_process_op(p), 500 * MS) == CWS_WAIT_TIMEOUT) {
        size_t n = count_living();
        most = n > most ? n : most;
    }
    const cws_error *e = cws_op_error(cws_process_op(p));
    if (!e || cws_error_get_kind(e) != CWS_E_TIMEOUT)
        die("the bomb did not end by its time-out", e);
    bool killed = strstr(cws_error_message(e), "was killed");
    printf("processes %zu, reported%s %.1f ms after the limit: ", most,
           killed ? "" : " as being killed", ms_since(began) - (double)seconds * 1000);
    cws_process_unref(p);
}

static double echo(cws_sandbox *sb)
{
    uint64_t began = now_ns();
    for (;;) {
        cws_process *p = start(sb, "/bin/echo", 300 * 1000 * MS);
        while (cws_op_wait(cws_process_op(p), CWS_FOREVER) != CWS_WAIT_DONE)
            ;
        const cws_error *e = cws_op_error(cws_process_op(p));
        bool full = e && cws_error_get_kind(e) == CWS_E_RESOURCE_EXHAUSTED;
        if (e && !full)
            die("echo", e);
        cws_process_unref(p);
        if (!full)
            return ms_since(began);
    }
}

/* Without limits where nobody can enforce them: an ordinary user without a cgroup of its own. */
static cws_sandbox *make(const char *memory)
{
    cws_error *error = NULL;
    cws_options *options = cws_options_new(NULL);
    if (!options || cws_options_set_resources(options, NULL, NULL, "100m", memory, &error) < 0)
        die("options", error);
    cws_sandbox *sb = cws_sandbox_run(NULL, options, &error);
    if (sb) {
        printf("limits %s, 0.1 CPU\n", memory);
    } else {
        printf("limits none: %s\n", cws_error_message(error));
        cws_error_free(error);
        error = NULL;
        sb = cws_sandbox_run(NULL, NULL, &error);
    }
    if (!sb)
        die("create", error);
    cws_options_free(options);
    return sb;
}

static void prepare(cws_sandbox *sb)
{
    cws_error *error = NULL;
    cws_op *op = cws_sandbox_write_file(sb, BOMB_PATH, bomb, sizeof(bomb) - 1, NULL, &error);
    if (!op)
        die("write", error);
    finish(op, "write");
    cws_op_unref(op);
    const char *const argv[] = {"chmod", "755", BOMB_PATH};
    cws_process *p = cws_sandbox_exec(sb, argv, 3, NULL, &error);
    if (!p)
        die("chmod", error);
    finish(cws_process_op(p), "chmod");
    cws_process_unref(p);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
    unsigned long seconds = argc > 2 ? strtoul(argv[2], NULL, 10) : 3;
    cws_sandbox *sb = make(argc > 3 ? argv[3] : "64Mi");
    prepare(sb);
    for (unsigned long i = 0; i < rounds; i++) {
        explode(sb, seconds);
        uint64_t began = now_ns();
        if (i % 2 == 0) {
            size_t left = count_living(), n = left;
            while (n > 0)
                n = count_living();
            printf("%zu living", left);
            if (left > 0)
                printf(", none after %.1f ms", ms_since(began));
        } else {
            double after = echo(sb);
            printf("next exec in %.1f ms (the third behind it: %.1f)", after,
                   (echo(sb), echo(sb)));
        }
        printf("\n");
        (void)fflush(stdout);
    }
    cws_error *error = NULL;
    cws_op *op = cws_sandbox_stop(sb, 0, 1, &error);
    if (!op)
        die("stop", error);
    finish(op, "stop");
    cws_op_unref(op);
    cws_sandbox_unref(sb);
    return 0;
}
