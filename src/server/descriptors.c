#include "server/descriptors.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "base/util.h"

#define FD_DIR "/proc/self/fd"
/* Chosen: counting by reading the directory takes milliseconds with many. */
#define RECOUNT_NS NS_PER_SEC

static size_t count_entries(void)
{
    size_t n = 0;
    DIR *dir = opendir(FD_DIR);
    if (dir == NULL)
        return 0; /* none left, or no /proc: then opening them says so */
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static void count(struct descriptors *d, uint64_t now_ns)
{
    struct rlimit limit;
    struct stat st;
    if (d->limit == 0)
        d->limit = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : SIZE_MAX;
    if (stat(FD_DIR, &st) == 0 && st.st_size > 0) { /* Linux 6.2: their number, at once */
        d->n_open = (size_t)st.st_size;
    } else if (d->counted_ns == 0 || now_ns - d->counted_ns >= RECOUNT_NS) {
        d->n_open = count_entries();
        d->counted_ns = now_ns;
    } else {
        d->n_open += 2; /* what was asked for since; a sandbox keeps two */
    }
}

bool descriptors_for_sandbox(struct descriptors *d, uint64_t now_ns)
{
    count(d, now_ns);
    return d->n_open + MIN((size_t)DESCRIPTORS_FOR_EXECS, d->limit / 8) < d->limit;
}

bool descriptors_for_connection(struct descriptors *d, uint64_t now_ns)
{
    count(d, now_ns);
    return d->n_open + MIN((size_t)DESCRIPTORS_FOR_CONNECTIONS, d->limit / 16) < d->limit;
}
