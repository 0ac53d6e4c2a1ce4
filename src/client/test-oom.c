/*
 * Without memory: the k-th allocation of this library fails, for every k, through create + exec
 * + read + stop. Nothing may crash, hang or leak; what fails is a handle or a call. Only our
 * own calls of malloc and friends are counted
 * (-Wl,--wrap), whichever thread makes them; the peer's rooms are the same objects, so the peer
 * runs with failures off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/testpeer.h"

#include <cmocka.h>

#define LONG (30 * NS_PER_SEC)

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
int __real_vasprintf(char **ret, const char *fmt, va_list ap);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap);

static _Atomic long countdown = -1; /* < 0: no failures */
static _Thread_local bool immune;   /* the peer's thread */

static bool fails(void)
{
    return !immune && atomic_load(&countdown) >= 0 && atomic_fetch_sub(&countdown, 1) == 0;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}
char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
    return fails() ? -1 : __real_vasprintf(ret, fmt, ap);
}

static void become_immune(void)
{
    immune = true;
}

static void reply_with_details(struct peer_call *c)
{
    Pb__Sandbox sandbox = PB__SANDBOX__INIT;
    Pb__SandboxStatus status = PB__SANDBOX_STATUS__INIT;
    Pb__ServiceStatus service = PB__SERVICE_STATUS__INIT, *services = &service;
    service.url = (char *)"https://a";
    status.services = &services;
    status.n_services = 1;
    status.state = PB__STATE__STATE_TERMINATED;
    sandbox.sandbox_id = (char *)"sb-1";
    sandbox.status = &status;
    peer_reply(c, &sandbox);
}

static void handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox")) {
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    } else if (peer_is(c, "StreamExec") && c->n == 1) {
        peer_send_ready(c);
        peer_send_output(c, 1, "out");
        peer_send_output(c, 2, "err");
        peer_send_exit(c, 1);
        peer_finish(c);
    } else if (peer_is(c, "DeleteSandbox")) {
        Pb__DeleteSandboxResponse reply = PB__DELETE_SANDBOX_RESPONSE__INIT;
        char *ids[] = {(char *)"fss-1", (char *)"fss-2"};
        reply.file_system_snapshot_ids = ids;
        reply.n_file_system_snapshot_ids = 2;
        peer_reply(c, &reply);
    } else if (peer_is(c, "GetSandbox")) {
        reply_with_details(c);
    } else if (peer_is(c, "ListFileSystemSnapshots")) {
        Pb__ListFileSystemSnapshotsResponse reply =
            PB__LIST_FILE_SYSTEM_SNAPSHOTS_RESPONSE__INIT;
        reply.next_page_token = (char *)(c->nth % 2 ? "2" : "");
        peer_reply(c, &reply);
    } else if (peer_is(c, "ListAvailableRunners")) {
        Pb__ListAvailableRunnersResponse reply = PB__LIST_AVAILABLE_RUNNERS_RESPONSE__INIT;
        peer_reply(c, &reply);
    } else if (strstr(c->method, "FileSystemSnapshot")) {
        Pb__FileSystemSnapshot reply = PB__FILE_SYSTEM_SNAPSHOT__INIT;
        reply.file_system_snapshot_id = (char *)"fss-1";
        reply.state = peer_is(c, "CreateFileSystemSnapshot")
                          ? PB__SNAPSHOT_STATE__SNAPSHOT_STATE_CREATING
                          : PB__SNAPSHOT_STATE__SNAPSHOT_STATE_READY;
        peer_reply(c, &reply);
    } else if (peer_is(c, "ReadFile")) {
        Pb__ReadFileResponse reply = PB__READ_FILE_RESPONSE__INIT;
        reply.content = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
        peer_reply(c, &reply);
    } else if (peer_is(c, "StreamLogs")) {
        Pb__LogEntry entry = PB__LOG_ENTRY__INIT;
        entry.data = (ProtobufCBinaryData){9, (uint8_t *)"log\nline\n"};
        entry.log_session_id = (char *)"s";
        peer_reply(c, &entry);
    }
}

static int finish(cws_op *take_op)
{
    if (!take_op)
        return 1;
    assert_int_equal(cws_op_wait(take_op, LONG), CWS_WAIT_DONE);
    int failed = cws_op_error(take_op) != NULL;
    cws_op_unref(take_op);
    return failed;
}

static bool injecting;

/* What is tried again after a failure is given up after a moment: the failure was the point. */
static int finish_soon(cws_op *take_op)
{
    if (take_op && injecting && cws_op_wait(take_op, 20 * NS_PER_MS) != CWS_WAIT_DONE)
        (void)cws_op_cancel(take_op);
    return finish(take_op);
}

