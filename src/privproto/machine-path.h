/*
 * Paths of directories of the machine that sandboxes are shown: in one form, so that what a request names and what an operator
 * allows are compared as words. Links are for whoever opens one.
 */
#ifndef CWS_PRIVPROTO_MACHINE_PATH_H
#define CWS_PRIVPROTO_MACHINE_PATH_H

#include "base/macros.h"

#define MACHINE_PATH_MAX \
    256 /* with NUL; chosen: many of them fit one packet to cwsandbox-launch */
#define MACHINE_DIRS_MAX 8 /* chosen: of one sandbox */

/** machine_path_valid() - absolute, shorter than MACHINE_PATH_MAX, without empty, "." or ".." parts. */
bool machine_path_valid(const char *path);
/** machine_path_below() - what of @path follows directory @above, without slash ("": it is the same); NULL: nothing does. Both
 * are machine_path_valid(). */
const char *machine_path_below(const char *path, const char *above);

#endif
