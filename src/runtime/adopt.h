/*
 * What a daemon finds when it is started where sandboxes run already: those of the daemon before. The driver's list() learns of
 * them before anything else is asked; adopt_found() decides what becomes of them.
 */
#ifndef CWS_RUNTIME_ADOPT_H
#define CWS_RUNTIME_ADOPT_H

#include "runtime/cell-driver.h"

struct runtime;

/** adopt_found() - once everything is attached. Takes the descriptors it keeps (sets them to -1). */
void adopt_found(struct runtime *rt, struct found_list *found);

#endif
