/* Roots of images: layers put together by hand, of what this machine has. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests.h"

#define BUSYBOX "/bin/busybox" /* Debian's busybox-static: one program without libraries */

/* Name of the @n-th layer. */
static const char *layer(uint32_t n, char ret[LAUNCH_LAYER_DIGITS + 1])
{
    (void)snprintf(ret, LAUNCH_LAYER_DIGITS + 1, "%064x", n);
    return ret;
}

/* Runs @script in the directory of the @n-th layer, which is made. */
static void make_layer(const struct service *s, uint32_t n, const char *script)
{
    char name[LAUNCH_LAYER_DIGITS + 1], command[2048];

    (void)snprintf(command, sizeof(command),
                   "mkdir -p %s/images/layers/%s && cd %s/images/layers/%s && { %s; }", s->dir,
                   layer(n, name), s->dir, layer(n, name), script);
    assert_int_equal(system(command), 0);
}

static void remove_layers(const struct service *s)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf %s/images/layers", s->dir);
    assert_int_equal(system(command), 0);
}

static void end_root(struct service *s, struct box *b)
{
    box_end(b, NULL);
    remove_layers(s);
    service_stop(s);
}

/* A sandbox of layers 1..@n, with the rows that the daemon asks for. The status. */
static int create_of_layers(struct service *s, struct box *b, uint32_t n, char *stage)
{
    static char names[LAUNCH_MAX_LAYERS][LAUNCH_LAYER_DIGITS + 1];
    static int counter;
    struct launch_message msg = {.type = LAUNCH_CREATE}, answer;
    static const struct mount_op files[] = {{MOUNT_FILE, "hostname", "/etc/hostname"},
                                            {MOUNT_FILE, "hosts", "/etc/hosts"},
                                            {MOUNT_FILE, "resolv.conf", "/etc/resolv.conf"}};

    memset(b, 0, sizeof(*b));
    b->service = s;
    (void)snprintf(b->id, sizeof(b->id), "image-%d", counter++);
    memcpy(msg.u.create.id, b->id, sizeof(b->id));
    msg.u.create.root.size_bytes = 4 << 20;
    msg.u.create.root.n_inodes = 1000;
    msg.u.create.root.n_layers = n;
    for (uint32_t i = 0; i < n; i++)
        msg.u.create.root.layers[i] = layer(i + 1, names[i]);
    create_add_mounts(&msg.u.create);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        msg.u.create.mounts[msg.u.create.n_mounts++] = files[i];
    service_call(s, &msg, &answer, &b->control);
    b->pid = answer.u.created.pid;
    (void)snprintf(stage, 64, "%s", answer.u.created.stage);
    return answer.u.created.status;
}

static void assert_create_of_layers(struct service *s, struct box *b, uint32_t n)
{
    char stage[64];
    int r = create_of_layers(s, b, n, stage);

    if (r < 0)
        fail_msg("create: %s: %s", stage, strerror(-r));
}

#define ROOT_OF_BUSYBOX \
    "mkdir bin etc && cp " BUSYBOX " bin && ln -s busybox bin/sh && ln -s busybox bin/id"

/* What an Alpine has: no glibc, a shell, none of our mount points. */
static void test_a_root_of_one_static_program_has_all_that_processes_need(void **state)
{
    struct service s;
    struct box b;

    if (access(BUSYBOX, X_OK) < 0)
        skip_because("no busybox-static");
    service_start(&s);
    make_layer(&s, 1,
               ROOT_OF_BUSYBOX
               " && echo from the image > etc/hosts && ln -s /run/none etc/resolv.conf");
    assert_create_of_layers(&s, &b, 1);
    assert_shell(&b,
                 "bb=/bin/busybox; $bb test -c /dev/null && $bb echo x > /dev/null; $bb test "
                 "-d /dev/pts || echo no pts;"
                 "$bb echo y > /dev/shm/f; $bb echo z > /tmp/f; $bb cat /dev/shm/f /tmp/f; $bb "
                 "ls /sys/fs/cgroup; $bb cat /proc/1/comm;"
                 "$bb grep -c localhost /etc/hosts; $bb test -f /etc/resolv.conf && $bb echo "
                 "file; $bb cat /etc/hostname;"
                 "$bb echo 127.0.0.2 mine >> /etc/hosts && $bb rm /etc/hostname && $bb stat -c "
                 "%u:%a / /bin /etc/hosts",
                 "y\nz\ncwsandbox-init\n2\nfile\nsandbox\n0:755\n0:755\n0:644\n");
    end_root(&s, &b);
}

