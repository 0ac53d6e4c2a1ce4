/* cwsandbox files write: a local file, or standard input, into a sandbox. */
#include "cli/cli.h"
#include "cli/fileview.h"
#include "cli/transfer.h"
#include "cli/verbs.h"

struct args {
    int data_plane;
    const char *id, *remote, *local, *container, *user;
    uint64_t timeout_ns;
    bool quiet;
};

static const struct option options[] = {
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the whole transfer may take; 300 when not given."},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, quiet),
     "Print nothing on success."},
    USER_OPTION(struct args),
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
    {"REMOTE", OPERAND_ONE, offsetof(struct args, remote), "Absolute path in the sandbox."},
    {"LOCAL", OPERAND_ONE, offsetof(struct args, local),
     "The file to copy; '-' is standard input.", COMPLETE_FILES},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    struct transfer t = {.remote = args->remote,
                         .local = args->local,
                         .how = {args->timeout_ns, args->container, args->user}};
    off_t size;
    int code = EXIT_FINE;
    CLEANUP_FD int fd = transfer_open(cli, &t, &size, &code);
    if (fd < 0)
        return code;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    uint64_t written = 0;
    code = transfer_write(cli, sb, &t, fd, size, &written);
    if (code == EXIT_FINE && !args->quiet)
        (void)printf("Wrote %llu bytes to %s.\n", (unsigned long long)written, args->remote);
    return code;
}

const struct verb verb_files_write = {
    .name = "files write",
    .summary = "Copy a file into a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
