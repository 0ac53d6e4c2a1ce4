/*
 * The vocabulary between cwsandboxd (runtime/) and cwsandbox-init, over the control socket (SOCK_SEQPACKET) of one
 * sandbox: one packet = one message. init does not allocate and treats packets as trusted data of bounded size; the
 * daemon treats packets from init as hostile (a sandboxed process cannot reach the socket, but init is inside).
 *
 * Layout of every packet: struct init_packet, then `body_size` bytes of body. Native byte order: one machine.
 *
 * An init stays what it was when its sandbox was made, while the programs that speak to it may be of a later release. So it has
 * a number, INIT_VERSION, which launch notes with each sandbox (CREATE and LIST tell it). What init does not know ends it, and the
 * sandbox: whoever speaks looks at the number first (runtime/control.c), and a release that adds a word, a flag, or a meaning to a member that was
 * zero takes the next number. Size and members of struct init_packet, and what SYNC, SIGNAL and KILL are, stay.
 *
 * EXEC   body: cwd, user, argv..., envp... as NUL-terminated strings in that order (n_args, n_envs counts; cwd and user may be "").
 *        user: "NAME|UID[:GROUP|GID]" by the sandbox's own /etc/passwd and /etc/group; its home becomes HOME when none is given.
 *        Bodies above INIT_MAX_BODY travel in a sealed memfd passed as the last descriptor (INIT_BODY_IN_MEMFD).
 *        fds: [stdin, stdout, stderr] (then memfd). With INIT_NULL_STDIN there is no stdin: the process gets the sandbox's own
 *        /dev/null, opened for it. With INIT_MAIN one more follows them, the end of the pipe that the process's output is
 *        read from: init keeps it, so that the pipe lives while the sandbox does. With INIT_TTY no stdio fds: init opens a pty in the sandbox's own
 *        devpts and returns the master with STARTED.
 *        Answer: STARTED {id, pid, status, stage}; status 0 or -errno of the stage ("chdir", "execve", ...).
 *        On success exactly one EXITED {id, wait_status, flags, duration_ns, cpu_ns, size_bytes} follows, never before STARTED.
 *        cpu_ns, size_bytes: CPU time, and the largest resident set, of the leader and the children that it waited for.
 *        INIT_OOM_KILLED: SIGKILL ended it (or its last child: exit status 137), and it was for want of memory; INIT_OOM_UNKNOWN: nobody counts,
 *        and somebody on the machine was killed for it since.
 *        STARTED names the exec's slot, by which launch kills it (KILL_EXEC). The slot stays with the exec until a request
 *        that takes one (EXEC, READ, WRITE) says `n_seen`: how many EXITED the daemon has taken note of, and has no kill of under way. So no kill meets a later exec.
 *        With INIT_FILES nothing is executed: the child does what the words say of files (base/files-words.h).
 *        execve follows execvp's rules: PATH of the new environment, ENOEXEC falls back to /bin/sh.
 * SIGNAL {id, value=signo}: to the leader's process group.
 * KILL   {id}: SIGKILL to the leader and everything it started; its slot is not used again. Where init has no slots its EXITED
 *        comes when all of them are dead; where it has, launch's answer to KILL_EXEC says so.
 * READ   body: path; fds: [write end of a pipe]. A child of init copies the file into it, size_bytes at most (-EFBIG above).
 * WRITE  body: path; fds: [read end of a pipe]; size_bytes: of the new content, mode of a new file in `aux`; missing parents are
 *        made (0755). A child of init copies the pipe into the file.
 *        Both: answer COPIED {id, status, size_bytes}, then EXITED; no COPIED of a child that was killed.
 *        -EINVAL with st_mode in `aux`: not a regular file. No child at all: STARTED with its status, and nothing else.
 *        The child is killed as an exec is. Relative paths are resolved against "/".
 * CONNECT {id, value=port, aux=INIT_CONNECT_IPV4 | _IPV6}: a TCP socket of the sandbox's network, on its way to the port of its loopback.
 *        Answer: CONNECTED {id, value}: 0 with the socket, or -errno without. init does not wait for the connection: the daemon sees
 *        by the socket what became of it, and nothing of it stays here.
 * LIMITS from launch, which keeps the daemon's end as well; no answer. What a child of init does to come under the limits
 *        of the load, which init itself is not under: it writes "0" to the `tasks` files of version 1 hierarchies that come
 *        along, in the order of the INIT_ENTER_ flags (PIDS brings a second one, pids.current). Replaces the LIMITS before it.
 *        MEMORY brings the directory instead, in which init makes one for each slot but the first: what is killed for want of
 *        memory is counted for each of them ("oom_kill N"). Of version 2 the slots themselves count, where memory is limited.
 *        INIT_TIGHT: memory or CPU are limited, so a child under them may be slow, and init does not wait for it.
 *        aux: the most processes, 0 = no limit; they are counted only with INIT_ENTER_PIDS. size_bytes, value: the limits of memory and
 *        of CPU time in thousandths, to be shown inside; body: a cpu_set_t of the CPUs to run on, or nothing: all.
 * SHOW   from launch, before the LIMITS with the first limit of memory; no answer, and at most once. fds: the server's end of the FUSE whose only
 *        file is /proc/meminfo, and memory.stat of the load's cgroup. aux: who owns the file, as the FUSE counts users.
 * SYNC   {id, size_bytes}: the first word of a daemon that takes the sandbox over from another one, of which nothing that init said before
 *        the answer counts. Every exec but the main one is killed and its EXITED not sent. Answer: SYNCED {id, flags, value, aux, size_bytes}:
 *        INIT_MAIN: there is, or was, a main process; aux: its pid inside, 0 when it has ended with the wait status `value`;
 *        the descriptor that INIT_MAIN brought comes along. A main process that runs has @id from here on.
 *        size_bytes: a number by chance, repeated: what was answered to a daemon that died before it read it may still be there.
 * Ids are the daemon's, unique among unfinished requests of the sandbox. The host name is set by launch: the sandbox's id.
 */