static int use_process(cws_sandbox *sb)
{
    const char *argv[] = {"sh", "-c", "it's"};
    cws_process *p = cws_sandbox_exec(
        sb, argv, 3, &(cws_exec_options){.cwd = "/tmp", .want_stdin = 1, .check = 1}, NULL);
    if (!p)
        return 1;
    cws_op_unref(cws_writer_write(cws_process_stdin(p), "in", 2, NULL));
    cws_op_unref(cws_writer_close(cws_process_stdin(p), NULL));
    cws_queue *q = cws_queue_new(NULL);
    if (q)
        (void)cws_queue_add(q, cws_process_op(p), p, NULL);
    assert_int_equal(cws_op_wait(cws_process_op(p), LONG), CWS_WAIT_DONE);
    cws_chunk c;
    while (cws_reader_read(cws_process_stdout(p), LONG, &c, NULL) == CWS_READ_DATA)
        cws_chunk_release(&c);
    assert_int_equal(cws_reader_read(cws_process_stderr(p), LONG, &c, NULL) == CWS_READ_TIMEOUT,
                     0);
    cws_chunk_release(&c);
    cws_queue_free(q);
    cws_process_unref(p);
    return 1; /* check = 1 with exit 1 is an error by itself */
}

static int use_logs(cws_sandbox *sb)
{
    cws_reader *r = cws_sandbox_logs(sb, NULL, NULL);
    if (!r)
        return 1;
    cws_chunk c;
    cws_read_result result;
    while ((result = cws_reader_read(r, LONG, &c, NULL)) == CWS_READ_DATA)
        cws_chunk_release(&c);
    assert_int_not_equal(result, CWS_READ_TIMEOUT);
    cws_reader_unref(r);
    return result == CWS_READ_ERROR;
}

/* Everything once; the number of things that failed. */
static int scenario(const char *url)
{
    int failed = 0;
    struct cws_client *client = cws_client_new(NULL);
    cws_target *target = client ? cws_target_new(url, NULL, 0, NULL) : NULL;
    cws_options *o = target ? cws_options_new(NULL) : NULL;
    if (o) {
        failed += cws_options_add_env(o, "A", "b", NULL) < 0;
        failed += cws_options_add_file(o, "/f", "x", 1, NULL) < 0;
        failed += cws_options_add_egress(o, "a.b", NULL) < 0;
        failed += cws_options_add_service(o, &(cws_service_options){.port = 1, .name = "w"},
                                          NULL) < 0;
        failed += cws_options_add_secret(o, "s", "n", "f", NULL, NULL) < 0;
        failed += cws_options_set_pull_credentials(o, "r", "s", "n", NULL, NULL) < 0;
        failed += cws_options_add_scratch_volume(o, "v", "/v", "1Gi", NULL, NULL) < 0;
        failed += cws_options_add_host_directory(o, "/data/", "/data", NULL) < 0;
        failed += cws_options_set_gpu(o, 1, "H100", 0, NULL) < 0;
        cws_options_set_spillover(o, CWS_SPILLOVER_CKS_THEN_SERVERLESS);
    }
    cws_sandbox *sb = o ? cws_sandbox_new(client, target, o, NULL) : NULL;
    if (sb) {
        failed += finish(cws_sandbox_start(sb, NULL));
        (void)use_process(sb);
        failed += finish(cws_sandbox_read_file(sb, "/f", 0, NULL));
        failed += use_logs(sb);
        failed += finish_soon(cws_sandbox_snapshot(sb, 1, NULL, NULL));
        cws_stop_options stop = {.snapshot = 1, .request_id = "q"};
        failed += finish_soon(cws_sandbox_stop_with(sb, &stop, NULL));
        free(cws_sandbox_snapshot_id(sb, 0));
        cws_sandbox_details_unref(cws_sandbox_get_details(sb));
        failed += finish_soon(cws_snapshot_list(client, target, "sb-1", 0, 0, NULL));
        failed += finish(cws_list_runners(client, target, NULL, NULL));
        failed += finish(cws_sandbox_stop(sb, 0, 1, NULL));
    }
    failed += !sb;
    cws_sandbox_unref(sb);
    cws_options_free(o);
    cws_target_unref(target);
    cws_client_unref(client);
    return failed;
}

static void test_no_failed_allocation_crashes_hangs_or_leaks(void **state)
{
    struct peer peer = {0};
    peer.on_thread = become_immune;
    peer_begin(&peer, true, handler, NULL);
    assert_int_equal(scenario(peer.url), 0);
    long k = 0;
    injecting = true;
    for (bool more = true; more; k++) {
        atomic_store(&countdown, k);
        (void)scenario(peer.url);
        more = atomic_exchange(&countdown, -1) <
               0; /* it was used up: there are allocations beyond k */
    }
    injecting = false;
    assert_true(k > 50);
    assert_int_equal(scenario(peer.url), 0);
    peer_end(&peer);
    print_message("failed each of the first %ld allocations once\n", k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_failed_allocation_crashes_hangs_or_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
