/*
 * What a sandbox uses, and has used: asking for it.
 */
#ifndef CWS_RUNTIME_USAGE_H
#define CWS_RUNTIME_USAGE_H

#include "runtime/runtime.h"

/** sandbox_usage_last() - the figures that the last sandbox_usage() got; zeros before. Borrowed. */
const struct sandbox_usage *sandbox_usage_last(const struct sandbox *sb);
/** sandbox_usage_is_stale() - it runs, and its last figures are older than a second. */
bool sandbox_usage_is_stale(const struct sandbox *sb);
/** sandbox_usage() - asks launch; for an ended sandbox the last figures, which @cb borrows. 0, or -ENOMEM and no @cb. */
int sandbox_usage(struct sandbox *sb, void (*cb)(void *user, const struct sandbox_usage *u),
                  void *user) WARN_UNUSED;

#endif
