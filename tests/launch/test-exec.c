/* Processes in a sandbox: start, signals, killing, terminals, files passed out. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "harness.h"
#include "tests.h"

static struct run result; /* too large for a stack; each run fills it */

static void test_exec_echo_through_pipes(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "echo hello; echo error >&2", "hello\nerror\n");
    assert_shell(&b, "id -u; id -g; pwd", "0\n0\n/\n");
    run_shell(&b, "exit 7", &result);
    assert_int_equal(result.exit_code, 7);
    run_shell(&b, "kill -TERM $$", &result);
    assert_int_equal(result.exit_code, 128 + SIGTERM);
    end_all(&s, &b);
}

/* The number of processes inside that are called `sleep` and not zombies; waits a moment for 0.
 */
static int count_sleeps(struct box *b)
{
    int n = -1;

    for (int i = 0; i < 50 && n != 0; i++) {
        run_shell(b, "grep -l '(sleep) [^Z]' /proc/[0-9]*/stat 2>/dev/null | wc -l", &result);
        n = atoi(result.out);
    }
    return n;
}

/* As the daemon kills: init, and launch where it can. What launch answers, or EXITED where it cannot, means: nothing of it
 * lives. The microseconds until then. */
static uint64_t kill_exec(struct box *b, uint32_t id, int32_t slot)
{
    struct init_packet packet;
    uint64_t start = now_us(), us = 0;
    int fd;

    control_request(b, INIT_KILL, id, 0);
    if (slot >= 0) {
        assert_int_equal(box_kill_slot(b, slot), 0);
        us = now_us() - start;
    }
    do
        control_wait(b, &packet, &fd);
    while (packet.type != INIT_EXITED || packet.id != id);
    assert_true(WIFSIGNALED(packet.value) && WTERMSIG(packet.value) == SIGKILL);
    return slot >= 0 ? us : now_us() - start;
}

/* Processes of the sandbox that live, seen from outside: init's memfd has no other name, so by the user namespace of init. */
static int count_members(const struct box *b)
{
    char own[64], other[64], path[64];
    const struct dirent *entry;
    int n = 0;
    DIR *proc = opendir("/proc");
    ssize_t size;

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", b->pid);
    size = readlink(path, own, sizeof(own));
    assert_true(size > 0 && proc);
    while ((entry = readdir(proc))) {
        pid_t pid = atoi(entry->d_name);

        (void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
        if (pid > 0 && pid != b->pid && readlink(path, other, sizeof(other)) == size &&
            memcmp(own, other, (size_t)size) == 0 && process_alive(pid))
            n++;
    }
    (void)closedir(proc);
    return n;
}

/* Children of @pid that are dead and not reaped: anybody may look. */
static int count_dead_children(pid_t pid)
{
    const struct dirent *entry;
    int n = 0;
    DIR *proc = opendir("/proc");

    assert_non_null(proc);
    while ((entry = readdir(proc))) {
        char path[300], text[512] = "", state = 0;
        const char *rest;
        int parent;

        (void)snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !(rest = strrchr(text, ')')))
            continue;
        n += sscanf(rest, ") %c %d", &state, &parent) == 2 && state == 'Z' && parent == pid;
    }
    (void)closedir(proc);
    return n;
}

/* 1,024 processes that fork, in limits that starve them: a kill that is answered leaves none, and the next exec runs. */
#define BOMB \
    "exec python3 -c 'import os\nos.write(1, b\"up\")\nwhile True:\n  try: os.fork()\n  " \
    "except OSError: pass'"

/* The same by processes that leave every group. */
#define RUNAWAY \
    "exec python3 -c 'import os, signal\nif os.fork() != 0: signal.pause()\nos.write(1, " \
    "b\"up\")\n" \
    "while True:\n  try:\n    if os.fork() == 0: os.setsid()\n    elif os.fork() == 0: " \
    "os.setsid()\n" \
    "    else: os._exit(0)\n  except OSError: pass'"

static void kill_bomb(struct box *b, const char *script)
{
    struct launch_limits limits = {
        .memory_bytes = 64 << 20, .cpu_millis = 2000, .pids = 1024, .accept_unenforced = true};
    uint64_t us, start;
    int n_members;
    uint32_t id;

    assert_int_equal(box_limit(b, limits, NULL), 0);
    id = start_script(b, script);
    limits.cpu_millis = 100; /* not before: it has to come up */
    assert_int_equal(box_limit(b, limits, NULL), 0);
    (void)poll(NULL, 0, 300); /* no state to wait for: it is to be as large as it gets */
    us = kill_exec(b, id, b->slot);
    if (b->slot < 0) /* they would still count, and keep the next exec waiting */
        assert_int_equal(count_dead_children(b->pid), 0);
    n_members =
        b->service->features.root ? count_members(b) : 0; /* an ordinary user may not look */
    start = now_us();
    assert_shell(b, "echo next", "next\n");
    print_message("killed in %.1f ms, next exec %.1f ms\n", (double)us / 1000,
                  (double)(now_us() - start) / 1000);
    assert_int_equal(n_members, 0);
    assert_in_range(us, 0, 5000000); /* 0.1 s on a machine of our own */
    assert_shell(b, "grep -l '(python3) [^Z]' /proc/[0-9]*/stat 2>/dev/null | wc -l", "0\n");
}

