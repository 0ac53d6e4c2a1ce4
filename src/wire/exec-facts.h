/*
 * Metadata by which our own client and service say of a command what the messages have no field for.
 *
 * The service names in the initial metadata of every answer what it takes, EXEC_FIELDS_HEADER; only then may a client of
 * Exec and StreamExec send EXEC_CWD_HEADER (an absolute path in base64) and EXEC_USER_HEADER ("NAME|UID[:GROUP|GID]").
 *
 * StreamExec with EXEC_PORT_HEADER (1 to 65535) and no command is a TCP connection to that port of the sandbox's loopback: `ready`
 * when there is one, stdin_data to the inside, stdout from it; `close` or a half-close is the caller's end of file, an output
 * without bytes is that of the inside, and `exit` 0 follows both. Nobody listens: CWSANDBOX_PORT_NOT_LISTENING.
 *
 * EXEC_FILES_HEADER, with the value EXEC_FILES in the same two places: the service takes, and the command is, one of the words of
 * base/files-words.h, for which no program of the sandbox is executed.
 *
 * What our own service tells of a command's end beside its exit code: the trailer EXEC_FACTS_HEADER of Exec and StreamExec,
 *
 *     x-cwsandbox-exec-facts: signal=9 oom_killed=1 duration_ns=1500000 cpu_ns=900000 peak_memory_bytes=3145728
 *
 * Words in any order, decimal numbers. What is not there is not told; words that a reader does not know are ignored.
 */
#ifndef CWS_WIRE_EXEC_FACTS_H
#define CWS_WIRE_EXEC_FACTS_H

#include "base/macros.h"

#define EXEC_FIELDS_HEADER "x-cwsandbox-exec-fields"
#define EXEC_FIELDS "cwd user port"
#define EXEC_CWD_HEADER "x-cwsandbox-exec-cwd-bin"
#define EXEC_USER_HEADER "x-cwsandbox-exec-user"
#define EXEC_PORT_HEADER "x-cwsandbox-exec-port"
#define EXEC_FILES_HEADER "x-cwsandbox-exec-files"
#define EXEC_FILES "1"
#define EXEC_FACTS_HEADER "x-cwsandbox-exec-facts"
#define EXEC_FACTS_MAX 192 /* the five words with the largest numbers are 142 bytes */

#define EXEC_FACT_UNKNOWN UINT64_MAX

struct exec_facts {
    int signal;     /* what killed the command; 0: none, -1: not told */
    int oom_killed; /* 1, 0; -1: not told */
    uint64_t duration_ns, cpu_ns, peak_memory_bytes; /* EXEC_FACT_UNKNOWN: not told */
};

#define EXEC_FACTS_NONE \
    ((struct exec_facts){-1, -1, EXEC_FACT_UNKNOWN, EXEC_FACT_UNKNOWN, EXEC_FACT_UNKNOWN})

/** exec_facts_format() - the header's value. */
void exec_facts_format(const struct exec_facts *facts, char ret[static EXEC_FACTS_MAX]);
/** exec_facts_parse() - a malformed word is one that is not there. */
void exec_facts_parse(const char *text, struct exec_facts *ret);

#endif
