/* See verdict.h. */
#include "client/verdict.h"

#include "base/util.h"

static const char *status_name(cws_status status)
{
    static const char *const names[] = {"unspecified", "creating",    "running",    "completed",
                                        "failed",      "terminating", "terminated", "pending",
                                        "paused",      "preparing"};
    return (unsigned)status < ARRAY_SIZE(names) ? names[status] : "unknown";
}

bool sandbox_has_run(const struct cws_sandbox *sb)
{
    return sb->info.started_ns || sb->info.startup_ns;
}

struct cws_error *sandbox_failed(const struct cws_sandbox *sb)
{
    const char *id = sandbox_id_borrow(sb), *reason = sb->info.state_reason;
    struct cws_error *e = error_new(CWS_E_FAILED, "sandbox '%s' failed%s%s%s", id,
                                    sandbox_has_run(sb) ? "" : " to start", reason ? ": " : "",
                                    reason ? reason : "");
    error_add_sandbox_id(e, id);
    error_add_status_reason(e, reason);
    return e;
}

struct cws_error *sandbox_terminated(const struct cws_sandbox *sb)
{
    const char *reason = sb->stop_owned ? NULL : sb->info.state_reason;
    struct cws_error *e =
        error_new(CWS_E_TERMINATED, "sandbox '%s' was terminated%s%s", sandbox_id_borrow(sb),
                  reason ? ": " : "", reason ? reason : "");
    error_add_sandbox_id(e, sb->info.id);
    return e;
}

struct cws_error *sandbox_not_running(const struct cws_sandbox *sb)
{
    const char *reason = sb->info.state_reason;
    struct cws_error *e;
    if (sb->cancelled)
        e = error_new(CWS_E_NOT_RUNNING,
                      "the sandbox was cancelled before starting: it has been stopped");
    else if (sb->state == SB_NEW)
        e = error_new(CWS_E_NOT_RUNNING, "the sandbox has not been started");
    else if (sb->undone)
        e = error_new(CWS_E_NOT_RUNNING,
                      "sandbox '%s' has been stopped because its start was cancelled: make "
                      "another one",
                      sandbox_id_borrow(sb));
    else if (sb->stop_owned || sb->stopping)
        e = error_new(CWS_E_NOT_RUNNING, "sandbox '%s' has been stopped",
                      sandbox_id_borrow(sb));
    else
        e = error_new(CWS_E_NOT_RUNNING, "sandbox '%s' is not running: it is %s%s%s",
                      sandbox_id_borrow(sb), status_name(sb->info.status), reason ? ": " : "",
                      reason ? reason : "");
    error_add_sandbox_id(e, sb->info.id);
    return e;
}
