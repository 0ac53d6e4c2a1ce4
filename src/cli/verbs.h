/*
 * Every verb, in the order of help. One file per verb: verb-<name>.c holds its args struct, its
 * tables and its run(). tools/gen-cli-docs walks verb_at() for the man page.
 */
#ifndef CWS_CLI_VERBS_H
#define CWS_CLI_VERBS_H

#include "cli/options.h"

extern const struct verb verb_run, verb_exec, verb_sh, verb_ls, verb_get, verb_logs, verb_cp,
    verb_files_read, verb_files_write, verb_files_ls, verb_files_stat, verb_files_mkdir,
    verb_files_rm, verb_files_mv, verb_forward, verb_snapshots_create, verb_snapshots_get,
    verb_snapshots_list, verb_snapshots_delete, verb_image_pull, verb_image_import,
    verb_image_export, verb_image_commit, verb_image_ls, verb_image_inspect, verb_image_rm,
    verb_image_prune, verb_stop, verb_delete, verb_serve, verb_doctor, verb_completion,
    verb_version, verb_help, verb_complete;

/* What the program is, for its help and its man page: paragraphs separated by a newline. */
extern const char verbs_about[];

/** verb_at() - the i-th verb, NULL behind the last. */
const struct verb *verb_at(size_t i);
/**
 * verb_find() - the verb that @words begin with
 * @ret_n_words: how many words its name takes
 * Return: NULL when there is none.
 */
const struct verb *verb_find(char *const *words, size_t n_words, size_t *ret_n_words);
/** verb_is_group() - @word starts the name of verbs of two words ("files"). */
bool verb_is_group(const char *word);
/** verbs_print_help() - the list of verbs; @group NULL for all, or "files". */
void verbs_print_help(const char *group, FILE *out);
/** verbs_complete() - print the names, and the program's own options, that may be the last of
 * @n_words >= 1 words. */
void verbs_complete(char *const *words, size_t n_words, FILE *out);

#endif
