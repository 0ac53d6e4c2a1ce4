/*
 * From a SandboxSpec of the API to the runtime's sandbox_spec: what is accepted, what is
 * refused and by which name.
 *
 * Rules: contract/server.md 1.1 and 1.9, contract/sdk.md 6.4. A field that asks for something
 * not built is refused with its name, never ignored; what existing clients always send (deny
 * flags, mode, tags, annotations) is checked only. Thread: any; no state.
 */
#ifndef CWS_SERVER_SPEC_H
#define CWS_SERVER_SPEC_H

#include "runtime/runtime.h"
#include "wire/proto.h"

#define SPEC_MAX_TAG 59          /* contract/server.md 1.9 */
#define SPEC_MAX_ANNOTATIONS 100 /* contract/server.md 1.9 */
#define SPEC_MAX_TAGS 100        /* chosen: as annotations */
#define SPEC_MAX_FILES 1000      /* chosen */
#define SPEC_MAX_KEPT \
    (1u << 20) /* chosen: packed spec without file contents, kept as long as the sandbox is \
                  readable */
#define SPEC_MIN_MEMORY (4u << 20) /* chosen: below, not even init and a shell fit */

struct spec_plan { /* arrays owned, strings borrowed from the message */
    struct sandbox_spec spec;
    const char **args;
    struct string_pair *env;
    struct sandbox_file *files;
};

/** spec_check() - INVALID_ARGUMENT or UNIMPLEMENTED with a violation per refused field (the
 * first one found). */
int spec_check(const Pb__SandboxSpec *spec, const char *runner_id, struct err *err);
/** spec_translate() - after spec_check(); owner and request_id are the caller's to fill. */
int spec_translate(const Pb__SandboxSpec *spec, struct spec_plan *ret, struct err *err);
void spec_plan_done(struct spec_plan *plan);
/** spec_forget_contents() - empty the file contents: they are in the sandbox, and records live
 * for an hour. */
void spec_forget_contents(Pb__SandboxSpec *spec);

/** spec_limits() - memory and CPU to enforce: limits, else requests, else 0 (the service's
 * default). */
int spec_limits(const Pb__Container *c, uint64_t *ret_memory_bytes, uint32_t *ret_cpu_millis,
                struct err *err);
/**
 * spec_env() - entries of a map<string,string> of any message as pairs (borrowed strings, the
 * array is the caller's)
 * @entries: the generated entry types of all such maps have the same members, so one of them
 * stands for all Errors: INVALID_ARGUMENT for a name that is empty or holds '=', naming @field;
 * then NULL.
 */
typedef Pb__ExecRequest__EnvEntry spec_map_entry;
struct string_pair *spec_env(size_t n, spec_map_entry *const *entries, const char *field,
                             struct err *err);

/** err_invalid() - INVALID_ARGUMENT "<field>: <text>" with a violation; returns -1. */
int err_invalid(struct err *err, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
