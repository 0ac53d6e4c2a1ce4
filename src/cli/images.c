/* See images.h. */
#include "cli/images.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/program.h"

int images_become(const struct image_call *call)
{
    CLEANUP_FREE char *program = program_find("cwsandbox-image");
    if (!program) {
        CLEANUP_FREE char *places = program_places();
        return cli_fail(
            "find the program for images: cwsandbox-image is not in %s; install it or "
            "set CWSANDBOX_SERVICE_PATH",
            places);
    }
    size_t n = 0;
    CLEANUP_FREE const char **argv =
        must(calloc(ARRAY_SIZE(call->words) + call->operands.n + 4, sizeof(*argv)));
    argv[n++] = program;
    argv[n++] = call->verb;
    for (size_t i = 0; call->words[i]; i++)
        argv[n++] = call->words[i];
    argv[n++] = "--";
    for (size_t i = 0; i < call->operands.n; i++)
        argv[n++] = call->operands.items[i];
    (void)signal(SIGPIPE, SIG_DFL); /* an ignored signal would be inherited */
    (void)execv(program, (char *const *)argv);
    return cli_fail("execute %s: %s", program, strerror(errno));
}
