/*
 * The program that answers sandboxes' questions for names (cwsandbox-resolve), a child of the engine in the machine's
 * namespaces: started with the network, started again when it ends. Its sockets are made in the router and stay open here, so
 * questions wait meanwhile. States: RESOLVER_NONE -> opened (a pid, or a time for the next one) -> RESOLVER_NONE.
 */
#ifndef CWS_LAUNCH_RESOLVER_H
#define CWS_LAUNCH_RESOLVER_H

#include <sys/types.h>

#include "base/macros.h"
#include "privproto/resolve.h"

struct resolver {
    int program;
    const char *const *servers; /* addresses, up to a NULL; none: those of /etc/resolv.conf */
    int mounts; /* the machine's mount namespace: of its program, and of /etc/resolv.conf */
    int fds[RESOLVE_END]; /* what it gets; below RESOLVE_UDP none */
    int engine_fd;        /* our end */
    int table_fd;         /* as `table` is: to be written */
    struct resolve_table *table;
    pid_t pid;                 /* 0: none */
    uint64_t born_ns, next_ns; /* next_ns: when one is due; 0: none is */
    uint32_t delay_ms;
};

#define RESOLVER_NONE \
    ((struct resolver){.program = -1, \
                       .mounts = -1, \
                       .fds = {-1, -1, -1, -1, -1, -1, -1}, \
                       .engine_fd = -1, \
                       .table_fd = -1})

/** resolver_open() - in the router's network namespace, which has RESOLVE_ADDRESS. @servers: struct resolver. Nothing runs yet. */
int resolver_open(struct resolver *r, const char *const *servers);
/** resolver_resume() - of a program that had our place: @r has the descriptors that carry.c kept. On failure there are no names. */
int resolver_resume(struct resolver *r, const char *const *servers);
/** resolver_run() - start it if it is due; in the machine's network namespace. */
void resolver_run(struct resolver *r);
/** resolver_pause_ms() - until resolver_run() has something to do; -1: it has not. */
int resolver_pause_ms(const struct resolver *r);
/** resolver_reaped() - @pid ended: was it ours? */
bool resolver_reaped(struct resolver *r, pid_t pid, int wait_status);
/** resolver_stop() - ends it and waits for that; no other one follows. */
void resolver_stop(struct resolver *r);
/** resolver_again() - after resolver_stop(): another one is due. */
void resolver_again(struct resolver *r);
/** resolver_close() - resolver_stop(), and nothing of it is left. */
void resolver_close(struct resolver *r);

/** resolver_allow() - what the sandbox at @address may ask, from now on. @names: of RESOLVE_NAMED; else "". */
void resolver_allow(struct resolver *r, uint32_t address, enum resolve_mode mode,
                    const char *names);
/** resolver_mode() - what resolver_allow() said last. */
enum resolve_mode resolver_mode(const struct resolver *r, uint32_t address);

#endif
