/*
 * The table of methods, and the handlers it names, one file per group. The life of a call (call.c) knows none of them: the
 * service has the table by `find_method`. Thread: the loop's.
 */
#ifndef CWS_SERVER_DISPATCH_H
#define CWS_SERVER_DISPATCH_H

#include "server/call.h"

/** method_find() - by path; NULL = not in the table. */
const struct method *method_find(const char *path);
/** call_not_implemented() - on_request of the contract's methods that are not built. */
void call_not_implemented(struct call *call, void *request);
/** snapshots_not_supported() - the same for those about file system snapshots. */
void snapshots_not_supported(struct call *call, void *request);

/* ---- the handlers, one file per group ---- */

void create_on_request(struct call *call, void *request); /* create.c */
void create_on_stopping(struct call *call);
void create_on_release(struct call *call);
/** create_next() - begin creates of @a that wait, as far as it has places. */
void create_next(struct account *a);
void create_from_file_on_request(struct call *call, void *request);
void get_on_request(struct call *call, void *request); /* sandboxes.c */
void get_on_stopping(struct call *call);
void get_on_release(struct call *call);
void delete_on_request(struct call *call, void *request);
void list_on_request(struct call *call, void *request); /* list.c */
void list_on_release(struct call *call);
void list_volumes_on_request(struct call *call, void *request); /* volumes.c */
void create_volume_on_request(struct call *call, void *request);
void get_volume_on_request(struct call *call, void *request);
void update_volume_on_request(struct call *call, void *request);
void validate_volume_on_request(struct call *call, void *request);
void delete_volume_on_request(struct call *call, void *request);
void list_runners_on_request(struct call *call, void *request); /* discovery.c */
void get_runner_on_request(struct call *call, void *request);
void exec_on_request(struct call *call, void *request); /* exec.c */
void exec_on_release(struct call *call);
bool exec_on_expire(struct call *call);
void stream_exec_on_message(struct call *call, const uint8_t *data,
                            size_t n); /* stream-exec.c */
void stream_exec_on_half_close(struct call *call);
void stream_exec_on_drain(struct call *call);
void stream_exec_on_release(struct call *call);
bool stream_exec_on_expire(struct call *call);
void logs_on_request(struct call *call, void *request); /* logs.c */
void logs_on_drain(struct call *call);
void logs_on_release(struct call *call);
void read_file_on_request(struct call *call, void *request); /* files.c */
void write_file_on_request(struct call *call, void *request);
void file_on_release(struct call *call);
void health_check_on_request(struct call *call, void *request); /* health.c */
void health_list_on_request(struct call *call, void *request);
void health_watch_on_request(struct call *call, void *request);
void health_watch_on_stopping(struct call *call);
void reflection_on_message(struct call *call, const uint8_t *data, size_t n); /* reflection.c */
void reflection_on_half_close(struct call *call);

#endif
