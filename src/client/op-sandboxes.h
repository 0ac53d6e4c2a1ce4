/* Sandboxes as what an op came to. */
#ifndef CWS_CLIENT_OP_SANDBOXES_H
#define CWS_CLIENT_OP_SANDBOXES_H

#include "client/op.h"

/** op_result_sandboxes() - takes the array and a reference to each. */
struct op_result op_result_sandboxes(struct cws_sandbox **take, size_t n);

#endif
