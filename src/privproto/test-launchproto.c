/* launchproto: roundtrips, refusals, and every cap at limit, limit + 1 and 0. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "privproto/launchproto.h"

static uint8_t packet[LAUNCH_MAX_PACKET + 1];

static struct launch_message create_message(void)
{
    return (struct launch_message){
        .type = LAUNCH_CREATE,
        .seq = 7,
        .u.create = {.id = "sb-1",
                     .root.host = true,
                     .root.size_bytes = 1 << 20,
                     .root.n_inodes = 1000,
                     .root.disk = true,
                     .n_mounts = 2,
                     .mounts = {{MOUNT_HOST, "", ""}, {MOUNT_SPACE, "tmp", "/tmp"}}},
    };
}

static ssize_t encode(const struct launch_message *msg)
{
    return launchproto_encode(msg, packet, LAUNCH_MAX_PACKET);
}

static void test_every_message_survives_a_roundtrip(void **state)
{
    struct launch_message all[] = {
        {.type = LAUNCH_HELLO, .seq = 1, .u.version = LAUNCH_VERSION},
        {.type = LAUNCH_HELLO,
         .seq = 1,
         .answer = true,
         .u.features = {.version = LAUNCH_VERSION,
                        .root = true,
                        .limit_pids = true,
                        .disk_bytes = 1ull << 40,
                        .uid_base = 9,
                        .problems = "a: b: c"}},
        create_message(),
        {.type = LAUNCH_CREATE,
         .seq = 2,
         .answer = true,
         .u.created =
             {.status = -EPERM, .stage = "mount overlay", .pid = 12, .init_version = 3}},
        {.type = LAUNCH_LIMITS,
         .seq = UINT32_MAX,
         .u.limits = {.id = "x", .memory_bytes = UINT64_MAX, .cpu_millis = 1500, .pids = 3}},
        {.type = LAUNCH_LIMITS,
         .seq = 4,
         .answer = true,
         .u.status = {.status = -ENOTSUP, .stage = "pids"}},
        {.type = LAUNCH_KILL, .seq = 5, .u.id = "x"},
        {.type = LAUNCH_KILL, .seq = 5, .answer = true},
        {.type = LAUNCH_USAGE, .seq = 6, .u.id = "x"},
        {.type = LAUNCH_USAGE,
         .seq = 6,
         .answer = true,
         .u.usage = {.cpu_ns = 4, .n_oom_kills = 1}},
        {.type = LAUNCH_FREEZE, .seq = 8, .u.freeze = {.id = "x", .frozen = true}},
        {.type = LAUNCH_FREEZE, .seq = 8, .answer = true},
        {.type = LAUNCH_KILL_EXEC, .seq = 9, .u.kill_exec = {.id = "x", .slot = 7}},
        {.type = LAUNCH_KILL_EXEC,
         .seq = 9,
         .answer = true,
         .u.status = {.status = -ETIMEDOUT, .stage = "wait for the end"}},
        {.type = LAUNCH_LIST, .seq = 9, .u.after = ""},
        {.type = LAUNCH_LIST, .seq = 9, .u.after = "x"},
        {.type = LAUNCH_LIST,
         .seq = 9,
         .answer = true,
         .u.listed = {.id = "x", .pid = 3, .init_version = 2, .pids = 4}},
        {.type = LAUNCH_LIST, .seq = 9, .answer = true, .u.listed = {.status = -ENOENT}},
        {.type = LAUNCH_EVENT_EXITED, .u.exited = {.id = "x", .wait_status = 9, .cpu_ns = 77}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct launch_message got;
        uint8_t again[4096];
        ssize_t n = encode(&all[i]);

        assert_true(n > 0);
        assert_int_equal(launchproto_decode(packet, (size_t)n, &got), 0);
        assert_int_equal(got.type, all[i].type);
        assert_int_equal(got.seq, all[i].seq);
        assert_int_equal(launchproto_encode(&got, again, sizeof(again)), n);
        assert_memory_equal(again, packet, n);
    }
}

/* Whatever follows: the two sides can say who they are, and part. */
static void test_of_a_hello_of_another_version_only_the_number_is_read(void **state)
{
    for (int answer = 0; answer < 2; answer++) {
        uint32_t words[8] = {LAUNCH_HELLO, 1, (uint32_t)answer, LAUNCH_VERSION + 1, ~0u, ~0u};
        struct launch_message got;

        for (size_t n = 16; n <= sizeof(words); n++) {
            assert_int_equal(launchproto_decode((uint8_t *)words, n, &got), 0);
            assert_int_equal(answer ? got.u.features.version : got.u.version,
                             LAUNCH_VERSION + 1);
            assert_int_equal(got.u.features.uid_count, 0);
        }
        assert_int_equal(launchproto_decode((uint8_t *)words, 15, &got), -EBADMSG);
        words[3] = LAUNCH_VERSION;
        assert_int_equal(launchproto_decode((uint8_t *)words, sizeof(words), &got), -EBADMSG);
    }
}

