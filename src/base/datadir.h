/*
 * Where data of this user belongs. The service and cwsandbox-image must compute the same path, so both ask here. Nothing is
 * created.
 */
#ifndef CWS_BASE_DATADIR_H
#define CWS_BASE_DATADIR_H

#include "base/macros.h"

/** datadir_root() - /var/lib/cwsandbox of root, else below XDG_DATA_HOME or HOME. Heap; NULL when nothing says so, or out of memory. */
char *datadir_root(void);
/** datadir_service() - of a service, unless it is told another. Heap; NULL as above. */
char *datadir_service(void);
/** datadir_embedded() - of the embedded service of this user in this runtime directory. Heap; NULL as above. */
char *datadir_embedded(void);
/** datadir_hash() - FNV-1a of a path, 48 bits: names things after it; short, no secret needed. */
uint64_t datadir_hash(const char *path);

#endif