#ifndef CWS_PRIVPROTO_INITPROTO_H
#define CWS_PRIVPROTO_INITPROTO_H

#include "base/macros.h"

#define INIT_VERSION 2
#define INIT_SHOW_SINCE 2 /* the first INIT_VERSION that takes a SHOW */

#define INIT_MAX_BODY 32768 /* in a packet; chosen: covers an ordinary argv + environment */
#define INIT_MAX_MEMFD_BODY (4u << 20) /* chosen: twice Linux's default ARG_MAX (2 MiB) */
#define INIT_MAX_STRINGS 65536
#define INIT_MAX_EXECS 4096 /* running at once in one sandbox; over: STARTED -EAGAIN */

#define INIT_LIMITS_FDS 4 /* pids: two, memory, cpu */

enum init_type {
    INIT_EXEC = 1,
    INIT_SIGNAL,
    INIT_KILL,
    INIT_READ,
    INIT_WRITE,
    INIT_LIMITS, /* of launch */
    INIT_SYNC,
    INIT_CONNECT,
    INIT_SHOW, /* of launch */
    INIT_STARTED = 64,
    INIT_EXITED,
    INIT_COPIED,
    INIT_SYNCED,
    INIT_CONNECTED,
    INIT_TYPE_MAX,
};

enum init_connect_to { INIT_CONNECT_IPV4 = 4, INIT_CONNECT_IPV6 = 6 };

enum init_flags {
    INIT_TTY = 1 << 0,
    INIT_BODY_IN_MEMFD = 1 << 1,
    INIT_MAIN = 1 << 2,
    INIT_NULL_STDIN = 1 << 3,
    INIT_ENTER_PIDS = 1 << 4,
    INIT_ENTER_MEMORY = 1 << 5,
    INIT_ENTER_CPU = 1 << 6,
    INIT_TIGHT = 1 << 7,
    INIT_OOM_KILLED = 1 << 9,
    INIT_OOM_UNKNOWN = 1 << 10,
    INIT_FILES = 1 << 11,
};

struct init_packet {
    uint32_t type; /* enum init_type */
    uint32_t id;
    uint32_t flags; /* enum init_flags */
    int32_t value;  /* signo, open flags, port, status (-errno), wait status */
    uint32_t
        aux; /* mode bits (WRITE, COPIED); pid as seen inside (STARTED); enum init_connect_to */
    uint32_t n_args, n_envs;
    uint32_t tty_width, tty_height;
    uint32_t body_size;
    uint32_t n_seen; /* EXEC, READ, WRITE; counts from 0 and wraps */
    int32_t slot;    /* STARTED with status 0; -1: there are no slots here */
    char stage[16];  /* STARTED with status < 0 */
    uint64_t size_bytes;
    uint64_t duration_ns, cpu_ns; /* EXITED */
};

#endif
