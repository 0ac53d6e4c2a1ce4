/*
 * Another program in the place of an engine: it executes it in its own process, so that it stays the parent of every sandbox. The
 * new program starts as any does, in the machine's file systems, which the supervisor opens for it again, and takes the sandboxes
 * from a table. If it cannot, it executes the old one once more.
 *
 *   REPLACE of the supervisor -> nothing is under way -> table, execve -> engine_start(), sandboxes -> REPLACED
 */
#ifndef CWS_LAUNCH_REPLACE_H
#define CWS_LAUNCH_REPLACE_H

#include "launch/launch.h"

/** replacement_begin() - the supervisor's word: a mount namespace, the new command line. Both are taken. */
void replacement_begin(struct engine *e, int take_mounts, int take_argv);
/** replacement_wait_ms() - -1 without one. */
int replacement_wait_ms(const struct engine *e);
/** replacement_go_on() - if nothing is under way any more, this program ends here; else, or if that fails, it goes on. */
void replacement_go_on(struct engine *e);
/** replacement_resume() - in the new program: engine_start(), and the sandboxes. On failure the old program is executed: this returns when
 * that is not possible either. */
int replacement_resume(struct engine *e, const struct options *options, const char **ret_stage);

#endif
