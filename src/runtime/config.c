/* The defaults of the configuration, and the runtime's own copy of it. */
#include <string.h>

#include "base/util.h"
#include "runtime/config.h"

#define GIB (1024ULL * 1024 * 1024)
#define MIB (1024ULL * 1024)

void runtime_config_init(struct runtime_config *config)
{
    *config = (struct runtime_config){
        .launch_socket = -1,
        .warm_pool = 4,
        .max_sandboxes = 10000,
        .root_size_bytes = GIB,
        .pids_max = 1024,
        .default_lifetime_ns = 24 * 3600 * NS_PER_SEC,
        .retention_ns = 3600 * NS_PER_SEC,
        .max_retained = 10000,
        .max_retained_bytes = 256 * MIB,
        .log_max_bytes = 64 * MIB,
        .file_max_bytes = 32 * MIB,
    };
}

int config_check(const struct runtime_config *config, struct err *err)
{
    if (config->launch_socket < 0 || !config->data_dir)
        return err_set(err, ERR_INVALID_ARGUMENT, "launch_socket and data_dir must be set");
    if (config->root_size_bytes < MIB)
        return err_set(err, ERR_INVALID_ARGUMENT, "root_size_bytes must be at least 1 MiB");
    return 0;
}

int config_copy(struct runtime_config *dst, const struct runtime_config *src)
{
    *dst = *src;
    dst->data_dir = strdup(src->data_dir);
    return dst->data_dir ? 0 : -1;
}

void config_done(struct runtime_config *config)
{
    free((char *)config->data_dir);
    *config = (struct runtime_config){0};
}
