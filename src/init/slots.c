/*
 * Exec slots: child cgroups e0, e1, ... of the sandbox's own v2 directory, made when needed and
 * reused when empty. A process is born in its slot (CLONE_INTO_CGROUP), so that killing an exec
 * is one write whatever it forked.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "init/init.h"

#define MAX_LINGER_CHECKS \
    4 /* chosen: bounds one exec's cost (about 1 us each) when many slots linger */

static bool slot_empty(const struct slot *slot)
{
    char text[128];
    ssize_t n = pread(slot->events_fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return false;
    text[n] = 0;
    return strstr(text, "populated 0") != NULL;
}

/* Makes the directory e<index> and opens what is needed of it. */
static int slot_open(struct slots *s, uint32_t index)
{
    char name[32];
    struct slot slot = {0};

    (void)snprintf(name, sizeof(name), "e%u", index);
    if (mkdirat(CGROUP_FD, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    slot.dir_fd = openat(CGROUP_FD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slot.dir_fd < 0)
        return -errno;
    slot.events_fd = openat(slot.dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (slot.events_fd < 0) {
        int error = errno;

        (void)close(slot.dir_fd);
        return -error;
    }
    memory_slot_init(&slot.memory);
    s->all[index] = slot;
    view_add_slot(index);
    return 0;
}

static int slot_make(struct slots *s)
{
    int r;

    if (s->n == INIT_MAX_EXECS)
        return -EAGAIN;
    r = slot_open(s, s->n);
    return r < 0 ? r : (int)s->n++;
}

/*
 * A cgroup that was killed once is poisoned: since Linux 6.15 (kill_seq) whatever is cloned
 * into it from outside gets SIGKILL at birth, for ever. Seen on 6.18. A fresh directory of the
 * same name is not.
 */
static int slot_renew(struct slots *s, int index)
{
    char name[32];
    struct slot *slot = &s->all[index];

    (void)snprintf(name, sizeof(name), "e%u", (unsigned)index);
    if (unlinkat(CGROUP_FD, name, AT_REMOVEDIR) < 0)
        return -errno;
    (void)close(slot->dir_fd);
    (void)close(slot->events_fd);
    memory_slot_close(&slot->memory);
    return slot_open(s, (uint32_t)index);
}

static void look_at_lingering(struct slots *s)
{
    uint32_t checks = MIN(s->n_lingering, MAX_LINGER_CHECKS);

    for (uint32_t i = 0; i < checks; i++) {
        uint16_t index = s->lingering[0];

        /* Round robin: the checked one leaves the front, and goes to the back when it is still
         * busy. */
        memmove(s->lingering, s->lingering + 1, (s->n_lingering - 1) * sizeof(s->lingering[0]));
        if (slot_empty(&s->all[index])) {
            s->free[s->n_free++] = index;
            s->n_lingering--;
        } else {
            s->lingering[s->n_lingering - 1] = index;
        }
    }
}

int slots_take(struct slots *s)
{
    if (s->n_free == 0)
        look_at_lingering(s);
    while (s->n_free > 0) {
        int index = s->free[--s->n_free];

        if (!s->all[index].killed || slot_renew(s, index) == 0)
            return index;
        /* Not removable after all: given up. The sandbox's end takes it along. */
    }
    return slot_make(s);
}

void slots_give(struct slots *s, int index)
{
    if (index < 0)
        return;
    if (slot_empty(&s->all[index]))
        s->free[s->n_free++] = (uint16_t)index;
    else
        s->lingering[s->n_lingering++] = (uint16_t)index;
}

void slots_retire(struct slots *s, int index)
{
    s->n_exits++;
    if (index < 0)
        return;
    s->all[index].exit = s->n_exits;
    s->retired[(s->first_retired + s->n_retired++) % INIT_MAX_EXECS] = (uint16_t)index;
}

void slots_release(struct slots *s, uint32_t n_seen)
{
    while (s->n_retired > 0) {
        uint16_t index = s->retired[s->first_retired];

        if ((int32_t)(n_seen - s->all[index].exit) < 0)
            return;
        s->first_retired = (s->first_retired + 1) % INIT_MAX_EXECS;
        s->n_retired--;
        slots_give(s, index);
    }
}

void slots_restart(struct slots *s)
{
    slots_release(s, s->n_exits);
    s->n_exits = 0;
}

void slots_init(struct slots *s)
{
    s->usable = fcntl(CGROUP_FD, F_GETFD) >= 0;
    /* The first one now, while the sandbox waits in the pool, and not in its first exec. */
    if (s->usable && slot_make(s) == 0)
        s->free[s->n_free++] = 0;
}

void slots_kill_ended(struct slots *s, uint32_t id)
{
    for (uint32_t i = 0; i < s->n_lingering; i++) {
        if (s->all[s->lingering[i]].id == id)
            (void)slots_kill(s, s->lingering[i]); /* an empty slot has nothing to kill */
    }
    for (uint32_t i = 0; i < s->n_retired; i++) {
        uint16_t index = s->retired[(s->first_retired + i) % INIT_MAX_EXECS];

        if (s->all[index].id == id)
            (void)slots_kill(s, index);
    }
}

int slots_kill(struct slots *s, int index)
{
    CLEANUP_FD int fd = openat(s->all[index].dir_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    s->all[index].killed = true;
    return write(fd, "1", 1) == 1 ? 0 : -errno;
}
