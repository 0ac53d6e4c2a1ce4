/* The public calls on names: each is one of the words of base/files-words.h. See file-op.h. */
#include <string.h>

#include "base/util.h"
#include "client/file-op.h"

struct words {
    enum file_kind kind;
    const char *word; /* static */
    const char *path;
    const char *argument; /* copied; NULL: none */
};

static cws_op *start(cws_sandbox *sb, const struct words *w, const cws_file_options *options,
                     cws_error **error)
{
    struct file_op *f = file_new(sb, w->kind, w->path, options, error);
    if (!f)
        return NULL;
    f->word = w->word;
    bool text = !w->argument || utf8_valid(w->argument, strlen(w->argument));
    if (w->argument)
        f->word_argument = text ? strdup(w->argument) : file_spell(w->argument);
    if (w->argument && !f->word_argument) {
        cws_op_unref(&f->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    f = file_submit(f, error);
    return f ? &f->op : NULL;
}

cws_op *cws_sandbox_list_dir(cws_sandbox *sb, const char *path, const cws_file_options *options,
                             cws_error **error)
{
    return start(sb, &(struct words){FILE_LIST, "list", path, NULL}, options, error);
}

cws_op *cws_sandbox_stat_file(cws_sandbox *sb, const char *path,
                              const cws_file_options *options, cws_error **error)
{
    return start(sb, &(struct words){FILE_LIST, "stat", path, NULL}, options, error);
}

cws_op *cws_sandbox_make_dir(cws_sandbox *sb, const char *path, uint32_t mode_bits,
                             const cws_file_options *options, cws_error **error)
{
    char mode[16]; /* eleven octal digits */
    if (mode_bits > 07777) {
        (void)error_set(error, CWS_E_INVALID, "mode must be at most 07777");
        return NULL;
    }
    (void)snprintf(mode, sizeof(mode), "%o", mode_bits);
    return start(sb, &(struct words){FILE_CHANGE, "mkdir", path, mode}, options, error);
}

cws_op *cws_sandbox_remove_file(cws_sandbox *sb, const char *path, int recursive,
                                const cws_file_options *options, cws_error **error)
{
    const char *word = recursive ? "remove-tree" : "remove";
    return start(sb, &(struct words){FILE_CHANGE, word, path, NULL}, options, error);
}

cws_op *cws_sandbox_rename_file(cws_sandbox *sb, const char *path, const char *new_path,
                                const cws_file_options *options, cws_error **error)
{
    if (!new_path || new_path[0] != '/') {
        (void)error_set(error, CWS_E_INVALID, "the new path must be absolute");
        return NULL;
    }
    return start(sb, &(struct words){FILE_CHANGE, "rename", path, new_path}, options, error);
}
