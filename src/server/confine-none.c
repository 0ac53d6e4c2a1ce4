/* For builds with a sanitizer: no filter, and ptrace(2) of ourselves allowed, which the search for leaks is made of. */
#include <errno.h>
#include <sys/prctl.h>

#include "server/confine.h"

int confine(struct err *err)
{
    if (prctl(PR_SET_DUMPABLE, 1) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "be dumpable");
    return 0;
}
