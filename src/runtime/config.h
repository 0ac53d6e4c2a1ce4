/* Checking and copying a runtime_config. */
#ifndef CWS_RUNTIME_CONFIG_H
#define CWS_RUNTIME_CONFIG_H

#include "runtime/runtime.h"

int config_check(const struct runtime_config *config, struct err *err);
/** config_copy() - the strings become owned; -1 when out of memory, @dst is then to be
 * config_done() too. */
int config_copy(struct runtime_config *dst, const struct runtime_config *src);
void config_done(struct runtime_config *config);

#endif