static void test_decode_rejects_truncated_and_overlong(void **state)
{
    struct launch_message msg = create_message(), got;
    ssize_t n = encode(&msg);

    for (ssize_t cut = 0; cut < n; cut++)
        assert_int_equal(launchproto_decode(packet, (size_t)cut, &got), -EBADMSG);
    packet[n] = 0;
    assert_int_equal(launchproto_decode(packet, (size_t)n + 1, &got), -EBADMSG);
}

static void test_encode_rejects_a_buffer_one_byte_short(void **state)
{
    struct launch_message msg = create_message();
    ssize_t n = encode(&msg);

    assert_int_equal(launchproto_encode(&msg, packet, (size_t)n), n);
    assert_int_equal(launchproto_encode(&msg, packet, (size_t)n - 1), -EMSGSIZE);
    assert_int_equal(launchproto_encode(&msg, packet, 0), -EMSGSIZE);
}

static void test_unknown_type_and_bad_flags_are_refused(void **state)
{
    struct launch_message msg = {.type = LAUNCH_TYPE_MAX, .seq = 1}, got;
    uint32_t head[4] = {LAUNCH_TYPE_MAX, 1, 0, LAUNCH_VERSION};

    assert_int_equal(encode(&msg), -EINVAL);
    assert_int_equal(launchproto_decode((uint8_t *)head, sizeof(head), &got), -EBADMSG);
    head[0] = LAUNCH_HELLO;
    assert_int_equal(launchproto_decode((uint8_t *)head, sizeof(head), &got), 0);
    head[2] = 2;
    assert_int_equal(launchproto_decode((uint8_t *)head, sizeof(head), &got), -EBADMSG);
    head[2] = 0;
    head[1] = 0; /* a request needs a sequence number */
    assert_int_equal(launchproto_decode((uint8_t *)head, sizeof(head), &got), -EBADMSG);
}

static void test_ids_are_checked(void **state)
{
    struct launch_message msg = {.type = LAUNCH_KILL, .seq = 1}, got;
    const char *bad[] = {"", "A", "a/b", "..", "a b", "a_b"};
    ssize_t n;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        (void)snprintf(msg.u.id, sizeof(msg.u.id), "%s", bad[i]);
        assert_int_equal(encode(&msg), -EINVAL);
    }
    memset(msg.u.id, 'a', LAUNCH_MAX_ID); /* no NUL: one over the limit */
    assert_int_equal(encode(&msg), -EINVAL);
    msg.u.id[LAUNCH_MAX_ID - 1] = 0;
    n = encode(&msg);
    assert_true(n > 0);
    packet[14] = '/'; /* 12 bytes of header, 2 of length */
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
    packet[14] = 0;
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
}

#define LAYER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_layers_at_their_limits(void **state)
{
    struct launch_message msg = create_message(), got;
    ssize_t n;

    assert_true(encode(&msg) > 0); /* host image: 0 layers */
    msg.u.create.root.host = false;
    assert_int_equal(encode(&msg), -EINVAL);
    for (int i = 0; i < LAUNCH_MAX_LAYERS; i++)
        msg.u.create.root.layers[i] = LAYER;
    msg.u.create.root.n_layers = LAUNCH_MAX_LAYERS;
    n = encode(&msg);
    assert_true(n > 0);
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), 0);
    assert_string_equal(got.u.create.root.layers[LAUNCH_MAX_LAYERS - 1], LAYER);
    msg.u.create.root.n_layers = LAUNCH_MAX_LAYERS + 1;
    assert_int_equal(encode(&msg), -EINVAL);
    msg.u.create.root.host = true; /* which has lower directories of its own */
    msg.u.create.root.n_layers = LAUNCH_MAX_LAYERS - LAUNCH_HOST_LOWERS;
    assert_true(encode(&msg) > 0);
    msg.u.create.root.n_layers++;
    assert_int_equal(encode(&msg), -EINVAL);
}