static void test_a_kill_that_is_answered_has_left_nothing(void **state)
{
    const struct launch_limits limits = {
        .memory_bytes = 64 << 20, .cpu_millis = 100, .pids = 1024, .accept_unenforced = true};
    struct service s;
    struct box b;

    if (getenv("CWS_SLOW_MACHINE"))
        skip_because("1,024 forking processes take a translated machine minutes");
    service_start(&s);
    box_create(&s, &b);
    assert_int_equal(box_limit(&b, limits, NULL), 0);
    kill_bomb(&b, BOMB);
    kill_bomb(&b, RUNAWAY);
    end_all(&s, &b);
}

/* The daemon kills by number while the exec ends by itself: the number must not be somebody else's by then. */
static void test_a_slot_is_not_used_again_before_its_end_is_known(void **state)
{
    struct service s;
    struct box b;
    int32_t first;
    uint32_t id;

    service_start(&s);
    if (!s.features.cgroup_kill) {
        service_stop(&s);
        skip_because("no cgroup of this user kills");
    }
    box_create(&s, &b);
    assert_shell(&b, "true", "");
    first = b.slot;
    assert_shell(&b, "true", ""); /* the EXITED is known: used again */
    assert_int_equal(b.slot, first);
    b.n_seen--;
    id = start_script(&b, "sleep 300 & echo; wait");
    assert_int_not_equal(b.slot, first);
    assert_int_equal(box_kill_slot(&b, first), 0); /* nobody there */
    assert_int_equal(count_members(&b), 2);        /* sh and sleep */
    (void)kill_exec(&b, id, b.slot);
    b.n_seen++;
    for (int i = 0; i < 3; i++) /* a killed one is made anew */
        assert_shell(&b, "echo well", "well\n");
    assert_int_equal(box_kill_slot(&b, 4000), 0);
    end_all(&s, &b);
}

static void test_exec_kill_takes_all_descendants(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    uint32_t id, other;
    int fd;

    service_start(&s);
    box_create(&s, &b);
    other = start_script(&b, "echo; exec sleep 301");
    id = start_script(&b, "setsid sh -c 'sleep 302 & sleep 303' & (setsid sleep 304 &) ; "
                          "(sleep 305 & exec sleep 306) & "
                          "while ! grep -q 306 /proc/*/cmdline; do :; done; echo; sleep 307");
    control_request(&b, INIT_KILL, id, 0);
    control_wait(&b, &packet, &fd);
    assert_int_equal(packet.type, INIT_EXITED);
    assert_int_equal(packet.id, id);
    assert_true(WIFSIGNALED(packet.value) && WTERMSIG(packet.value) == SIGKILL);
    for (int i = 0; i < 50; i++) {
        run_shell(&b,
                  "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep "
                  "30[0-9]' | sort | tr '\\n' ' '",
                  &result);
        if (strcmp(result.out, "sleep 301 ") == 0)
            break;
    }
    assert_string_equal(result.out, "sleep 301 "); /* the other exec is untouched */
    control_request(&b, INIT_SIGNAL, other, SIGINT);
    control_wait(&b, &packet, &fd);
    assert_int_equal(packet.id, other);
    assert_int_equal(WTERMSIG(packet.value), SIGINT);
    assert_int_equal(count_sleeps(&b), 0);
    end_all(&s, &b);
}

/* So many that the list of them is longer than one read. */
static void test_exec_kill_takes_children_of_every_thread(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    uint32_t id;
    int fd;

    if (getenv("CWS_SLOW_MACHINE"))
        skip_because("900 forks of Python take a translated machine minutes");
    service_start(&s);
    box_create(&s, &b);
    id = start_script(&b, "exec python3 -c 'import os, threading, time\n"
                          "def work():\n"
                          "  for i in range(900):\n"
                          "    if os.fork() == 0: os.execlp(\"sleep\", \"sleep\", \"300\")\n"
                          "  print(flush=True); time.sleep(300)\n"
                          "threading.Thread(target=work).start()'");
    control_request(&b, INIT_KILL, id, 0);
    control_wait(&b, &packet, &fd);
    assert_int_equal(packet.id, id);
    assert_int_equal(count_sleeps(&b), 0);
    end_all(&s, &b);
}

