#include "client/file-op.h"
#include "client/file-info.h"

char *file_spell(const char *path)
{
    CLEANUP_BUF struct buf name = {0};
    size_t n;
    for (const char *c = path; *c; c++)
        if (buf_printf(&name, "\\0%03o", (unsigned char)*c) < 0)
            return NULL;
    return buf_put(&name, "", 1) == 0 ? (char *)buf_take(&name, &n) : NULL;
}

void file_finish(struct file_op *f, struct cws_error *take)
{
    struct op_result result = {.error = take};
    if (!take && f->kind == FILE_READ)
        result.data = buf_take(&f->content, &result.size);
    if (!take && f->kind == FILE_LIST)
        result = op_result_files(&f->content);
    if (file_streams_out(f))
        reader_end(&f->out, error_ref(take));
    writer_fail(&f->in, error_new(CWS_E_EXECUTION, "the transfer has ended"));
    (void)op_complete(&f->op, result);
}
