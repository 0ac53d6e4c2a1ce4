/* Sandboxes that write to a disk of their own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests.h"

#define DISK_BYTES (64u << 20)

static const char *const with_disks[] = {"--disk-size", "67108864", "--disk-reserve", "0",
                                         NULL};

/* Loop devices over files below the service's directory. */
static int count_loops(const struct service *s)
{
    DIR *dir = opendir("/sys/block");
    int n = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300], file[256] = "";

        (void)snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", entry->d_name);
        CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, file, sizeof(file) - 1) > 0)
            n += strncmp(file, s->dir, strlen(s->dir)) == 0;
    }
    (void)closedir(dir);
    return n;
}

/* The kernel takes them away when their last mount has gone, which is after the process. */
static void assert_loops_go(const struct service *s)
{
    for (int i = 0; i < patience_ms() / 10 && count_loops(s) > 0; i++)
        (void)poll(NULL, 0, 10);
    assert_int_equal(count_loops(s), 0);
}

static int create_on_disk(struct service *s, struct box *b, uint64_t size_bytes, char *stage)
{
    static int counter;
    struct launch_message msg, answer;

    memset(b, 0, sizeof(*b));
    b->service = s;
    (void)snprintf(b->id, sizeof(b->id), "disk-%d", counter++);
    msg = create_host(b->id, size_bytes, 10000);
    msg.u.create.root.disk = true;
    service_call(s, &msg, &answer, &b->control);
    b->pid = answer.u.created.pid;
    (void)snprintf(stage, 64, "%s", answer.u.created.stage);
    return answer.u.created.status;
}

/* false: this machine has no loop devices; skipped, with what launch says. */
/* Skips the test where there are none. */
static void start_with_disks(struct service *s)
{
    harness_args = with_disks;
    service_start(s);
    harness_args = NULL;
    if (s->features.disk_bytes > 0)
        return;
    print_message("%s", s->features.problems);
    assert_non_null(strstr(s->features.problems, "disk: "));
    service_stop(s);
    skip_because("no disks here");
}

static void box_on_disk(struct service *s, struct box *b)
{
    char stage[64];
    int r = create_on_disk(s, b, DISK_BYTES, stage);

    if (r < 0)
        fail_msg("create: %s: %s", stage, strerror(-r));
}

static void test_files_are_on_the_sandboxes_own_disk(void **state)
{
    struct service s;
    struct box b, other;

    start_with_disks(&s);
    box_on_disk(&s, &b);
    box_on_disk(&s, &other);
    assert_int_equal(count_loops(&s), 2);
    assert_shell(&b,
                 "stat -f -c %T /tmp /dev/shm; echo a > /root/f; echo b > /usr/f; echo c > "
                 "/tmp/f; mkdir /opt/d && mv /opt/d /srv;"
                 "rm -r /etc/alternatives && mkdir /etc/alternatives && chown 1000:1000 /tmp/f "
                 "&& chmod 4711 /root/f;"
                 "cat /root/f /usr/f; stat -c %u:%a /tmp/f /root/f /tmp /",
                 "ext2/ext3\ntmpfs\na\nb\n1000:644\n0:4711\n0:1777\n0:755\n");
    assert_shell(&other, "ls /tmp /root/f 2>&1; true",
                 "ls: cannot access '/root/f': No such file or directory\n/tmp:\n");
    box_end(&other, NULL);
    end_all(&s, &b);
    assert_loops_go(&s);
}

static void test_a_full_disk_says_so_and_is_its_own(void **state)
{
    struct service s;
    struct box b, other;

    start_with_disks(&s);
    box_on_disk(&s, &b);
    box_on_disk(&s, &other);
    assert_shell(&b,
                 "dd if=/dev/zero of=/root/f bs=1M 2>&1 | grep -o 'No space left on device'; "
                 "test $(stat -c %s /root/f) -gt 50000000 && echo most;"
                 "cp /root/f /tmp/g 2>&1 | grep -o 'No space left on device'; rm /root/f; "
                 "sync; echo again > /root/f && cat /root/f",
                 "No space left on device\nmost\nNo space left on device\nagain\n");
    assert_shell(&other, "dd if=/dev/zero of=/tmp/f bs=1M count=40 2> /dev/null && echo fine",
                 "fine\n");
    box_end(&other, NULL);
    end_all(&s, &b);
}

