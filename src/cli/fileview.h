/* What `files ls` and `files stat` show of a file, and the options that all verbs on names have. */
#ifndef CWS_CLI_FILEVIEW_H
#define CWS_CLI_FILEVIEW_H

#include "cli/json.h"
#include "cli/view.h"

#define USER_OPTION(args_type) \
    { \
        "user", 'u', OPTION_STRING, "USER[:GROUP]", NULL, NULL, offsetof(args_type, user), \
            "User of the sandbox who does it, a name or a number; root when not given." \
    }

/* Of an args struct with user, timeout_ns, container and data_plane. */
#define FILE_OPTIONS(args_type) \
    USER_OPTION(args_type), \
        {"timeout", \
         't', \
         OPTION_SECONDS, \
         "SECONDS", \
         NULL, \
         NULL, \
         offsetof(args_type, timeout_ns), \
         "How long it may take; 300 when not given."}, \
        CONTAINER_OPTION(args_type), DATA_PLANE_OPTION(args_type)
#define SANDBOX_OPERAND(args_type) \
    { \
        "SANDBOX_ID", OPERAND_ONE, offsetof(args_type, id), "The sandbox.", COMPLETE_SANDBOXES \
    }

/** fileview_row() - a line as `ls -l` has it; the name as a terminal may see it. */
void fileview_row(const cws_file_info *info);
void fileview_json(const cws_file_info *info, struct json *j);

#endif