static void test_layers_are_names_not_paths(void **state)
{
    static const char *const bad[] = {
        "",
        "/etc",
        "..",
        LAYER "0",
        "0123456789ABCDEF" /* and so on */,
        "../../../../../../../../../../../../../../../../etc/ssl/private_"};
    struct launch_message msg = create_message(), got;
    ssize_t n;
    uint8_t *at;

    msg.u.create.root.host = false;
    msg.u.create.root.n_layers = 1;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        msg.u.create.root.layers[0] = bad[i];
        assert_int_equal(encode(&msg), -EINVAL);
    }
    msg.u.create.root.layers[0] = LAYER;
    n = encode(&msg);
    at = memmem(packet, (size_t)n, LAYER, LAUNCH_LAYER_DIGITS);
    assert_non_null(at);
    at[63] = 'F';
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
    at[63] = '/';
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
}

static void test_mounts_at_their_limits(void **state)
{
    struct launch_message msg = create_message(), got;
    ssize_t n;

    for (int i = 0; i < LAUNCH_MAX_MOUNTS; i++)
        msg.u.create.mounts[i] = (struct mount_op){MOUNT_PROC, "", "/proc"};
    msg.u.create.n_mounts = LAUNCH_MAX_MOUNTS;
    n = encode(&msg);
    assert_true(n > 0);
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), 0);
    assert_string_equal(got.u.create.mounts[LAUNCH_MAX_MOUNTS - 1].target, "/proc");
    msg.u.create.n_mounts = 0;
    assert_true(encode(&msg) > 0);
    msg.u.create.n_mounts = LAUNCH_MAX_MOUNTS + 1;
    assert_int_equal(encode(&msg), -EINVAL);
}

static void test_mounts_have_what_their_kind_has(void **state)
{
    char longest[LAUNCH_MAX_TARGET + 1];
    struct launch_message msg = create_message(), got;
    const struct mount_op bad[] = {
        {0, "", "/"},
        {MOUNT_KIND_MAX, "", "/"},
        {MOUNT_HOST, "usr", ""},
        {MOUNT_HOST, "", "/usr"},
        {MOUNT_DEV, "", ""},
        {MOUNT_DEV, "", "dev"},
        {MOUNT_DEV, "x", "/dev"},
        {MOUNT_SPACE, "", "/tmp"},
        {MOUNT_SPACE, "..", "/tmp"},
        {MOUNT_SPACE, "root", "/tmp"},
        {MOUNT_PROC, "", NULL},
        {MOUNT_PROC, NULL, "/proc"},
        {MOUNT_PROC, "", "/proc", 1, false},
        {MOUNT_PROC, "", "/proc", 0, true},
        {MOUNT_MEMORY, "v", "", 0, false},
        {MOUNT_MEMORY, "v", "/v", 1, false},
        {MOUNT_MEMORY, "v/w", "", 1, false},
        {MOUNT_VOLUME, "", "/v", 0, false},
        {MOUNT_VOLUME, "v", "", 0, false},
        {MOUNT_VOLUME, "v", "/v", 1, false},
        {MOUNT_VOLUME, "..", "/v", 0, false},
        {MOUNT_VOLUME, "/v", "/v", 0, false},
        {MOUNT_VOLUME, "v/", "/v", 0, false},
        {MOUNT_VOLUME, "v//w", "/v", 0, false},
        {MOUNT_VOLUME, "v/w/.", "/v", 0, false},
        {MOUNT_VOLUME, "v/../w", "/v", 0, false},
        {MOUNT_VOLUME, longest, "/v", 0, false},
        {MOUNT_DIR, "", "/data", 0, true},
        {MOUNT_DIR, "data", "/data", 0, true},
        {MOUNT_DIR, "/data/", "/data", 0, true},
        {MOUNT_DIR, "/data/../etc", "/data", 0, true},
        {MOUNT_DIR, "/./data", "/data", 0, true},
        {MOUNT_DIR, "//data", "/data", 0, true},
        {MOUNT_DIR, "/..", "/data", 0, true},
        {MOUNT_DIR, longest, "/data", 0, true},
        {MOUNT_DIR, "/data", "", 0, true},
        {MOUNT_DIR, "/data", "/data", 0, false},
        {MOUNT_PROC, "", longest}, /* the last: it is made shorter below */
    };
    ssize_t n;

    memset(longest, '/', LAUNCH_MAX_TARGET);
    longest[LAUNCH_MAX_TARGET] = 0;
    msg.u.create.n_mounts = 1;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        msg.u.create.mounts[0] = bad[i];
        assert_int_equal(encode(&msg), -EINVAL);
    }
    longest[LAUNCH_MAX_TARGET - 1] = 0;
    assert_true(encode(&msg) > 0);
    msg.u.create.mounts[0] = (struct mount_op){MOUNT_SPACE, "tmp", "/tmp"};
    n = encode(&msg);
    packet[n - 18] = 'x'; /* "txp": no directory of the space */
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
}

