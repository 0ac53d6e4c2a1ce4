/* `cwsandbox-launch --check`: what this machine and this user give, as key=value lines and
 * problems with remedies. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "launch/launch.h"

static void print_flag(const char *name, bool value)
{
    (void)printf("%s=%s\n", name, value ? "yes" : "no");
}

/* In a child: engine_start() leaves this process in the lean root, where nothing could be
 * cleaned up. */
static int check_in_child(const struct options *options)
{
    static struct engine e;
    const char *stage = "";
    int r = engine_start(&e, options, NULL, &stage);

    if (r < 0) {
        (void)printf("usable=no\nproblem=%s: %s\n", stage, strerror(-r));
        if (*engine_remedy(stage, -r))
            (void)printf("remedy=%s\n", engine_remedy(stage, -r));
        return 1;
    }
    (void)printf("usable=yes\n");
    print_flag("root", e.features.root);
    print_flag("idmap", e.features.idmap);
    print_flag("netns_pool", e.features.netns_pool);
    print_flag("network", e.features.network);
    print_flag("cgroup_kill", e.features.cgroup_kill);
    print_flag("limit_memory", e.features.limit_memory);
    print_flag("limit_cpu", e.features.limit_cpu);
    print_flag("limit_pids", e.features.limit_pids);
    print_flag("cgroup_v2_only", e.features.cgroup_v2_only);
    (void)printf("uid_base=%u\nuid_count=%u\n", e.features.uid_base, e.features.uid_count);
    for (char *line = strtok(e.features.problems, "\n"); line; line = strtok(NULL, "\n"))
        (void)printf("problem=%s\n", line);
    engine_done(&e);
    return 0;
}

int check_print(const struct options *options)
{
    struct options probe = *options;
    char dir[] = "/tmp/cwsandbox-check-XXXXXX", images[64];
    int status = 1;
    pid_t pid;

    probe.init_path = "/proc/self/exe"; /* any program: it is only copied */
    probe.state_dir = mkdtemp(dir);
    if (!probe.state_dir)
        return 1;
    pid = fork();
    if (pid == 0)
        exit(check_in_child(&probe));
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    (void)snprintf(images, sizeof(images), "%s/images", dir);
    (void)rmdir(images);
    (void)rmdir(dir);
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
