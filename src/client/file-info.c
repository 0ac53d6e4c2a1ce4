/* See file-info.h. */
#include "client/file-info.h"

#include <errno.h>

#include "client/op.h"

struct files {
    cws_file_info *all; /* its strings are in: */
    void *text;
};

static void free_files(void *data, size_t n)
{
    struct files *files = data;
    (void)n;
    free(files->all);
    free(files->text);
    free(files);
}

struct op_result op_result_files(struct buf *take_text)
{
    struct op_result result = {.free_data = free_files};
    CLEANUP_FREE char *text = NULL;
    size_t size = 0;
    struct files *files = calloc(1, sizeof(*files));
    text = (char *)buf_take(take_text, &size);
    int r = files ? file_infos_parse(text, size, &files->all, &result.size) : -ENOMEM;
    if (r < 0) {
        free(files);
        return (struct op_result){
            .error = r == -ENOMEM ? &error_nomem
                                  : error_new(CWS_E_PROTOCOL,
                                              "the service's answer about files is none")};
    }
    files->text = TAKE_PTR(text);
    result.data = files;
    return result;
}

const cws_file_info *cws_op_files(const cws_op *op, size_t *ret_n)
{
    bool has = op_is_done(op) && op->result.free_data == free_files;
    *ret_n = has ? op->result.size : 0;
    return has ? ((const struct files *)op->result.data)->all : NULL;
}
