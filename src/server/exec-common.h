/*
 * What Exec and StreamExec share: from request fields to a process in the caller's sandbox.
 */
#ifndef CWS_SERVER_EXEC_COMMON_H
#define CWS_SERVER_EXEC_COMMON_H

#include "runtime/io.h"
#include "server/call.h"
#include "server/record.h"
#include "server/spec.h"

struct exec_request { /* borrowed */
    const char *sandbox_id;
    const char *container;
    char *const *command;
    size_t n_command;
    spec_map_entry *const *env;
    size_t n_env;
    bool want_stdin;
    bool tty;
    uint32_t tty_width, tty_height;
};

/** call_start_process() - find, check, start. Errors as sandbox_find(), process_start();
 * INVALID_ARGUMENT for a bad field. */
int call_start_process(struct call *call, const struct exec_request *req,
                       const struct process_events *events, void *user, struct process **ret,
                       struct err *err);
/** call_tell_facts() - in the trailers of @call, whose process has ended (wire/exec-facts.h). */
void call_tell_facts(struct call *call, const struct process *p);
/** call_send_exec_ready(), call_reply_exec_exit() - two messages of a StreamExec; the second one ends the call. */
int call_send_exec_ready(struct call *call);
void call_reply_exec_exit(struct call *call, int exit_code);
/** stream_port_begin() - @call is a StreamExec with a port; it becomes another method. */
void stream_port_begin(struct call *call, const Pb__ExecStreamInit *init);
/** stream_commit_begin() - @call is a StreamExec of FILES_COMMIT; it becomes another method. */
void stream_commit_begin(struct call *call, const Pb__ExecStreamInit *init);
/** exec_tty_size() - clamped to what a terminal can have. */
uint16_t exec_tty_size(uint32_t n);

#endif
