/*
 * cwsandbox-launch in the place of an older cwsandbox-launch, both processes of it, as the supervisor sees to it. Each executes
 * the new program itself, so no process and no descriptor changes. What can fail comes first:
 *
 *   1. the new program says whether it reads our tables, while everything serves (upgrade_check())
 *   2. the engine is replaced between two daemons (upgrade_engine(); replace.h)
 *   3. the supervisor, when the new daemon serves (upgrade_self())
 */
#ifndef CWS_LAUNCH_UPGRADE_H
#define CWS_LAUNCH_UPGRADE_H

#include "launch/fetches.h"
#include "launch/options.h"
#include "launch/renew.h"

/* What the supervisor after us needs. */
struct supervised {
    pid_t engine_pid, daemon_pid;
    int engine_fd, daemon_fd;
    int program_fd; /* the daemon's program */
    uint64_t born_ns;
    uint32_t delay_ms;
    bool reload, reload_programs;
    struct fetches fetches;
};

/* Which file a program is; another one is an upgrade. */
struct program {
    dev_t dev;
    ino_t ino;
    struct timespec changed;
};

struct program program_now(const char *path);
bool program_same(const struct program *a, const struct program *b);
/** program_open() - a descriptor to execute it by, whatever becomes of its name; -errno. */
int program_open(const char *path);

/** upgrade_wanted() - the program at @path is not the one that runs. */
bool upgrade_wanted(const char *path);
/** upgrade_check() - starts it to be asked; its exit status 0: it can take our place. Its pid, or -errno. */
pid_t upgrade_check(const char *path);
/** upgrade_engine() - tells the engine, which answers REPLACED. 0 or -errno. */
int upgrade_engine(int engine_fd, pid_t engine, const struct options *options);
/** upgrade_self() - becomes the program of @options. Returns -errno. */
int upgrade_self(const struct supervised *s, const struct options *options);
/** upgrade_resume() - in that program: what upgrade_self() left. 0 or -errno. */
int upgrade_resume(struct supervised *ret, int take_table);

#endif
