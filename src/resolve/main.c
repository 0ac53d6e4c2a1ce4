/*
 * cwsandbox-resolve: what sandboxes with a network ask for the addresses of names (docs/network.md). The engine starts it with the
 * descriptors of privproto/resolve.h, as a user of its own, in the machine's network namespace: it hears sandboxes through
 * sockets of the router's namespace, and asks servers as the machine does.
 *
 *   cwsandbox-resolve [ADDRESS]...    without any: the servers of /etc/resolv.conf
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/util.h"
#include "resolve/confine.h"
#include "resolve/forward.h"

#define RESOLV_CONF "/etc/resolv.conf"

static struct resolver g_resolver;

static int fail(const char *stage, int error)
{
    log_event(LOG_ERROR, "resolver_start_failed", "stage=\"%s\" errno=%d text=\"%s\"", stage,
              error, strerror(error));
    return 1;
}

/* Two descriptors for each question, as far as the machine lets us. */
static void raise_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = MIN(files.rlim_max, (rlim_t)(2 * QUERIES_MAX + 64));
    (void)setrlimit(RLIMIT_NOFILE,
                    &files); /* it can always be lowered, or raised to the hard one */
}

int main(int argc, char **argv)
{
    struct resolver *r = &g_resolver;
    CLEANUP_ERR struct err err = {0};
    int result;

    for (int i = 1; i < argc; i++)
        if (servers_add(&r->servers, argv[i]) < 0)
            return fail("command line", EINVAL);
    if (argc == 1)
        servers_read(&r->servers, RESOLV_CONF);
    (void)prctl(PR_SET_NAME, "cwsandbox-resol"); /* 15 bytes; else the number of a descriptor */
    raise_limit();
    r->table = mmap(NULL, sizeof(*r->table), PROT_READ, MAP_SHARED, RESOLVE_TABLE, 0);
    if (r->table == MAP_FAILED)
        return fail("map the table", errno);
    result = forward_init(r);
    if (result < 0)
        return fail("wait for questions", -result);
    if (confine(&err) < 0) {
        log_event(LOG_ERROR, "resolver_start_failed", "text=\"%s\"", err_text(&err));
        return 1;
    }
    while ((result = forward_turn(r)) == 0)
        ;
    return result == -EPIPE || result == -ESTALE ? 0 : 1;
}