/* What distroless images have: a program and not even /etc. */
static void test_a_root_without_a_shell_or_etc(void **state)
{
    struct service s;
    struct box b;
    struct run r;

    if (access(BUSYBOX, X_OK) < 0)
        skip_because("no busybox-static");
    service_start(&s);
    make_layer(&s, 1, "cp " BUSYBOX " busybox && chmod 711 .");
    assert_create_of_layers(&s, &b, 1);
    run_argv(&b, (const char *const[]){"/busybox", "cat", "/etc/hostname", NULL}, &r);
    assert_int_equal(r.exit_code, 0);
    assert_memory_equal(r.out, "sandbox\n", 8);
    run_argv(&b, (const char *const[]){"/busybox", "stat", "-c", "%a", "/", NULL}, &r);
    assert_memory_equal(r.out, "711\n", 4);
    end_root(&s, &b);
}

/* A glibc distribution: the machine's own libraries, copied. */
static void test_a_root_with_its_own_libraries(void **state)
{
    struct service s;
    struct box b;

    service_start(&s);
    make_layer(&s, 1,
               "mkdir -p bin etc root && for f in /bin/sh /bin/cat /bin/ls $(ldd /bin/sh "
               "/bin/cat /bin/ls | grep -o '/[^ :]*' | sort -u);"
               "do mkdir -p .${f%/*} && cp -Ln $f .$f; done; echo 'root:x:0:0::/root:/bin/sh' "
               "> etc/passwd");
    assert_create_of_layers(&s, &b, 1);
    assert_shell(&b,
                 "cd /root && echo written > f && cat f && ls /proc/self/fd | cat > /dev/null "
                 "&& echo done",
                 "written\ndone\n");
    end_root(&s, &b);
}

/* The first is lowest; a removed file is a device 0:0, a replaced directory has an attribute. */
static void test_layers_cover_what_is_below_them(void **state)
{
    struct service s;
    struct box b;
    char text[32], path[256], name[LAUNCH_LAYER_DIGITS + 1];

    service_start(&s);
    make_layer(&s, 1, "mkdir d && echo lower > f && echo lower > g && echo lower > d/old");
    make_layer(&s, 2, "mkdir d && echo upper > f && echo upper > d/new");
    (void)snprintf(path, sizeof(path), "%s/images/layers/%s/g", s.dir, layer(2, name));
    if (mknod(path, S_IFCHR, 0) < 0) /* as a user, too, since Linux 5.8 */
        fail_msg("mknod: %s", strerror(errno));
    assert_create_of_layers(&s, &b, 2);
    assert_int_equal(read_path(&b, "/f", text, sizeof(text)), 6);
    assert_memory_equal(text, "upper\n", 6);
    assert_int_equal(read_path(&b, "/g", text, sizeof(text)), -ENOENT);
    assert_int_equal(read_path(&b, "/d/old", text, sizeof(text)), 6);
    assert_int_equal(read_path(&b, "/d/new", text, sizeof(text)), 6);
    assert_int_equal(write_path(&b, "/f", "mine\n"), 0);
    box_end(&b, NULL);
    assert_create_of_layers(&s, &b, 2); /* layers are as they were */
    assert_int_equal(read_path(&b, "/f", text, sizeof(text)), 6);
    end_root(&s, &b);
}

static void test_as_many_layers_as_there_may_be(void **state)
{
    struct service s;
    struct box b;
    char text[32], script[64];

    service_start(&s);
    for (uint32_t i = 1; i <= LAUNCH_MAX_LAYERS; i++) {
        (void)snprintf(script, sizeof(script), "echo %u > f && echo %u > f%u", i, i, i);
        make_layer(&s, i, script);
    }
    assert_create_of_layers(&s, &b, LAUNCH_MAX_LAYERS);
    assert_int_equal(read_path(&b, "/f", text, sizeof(text)), 3);
    assert_memory_equal(text, "64\n", 3);
    assert_int_equal(read_path(&b, "/f1", text, sizeof(text)), 2);
    end_root(&s, &b);
}

