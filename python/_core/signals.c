/*
 * SIGTERM that is not slept over. CPython's handler only notes a signal; the Python function runs when the main thread is back in the
 * interpreter, and one that was just about to wait in C (a worker of a multiprocessing pool for its next task) sleeps on, and whoever
 * waits for its end does, too. So the signal is sent to the main thread again and again, which interrupts the wait, until the
 * Python function has begun.
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "objects.h"

#define AGAIN_NS \
    100000000 /* chosen: 0.1 s; nobody sees it, and it costs nothing where nobody sleeps */

static timer_t timer;
static struct sigaction python_action;
static volatile sig_atomic_t n_sent; /* by others, and not seen yet */

static void set_timer(long nanoseconds)
{
    const struct timespec t = {.tv_nsec = nanoseconds};

    (void)timer_settime(timer, 0, &(struct itimerspec){t, t},
                        NULL); /* a forked child has none */
}

static void on_sigterm(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)context;
    if (info->si_code != SI_TIMER)
        n_sent++;
    set_timer(AGAIN_NS);
    python_action.sa_handler(number);
    errno = saved;
}

/* insist_on_sigterm(): on the main thread, right after signal.signal(SIGTERM, ...). Where that is not possible nothing changes. */
static PyObject *core_insist(PyObject *module, PyObject *none)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGTERM};
    struct sigaction ours = {.sa_sigaction = on_sigterm, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (sigaction(SIGTERM, NULL, &python_action) < 0 || (python_action.sa_flags & SA_SIGINFO) ||
        python_action.sa_handler == SIG_DFL || python_action.sa_handler == SIG_IGN ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
        Py_RETURN_NONE;
    if (sigaction(SIGTERM, &ours, NULL) < 0)
        (void)timer_delete(timer);
    Py_RETURN_NONE;
}

/* sigterm_seen(): whether somebody sent one since the last call; if not, it was the timer's, and was seen before. Who put another handler
 * in the place of ours, and calls the Python function from there, knows that there was one. */
static PyObject *core_seen(PyObject *module, PyObject *none)
{
    struct sigaction now;
    bool sent = n_sent > 0;

    if (sigaction(SIGTERM, NULL, &now) < 0 || !(now.sa_flags & SA_SIGINFO) ||
        now.sa_sigaction != on_sigterm)
        Py_RETURN_TRUE;
    set_timer(0);
    n_sent = 0;
    return PyBool_FromLong(sent);
}

PyMethodDef py_signal_functions[] = {
    {"insist_on_sigterm", core_insist, METH_NOARGS, NULL},
    {"sigterm_seen", core_seen, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