static void test_volumes_arrive_as_they_were_sent(void **state)
{
    struct launch_message msg = create_message(), got;
    const struct mount_op good[] = {
        {MOUNT_MEMORY, "v", "", 4096, false},
        {MOUNT_VOLUME, "v", "/v", 0, true},
        {MOUNT_VOLUME, "v-2/.a/..b/...", "/w", 0, false},
    };
    ssize_t n;

    memcpy(msg.u.create.mounts, good, sizeof(good));
    msg.u.create.n_mounts = ARRAY_SIZE(good);
    n = encode(&msg);
    assert_true(n > 0);
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), 0);
    assert_int_equal(got.u.create.mounts[0].size_bytes, 4096);
    assert_true(got.u.create.mounts[1].read_only);
    assert_false(got.u.create.mounts[2].read_only);
    assert_string_equal(got.u.create.mounts[2].source, good[2].source);
    packet[n - 1] = 2; /* read-only is yes or no */
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
}

static void test_directories_at_their_limits(void **state)
{
    char longest[LAUNCH_MAX_TARGET + 1] = "/";
    struct launch_message msg = create_message();
    (void)state;

    for (uint32_t i = 0; i <= MACHINE_DIRS_MAX; i++)
        msg.u.create.mounts[i] = (struct mount_op){MOUNT_DIR, "/", "/data", 0, true};
    msg.u.create.n_mounts = MACHINE_DIRS_MAX;
    assert_true(encode(&msg) > 0);
    msg.u.create.n_mounts++;
    assert_int_equal(encode(&msg), -EINVAL);
    memset(longest + 1, 'x', LAUNCH_MAX_TARGET - 1);
    assert_false(machine_path_valid(longest));
    longest[LAUNCH_MAX_TARGET - 1] = 0;
    assert_true(machine_path_valid(longest));
    assert_true(machine_path_valid("/..x/.y/..."));
}

static void test_a_path_is_below_whole_names_only(void **state)
{
    (void)state;
    assert_string_equal(machine_path_below("/data/a/b", "/data"), "a/b");
    assert_string_equal(machine_path_below("/data", "/data"), "");
    assert_string_equal(machine_path_below("/data", "/"), "data");
    assert_string_equal(machine_path_below("/", "/"), "");
    assert_null(machine_path_below("/data2", "/data"));
    assert_null(machine_path_below("/dat", "/data"));
    assert_null(machine_path_below("/", "/data"));
}

