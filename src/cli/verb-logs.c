/* cwsandbox logs: the output of a sandbox's main process. */
#include <signal.h>
#include <unistd.h>

#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int data_plane;
    const char *id, *container;
    bool follow, timestamps;
    uint32_t tail;
    uint64_t since_ns;
};

static const struct option options[] = {
    {"follow", 'f', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, follow),
     "Go on with what is printed from now on, until the sandbox ends; one that has ended is "
     "printed."},
    {"tail", 0, OPTION_COUNT, "N", NULL, NULL, offsetof(struct args, tail),
     "Begin with the last N lines; all when not given or 0."},
    {"since", 0, OPTION_TIME, "TIME", NULL, NULL, offsetof(struct args, since_ns),
     "Begin at this time: YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, UTC."},
    {"timestamps", 't', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, timestamps),
     "Begin each line with its time."},
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
};

/* What was started just now may have ended already, as in `run -d ... | xargs cwsandbox logs -f`: then
 * there is nothing to wait for, and all that it printed is there. */
static bool is_over(const cws_sandbox *sb)
{
    cws_status status = CWS_STATUS_UNSPECIFIED;
    (void)cws_sandbox_status(sb, &status);
    return status == CWS_STATUS_COMPLETED || status == CWS_STATUS_FAILED ||
           status == CWS_STATUS_TERMINATING || status == CWS_STATUS_TERMINATED;
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_log_options how = {
        .follow = args->follow && !is_over(sb),
        .tail_lines = args->tail,
        .since_ns = args->since_ns,
        .timestamps = args->timestamps,
        .container = args->container,
    };
    cws_error *error = NULL;
    CLEANUP_READER cws_reader *reader = cws_sandbox_logs(sb, &how, &error);
    if (!reader)
        return cli_fail_free(error);
    code = attach_reader(cli, reader, STDOUT_FILENO);
    cws_reader_close(reader);
    /* Ctrl-C is how one stops following; it interrupts nothing. */
    return code == EXIT_SIGNAL + SIGINT ? EXIT_FINE : code;
}

const struct verb verb_logs = {
    .name = "logs",
    .summary = "Print what the main process of a sandbox printed.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
