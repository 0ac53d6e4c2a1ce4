/*
 * StreamLogs: output of the main process, kept and live. Errors of a
 * log session travel in band, in the last frame; everything else is the call's status.
 */
#include "base/util.h"
#include "runtime/io.h"
#include "server/dispatch.h"
#include "server/record.h"
#include "server/spec.h"

struct logs {
    struct call *call;
    struct log_stream *stream;
    bool paused;
};

static void fail_memory(struct logs *l)
{
    call_refuse(l->call, ERR_RESOURCE_EXHAUSTED, NULL, "stream logs: out of memory");
}

static void on_data(void *user, struct log_stream *stream, struct buf *take, uint64_t wall_ns,
                    uint64_t next_offset)
{
    struct logs *l = user;
    Pb__LogEntry entry = PB__LOG_ENTRY__INIT;
    Pb__Timestamp when;
    timestamp_fill(&when, wall_ns);
    entry.timestamp = wall_ns != 0 ? &when : NULL;
    entry.log_session_id = (char *)log_stream_session(stream);
    entry.next_log_offset = next_offset;
    /* The fields of the entry in front, its data behind: field order is free (protobuf
     * encoding, "Field order"), so the bytes need not be copied. */
    CLEANUP_BUF struct buf head = {0};
    uint8_t tag[PROTO_HEAD_MAX];
    if (proto_pack(&entry, &head) < 0 ||
        buf_put(&head, tag, proto_head_bytes(tag, 1, buf_len(take))) < 0 ||
        call_send(l->call, buf_head(&head), buf_len(&head), take) < 0) {
        fail_memory(l);
        return;
    }
    if (!l->paused && call_is_full(l->call)) {
        l->paused = true;
        log_stream_pause(stream);
    }
}

static void on_end(void *user, struct log_stream *stream, const char *error_code,
                   const char *message)
{
    struct logs *l = user;
    if (error_code == NULL) {
        call_finish(l->call, NULL);
        return;
    }
    Pb__LogEntry entry = PB__LOG_ENTRY__INIT;
    Pb__LogStreamError error = PB__LOG_STREAM_ERROR__INIT;
    error.code = (char *)error_code;
    error.message = (char *)(message != NULL ? message : error_code);
    entry.error = &error;
    call_reply(l->call, &entry);
}

static const struct log_events log_events = {.on_data = on_data, .on_end = on_end};

void logs_on_drain(struct call *call)
{
    struct logs *l = call->state;
    if (l == NULL || !l->paused)
        return;
    l->paused = false;
    log_stream_resume(l->stream);
}

void logs_on_release(struct call *call)
{
    struct logs *l = call->state;
    if (l == NULL)
        return;
    if (l->stream != NULL)
        log_stream_free(l->stream);
    free(l);
}

static int read_spec(const Pb__StreamLogsRequest *req, struct log_spec *ret, struct err *err)
{
    if (req->tail_lines < 0)
        return err_invalid(err, "tail_lines", "must not be negative");
    const Pb__Timestamp *since = req->since_time;
    if (since != NULL &&
        (since->seconds < 0 || since->seconds > 253402300799 || since->nanos < 0 ||
         since->nanos >= (int32_t)NS_PER_SEC)) /* year 9999: timestamp.proto */
        return err_invalid(err, "since_time", "not a time between 1970 and 9999");
    *ret = (struct log_spec){
        .follow = req->follow,
        .tail_lines = (uint64_t)req->tail_lines,
        .timestamps = req->timestamps,
        .resume_session = req->resume_log_session_id,
        .resume_offset = req->resume_log_offset,
    };
    if (since != NULL)
        ret->since_wall_ns =
            (uint64_t)MIN(since->seconds, (int64_t)(UINT64_MAX / NS_PER_SEC / 2)) * NS_PER_SEC +
            (uint64_t)since->nanos;
    return 0;
}

void logs_on_request(struct call *call, void *request)
{
    Pb__StreamLogsRequest *req = request;
    CLEANUP_ERR struct err err = {0};
    struct log_spec spec;
    struct sandbox *sb =
        sandbox_find(call->service->runtime, call->owner, req->sandbox_id, &err);
    if (sb == NULL || sandbox_check_container(sb, req->container, &err) < 0 ||
        read_spec(req, &spec, &err) < 0) {
        call_finish(call, &err);
        return;
    }
    struct logs *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return;
    }
    l->call = call;
    call->state = l;
    if (log_stream_open(sb, &spec, &log_events, l, &l->stream, &err) < 0)
        call_finish(call, &err);
}
