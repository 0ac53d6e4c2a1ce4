/* cwsandboxd(8): the options of the service, which are the keys of its file too. */
#include "roff.h"
#include "server/options.h"

static void print_option(const struct option_def *def)
{
    char label[128], text[1024]; /* bound: checked below, at build time */
    const char *shown = def->shown_default ? def->shown_default : def->default_text;
    bool no_default = !shown || def->type == OPTION_FLAG;
    int n = snprintf(label, sizeof(label), "--%s%s%s", def->name, def->value_name ? " " : "",
                     def->value_name ? def->value_name : "");
    CHECK(n > 0 && (size_t)n < sizeof(label));
    n = snprintf(text, sizeof(text), "%s%s%s%s%s%s%s.", def->help,
                 def->type == OPTION_LIST ? "; repeatable" : "",
                 no_default ? "" : ". Default: ", no_default ? "" : shown,
                 def->env ? ". Variable: " : "", def->env ? def->env : "",
                 def->flag_only ? ". Not in the file" : "");
    CHECK(n > 0 && (size_t)n < sizeof(text));
    roff_item(label, text);
}

void page_cwsandboxd(void)
{
    roff_title("CWSANDBOXD", 8, "System Administration");
    roff_section("NAME");
    roff_paragraphs("cwsandboxd - the service that runs sandboxes");
    roff_section("SYNOPSIS");
    roff_paragraphs("cwsandboxd [OPTIONS]");
    roff_section("DESCRIPTION");
    roff_paragraphs(
        "Runs sandboxes for the clients that connect to its listeners, as root or as an "
        "ordinary user, and ends with all of them at SIGTERM. cwsandbox(1) and the libraries "
        "start one for their own user when they are told of no other.\n"
        "What is not given on the command line is taken from the environment, then from the "
        "configuration file, one \"key = value\" a line with the names below as keys.");
    roff_section("OPTIONS");
    for (size_t i = 0; i < options_table_len; i++)
        print_option(&options_table[i]);
    roff_section("FILES");
    roff_item(OPTIONS_DEFAULT_CONFIG, "The configuration file, where it exists.");
    roff_section("SEE ALSO");
    roff_paragraphs("cwsandbox(1)");
}
