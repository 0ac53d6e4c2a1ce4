/*
 * A conversation with a running command: lines go to its stdin, its output arrives while it
 * runs. Here `bc`-like arithmetic by the shell; an agent would talk to a REPL or a language
 * server the same way.
 */
#include <cwsandbox.h>
#include <stdio.h>
#include <string.h>

static const char loop[] = "while read -r line; do echo \"$line = $(($line))\"; done; echo bye";

/* Copies what arrives until the answer's newline; 0 at the end of the stream. */
static int print_answer(cws_reader *out)
{
    cws_chunk chunk;
    const cws_error *error = NULL;
    while (cws_reader_read(out, CWS_FOREVER, &chunk, &error) == CWS_READ_DATA) {
        fwrite(chunk.data, 1, chunk.size, stdout);
        int complete = chunk.data[chunk.size - 1] == '\n';
        cws_chunk_release(&chunk);
        if (complete)
            return 1;
    }
    if (error)
        fprintf(stderr, "%s\n", cws_error_message(error));
    return 0;
}

static int talk(cws_process *p)
{
    static const char *const questions[] = {"1 + 2\n", "6 * 7\n", "1 << 20\n"};
    for (size_t i = 0; i < sizeof(questions) / sizeof(*questions); i++) {
        /* The handle is done when the line is queued; waiting for it is the back-pressure. */
        cws_op *write =
            cws_writer_write(cws_process_stdin(p), questions[i], strlen(questions[i]), NULL);
        if (!write)
            return 1;
        cws_op_wait(write, CWS_FOREVER);
        cws_op_unref(write);
        if (!print_answer(cws_process_stdout(p)))
            return 1;
    }
    cws_op_unref(
        cws_writer_close(cws_process_stdin(p), NULL)); /* EOF: the loop in the sandbox ends */
    while (print_answer(cws_process_stdout(p)))
        continue;
    cws_op_wait(cws_process_op(p), CWS_FOREVER);
    return cws_op_error(cws_process_op(p)) ? 1 : cws_op_int(cws_process_op(p));
}

int main(void)
{
    cws_error *error = NULL;
    cws_sandbox *sb = cws_sandbox_run(NULL, NULL, &error);
    const char *argv[] = {"sh", "-c", loop};
    cws_exec_options options = {.want_stdin = 1};
    cws_process *p = sb ? cws_sandbox_exec(sb, argv, 3, &options, &error) : NULL;
    int code = 1;
    if (p)
        code = talk(p);
    else
        fprintf(stderr, "%s\n", cws_error_message(error));
    cws_error_free(error);
    cws_process_unref(p);
    cws_op *stop = sb ? cws_sandbox_stop(sb, 0, 0, NULL) : NULL;
    if (stop)
        cws_op_wait(stop, CWS_FOREVER);
    cws_op_unref(stop);
    cws_sandbox_unref(sb);
    return code;
}
