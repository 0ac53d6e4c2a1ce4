/*
 * cwsandbox run: a sandbox for one command, or one to keep.
 *
 * The sandbox ends with the command, with Ctrl-C, Ctrl-\, SIGTERM or SIGHUP, and when nobody reads our
 * output; only --keep, --detach and `kill -9` of this program leave it (then its lifetime ends
 * it).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/environment.h"
#include "cli/localfile.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

/* The library's 0 means 300 s, which is right for a script's step and wrong for `run -- make`.
 * Chosen: ten years. */
#define NO_LIMIT_NS (UINT64_C(10) * 365 * 24 * 3600 * NS_PER_SEC)

struct args {
    const char *image;
    struct words command;
    struct words env, tags, files, dirs;
    const char *cpu, *memory, *workdir;
    uint64_t timeout_ns, lifetime_ns;
    bool keep, detach, interactive, tty;
};

static const struct option options[] = {
    {"interactive", 'i', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, interactive),
     "Forward standard input even when it is a terminal."},
    {"tty", 't', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, tty),
     "Give the command a terminal; without a command, a shell."},
    {"detach", 'd', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, detach),
     "Make the command the sandbox's main process, print the id and leave; see 'logs'."},
    {"keep", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, keep),
     "Leave the sandbox running. Without a command, its id is printed."},
    {"env", 'e', OPTION_LIST, "NAME=VALUE", NULL, NULL, offsetof(struct args, env),
     "Set a variable; NAME alone takes the value it has here. Repeatable."},
    {"file", 0, OPTION_LIST, "LOCAL:REMOTE", NULL, NULL, offsetof(struct args, files),
     "Put a read-only copy of a local file at the absolute path REMOTE. Repeatable.",
     COMPLETE_FILES},
    {"host-directory", 'v', OPTION_LIST, "DIR:REMOTE[:ro]", NULL, NULL,
     offsetof(struct args, dirs),
     "Show a directory of the service's machine, read-only, at the absolute path REMOTE. "
     "Repeatable.",
     COMPLETE_FILES},
    {"workdir", 'w', OPTION_STRING, "DIR", NULL, NULL, offsetof(struct args, workdir),
     "Absolute directory to run the command in."},
    {"memory", 'm', OPTION_STRING, "QUANTITY", NULL, NULL, offsetof(struct args, memory),
     "Memory limit, such as 512Mi."},
    {"cpu", 0, OPTION_STRING, "QUANTITY", NULL, NULL, offsetof(struct args, cpu),
     "CPU limit, such as 500m or 2."},
    {"timeout", 0, OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "Kill the command after this time; no limit when not given."},
    {"max-lifetime", 0, OPTION_SECONDS, "SECONDS", NULL, NULL,
     offsetof(struct args, lifetime_ns),
     "End the sandbox after this time, whatever runs in it."},
    {"tag", 0, OPTION_LIST, "TAG", NULL, NULL, offsetof(struct args, tags),
     "Tag the sandbox for 'cwsandbox ls'. Repeatable."},
};

static const struct operand operands[] = {
    {"IMAGE", OPERAND_MAYBE, offsetof(struct args, image),
     "What the sandbox is made of; the service's default when not given."},
    {"COMMAND", OPERAND_AFTER_DASHES, offsetof(struct args, command),
     "The command and its arguments; no shell is involved."},
};

/* ---- from words to options ---- */

static int add_env(struct cli *cli, cws_options *o, const char *word)
{
    CLEANUP_FREE char *pair = NULL;
    cws_error *error = NULL;
    int code = env_word(cli, word, &pair);
    if (code != EXIT_FINE)
        return code;
    char *equals = strchr(pair, '=');
    *equals = '\0';
    return cws_options_add_env(o, pair, equals + 1, &error) < 0 ? cli_fail_free(error)
                                                                : EXIT_FINE;
}

/* "LOCAL:REMOTE": REMOTE is absolute, so the last ":/" is the border and LOCAL may hold colons.
 */
static const char *find_border(const char *word)
{
    const char *border = NULL;
    for (const char *at = word; (at = strstr(at, ":/")); at++)
        border = at;
    return border;
}

static int add_file(struct cli *cli, cws_options *o, const char *word)
{
    const char *border = find_border(word);
    if (!border || border == word)
        return cli_usage(cli, "Invalid value for '--file': '%s' is not LOCAL:/REMOTE.", word);
    CLEANUP_FREE char *local = text_printf("%.*s", (int)(border - word), word);
    size_t size;
    CLEANUP_FREE void *content = localfile_read(local, &size);
    if (!content)
        return cli_usage(cli, "Invalid value for '--file': '%s': %s.", local, strerror(errno));
    cws_error *error = NULL;
    return cws_options_add_file(o, border + 1, content, size, &error) < 0 ? cli_fail_free(error)
                                                                          : EXIT_FINE;
}

