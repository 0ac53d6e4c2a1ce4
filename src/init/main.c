/*
 * cwsandbox-init: pid 1 of a sandbox. Static, single-threaded, nothing on the heap. One loop
 * over the control socket (requests of the daemon, privproto/initproto.h) and SIGCHLD. Ends
 * when the daemon's end of the socket is closed; the kernel then ends every process of the
 * sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

#include "init/init.h"

static struct init g_init;

static void dispatch(struct init *in)
{
    const struct init_packet *head = &in->packet.head;

    switch (head->type) {
    case INIT_EXEC:
        exec_spawn(in);
        break;
    case INIT_SIGNAL:
        exec_signal(in, head->id, head->value);
        break;
    case INIT_KILL:
        exec_kill(in, head->id);
        break;
    case INIT_READ:
    case INIT_WRITE:
        exec_copy(in);
        break;
    case INIT_CONNECT:
        connect_answer(&in->packet.head);
        break;
    case INIT_SYNC:
        sync_answer(in);
        break;
    case INIT_LIMITS:
        if (limits_take(&in->limits, &in->packet) < 0)
            _exit(2);
        view_write(&in->limits, in->slots.n);
        break;
    case INIT_SHOW:
        if (meminfo_take(&in->meminfo, &in->packet) < 0)
            _exit(2);
        break;
    default:
        _exit(2); /* a daemon of another build: nothing it says can be trusted to mean what we
                     think */
    }
}

/* A request whose STARTED can say that it failed. */
static bool makes_process(uint32_t type)
{
    return type == INIT_EXEC || type == INIT_READ || type == INIT_WRITE;
}

/* Every packet that is there. A malformed packet ends the sandbox: both ends are one build. */
static void receive_all(struct init *in)
{
    for (;;) {
        int r = control_receive(&in->packet);

        if (r == -EAGAIN)
            return;
        if (r == -EPIPE)
            _exit(0);
        if ((r == -EMFILE || r == -ENOMEM) && makes_process(in->packet.head.type))
            exec_refuse(in, r, "descriptors");
        else if (r < 0)
            _exit(2); /* also for limits that did not arrive */
        else
            dispatch(in);
        packet_done(&in->packet);
    }
}

static void drain_signals(struct init *in)
{
    struct signalfd_siginfo info;

    while (read(in->ready[1].fd, &info, sizeof(info)) > 0) {
        /* SIGCHLD coalesces: the count says nothing, exec_reap() asks the kernel */
    }
    exec_reap(in);
}

int main(void)
{
    struct init *in = &g_init;
    sigset_t all;

    in->main_output_fd = -1;
    privilege_start();
    meminfo_init(&in->meminfo);
    in->copied = mmap(NULL, INIT_MAX_EXECS * sizeof(*in->copied), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (in->copied == MAP_FAILED)
        return 1;
    slots_init(&in->slots); /* before anything else may be given CGROUP_FD's number */
    limits_init(&in->limits);
    (void)sigfillset(&all);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        return 1;
    in->ready[0] = (struct pollfd){.fd = CONTROL_FD, .events = POLLIN};
    in->ready[1] =
        (struct pollfd){.fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN};
    if (in->ready[1].fd < 0)
        return 1;
    in->ready[2] = (struct pollfd){.fd = -1, .events = POLLIN};
    for (;;) {
        uint32_t n = 3 + exec_watch(in, in->ready + 3);

        in->ready[2].fd = in->meminfo.fuse_fd; /* poll(2) passes -1 over */
        if (poll(in->ready, n, -1) < 0 && errno != EINTR)
            return 1;
        if (n > 3)
            exec_check_starting(in);
        if (in->ready[1].revents)
            drain_signals(in);
        if (in->ready[2].revents)
            meminfo_answer(&in->meminfo, in->limits.memory_bytes);
        if (in->ready[0].revents)
            receive_all(in);
    }
}
