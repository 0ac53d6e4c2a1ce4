/* Log streams against peers that misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/testworld.h"

#include <cmocka.h>

static struct world world;
static cws_sandbox *sb;

static void begin(peer_handler handler)
{
    world_begin(&world, true, handler);
    sb = world_sandbox(&world);
}

static void end(void)
{
    cws_sandbox_unref(sb);
    world_end(&world);
}

static char since_seen[8][96];

static void send_log(struct peer_call *c, const char *text, const char *session,
                     uint64_t offset, const char *code)
{
    Pb__LogEntry entry = PB__LOG_ENTRY__INIT;
    Pb__LogStreamError error = PB__LOG_STREAM_ERROR__INIT;
    entry.data = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    entry.log_session_id = (char *)session;
    entry.next_log_offset = offset;
    error.code = (char *)(code ? code : "");
    if (code)
        entry.error = &error;
    peer_send(c, &entry);
}

static void log_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (world_basics(c) || !data)
        return;
    struct err err = {0};
    Pb__StreamLogsRequest *r =
        proto_unpack(&pb__stream_logs_request__descriptor, data, n, &err);
    (void)snprintf(since_seen[c->nth], sizeof(since_seen[0]), "%s %llu tail=%d since=%d ts=%d",
                   r->resume_log_session_id, (unsigned long long)r->resume_log_offset,
                   r->tail_lines, r->since_time != NULL, r->timestamps);
    proto_free(r);
    switch (c->nth) {
    case 1:
        send_log(c, "one\ntw", "s1", 6, NULL);
        peer_fail(c, ERR_UNAVAILABLE, NULL, "gone");
        break;
    case 2:
        send_log(c, "o\nthr", "s1", 11, NULL);
        send_log(c, "", "", 0, "STREAM_INTERRUPTED");
        break;
    case 3:
        send_log(c, "", "", 0, "SESSION_NOT_FOUND");
        break;
    case 4:
        send_log(c, "four\nlast", "s2", 9, NULL);
        peer_finish(c);
        break;
    }
}

static void expect_line(cws_reader *r, const char *want)
{
    cws_chunk c;
    const cws_error *e = NULL;
    cws_read_result result = cws_reader_read(r, LONG, &c, &e);
    if (result != CWS_READ_DATA)
        fail_msg("read gave %d: %s", result, e ? cws_error_message(e) : "");
    assert_int_equal(c.size, strlen(want));
    assert_memory_equal(c.data, want, c.size);
    cws_chunk_release(&c);
}

static void expect_loss(cws_reader *r, const char *why)
{
    static const char begin[] = "[cwsandbox: output between 20";
    char end[128];
    cws_chunk c = {0};
    int n =
        snprintf(end, sizeof(end),
                 "Z may be missing here: the service lost this reader's place (%s)]\n", why);
    assert_int_equal(cws_reader_read(r, LONG, &c, NULL), CWS_READ_DATA);
    assert_in_range(c.size, sizeof(begin) + (size_t)n, 256);
    assert_memory_equal(c.data, begin, sizeof(begin) - 1);
    assert_memory_equal(c.data + c.size - n, end, (size_t)n);
    cws_chunk_release(&c);
}

/* The session is lost, and the log is over. */
static void ending_log_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (world_basics(c) || !data)
        return;
    if (c->nth == 1) {
        send_log(c, "one\n", "s1", 4, NULL);
        send_log(c, "", "", 0, "SESSION_NOT_FOUND");
    } else {
        peer_finish(c);
    }
}

static void test_a_log_follower_is_told_of_a_loss_before_the_end(void **state)
{
    begin(ending_log_handler);
    cws_reader *r = cws_sandbox_logs(sb, &(cws_log_options){.follow = 1}, NULL);
    cws_chunk c;
    expect_line(r, "one\n");
    expect_loss(r, "SESSION_NOT_FOUND");
    assert_int_equal(cws_reader_read(r, LONG, &c, NULL), CWS_READ_END);
    cws_reader_unref(r);
    end();
}

static void test_a_log_follower_resumes_and_starts_afresh(void **state)
{
    begin(log_handler);
    cws_reader *r = cws_sandbox_logs(
        sb, &(cws_log_options){.follow = 1, .tail_lines = 5, .timestamps = 1}, NULL);
    cws_chunk c;
    expect_line(r, "one\n");
    expect_line(r, "two\n");
    expect_loss(r, "SESSION_NOT_FOUND"); /* "thr" was lost with its session */
    expect_line(r, "four\n");
    expect_line(r, "last");
    assert_int_equal(cws_reader_read(r, LONG, &c, NULL), CWS_READ_END);
    cws_reader_unref(r);
    assert_string_equal(since_seen[1], " 0 tail=5 since=0 ts=1");
    assert_string_equal(since_seen[2], "s1 6 tail=0 since=0 ts=0");
    assert_string_equal(since_seen[3], "s1 11 tail=0 since=0 ts=0");
    assert_string_equal(since_seen[4], " 0 tail=0 since=1 ts=1");
    end();
}

static void hopeless_log_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!world_basics(c) && data)
        peer_fail(c, ERR_UNAVAILABLE, NULL, "never");
}

static void test_a_log_reader_gives_up_and_says_why(void **state)
{
    begin(hopeless_log_handler);
    cws_chunk c;
    const cws_error *e = NULL;
    cws_reader *r = cws_sandbox_logs(sb, NULL, NULL); /* not following: no second try */
    assert_int_equal(cws_reader_read(r, LONG, &c, &e), CWS_READ_ERROR);
    assert_int_equal(cws_error_get_kind(e), CWS_E_UNAVAILABLE);
    cws_reader_unref(r);
    assert_int_equal(peer_count(&world.peer, "StreamLogs"), 1);
    r = cws_sandbox_logs(sb, &(cws_log_options){.follow = 1}, NULL);
    assert_int_equal(cws_reader_read(r, LONG, &c, &e), CWS_READ_ERROR);
    assert_int_equal(cws_error_get_kind(e), CWS_E_UNAVAILABLE);
    assert_non_null(cws_error_cause(e));
    assert_int_equal(cws_reader_read(r, LONG, &c, &e), CWS_READ_END);
    cws_reader_unref(r);
    assert_int_equal(peer_count(&world.peer, "StreamLogs"),
                     1 + 4); /* one, and three more attempts */
    end();
}

static void mute_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    (void)world_basics(c);
}

static void test_dropping_a_stream_ends_its_call(void **state)
{
    begin(mute_handler);
    cws_reader *log = cws_sandbox_logs(sb, &(cws_log_options){.follow = 1}, NULL);
    cws_reader *file = cws_sandbox_read_file_stream(sb, "/x", 0, NULL);
    cws_op *start = cws_sandbox_start(sb, NULL);
    assert_int_equal(result_of(start), 0);
    cws_reader_unref(log);
    cws_chunk c;
    cws_reader_close(file);
    assert_int_equal(cws_reader_read(file, 0, &c, NULL), CWS_READ_END);
    cws_reader_unref(file);
    end();
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_log_follower_resumes_and_starts_afresh),
        cmocka_unit_test(test_a_log_follower_is_told_of_a_loss_before_the_end),
        cmocka_unit_test(test_a_log_reader_gives_up_and_says_why),
        cmocka_unit_test(test_dropping_a_stream_ends_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