/* Read-only is all there is, so the word for it says nothing more. Of one's own machine DIR may be relative. */
static int add_dir(struct cli *cli, cws_options *o, const char *word)
{
    CLEANUP_FREE char *copy = text_printf("%s", word);
    char *how = strrchr(copy, ':');
    if (how && strcmp(how, ":rw") == 0)
        return cli_usage(cli,
                         "Invalid value for '--host-directory' / '-v': '%s': what is shown is "
                         "read-only.",
                         word);
    if (how && strcmp(how, ":ro") == 0)
        *how = '\0';
    const char *border = find_border(copy);
    if (!border || border == copy)
        return cli_usage(cli,
                         "Invalid value for '--host-directory' / '-v': '%s' is not "
                         "DIR:/REMOTE or DIR:/REMOTE:ro.",
                         word);
    copy[border - copy] = '\0';
    CLEANUP_FREE char *real = copy[0] == '/' ? NULL : realpath(copy, NULL);
    if (copy[0] != '/' && !real)
        return cli_usage(cli, "Invalid value for '--host-directory' / '-v': '%s': %s.", copy,
                         strerror(errno));
    cws_error *error = NULL;
    return cws_options_add_host_directory(o, real ? real : copy, border + 1, &error) < 0
               ? cli_fail_free(error)
               : EXIT_FINE;
}

static int add_lists(struct cli *cli, cws_options *o, const struct args *args)
{
    int code = EXIT_FINE;
    cws_error *error = NULL;
    for (size_t i = 0; i < args->env.n && code == EXIT_FINE; i++)
        code = add_env(cli, o, args->env.items[i]);
    for (size_t i = 0; i < args->files.n && code == EXIT_FINE; i++)
        code = add_file(cli, o, args->files.items[i]);
    for (size_t i = 0; i < args->dirs.n && code == EXIT_FINE; i++)
        code = add_dir(cli, o, args->dirs.items[i]);
    for (size_t i = 0; i < args->tags.n && code == EXIT_FINE; i++)
        if (cws_options_add_tag(o, args->tags.items[i], &error) < 0)
            code = cli_fail_free(error);
    return code;
}

static int set_options(struct cli *cli, cws_options *o, const struct args *args)
{
    cws_error *error = NULL;
    const struct words *command = &args->command;
    if (args->detach && cws_options_set_command(o, command->items[0], command->items + 1,
                                                command->n - 1, &error) < 0)
        return cli_fail_free(error);
    if (args->image && cws_options_set_image(o, args->image, &error) < 0)
        return cli_fail_free(error);
    /* Request equals limit, as the flat form of the Python API has it. */
    if ((args->cpu || args->memory) &&
        cws_options_set_resources(o, args->cpu, args->memory, args->cpu, args->memory, &error) <
            0)
        return cli_fail_free(error);
    if (args->lifetime_ns)
        cws_options_set_max_lifetime(
            o, (int32_t)((args->lifetime_ns + NS_PER_SEC - 1) / NS_PER_SEC));
    return add_lists(cli, o, args);
}

static void cleanup_options(cws_options **o)
{
    cws_options_free(*o);
}

static int make_sandbox(struct cli *cli, const struct args *args, cws_sandbox **ret_sb)
{
    cws_error *error = NULL;
    CLEANUP(cleanup_options) cws_options *o = cws_options_new(&error);
    if (!o)
        return cli_fail_free(error);
    int code = set_options(cli, o, args);
    if (code == EXIT_FINE)
        code = cli_connect(cli);
    if (code != EXIT_FINE)
        return code;
    *ret_sb = cws_sandbox_new(cli->client, cli->target, o, &error);
    return *ret_sb ? EXIT_FINE : cli_fail_free(error);
}

/* ---- running ---- */

