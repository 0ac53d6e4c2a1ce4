/* What a sandbox can see and do: files, processes, users, capabilities, system calls, network.
 */
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

static void test_root_is_synthesized_and_nothing_of_the_host_shows(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "head -1 /etc/passwd; cat /etc/hostname",
                 "root:x:0:0:root:/root:/bin/sh\nsandbox\n");
    assert_shell(&b, "ls -A /home /root /srv /opt /mnt /tmp /run/lock",
                 "/home:\n\n/mnt:\n\n/opt:\n\n/root:\n\n/run/lock:\n\n/srv:\n\n/tmp:\n");
    assert_shell(
        &b, "ls -A / | tr '\\n' ' '; ls -A /sys/fs/cgroup",
        "bin dev etc home lib lib32 lib64 mnt opt proc root run sbin srv sys tmp usr var ");
    assert_shell(&b,
                 "grep -v :[*]: /etc/shadow; ls /etc/ssh /etc/sudoers /etc/machine-id /work "
                 "2>/dev/null | wc -l",
                 "0\n");
    assert_shell(&b, "python -c 'print(6*7)'", "42\n");
    assert_shell(&b, "stat -c '%a %u:%g' / /root /tmp /dev/shm /etc/passwd",
                 "755 0:0\n700 0:0\n1777 0:0\n1777 0:0\n644 0:0\n");
    end_all(&s, &b);
}

static void test_proc_is_fresh_and_masked(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "set -- /proc/[0-9]*; echo $#; cat /proc/1/comm",
                 "2\ncwsandbox-init\n"); /* init, sh */
    assert_shell(&b, "cat /proc/keys /proc/timer_list | wc -c; ls -A /proc/acpi | wc -l",
                 "0\n0\n");
    run_shell(&b, "echo 1 > /proc/sys/kernel/printk", &result);
    assert_int_not_equal(result.exit_code, 0);
    assert_shell(&b, "cat /proc/sys/user/max_user_namespaces", "0\n");
    end_all(&s, &b);
}

static void test_init_cannot_be_reached_from_inside(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_python(
        &b,
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.ptrace(16, 1, 0, 0), ctypes.get_errno())\n"
        "for f in 'mem', 'environ', 'fd', 'exe':\n"
        "    try:\n"
        "        os.readlink('/proc/1/fd/3') if f == 'fd' else open('/proc/1/' + f).read(1)\n"
        "        print(f, 'readable')\n"
        "    except OSError as e:\n"
        "        print(f, e.errno)\n"
        "os.kill(1, 9); print('alive')\n",
        "-1 1\nmem 13\nenviron 13\nfd 13\nexe 13\nalive\n");
    assert_shell(&b, "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ");
    end_all(&s, &b);
}

static void test_writes_stay_inside(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b,
                 "echo x > /cwstest; echo y > /usr/cwstest; rm /usr/bin/env; cat /cwstest "
                 "/usr/cwstest; ls /usr/bin/env 2>/dev/null || echo gone",
                 "x\ny\ngone\n");
    assert_int_equal(access("/cwstest", F_OK), -1);
    assert_int_equal(access("/usr/cwstest", F_OK), -1);
    assert_int_equal(access("/usr/bin/env", F_OK), 0);
    end_all(&s, &b);
}

static void test_two_sandboxes_do_not_see_each_other(void **state)
{
    struct service s;
    struct box a, b;

    service_start(&s);
    box_create(&s, &a);
    box_create(&s, &b);
    assert_shell(&a,
                 "echo secret > /tmp/file; echo secret > /usr/file; sleep 100 </dev/null "
                 ">/dev/null 2>&1 & echo",
                 "\n");
    assert_shell(&b,
                 "ls /tmp /usr/file 2>/dev/null; cat /proc/[0-9]*/comm | grep -c sleep || true",
                 "/tmp:\n0\n");
    box_end(&a, NULL);
    end_all(&s, &b);
}

