/* cwsandbox(1): the verbs, in the order of help. */
#include "cli/verbs.h"
#include "roff.h"

static const struct {
    const char *label, *text;
} exit_codes[] = {
    {"0", "Success, and also when the reader of the output went away."},
    {"1", "What the service or this machine refused; \"Error:\" and the reason are on stderr."},
    {"2", "The words on the command line."},
    {"128 + n", "Signal n ended the program."},
};

static const struct {
    const char *label, *text;
} variables[] = {
    {"CWSANDBOX_BASE_URL", "The service: unix:///path, http://host:port or https://host:port. "
                           "When not set, this user's own service."},
    {"CWSANDBOX_API_KEY", "The key for it."},
    {"CWSANDBOX_AUTH",
     "As the option --auth in front of the command: coreweave_api_key or wandb."},
    {"WANDB_API_KEY, WANDB_ENTITY, WANDB_PROJECT, WANDB_BASE_URL, NETRC",
     "The W&B login, with --auth wandb only."},
    {"CWSANDBOX_SERVICE_PATH", "The directory of cwsandboxd and its companions."},
    {"NO_COLOR", "When set and not empty, no colours on a terminal either."},
};

static void print_option(const struct option *o)
{
    CLEANUP_FREE char *label = option_label(o);
    CLEANUP_FREE char *help = option_help(o);
    roff_item(label, help);
}

static void print_verb(const struct verb *verb)
{
    CLEANUP_FREE char *usage = verb_usage(verb);
    roff_subsection(usage);
    roff_paragraphs(verb->summary);
    if (verb->description)
        roff_paragraphs(verb->description);
    for (size_t i = 0; i < verb->n_operands; i++)
        roff_item(verb->operands[i].name, verb->operands[i].help);
    for (size_t i = 0; i < verb->n_options; i++)
        print_option(&verb->options[i]);
}

void page_cwsandbox(void)
{
    roff_title("CWSANDBOX", 1, "User Commands");
    roff_section("NAME");
    roff_paragraphs("cwsandbox - run untrusted code in sandboxes");
    roff_section("SYNOPSIS");
    roff_paragraphs("cwsandbox [OPTIONS] COMMAND [ARGS]...");
    roff_section("DESCRIPTION");
    roff_paragraphs(verbs_about);
    roff_paragraphs("Every command knows --help.");
    roff_section("COMMANDS");
    for (size_t i = 0; verb_at(i); i++)
        if (!verb_at(i)->hidden)
            print_verb(verb_at(i));
    roff_section("EXIT STATUS");
    roff_paragraphs("That of the remote command, where there is one (run, exec, sh), else:");
    for (size_t i = 0; i < ARRAY_SIZE(exit_codes); i++)
        roff_item(exit_codes[i].label, exit_codes[i].text);
    roff_section("ENVIRONMENT");
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        roff_item(variables[i].label, variables[i].text);
    roff_section("SEE ALSO");
    roff_paragraphs("cwsandboxd(8)");
}
