/*
 * Questions under way: a fixed number of places, shared out so that no sandbox takes another's.
 *
 * UDP:   free -> asking (-> granting) -> free
 * TCP:   free -> reading -> asking (-> granting) -> answering -> reading ... -> free
 *
 * A place has a time in each state; they all have the same, so the list of those in use is in the order in which they are due.
 * One thread, no waiting anywhere but in resolver_run().
 */
#ifndef CWS_RESOLVE_QUERY_H
#define CWS_RESOLVE_QUERY_H

#include "base/list.h"
#include "resolve/names.h"
#include "resolve/servers.h"

#define QUERIES_MAX 2048       /* chosen: of all sandboxes at once */
#define QUERIES_PER_SANDBOX 64 /* chosen: a browser asks for twenty names at a time */
#define QUERY_MAX_BYTES 4096   /* chosen: a name, and options that nobody makes that long */
#define STATE_MS \
    1500 /* chosen: glibc waits 5 s for all; a second server has its turn by then */

enum query_state { QUERY_READING, QUERY_ASKING, QUERY_GRANTING, QUERY_ANSWERING };

struct query {
    struct list node; /* resolver.used, or .unused */
    uint64_t due_ns;
    enum query_state state;
    struct sockaddr_in from; /* who asks */
    int client;              /* a connection of its; -1: it asked by UDP */
    int server;              /* connected to one of resolver.servers; -1: none now */
    uint32_t n_tries;
    uint16_t id; /* what the asker calls the question */
    struct question question;
    enum names_answer may;  /* what the names say of it */
    uint32_t number;        /* of struct resolve_grant, while granting */
    uint8_t *bytes;         /* the question; of TCP behind its length, as the answer is */
    uint8_t *answer;        /* behind room for its length; of UDP while granting only */
    size_t n, n_answer, at; /* at: so many of what goes or comes are done */
};

struct resolver {
    struct servers servers;
    const struct resolve_table *table;
    int poll_fd;
    struct list used, unused;
    uint32_t n_grants;  /* they have numbers */
    uint64_t looked_ns; /* whether the servers are still those */
    uint8_t n_of[RESOLVE_PLACES];
    struct query queries[QUERIES_MAX];
};

/** queries_init() - all are unused. */
void queries_init(struct resolver *r);
/**
 * query_add() - a place for a question from @from, with room for @n_bytes; in the list, due in STATE_MS. NULL: it has its share
 * already, or nobody has more than it has. When all are in use, whoever has the most loses the oldest one.
 */
struct query *query_add(struct resolver *r, const struct sockaddr_in *from, size_t n_bytes);
/** query_enter() - @q is in @state from now on, for STATE_MS. */
void query_enter(struct resolver *r, struct query *q, enum query_state state);
void query_free(struct resolver *r, struct query *q);

#endif
