/*
 * The shortest useful program: run a command in a fresh sandbox and print what it says.
 *
 *     cc quickstart.c $(pkg-config --cflags --libs cwsandbox) -o quickstart && ./quickstart
 */
#include <cwsandbox.h>
#include <stdio.h>

int main(void)
{
    cws_error *error = NULL;
    cws_sandbox *sb =
        cws_sandbox_run(NULL, NULL, &error); /* the local service, started if needed */
    if (!sb) {
        fprintf(stderr, "cannot start a sandbox: %s\n", cws_error_message(error));
        cws_error_free(error);
        return 1;
    }
    const char *argv[] = {"echo", "hello from a sandbox"};
    cws_process *p = cws_sandbox_exec(sb, argv, 2, NULL, &error); /* does not block */
    int code = 1;
    if (p) {
        cws_op_wait(cws_process_op(p), CWS_FOREVER);
        const cws_error *failure = cws_op_error(cws_process_op(p)); /* borrowed */
        size_t n;
        const char *out = cws_process_output(p, CWS_STDOUT, &n);
        if (failure)
            fprintf(stderr, "the command failed: %s\n", cws_error_message(failure));
        else if (out)
            fwrite(out, 1, n, stdout);
        code = failure ? 1 : cws_op_int(cws_process_op(p));
        cws_process_unref(p);
    }
    cws_op *stop = cws_sandbox_stop(sb, CWS_DEFAULT_GRACE_NS, 0, NULL);
    if (stop)
        cws_op_wait(stop, CWS_FOREVER);
    cws_op_unref(stop);
    cws_sandbox_unref(sb);
    return code;
}
