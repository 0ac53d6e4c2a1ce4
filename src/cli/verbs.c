/* See verbs.h. */
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>

#include "cli/complete.h"

static const struct verb *const all[] = {
    &verb_run,
    &verb_exec,
    &verb_sh,
    &verb_ls,
    &verb_get,
    &verb_logs,
    &verb_cp,
    &verb_files_read,
    &verb_files_write,
    &verb_files_ls,
    &verb_files_stat,
    &verb_files_mkdir,
    &verb_files_rm,
    &verb_files_mv,
    &verb_forward,
    &verb_snapshots_create,
    &verb_snapshots_get,
    &verb_snapshots_list,
    &verb_snapshots_delete,
    &verb_image_pull,
    &verb_image_import,
    &verb_image_export,
    &verb_image_commit,
    &verb_image_ls,
    &verb_image_inspect,
    &verb_image_rm,
    &verb_image_prune,
    &verb_stop,
    &verb_delete,
    &verb_serve,
    &verb_doctor,
    &verb_completion,
    &verb_version,
    &verb_help,
    &verb_complete,
};

const char verbs_about[] =
    "CWSandbox CLI: run untrusted code in sandboxes, on this machine or a service.\n"
    "With nothing configured, sandboxes run in this user's own service, which is started on "
    "first use. CWSANDBOX_BASE_URL names another service, CWSANDBOX_API_KEY the key for it.";

const struct verb *verb_at(size_t i)
{
    return i < ARRAY_SIZE(all) ? all[i] : NULL;
}

/* How many words of @words spell @name; 0 = they do not. */
static size_t match_name(const char *name, char *const *words, size_t n_words)
{
    size_t n = 0;
    while (n < n_words) {
        size_t len = strlen(words[n]);
        if (strncmp(name, words[n], len) != 0 || (name[len] && name[len] != ' '))
            return 0;
        n++;
        if (!name[len])
            return n;
        name += len + 1;
    }
    return 0;
}

const struct verb *verb_find(char *const *words, size_t n_words, size_t *ret_n_words)
{
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        size_t n = match_name(all[i]->name, words, n_words);
        if (n) {
            *ret_n_words = n;
            return all[i];
        }
    }
    return NULL;
}

static bool in_group(const struct verb *verb, const char *group)
{
    size_t len = strlen(group);
    return strncmp(verb->name, group, len) == 0 && verb->name[len] == ' ';
}

bool verb_is_group(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (in_group(all[i], word))
            return true;
    return false;
}

static bool is_shown(const struct verb *verb, const char *group)
{
    return group ? in_group(verb, group) : !verb->hidden;
}

static const struct {
    const char *label, *word, *help;
} program_options[] = {
    {"--auth coreweave_api_key|wandb", "--auth",
     "Which credentials to send, also CWSANDBOX_AUTH: CWSANDBOX_API_KEY, or the W&B login with "
     "WANDB_ENTITY and WANDB_PROJECT."},
    {"--version", "--version", "Show the version and exit."},
    {"-h, --help", "--help", HELP_OPTION_TEXT},
};

static void print_program(FILE *out)
{
    (void)fputs("Usage: cwsandbox [OPTIONS] COMMAND [ARGS]...\n", out);
    print_paragraphs(verbs_about, out);
    (void)fputs("\nOptions:\n", out);
    for (size_t i = 0; i < ARRAY_SIZE(program_options); i++)
        (void)fprintf(out, "  %-31s  %s\n", program_options[i].label, program_options[i].help);
}

void verbs_print_help(const char *group, FILE *out)
{
    if (group)
        (void)fprintf(out, "Usage: cwsandbox %s COMMAND [ARGS]...\n", group);
    else
        print_program(out);
    (void)fputs("\nCommands:\n", out);
    int width = 0;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (is_shown(all[i], group) && (int)strlen(all[i]->name) > width)
            width = (int)strlen(all[i]->name);
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (is_shown(all[i], group))
            (void)fprintf(out, "  %-*s  %s\n", width, all[i]->name, all[i]->summary);
    if (!group)
        (void)fputs("\n'cwsandbox COMMAND --help' describes a command.\n", out);
}

/* The word of @name behind @words, all but the last of which must be its beginning; NULL = they
 * are not. */
static const char *next_word(const char *name, char *const *words, size_t n_words)
{
    for (size_t i = 0; i + 1 < n_words; i++) {
        size_t len = strlen(words[i]);
        if (strncmp(name, words[i], len) != 0 || name[len] != ' ')
            return NULL;
        name += len + 1;
    }
    return name;
}

void verbs_complete(char *const *words, size_t n_words, FILE *out)
{
    const char *prefix = words[n_words - 1];
    CLEANUP_FREE char *last_group = text_dup(""); /* verbs of a group stand together */
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        const char *next = all[i]->hidden ? NULL : next_word(all[i]->name, words, n_words);
        size_t len = next ? strcspn(next, " ") : 0;
        if (!next || (next[len] && strncmp(next, last_group, len + 1) == 0))
            continue;
        CLEANUP_FREE char *word = text_printf("%.*s", (int)len, next);
        complete_print(out, prefix, NULL, word, next[len] ? NULL : all[i]->summary);
        if (next[len]) {
            free(last_group);
            last_group = text_printf("%s ", word);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(program_options) && n_words == 1 && *prefix == '-'; i++)
        complete_print(out, prefix, NULL, program_options[i].word, program_options[i].help);
}
