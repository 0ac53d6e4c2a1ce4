/*
 * cwsandbox __complete WORD...: what the shells' completion asks. Not in the help: its answer
 * is for programs, see complete.h. A failure is an empty answer; nothing is worth a message in
 * the middle of somebody's line.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/complete.h"
#include "cli/snapshots.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    struct words words;
};

static const struct operand operands[] = {
    {"WORD", OPERAND_ANYTHING, offsetof(struct args, words),
     "The words behind the program's name, up to the cursor."},
};

/* Somebody waits at a prompt. Chosen. */
#define LIST_TIMEOUT_NS (3 * NS_PER_SEC)

static bool connect_quietly(struct cli *cli)
{
    cws_error *error = NULL;
    bool connected = cli_connect_quietly(cli, &error);
    cws_error_free(error);
    return connected;
}

/* The sandboxes that `ls` would list. */
static void print_sandboxes(struct cli *cli, const char *prefix)
{
    if (!connect_quietly(cli))
        return;
    cws_list_options wanted = {.timeout_ns = LIST_TIMEOUT_NS};
    cws_op *call = cws_list(cli->client, cli->target, &wanted, NULL);
    CLEANUP_OP cws_op *list = NULL;
    if (!call || cli_await_quietly(cli, call, &list) != EXIT_FINE)
        return;
    for (size_t i = 0; i < cws_op_n_sandboxes(list); i++) {
        CLEANUP(sandbox_view_done) struct sandbox_view view;
        sandbox_view_init(&view, cws_op_sandbox(list, i));
        if (view.id)
            complete_print(stdout, prefix, NULL, view.id, view.status);
    }
}

static void print_snapshots(struct cli *cli, const char *prefix)
{
    CLEANUP_OP cws_op *list = NULL;
    if (!connect_quietly(cli))
        return;
    cws_op *call = cws_snapshot_list(cli->client, cli->target, NULL, CWS_SNAPSHOT_UNSPECIFIED,
                                     LIST_TIMEOUT_NS, NULL);
    if (!call || cli_await_quietly(cli, call, &list) != EXIT_FINE)
        return;
    for (size_t i = 0; i < cws_op_n_snapshots(list); i++)
        complete_print(stdout, prefix, NULL, cws_op_snapshot(list, i)->id,
                       snapshot_status_name(cws_op_snapshot(list, i)->status));
}

static void complete(struct cli *cli, char *const *words, size_t n_words)
{
    size_t n_name = 0;
    const struct verb *verb = verb_find(words, n_words - 1, &n_name);
    if (verb == &verb_help) {
        verbs_complete(words + n_name, n_words - n_name, stdout);
        return;
    }
    if (!verb) {
        verbs_complete(words, n_words, stdout);
        return;
    }
    switch (complete_verb(verb, words + n_name, n_words - n_name, stdout)) {
    case COMPLETE_NOTHING:
        break;
    case COMPLETE_FILES:
        (void)puts(COMPLETE_ASK_FILES);
        break;
    case COMPLETE_SANDBOXES:
        print_sandboxes(cli, words[n_words - 1]);
        break;
    case COMPLETE_SNAPSHOTS:
        print_snapshots(cli, words[n_words - 1]);
        break;
    }
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    if (args->words.n > 0)
        complete(cli, (char *const *)args->words.items, args->words.n);
    return EXIT_FINE;
}

const struct verb verb_complete = {
    .name = "__complete",
    .summary = "Answer a shell's completion.",
    .hidden = true,
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
