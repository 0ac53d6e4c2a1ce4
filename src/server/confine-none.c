/*
 * For builds with a sanitizer: every call is allowed, because its run-time needs more than we do, and ptrace(2) of
 * ourselves, which the search for leaks is made of. Only listen(2) is answered as in confine.c.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/macros.h"
#include "server/confine.h"

int confine(struct err *err)
{
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        /* A second listen() of the sockets that we got would make our process theirs: clients ask who serves. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_listen, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

    if (prctl(PR_SET_DUMPABLE, 1) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "be dumpable");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "filter listen(2)");
    return 0;
}
