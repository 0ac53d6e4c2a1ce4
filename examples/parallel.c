/*
 * Many sandboxes at once from one thread: every call returns a handle at once, so starting N
 * costs one wait, not N. Prints the sum of what the sandboxes computed.
 *
 *     ./parallel [N]
 */
#include <cwsandbox.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_SANDBOXES 1000

static cws_sandbox *sandboxes[MAX_SANDBOXES];
static cws_process *processes[MAX_SANDBOXES];
static cws_op *ops[MAX_SANDBOXES];
static unsigned char done[MAX_SANDBOXES];

static void die(const char *what, const cws_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error ? cws_error_message(error) : "not finished");
    exit(1);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 8;
    if (n < 1 || n > MAX_SANDBOXES) {
        fprintf(stderr, "usage: parallel [1..%d]\n", MAX_SANDBOXES);
        return 2;
    }
    cws_error *error = NULL;
    for (size_t i = 0; i < n; i++) {
        char script[64];
        (void)snprintf(script, sizeof(script), "echo $((%zu * %zu))", i, i);
        const char *command[] = {"sh", "-c", script};
        sandboxes[i] = cws_sandbox_new(NULL, NULL, NULL, &error);
        /* Not started yet: exec does that by itself and runs the command as soon as the sandbox
         * is up. */
        processes[i] =
            sandboxes[i] ? cws_sandbox_exec(sandboxes[i], command, 3, NULL, &error) : NULL;
        if (!processes[i])
            die("exec", error);
        ops[i] = cws_process_op(processes[i]);
    }
    cws_wait(ops, n, 0, CWS_FOREVER, done); /* all of them */
    unsigned long sum = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size;
        if (cws_op_error(ops[i]))
            die("command", cws_op_error(ops[i]));
        const char *out = cws_process_output(processes[i], CWS_STDOUT, &size);
        sum += out ? strtoul(out, NULL, 10) : 0;
        cws_process_unref(processes[i]);
        ops[i] = cws_sandbox_stop(sandboxes[i], 0, 0, &error);
        if (!ops[i])
            die("stop", error);
    }
    cws_wait(ops, n, 0, CWS_FOREVER, done);
    for (size_t i = 0; i < n; i++) {
        cws_op_unref(ops[i]);
        cws_sandbox_unref(sandboxes[i]);
    }
    printf("%zu sandboxes computed %lu\n", n, sum);
    return 0;
}
