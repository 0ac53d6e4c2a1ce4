/* cwsandbox version: the line that `--version` prints too. */
#include <string.h>

#include "cli/cli.h"
#include "cli/verbs.h"

static int run(struct cli *cli, const void *data)
{
    (void)cli;
    (void)data;
    (void)printf("cwsandbox, version %s\n", CWS_VERSION);
    if (strcmp(cws_version(), CWS_VERSION) !=
        0) /* a library of another installation was loaded */
        (void)printf("libcwsandbox, version %s\n", cws_version());
    return EXIT_FINE;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Print the version.",
    .run = run,
};
