#include "launch/secrets.h"

#include <errno.h>
#include <fcntl.h>

#include "base/log.h"
#include "base/secret.h"
#include "base/util.h"

void secrets_init(struct secrets *s, const struct options *options)
{
    s->options = options;
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++)
        s->fresh[i] = -1;
}

static void drop(struct secrets *s)
{
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++)
        cleanup_fd(&s->fresh[i]);
}

static int read_one(const struct secrets *s, size_t i, struct err *err)
{
    CLEANUP_FD int copy = secret_copy(s->options->secret_paths[i], HANDOVER_MAX_SECRET_BYTES,
                                      i + HANDOVER_KEYS == HANDOVER_KEYS, err);
    if (copy < 0)
        return -1;
    /* The daemon's, so that it may open the copy through its descriptor. */
    if (s->options->daemon_uid != (uid_t)-1 &&
        fchown(copy, s->options->daemon_uid, s->options->daemon_gid) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "hand over `%s`",
                             s->options->secret_paths[i]);
    /* Above the numbers that a daemon finds its own at. */
    int high = fcntl(copy, F_DUPFD_CLOEXEC, HANDOVER_ABOVE);
    return high < 0 ? err_set_errno(err, ERR_INTERNAL, errno, "keep a copy of `%s`",
                                    s->options->secret_paths[i])
                    : high;
}

uint8_t secrets_read(struct secrets *s, int ret_fds[static HANDOVER_N_SECRETS], size_t *ret_n)
{
    uint8_t which = 0;

    drop(s);
    *ret_n = 0;
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++) {
        CLEANUP_ERR struct err err = {0};

        if (!s->options->secret_paths[i])
            continue;
        s->fresh[i] = read_one(s, i, &err);
        if (s->fresh[i] < 0) {
            /* A typo must not lock everybody out, nor let anybody in. */
            log_event(LOG_ERROR, i == 0 ? "keys_kept" : "certificate_kept", "error=\"%s\"",
                      err_text(&err));
            continue;
        }
        ret_fds[(*ret_n)++] = s->fresh[i];
        which |= (uint8_t)(1u << i);
    }
    return which;
}

void secrets_settle(struct secrets *s, uint8_t accepted)
{
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++) {
        if (s->fresh[i] >= 0 && (accepted & 1u << i))
            (void)dup3(s->fresh[i], HANDOVER_KEYS + (int)i, O_CLOEXEC);
    }
    drop(s);
}
