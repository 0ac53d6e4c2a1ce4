/* What the supervisor's children are right after the fork: the numbers of handover.h, nothing else open, then their program. */
#ifndef CWS_LAUNCH_CHILDREN_H
#define CWS_LAUNCH_CHILDREN_H

#include "launch/launch.h"

/** child_move_up() - takes @fd; the same above the numbers of handover.h, or -errno. */
int child_move_up(int fd);
/** child_pair() - two ends for packets, above those numbers. 0 or -errno. */
int child_pair(int ret[2]);
/** child_become_engine() - @control brings the sockets of further daemons, @launch is the first one's. */
__attribute__((noreturn)) void child_become_engine(const struct options *options,
                                                   int (*engine)(const struct options *options),
                                                   int control, int launch);
/** child_become_daemon() - @program: its program, should another file have its name now; @words are those with the supervisor, @launch
 * those with the engine. */
__attribute__((noreturn)) void child_become_daemon(const struct options *options, int program,
                                                   int words, int launch);
/** child_become_fetch() - cwsandbox-image, with the daemon's @input and @output. */
__attribute__((noreturn)) void child_become_fetch(const struct options *options, int input,
                                                  int output);
/** child_become_check() - the program at @path, asked whether it reads tables of @version (table.h). */
__attribute__((noreturn)) void child_become_check(const char *path, unsigned version);
/** child_become_front() - of a renewal: @front is where it says what it opened (renew.h). */
__attribute__((noreturn)) void child_become_front(const struct options *options, int words,
                                                  int launch, int front);
/** child_signals() - those that a supervisor lives by, blocked, as a descriptor; -errno. */
int child_signals(void);
/** child_end_engine() - waits for the engine @pid, which was told; kills it in the end. Reads @signal_fd meanwhile. */
void child_end_engine(pid_t pid, int signal_fd);

#endif
