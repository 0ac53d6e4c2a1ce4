#include "client/op-sandboxes.h"

static void free_sandboxes(void *data, size_t n)
{
    struct cws_sandbox **found = data;
    for (size_t i = 0; i < n; i++)
        cws_sandbox_unref(found[i]);
    free(found);
}

struct op_result op_result_sandboxes(struct cws_sandbox **take, size_t n)
{
    return (struct op_result){.data = take, .size = n, .free_data = free_sandboxes};
}

size_t cws_op_n_sandboxes(const struct cws_op *op)
{
    return op_is_done(op) && op->result.free_data == free_sandboxes ? op->result.size : 0;
}

cws_sandbox *cws_op_sandbox(const struct cws_op *op, size_t i)
{
    return i < cws_op_n_sandboxes(op) ? ((struct cws_sandbox **)op->result.data)[i] : NULL;
}