static int run_command(struct cli *cli, cws_sandbox *sb, const struct args *args)
{
    static const char *const shell[] = {"/bin/bash"};
    bool forward = args->interactive || !isatty(STDIN_FILENO);
    cws_exec_options how = {
        .cwd = args->workdir,
        .timeout_ns = args->timeout_ns ? args->timeout_ns : NO_LIMIT_NS,
        .want_stdin = forward,
        .tty = args->tty,
        .discard_output = 1,
    };
    if (args->tty)
        terminal_size(&how.tty_width, &how.tty_height);
    cws_error *error = NULL;
    CLEANUP_PROCESS cws_process *process =
        args->command.n
            ? cws_sandbox_exec(sb, args->command.items, args->command.n, &how, &error)
            : cws_sandbox_exec(sb, shell, ARRAY_SIZE(shell), &how, &error);
    if (!process)
        return cli_fail_free(error);
    struct attach_options attach = {.forward_stdin = forward, .tty = args->tty};
    return attach_process(cli, process, &attach);
}

static int wait_and_print_id(struct cli *cli, cws_sandbox *sb)
{
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_wait_running(sb, CWS_FOREVER, &error);
    int code = cli_await(cli, call, error, NULL);
    if (code != EXIT_FINE)
        return code;
    CLEANUP_FREE char *id = cws_sandbox_id(sb);
    (void)puts(id ? id : "");
    return cli_flush(EXIT_FINE); /* nobody can use a sandbox whose id was lost */
}

/* Nothing in the sandbox is worth a grace time: its command has ended, or must. After a signal
 * the wait is short, and a second one ends it. */
static int stop(struct cli *cli, cws_sandbox *sb, int code)
{
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_stop(sb, 0, 1, &error);
    int stopped = cli_await(cli, call, error, NULL);
    if (stopped == EXIT_FINE)
        return code;
    CLEANUP_FREE char *id = cws_sandbox_id(sb);
    (void)fprintf(stderr, "Sandbox %s may still be running.\n", id ? id : "(without an id)");
    return code == EXIT_FINE ? stopped : code;
}

/* Something to attach to: a command that is not the main process, or the shell of a terminal.
 */
static bool is_attached(const struct args *args)
{
    return args->tty || (args->command.n && !args->detach);
}

static int run_in(struct cli *cli, cws_sandbox *sb, const struct args *args)
{
    bool has_command = is_attached(args);
    int code = has_command ? run_command(cli, sb, args) : wait_and_print_id(cli, sb);
    CLEANUP_FREE char *id = cws_sandbox_id(sb);
    bool keep = args->keep || args->detach;
    if (!keep || (!has_command && code != EXIT_FINE))
        return stop(cli, sb, code);
    if (has_command && id)
        (void)fprintf(stderr, "Sandbox %s is still running.\n", id);
    return code;
}

/* Words that do not go together. */
static int check_words(const struct cli *cli, const struct args *args)
{
    const char *refused = args->tty           ? "tty"
                          : args->interactive ? "interactive"
                          : args->workdir     ? "workdir"
                          : args->timeout_ns  ? "timeout"
                                              : NULL;
    if (args->detach && refused)
        return cli_usage(cli, "Option '--detach' cannot be combined with '--%s'.", refused);
    if (args->image && !*args->image)
        return cli_usage(cli, "Invalid value for 'IMAGE': '' is no image.");
    bool needs_command = !args->command.n && !args->tty && (args->detach || !args->keep);
    if (needs_command && args->image)
        return cli_usage(cli,
                         "Missing command: '%s' is the image here. Write the command after "
                         "'--', as in 'cwsandbox run -- %s'.",
                         args->image, args->image);
    if (needs_command)
        return cli_usage(cli,
                         "Missing command: write it after '--', or give --keep for a sandbox "
                         "without one.");
    return EXIT_FINE;
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    int code = check_words(cli, args);
    if (code != EXIT_FINE)
        return code;
    if (args->workdir && args->workdir[0] != '/')
        return cli_usage(cli,
                         "Invalid value for '--workdir' / '-w': '%s' is not an absolute path.",
                         args->workdir);
    if (args->tty && !terminal_usable())
        return cli_fail("--tty needs a terminal on standard input and output");
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    code = make_sandbox(cli, args, &sb);
    return code == EXIT_FINE ? run_in(cli, sb, args) : code;
}

const struct verb verb_run = {
    .name = "run",
    .summary = "Run a command in a new sandbox and exit with its exit code.",
    .description =
        "The sandbox ends with the command. Standard input is forwarded unless it is a "
        "terminal.\nExamples:\n"
        "  cwsandbox run -- python -c 'print(6 * 7)'\n"
        "  cwsandbox run -it python:3.11\n"
        "  ID=$(cwsandbox run --keep); cwsandbox exec $ID uname -a; cwsandbox stop $ID\n"
        "  ID=$(cwsandbox run -d -- make -C /tmp); cwsandbox logs -f $ID",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
