/*
 * What is said about a sandbox that does not run: the errors, each with the service's reason where there is one.
 */
#ifndef CWS_CLIENT_VERDICT_H
#define CWS_CLIENT_VERDICT_H

#include "client/sandbox.h"

/** sandbox_not_running() - [loop] the error of an operation that needs a running one. */
struct cws_error *sandbox_not_running(const struct cws_sandbox *sb);
/** sandbox_failed() - [loop] CWS_E_FAILED of a sandbox that ended FAILED, with the service's reason. */
struct cws_error *sandbox_failed(const struct cws_sandbox *sb);
/** sandbox_terminated() - [loop] CWS_E_TERMINATED, with the service's reason where it was not we who ended it. */
struct cws_error *sandbox_terminated(const struct cws_sandbox *sb);
/** sandbox_has_run() - [loop] it was RUNNING once, as far as was heard. */
bool sandbox_has_run(const struct cws_sandbox *sb);

#endif
