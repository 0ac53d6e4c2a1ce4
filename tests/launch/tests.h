/* The groups of test-launch, one per file. */
#ifndef CWS_TESTS_LAUNCH_TESTS_H
#define CWS_TESTS_LAUNCH_TESTS_H

#include "harness.h"

int run_isolation_tests(void);
int run_exec_tests(void);
int run_life_tests(void);
int run_sync_tests(void);
int run_root_tests(void);
int run_disk_tests(void);
int run_shortage_tests(void);

#endif
