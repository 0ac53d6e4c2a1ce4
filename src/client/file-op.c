#include "client/file-op.h"

void file_finish(struct file_op *f, struct cws_error *take)
{
    struct op_result result = {.error = take};
    if (!take && f->kind == FILE_READ)
        result.data = buf_take(&f->content, &result.size);
    if (f->kind == FILE_READ_STREAM)
        reader_end(&f->out, error_ref(take));
    writer_fail(&f->in, error_new(CWS_E_EXECUTION, "the transfer has ended"));
    (void)op_complete(&f->op, result);
}
