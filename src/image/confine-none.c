/* Built with a sanitizer: nothing is confined, see confine.h. */
#include "image/confine.h"

int confine(const struct confine_paths *paths, bool *ret_keep_owners, struct err *err)
{
    (void)paths;
    (void)err;
    *ret_keep_owners = geteuid() == 0;
    return 0;
}