static void test_root_inside_is_nobody_outside(void **state)
{
    struct service s;
    struct box b;
    char path[64], text[4096];
    unsigned uid = 0;
    ssize_t n;
    int fd;

    service_start(&s);
    box_create(&s, &b);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", b.pid);
    fd = open(path, O_RDONLY);
    n = read(fd, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = 0;
    (void)close(fd);
    assert_int_equal(sscanf(strstr(text, "\nUid:"), "\nUid: %u", &uid), 1);
    assert_int_equal(uid, s.features.uid_base);
    assert_int_not_equal(uid, 0);
    if (s.features.idmap)
        assert_shell(&b, "stat -c %u /usr /usr/bin /usr/bin/env", "0\n0\n0\n");
    if (s.features.root)
        assert_shell(&b,
                     "setpriv --reuid=1000 --regid=1000 --clear-groups id -u; chown 1234 /tmp "
                     "&& stat -c %u /tmp",
                     "1000\n1234\n");
    end_all(&s, &b);
}

static void test_capabilities_are_the_table(void **state)
{
    struct service s;
    struct box b;
    /* chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot
     * setfcap */
    const char *expected =
        "CapInh:\t0000000000000000\nCapPrm:\t00000000800405fb\nCapEff:\t00000000800405fb\n"
        "CapBnd:\t00000000800405fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status", expected);
    assert_shell(&b, "grep -E '^(Cap|NoNew|Seccomp:)' /proc/1/status", expected);
    run_shell(&b, "hostname other", &result);
    assert_int_not_equal(result.exit_code, 0);
    end_all(&s, &b);
}

static void test_seccomp_refuses_what_escapes_are_made_of(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_python(
        &b,
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def e(nr, *a):\n"
        "    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(x) for x in a])\n"
        "    return ctypes.get_errno() if r == -1 else 'ok'\n"
        "print(e(272, 0x10000000), e(165, 0, 0, 0, 0, 0), e(166, 0, 0), e(308, 0, 0), e(155, "
        "0, 0))\n"
        "print(e(56, 0x10000000 | 17, 0, 0, 0, 0), e(56, 0x20000 | 17, 0, 0, 0, 0), e(435, 0, "
        "0))\n"
        "print(e(425, 1, 0), e(321, 0, 0, 0), e(250, 0, 0), e(298, 0, 0, 0, 0, 0), e(323, 0))\n"
        "print(e(41, 40, 1, 0), e(41, 17, 3, 0), e(41, 38, 5, 0), e(435 + 500))\n"
        "print(e(135, 0x0400000), e(304, 0, 0, 0), e(175, 0, 0, 0))\n",
        "1 1 1 1 1\n1 1 38\n1 1 1 1 1\n97 97 97 38\n38 1 1\n");
    run_shell(&b,
              "unshare -Ur true || mount -t tmpfs x /mnt || unshare -m true || chroot "
              "/proc/1/root true",
              &result);
    assert_int_not_equal(result.exit_code, 0);
    end_all(&s, &b);
}

static void test_only_loopback_exists_and_works(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    box_create(&s, &b);
    assert_shell(&b, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \\n'", "lo");
    assert_python(&b,
                  "import socket\n"
                  "l = socket.create_server(('127.0.0.1', 80))\n"
                  "c = socket.create_connection(('localhost', 80)); a, _ = l.accept(); "
                  "a.send(b'hi'); print(c.recv(9))\n"
                  "try: socket.create_connection(('192.0.2.1', 80), timeout=3)\n"
                  "except OSError as e: print(e.errno)\n",
                  "b'hi'\n101\n");
    end_all(&s, &b);
}

int run_isolation_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root_is_synthesized_and_nothing_of_the_host_shows),
        cmocka_unit_test(test_proc_is_fresh_and_masked),
        cmocka_unit_test(test_init_cannot_be_reached_from_inside),
        cmocka_unit_test(test_writes_stay_inside),
        cmocka_unit_test(test_two_sandboxes_do_not_see_each_other),
        cmocka_unit_test(test_root_inside_is_nobody_outside),
        cmocka_unit_test(test_capabilities_are_the_table),
        cmocka_unit_test(test_seccomp_refuses_what_escapes_are_made_of),
        cmocka_unit_test(test_only_loopback_exists_and_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
