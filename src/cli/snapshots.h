/*
 * What verbs show of snapshots.
 */
#ifndef CWS_CLI_SNAPSHOTS_H
#define CWS_CLI_SNAPSHOTS_H

#include "cli/json.h"
#include "cwsandbox.h"

/* Words of the API for cws_snapshot_status, NULL-terminated; the index is the number. */
extern const char *const snapshot_status_names[];

/** snapshot_status_name() - "unspecified" for states that this program does not know. */
const char *snapshot_status_name(cws_snapshot_status status);

/** snapshots_print_table() - head, rule and a line for each snapshot of @op, on stdout. */
void snapshots_print_table(const cws_op *op);
/** snapshot_print_json() - one as an object. */
void snapshot_print_json(const cws_snapshot *s, struct json *j);

#endif
