/*
 * The real cwsandbox-launch and cwsandbox-init, driven as the daemon would: once as the present
 * user, and with the argument `user` as an ordinary one (65534, after dropping root). Tests of
 * limits skip where the user has no cgroups. A second argument runs only the test of that name;
 * the environment's CWS_TEST_SKIP leaves one out.
 */
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "tests.h"

int main(int argc, char **argv)
{
    if (getenv("CWS_TEST_SKIP"))
        cmocka_set_skip_filter(getenv("CWS_TEST_SKIP"));
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    if (argc > 1 && strcmp(argv[1], "user") == 0) {
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
                               setresuid(65534, 65534, 65534) < 0))
            return 77; /* cannot become an ordinary user */
    } else if (geteuid() != 0) {
        (void)puts("needs root");
        return 77;
    }
    return run_isolation_tests() + run_exec_tests() + run_shortage_tests() + run_life_tests() +
           run_root_tests() + run_disk_tests() + run_sync_tests();
}
