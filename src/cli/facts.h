/*
 * What the service told about a sandbox, as text for tables and as JSON.
 *
 * `told` is the record of cws_sandbox_describe(), NULL when nothing was heard. Texts are the caller's to free, NULL when there is
 * nothing to tell, and one line.
 */
#ifndef CWS_CLI_FACTS_H
#define CWS_CLI_FACTS_H

#include "cli/json.h"
#include "cli/view.h"

/** facts_time() - "create_time", "end_time": nanoseconds since 1970; 0 = not known. */
uint64_t facts_time(const cws_record *told, const char *field);
/** facts_age() - since it was created: "45s", "12m", "7h", "3d". */
char *facts_age(const cws_record *told);
char *facts_reason(const cws_record *told);
/** facts_tags() - joined by commas. */
char *facts_tags(const cws_record *told);
/** facts_command() - of the primary container, as one would type it. */
char *facts_command(const cws_record *told);
/** facts_limits() / facts_usage() - "cpu=500m memory=512Mi gpu=1". */
char *facts_limits(const cws_record *told);
char *facts_usage(const cws_record *told);
/** facts_containers() - "main=running,db=failed(1)". */
char *facts_containers(const cws_record *told);
/** facts_print_containers() - the blocks CONTAINERS and CONTAINER STATUS. */
void facts_print_containers(const cws_record *told, FILE *out);
/** facts_print_services() - the block SERVICES: port, name, who sees it, its URL or host:port. */
void facts_print_services(const cws_record *told, FILE *out);
/** facts_print_json() - one object, for `get` and for each row of `ls`. */
void facts_print_json(const struct sandbox_view *view, struct json *j);

#endif
