/*
 * What verbs show of a sandbox.
 */
#ifndef CWS_CLI_VIEW_H
#define CWS_CLI_VIEW_H

#include "cli/format.h"
#include "cli/util.h"
#include "cwsandbox.h"

/* Choices of every `-o/--output`; option slots hold the index plus 1. The last one is of lists only. */
enum output_format { OUTPUT_TABLE = 1, OUTPUT_JSON = 2, OUTPUT_WIDE = 3 };
extern const char *const output_formats[];

/* Choices of `--data-plane-mode`; the slot less 1 is a cws_data_plane. */
extern const char *const data_plane_modes[];
#define DATA_PLANE_OPTION(args_type) \
    { \
        "data-plane-mode", 0, OPTION_CHOICE, NULL, data_plane_modes, "auto", \
            offsetof(args_type, data_plane), \
            "How to reach the sandbox: by the service's API, past it, or whatever is " \
            "possible." \
    }

#define CONTAINER_OPTION(args_type) \
    { \
        "container", 0, OPTION_STRING, "NAME", NULL, NULL, offsetof(args_type, container), \
            "The container of the sandbox to act in; its primary one when not given." \
    }

/* What is known of a sandbox, copied out of the handle once. Zero-initialise;
 * sandbox_view_done() frees. */
struct sandbox_view {
    char *id, *runner_id, *runner_group_id; /* NULL = not known */
    const char *status;                     /* static; NULL = not known */
    uint64_t started_ns;                    /* 0 = not known */
    bool has_returncode;
    int returncode;
    cws_record *told; /* for facts.h; NULL = nothing was heard */
};
void sandbox_view_init(struct sandbox_view *view, const cws_sandbox *sb);
void sandbox_view_done(struct sandbox_view *view);

/* Words of the API for cws_status, NULL-terminated; the index is the number. */
extern const char *const status_names[];
/** status_name() - static; "unspecified" for one that a newer service has. */
const char *status_name(cws_status status);

#endif