static void test_grants_at_their_limits(void **state)
{
    static const struct launch_grant wrong[] = {
        {2, 1, 6, 6, 80, 80}, {1, 1, 7, 6, 80, 80}, {1, 1, 6, 6, 81, 80}};
    struct launch_message msg = {.type = LAUNCH_NETWORK, .seq = 3, .u.rules = {.id = "sb-1"}};
    struct launch_message got;
    (void)state;

    for (uint32_t n = 0; n <= LAUNCH_MAX_GRANTS; n += LAUNCH_MAX_GRANTS) {
        for (uint32_t i = 0; i < n; i++)
            msg.u.rules.grants[i] = (struct launch_grant){i, i, 6, 17, 1, UINT16_MAX};
        msg.u.rules.n_grants = n;
        assert_int_equal(launchproto_decode(packet, (size_t)encode(&msg), &got), 0);
        assert_memory_equal(&got.u.rules, &msg.u.rules, offsetof(struct launch_rules, names));
        assert_string_equal(got.u.rules.names, "");
    }
    msg.u.rules.n_grants = LAUNCH_MAX_GRANTS + 1;
    assert_int_equal(encode(&msg), -EINVAL);
    msg.u.rules.n_grants = 1;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        msg.u.rules.grants[0] = wrong[i];
        assert_int_equal(encode(&msg), -EINVAL);
        /* The same bytes from a daemon that does not check. */
        msg.u.rules.grants[0] = (struct launch_grant){1, 2, 6, 6, 80, 81};
        ssize_t n = encode(&msg);
        memcpy(packet + n - 3 - sizeof(wrong[i]), &wrong[i], sizeof(wrong[i]));
        assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
    }
}

static void test_names_are_checked(void **state)
{
    static const char *const fine[] = {"", "*\n", "a.example\n", "*.example\na-1.b\n"};
    static const char *const wrong[] = {"a", "A\n", "a b\n", "a\r\n", "*"};
    struct launch_message msg = {.type = LAUNCH_NETWORK, .seq = 3, .u.rules = {.id = "sb-1"}};
    struct launch_message got;
    (void)state;

    for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
        msg.u.rules.names = fine[i];
        assert_int_equal(launchproto_decode(packet, (size_t)encode(&msg), &got), 0);
        assert_string_equal(got.u.rules.names, fine[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        msg.u.rules.names = wrong[i];
        assert_int_equal(encode(&msg), -EINVAL);
    }
    msg.u.rules.names = "b.example\n"; /* from a daemon that does not check */
    ssize_t n = encode(&msg);
    packet[n - 3] = 'E';
    assert_int_equal(launchproto_decode(packet, (size_t)n, &got), -EBADMSG);
}

static void test_packets_stop_at_the_packet_limit(void **state)
{
    struct launch_message got;

    assert_int_equal(launchproto_decode(packet, LAUNCH_MAX_PACKET + 1, &got), -EBADMSG);
}

static void test_zero_sizes_and_positive_statuses_are_refused(void **state)
{
    struct launch_message msg = create_message();
    struct launch_message status = {
        .type = LAUNCH_KILL, .seq = 1, .answer = true, .u.status = {.status = 1}};

    msg.u.create.root.size_bytes = 0;
    assert_int_equal(encode(&msg), -EINVAL);
    msg = create_message();
    msg.u.create.root.n_inodes = 0;
    assert_int_equal(encode(&msg), -EINVAL);
    assert_int_equal(encode(&status), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_survives_a_roundtrip),
        cmocka_unit_test(test_of_a_hello_of_another_version_only_the_number_is_read),
        cmocka_unit_test(test_decode_rejects_truncated_and_overlong),
        cmocka_unit_test(test_encode_rejects_a_buffer_one_byte_short),
        cmocka_unit_test(test_unknown_type_and_bad_flags_are_refused),
        cmocka_unit_test(test_ids_are_checked),
        cmocka_unit_test(test_layers_at_their_limits),
        cmocka_unit_test(test_layers_are_names_not_paths),
        cmocka_unit_test(test_mounts_at_their_limits),
        cmocka_unit_test(test_mounts_have_what_their_kind_has),
        cmocka_unit_test(test_directories_at_their_limits),
        cmocka_unit_test(test_a_path_is_below_whole_names_only),
        cmocka_unit_test(test_volumes_arrive_as_they_were_sent),
        cmocka_unit_test(test_grants_at_their_limits),
        cmocka_unit_test(test_names_are_checked),
        cmocka_unit_test(test_packets_stop_at_the_packet_limit),
        cmocka_unit_test(test_zero_sizes_and_positive_statuses_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
