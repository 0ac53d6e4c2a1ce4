/*
 * From a SandboxSpec of the API to the runtime's sandbox_spec: what is accepted, what is
 * refused and by which name.
 *
 * Rules: those of the hosted service. A field that asks for something not built is refused with its name, never ignored;
 * what existing clients always send (deny flags, mode, tags, annotations) is checked only. Thread: any; no state.
 */
#ifndef CWS_SERVER_SPEC_H
#define CWS_SERVER_SPEC_H

#include "runtime/runtime.h"
#include "server/options.h"
#include "wire/proto.h"

#define SPEC_MAX_PULL_WORD 512   /* chosen: four of them fit what cwsandbox-image reads */
#define SPEC_MAX_TAG 59          /* as the hosted service */
#define SPEC_MAX_ANNOTATIONS 100 /* as the hosted service */
#define SPEC_MAX_TAGS 100        /* chosen: as annotations */
#define SPEC_MAX_NAME 63         /* RFC 1123: a label */
#define SPEC_MAX_SERVICES 32     /* chosen: what a message of a sandbox has room for */
#define SPEC_MAX_FILES 256       /* the runtime takes no more: runtime/plan.h */
#define SPEC_MAX_VOLUMES 16      /* chosen; with as many mounts: MOUNT_LIST_MAX */
#define SPEC_MAX_KEPT \
    (1u << 20) /* chosen: packed spec, kept as long as the sandbox is readable; without the \
                  files when they do not fit */
#define SPEC_RUNTIME_CLASS "cwsandbox" /* what effective_runtime_class says */
#define SPEC_CONTAINER "main"          /* of a container that came without a name */
#define SPEC_MIN_MEMORY (4u << 20)     /* chosen: below, not even init and a shell fit */

struct services_offer; /* services.h */

struct spec_plan {            /* arrays owned, strings borrowed from the message */
    struct sandbox_spec spec; /* its mounts are owned, with their strings */
    const char **args;
    struct string_pair *env;
    struct sandbox_file *files;
};

/* Of each sandbox. */
struct spec_room {
    bool disk; /* else memory */
    uint64_t bytes;
    const struct text_list *host_directories; /* below these the machine's may be shown */
};

/** spec_check() - INVALID_ARGUMENT or UNIMPLEMENTED with a violation per refused field (the
 * first one found). */
int spec_check(const Pb__SandboxSpec *spec, const char *runner_id,
               const struct services_offer *offer, struct err *err);
/** spec_translate() - after spec_check(); owner and request_id are the caller's to fill. */
int spec_translate(const Pb__SandboxSpec *spec, struct spec_plan *ret, struct err *err);
/** spec_check_volumes() - part of spec_check(). */
int spec_check_volumes(const Pb__SandboxSpec *spec, struct err *err);
/** spec_plan_volumes() - after spec_translate(): @ret->spec.mounts.
 * Errors: INVALID_ARGUMENT + RESOURCE_CEILING_EXCEEDED, UNIMPLEMENTED
 * for what @room does not have. */
int spec_plan_volumes(const Pb__SandboxSpec *spec, const struct spec_room *room,
                      struct spec_plan *ret, struct err *err);
void spec_plan_done(struct spec_plan *plan);
/** spec_name_container() - after spec_check(): SPEC_CONTAINER when it has no name. */
int spec_name_container(Pb__SandboxSpec *spec, struct err *err);
/**
 * spec_keep_echo() - drop what answers do not hold: the network (INPUT_ONLY), and the files when they are more than
 * SPEC_MAX_KEPT. All of them, and not their contents alone: a client that creates a copy from an answer would make
 * empty files.
 */
void spec_keep_echo(Pb__SandboxSpec *spec);
/** spec_request_hash() - of a create as it was sent, never 0; the order of a map's entries does not count. */
uint64_t spec_request_hash(Pb__CreateSandboxRequest *request);

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

/** err_volume_not_found() - NOT_FOUND + CWSANDBOX_VOLUME_NOT_FOUND with the id as metadata; returns -1. */
int err_volume_not_found(struct err *err, const char *volume_id);
/** spec_is_label() - of DNS (RFC 1123), as the published clients demand of a name. */
bool spec_is_label(const char *name);
/** err_not_built() - UNIMPLEMENTED + @reason with a violation; returns -1. */
int err_not_built(struct err *err, const char *reason, const char *field);
/** err_invalid() - INVALID_ARGUMENT "<field>: <text>" with a violation; returns -1. */
int err_invalid(struct err *err, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
