/* The system calls of a sandbox: names, sorted, a reason on each line. seccomp.c compiles them;
 * others get ENOSYS. */
#ifndef CWS_LAUNCH_SECCOMP_TABLE_H
#define CWS_LAUNCH_SECCOMP_TABLE_H

#include "base/macros.h"

struct syscall_row {
    const char *name, *reason;
};

extern const struct syscall_row syscalls_allowed[];
extern const size_t n_syscalls_allowed;
/* EPERM, not ENOSYS: programs know these calls and should learn that they are refused. */
extern const struct syscall_row syscalls_refused[];
extern const size_t n_syscalls_refused;
/* ENOSYS, as what is in no table; these are left out on purpose. */
extern const struct syscall_row syscalls_absent[];
extern const size_t n_syscalls_absent;
/* Answered with success, and without effect: wishes that programs make of habit and do without. */
extern const struct syscall_row syscalls_void[];
extern const size_t n_syscalls_void;

#endif