/* An image is a stranger's. Mount points that are links lead to places in the image, never in launch's own root. */
static void test_links_in_an_image_do_not_lead_out(void **state)
{
    struct service s;
    struct box b;

    if (access(BUSYBOX, X_OK) < 0)
        skip_because("no busybox-static");
    service_start(&s);
    make_layer(&s, 1,
               ROOT_OF_BUSYBOX " && mkdir elsewhere other && ln -s ../../../../other tmp && ln "
                               "-s /../../elsewhere/dev dev"
                               " && mkdir elsewhere/dev && rmdir etc && ln -s /elsewhere etc");
    assert_create_of_layers(&s, &b, 1);
    assert_shell(
        &b,
        "bb=/bin/busybox; $bb echo x > /elsewhere/dev/null && $bb cat /elsewhere/hostname;"
        "$bb echo y > /tmp/f && $bb cat /other/f; $bb ls -d /host /skel /images 2>&1 | $bb wc "
        "-l",
        "sandbox\ny\n3\n");
    end_root(&s, &b);
}

static void test_a_layer_that_is_not_a_directory_of_the_store_is_refused(void **state)
{
    struct service s;
    struct box b;
    char stage[64], path[256], name[LAUNCH_LAYER_DIGITS + 1];

    service_start(&s);
    assert_int_equal(create_of_layers(&s, &b, 1, stage), -ENOENT);
    assert_string_equal(stage, "mount layers");
    make_layer(&s, 2, "true");
    (void)snprintf(path, sizeof(path), "%s/images/layers/%s", s.dir, layer(1, name));
    assert_int_equal(symlink("/etc", path), 0);
    assert_int_equal(create_of_layers(&s, &b, 1, stage), -ELOOP);
    assert_int_equal(unlink(path), 0);
    (void)close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(create_of_layers(&s, &b, 1, stage), -ENOTDIR);
    remove_layers(&s);
    service_stop(&s);
}

/* Can whoever removes layers have this one? The descriptor is theirs while they do. */
static int lock_to_remove(const struct service *s, uint32_t n)
{
    char path[256], name[LAUNCH_LAYER_DIGITS + 1];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/images/layers/%s", s->dir, layer(n, name));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    assert_int_equal(errno, EWOULDBLOCK);
    (void)close(fd);
    return -1;
}

static void test_a_layer_is_held_until_the_last_sandbox_on_it_has_ended(void **state)
{
    struct service s;
    struct box first, second;
    char stage[64];
    int fd;

    service_start(&s);
    make_layer(&s, 1, "true");
    make_layer(&s, 2, "true");
    assert_create_of_layers(&s, &first, 2);
    assert_create_of_layers(&s, &second, 1);
    assert_int_equal(lock_to_remove(&s, 1), -1);
    assert_int_equal(lock_to_remove(&s, 2), -1);
    box_end(&first, NULL);
    assert_int_equal(lock_to_remove(&s, 1), -1);
    fd = lock_to_remove(&s, 2);
    assert_true(fd >= 0);
    assert_int_equal(create_of_layers(&s, &first, 2, stage), -ENOENT); /* it is going */
    assert_string_equal(stage, "mount layers");
    (void)close(fd);
    box_end(&second, NULL);
    fd = lock_to_remove(&s, 1); /* nor does the one that failed hold it */
    assert_true(fd >= 0);
    (void)close(fd);
    remove_layers(&s);
    service_stop(&s);
}

static void test_a_store_of_somebody_else_is_no_store(void **state)
{
    struct service s;
    char path[128];
    int status;

    if (geteuid() != 0)
        skip_because("only root can make a directory of somebody else");
    service_make(&s, "stranger");
    (void)snprintf(path, sizeof(path), "%s/images", s.dir);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chown(path, 12345, 12345), 0);
    service_launch(&s);
    assert_int_equal(s.features.uid_count, 0);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    (void)close(s.sock);
    service_remove_dir(&s);
}

int run_root_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_root_of_one_static_program_has_all_that_processes_need),
        cmocka_unit_test(test_a_root_without_a_shell_or_etc),
        cmocka_unit_test(test_a_root_with_its_own_libraries),
        cmocka_unit_test(test_layers_cover_what_is_below_them),
        cmocka_unit_test(test_as_many_layers_as_there_may_be),
        cmocka_unit_test(test_links_in_an_image_do_not_lead_out),
        cmocka_unit_test(test_a_layer_that_is_not_a_directory_of_the_store_is_refused),
        cmocka_unit_test(test_a_layer_is_held_until_the_last_sandbox_on_it_has_ended),
        cmocka_unit_test(test_a_store_of_somebody_else_is_no_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
