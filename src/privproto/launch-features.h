/* What launch can do on this machine: its answer to HELLO (launchproto.h). */
#ifndef CWS_PRIVPROTO_LAUNCH_FEATURES_H
#define CWS_PRIVPROTO_LAUNCH_FEATURES_H

#include "base/macros.h"

/* What this kernel and this user give. Text of `problems`: one line per missing feature:
 * "feature: why: remedy". */
struct launch_features {
    uint32_t version; /* launch's; another one than ours: nothing else was read */
    bool root;        /* launch has real root; uid_count > 1 */
    bool idmap;       /* host files keep their owners inside */
    bool netns_pool;
    bool network;     /* sandboxes may have one */
    bool cgroup_kill; /* v2 tree usable for killing */
    bool limit_memory, limit_cpu, limit_pids;
    bool cgroup_v2_only; /* limits are enforced by v2 */
    uint64_t disk_bytes; /* size of every disk that a root can have; 0: there are none */
    uint32_t uid_base,
        uid_count;       /* uid_count 0: launch cannot work here, and `problems` says why */
    char problems[2048]; /* '\n' separated, NUL terminated */
};

#endif