/* Killed while its processes are in the middle of forking: what is born then goes, too. */
static void test_exec_kill_takes_what_is_being_forked(void **state)
{
    struct service s;
    struct box b;
    struct init_packet packet;
    int fd;

    service_start(&s);
    box_create(&s, &b);
    for (int i = 0; i < 8; i++) {
        uint32_t id = start_script(&b, "for i in 1 2 3; do (while :; do (sleep 300 & sleep 300 "
                                       "&); done) & done; echo; wait");

        control_request(&b, INIT_KILL, id, 0);
        control_wait(&b, &packet, &fd);
        assert_int_equal(packet.id, id);
        assert_int_equal(count_sleeps(&b), 0);
    }
    end_all(&s, &b);
}

static void test_background_processes_outlive_their_exec_until_killed(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "sleep 300 </dev/null >/dev/null 2>&1 & echo started", "started\n");
    assert_shell(&b, "grep -l '(sleep)' /proc/[0-9]*/stat | wc -l", "1\n");
    for (int i = 0; i < 10; i++) /* its slot must not be given to others */
        assert_shell(&b, "true", "");
    assert_shell(&b, "grep -l '(sleep)' /proc/[0-9]*/stat | wc -l", "1\n");
    if (s.features.cgroup_kill) {
        control_request(&b, INIT_KILL, 1, 0); /* the first exec: its leader ended long ago */
        assert_int_equal(count_sleeps(&b), 0);
    }
    end_all(&s, &b);
}

static void test_orphans_are_reaped(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "for i in 1 2 3 4 5; do (sleep 0.01 &); done; sleep 0.2", "");
    assert_shell(&b, "grep -l ') Z' /proc/[0-9]*/stat 2>/dev/null | wc -l", "0\n");
    end_all(&s, &b);
}

static void expect_start_failure(struct box *b, const char *cwd, const char *program,
                                 int status, const char *stage)
{
    const char *argv[] = {program, NULL};
    struct exec_spec spec = {.cwd = cwd, .argv = argv};

    run_spec(b, &spec, &result);
    assert_int_equal(result.status, status);
    assert_string_equal(result.stage, stage);
}

static void test_start_failures_name_their_stage(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    expect_start_failure(&b, NULL, "no-such-program", -ENOENT, "execve");
    expect_start_failure(&b, NULL, "/no/such/program", -ENOENT, "execve");
    expect_start_failure(&b, NULL, "", -ENOENT, "execve");
    expect_start_failure(&b, NULL, "/etc/passwd", -EACCES, "execve");
    expect_start_failure(&b, NULL, "/etc", -EACCES, "execve");
    expect_start_failure(&b, "/nowhere", "true", -ENOENT, "chdir");
    expect_start_failure(&b, "/etc/passwd", "true", -ENOTDIR, "chdir");
    assert_shell(&b, "echo fine", "fine\n");
    end_all(&s, &b);
}

static void test_exec_follows_execvp(void **state)
{
    struct service s;
    struct box b;
    const char *script_argv[] = {"script", "one", NULL}, *env_argv[] = {"env", NULL};
    const char *env[] = {"PATH=/opt:/usr/bin", "B=2", NULL}, *no_env[] = {NULL};
    struct exec_spec script = {.argv = script_argv, .envp = env, .cwd = "/var"};
    struct exec_spec empty = {.argv = env_argv, .envp = no_env};

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "printf 'echo $0 $1 $B; pwd' > /opt/script; chmod +x /opt/script", "");
    run_spec(&b, &script, &result);
    assert_string_equal(result.out, "/opt/script one 2\n/var\n");
    run_spec(&b, &empty, &result);
    assert_string_equal(result.out, "");
    assert_int_equal(result.exit_code, 0);
    assert_shell(&b, "umask; ulimit -Sn; ulimit -c; cat /proc/self/oom_score_adj",
                 "0022\n1024\n0\n200\n");
    assert_shell(&b, "grep -E '^Sig(Blk|Ign)' /proc/self/status",
                 "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    end_all(&s, &b);
}

static void test_large_bodies_travel_in_a_memfd(void **state)
{
    struct service s;
    struct box b;
    static char large[100001];
    const char *argv[] = {"/bin/sh", "-c", "printf %s \"$1\" | wc -c", "sh", large, NULL};
    struct exec_spec spec = {.argv = argv, .body_in_memfd = true};

    memset(large, 'x', sizeof(large) - 1);
    service_start(&s);
    box_create(&s, &b);
    run_spec(&b, &spec, &result);
    assert_string_equal(result.out, "100000\n");
    end_all(&s, &b);
}

