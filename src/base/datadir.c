/* See datadir.h. */
#include "base/datadir.h"

#include <string.h>

#include "base/rundir.h"
#include "base/util.h"

uint64_t datadir_hash(const char *path)
{
    uint64_t hash = 14695981039346656037ULL;
    for (const char *p = path; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 1099511628211ULL;
    return hash & 0xffffffffffffULL;
}

char *datadir_root(void)
{
    const char *data_home = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0)
        return strdup("/var/lib/cwsandbox");
    if (data_home != NULL && data_home[0] == '/')
        return str_dup_printf("%s/cwsandbox", data_home);
    if (home != NULL && home[0] == '/')
        return str_dup_printf("%s/.local/share/cwsandbox", home);
    return NULL;
}

/* Below the root, as those of embedded services are: the root itself stays its owner's, whatever the service gives away. */
char *datadir_service(void)
{
    CLEANUP_FREE char *root = datadir_root();
    return root != NULL ? str_dup_printf("%s/service", root) : NULL;
}

/* A user has one embedded service per runtime directory, and each needs a data directory of its own. */
char *datadir_embedded(void)
{
    CLEANUP_FREE char *root = datadir_root();
    CLEANUP_FREE char *rundir = rundir_path();
    if (root == NULL || rundir == NULL)
        return NULL;
    return str_dup_printf("%s/embedded-%012llx", root,
                          (unsigned long long)datadir_hash(rundir));
}
