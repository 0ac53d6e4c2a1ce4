/* cwsandbox forward: a port of a sandbox as one of this machine's loopback, until it is interrupted or the sandbox ends. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *id, *ports;
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
    {"[LOCAL:]PORT", OPERAND_ONE, offsetof(struct args, ports),
     "The port inside, and the one here: the same when not given, 0 for any that is free."},
};

/* True: @text up to @end is a port. */
static bool parse_port(const char *text, const char *end, long min, uint16_t *ret)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return false;
    long n = strtol(text, &stop, 10);
    *ret = (uint16_t)n;
    return stop == end && n >= min && n <= UINT16_MAX;
}

static bool parse_ports(const char *text, uint16_t *ret_local, uint16_t *ret_port)
{
    const char *colon = strchr(text, ':'), *end = text + strlen(text);
    if (!parse_port(colon ? colon + 1 : text, end, 1, ret_port))
        return false;
    *ret_local = *ret_port;
    return !colon || parse_port(text, colon, 0, ret_local);
}

/* One connection failed; the others go on. */
static void on_error(void *user, const cws_error *error)
{
    (void)user;
    (void)cli_fail_with(error);
}

static int forward(struct cli *cli, cws_sandbox *sb, uint16_t local, uint16_t port)
{
    CLEANUP_OP cws_op *op = NULL;
    cws_forward_options options = {.local_port = local, .on_error = on_error};
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_forward(sb, port, &options, &error);
    int code = cli_await(cli, call, error, &op);
    if (code != EXIT_FINE)
        return code;
    (void)printf("Forwarding 127.0.0.1:%d to port %u of the sandbox.\n", cws_op_int(op), port);
    (void)fflush(stdout);
    error = NULL;
    call = cws_sandbox_wait_complete(sb, CWS_FOREVER, 0, &error);
    code = cli_await(cli, call, error, NULL);
    cws_forward_close(op);
    /* Ctrl-C is how one stops it; it interrupts nothing. */
    return code == EXIT_SIGNAL + SIGINT ? EXIT_FINE : code;
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    uint16_t local, port;
    if (!parse_ports(args->ports, &local, &port))
        return cli_usage(
            cli,
            "Invalid value for '[LOCAL:]PORT': '%s' is not PORT or LOCAL:PORT, of 1 to 65535.",
            args->ports);
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, 0, &sb);
    return code == EXIT_FINE ? forward(cli, sb, local, port) : code;
}

const struct verb verb_forward = {
    .name = "forward",
    .summary = "Make a port of a sandbox one of this machine's loopback.",
    .description = "Runs until it is interrupted or the sandbox ends. The sandbox needs no "
                   "network for it.",
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