static void test_tty_exec_has_a_terminal_of_the_right_size(void **state)
{
    struct service s;
    struct box b;
    const char *argv[] = {
        "/bin/sh", "-c",
        "stty size; tty; ls /dev/pts | tr '\\n' ' '; read x; echo got $x; exec sleep 100",
        NULL};
    struct exec_spec spec = {.argv = argv, .tty = true, .width = 101, .height = 37};
    struct init_packet packet;
    char text[512] = {0};
    size_t n = 0;
    int master, fd;

    service_start(&s);
    box_create(&s, &b);
    (void)exec_send(&b, &spec, NULL);
    control_wait(&b, &packet, &master);
    assert_int_equal(packet.value, 0);
    assert_true(master >= 0);
    while (!strstr(text, "ptmx"))
        n += read_to_end(master, text + n, 1);
    assert_non_null(strstr(text, "37 101\r\n/dev/pts/0\r\n0 ptmx"));
    assert_int_equal(write(master, "abc\n", 4), 4);
    while (!strstr(text, "got abc"))
        n += read_to_end(master, text + n, 1);
    assert_int_equal(write(master, "\3", 1), 1); /* ^C reaches the foreground group */
    control_wait(&b, &packet, &fd);
    assert_int_equal(packet.type, INIT_EXITED);
    assert_true(WIFSIGNALED(packet.value) ? WTERMSIG(packet.value) == SIGINT
                                          : WEXITSTATUS(packet.value) == 130);
    (void)close(master);
    end_all(&s, &b);
}

static void test_files_are_copied_through_pipes(void **state)
{
    struct service s;
    struct box b;
    char text[64];

    service_start(&s);
    box_create(&s, &b);
    assert_int_equal(read_path(&b, "/etc/hostname", text, sizeof(text)), 8);
    assert_int_equal(read_path(&b, "etc/hostname", text, sizeof(text)),
                     8); /* relative: from / */
    assert_int_equal(read_path(&b, "/etc/hostname", text, 8), -EFBIG);
    assert_int_equal(write_path(&b, "/new/dir/file", "content"), 0);
    assert_shell(&b, "cat /new/dir/file; stat -c ' %a' /new/dir /new/dir/file",
                 "content 755\n 644\n");
    assert_int_equal(write_path(&b, "/tmp", "x"), -EISDIR);
    assert_shell(&b, "mkfifo /tmp/fifo", "");
    assert_int_equal(read_path(&b, "/tmp/fifo", text, sizeof(text)),
                     -EINVAL); /* does not block */
    assert_int_equal(write_path(&b, "/tmp/fifo", "x"), -ENXIO);
    assert_int_equal(read_path(&b, "/proc/self/fd/3", text, sizeof(text)),
                     -ELOOP); /* init's own */
    assert_int_equal(read_path(&b, "/proc/self/exe", text, sizeof(text)), -ELOOP);
    assert_int_equal(read_path(&b, "", text, sizeof(text)), -EINVAL);
    end_all(&s, &b);
}

static void test_the_hostname_is_the_id(void **state)
{
    struct service s;
    struct box b;
    char wanted[80];

    service_start(&s);
    box_create(&s, &b);
    (void)snprintf(wanted, sizeof(wanted), "%s\n", b.id);
    assert_shell(&b, "hostname", wanted);
    end_all(&s, &b);
}

static void test_everyday_programs_run(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    if (access("/usr/bin/cc", X_OK) < 0 || access("/usr/bin/git", X_OK) < 0) {
        end_all(&s, &b);
        skip_because("no cc or no git on this machine");
    }
    assert_shell(&b,
                 "cd /tmp && printf '#include <stdio.h>\\nint main(void){puts(\"compiled\");}' "
                 "> a.c && cc a.c -o a 2>&1 && ./a",
                 "compiled\n");
    assert_shell(&b,
                 "cd /tmp && git init -q r && cd r && git -c user.name=n -c user.email=e "
                 "commit -q --allow-empty -m m && git log --format=%s",
                 "m\n");
    end_all(&s, &b);
}

int run_exec_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec_echo_through_pipes),
        cmocka_unit_test(test_a_kill_that_is_answered_has_left_nothing),
        cmocka_unit_test(test_a_slot_is_not_used_again_before_its_end_is_known),
        cmocka_unit_test(test_exec_kill_takes_all_descendants),
        cmocka_unit_test(test_exec_kill_takes_children_of_every_thread),
        cmocka_unit_test(test_exec_kill_takes_what_is_being_forked),
        cmocka_unit_test(test_background_processes_outlive_their_exec_until_killed),
        cmocka_unit_test(test_orphans_are_reaped),
        cmocka_unit_test(test_start_failures_name_their_stage),
        cmocka_unit_test(test_exec_follows_execvp),
        cmocka_unit_test(test_large_bodies_travel_in_a_memfd),
        cmocka_unit_test(test_tty_exec_has_a_terminal_of_the_right_size),
        cmocka_unit_test(test_files_are_copied_through_pipes),
        cmocka_unit_test(test_the_hostname_is_the_id),
        cmocka_unit_test(test_everyday_programs_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