static void test_disks_have_one_size(void **state)
{
    struct service s;
    struct box b;
    char stage[64];

    start_with_disks(&s);
    assert_int_equal(s.features.disk_bytes, DISK_BYTES);
    assert_int_equal(create_on_disk(&s, &b, DISK_BYTES * 2, stage), -EINVAL);
    assert_string_equal(stage, "make disk");
    service_stop(&s);
}

static void test_without_disks_one_is_refused_by_name(void **state)
{
    struct service s;
    struct box b;
    char stage[64];

    service_start(&s);
    assert_int_equal(s.features.disk_bytes, 0);
    assert_int_equal(create_on_disk(&s, &b, DISK_BYTES, stage), -EINVAL);
    box_create(&s, &b);
    assert_shell(&b, "stat -f -c %T /tmp", "tmpfs\n");
    end_all(&s, &b);
}

static void test_a_killed_launch_leaves_no_disk(void **state)
{
    struct service s;
    struct box b;
    char name[32];
    int status;

    start_with_disks(&s);
    box_on_disk(&s, &b);
    assert_shell(&b, "echo x > /root/f && echo written", "written\n");
    assert_int_equal(kill(s.pid, SIGKILL), 0);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    assert_loops_go(&s);
    (void)close(b.control);
    (void)close(s.sock);
    service_remove_dir(&s);
    (void)snprintf(name, sizeof(name), "%s", s.name);
    service_start_named(&s, name); /* its cgroups */
    service_stop(&s);
}

/* A machine's disk that becomes small and large again while a sandbox writes. */
static void test_writers_cannot_take_the_reserve(void **state)
{
    static const char *const args[] = {"--disk-size", "67108864", "--disk-reserve",
                                       "1073741824", NULL};
    struct service s;
    struct box b;

    if (geteuid() != 0)
        skip_because("only root has disks");
    service_make(&s, "reserve");
    assert_int_equal(mount("disk", s.dir, "tmpfs", 0, "size=64g"),
                     0); /* takes what is written */
    harness_args = args;
    service_launch(&s);
    harness_args = NULL;
    if (s.features.disk_bytes > 0) {
        box_on_disk(&s, &b);
        assert_shell(&b, "echo fine > /tmp/g && cat /tmp/g", "fine\n");
        assert_int_equal(mount(NULL, s.dir, NULL, MS_REMOUNT, "size=512m"), 0);
        assert_shell(
            &b,
            "until dd if=/dev/zero of=/tmp/f bs=4k count=1 oflag=append conv=notrunc 2>&1"
            " | grep -q 'No space left'; do sleep 0.05; done; echo stopped",
            "stopped\n");
        assert_int_equal(mount(NULL, s.dir, NULL, MS_REMOUNT, "size=64g"), 0);
        assert_shell(&b,
                     "until echo again > /tmp/h 2> /dev/null; do sleep 0.05; done; cat /tmp/h",
                     "again\n");
        box_end(&b, NULL);
    }
    (void)close(s.sock);
    assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
    assert_loops_go(&s);
    assert_int_equal(umount2(s.dir, MNT_DETACH), 0); /* loop devices go a moment later */
    service_remove_dir(&s);
    if (s.features.disk_bytes == 0)
        skip_because("no disks here");
}

int run_disk_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_on_the_sandboxes_own_disk),
        cmocka_unit_test(test_a_full_disk_says_so_and_is_its_own),
        cmocka_unit_test(test_disks_have_one_size),
        cmocka_unit_test(test_without_disks_one_is_refused_by_name),
        cmocka_unit_test(test_a_killed_launch_leaves_no_disk),
        cmocka_unit_test(test_writers_cannot_take_the_reserve),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
