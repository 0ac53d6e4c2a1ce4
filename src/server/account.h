/*
 * What one owner (the name of an API key, a user of this machine) holds of what the service has
 * for all, so that one never costs another its service. All who present no key are one owner.
 *
 * Three numbers a resource (account.c): `own`, which nobody can take from an owner; `max`, which
 * one owner may hold; and the pool between the two. At its cap an owner gets RESOURCE_EXHAUSTED
 * with a reason and a time after which to try again; the others go on.
 *
 * Owner: the service. An account lives as long as the service: there are as many as the operator
 * named keys and users. Thread: the loop's.
 */
#ifndef CWS_SERVER_ACCOUNT_H
#define CWS_SERVER_ACCOUNT_H

#include "base/budget.h"
#include "base/list.h"
#include "base/strmap.h"
#include "server/keys.h"

enum share {
    SHARE_CALLS,       /* open, also those whose answer waits to be taken */
    SHARE_CONNECTIONS, /* that are the owner's: its user's, or a call on it presented its key */
    SHARE_REQUEST_BYTES, /* of requests: arriving, waiting, and decoded while they are served */
    SHARE_ANSWER_BYTES,  /* made and not yet taken by the peer */
    SHARE_SPEC_BYTES,    /* specifications of living sandboxes */
    SHARE_VISITORS,      /* connections to services of the owner's sandboxes: web.c */
    SHARE_VISITOR_BYTES, /* of their requests and answers, on the way */
    SHARE_MAX,
};

#define ACCOUNT_NAME_MAX (KEYS_NAME_MAX + 8) /* "uid:4294967295" fits too */

/* Refusals are worth a line each, unless somebody makes them by the thousand. */
struct log_allowance {
    uint64_t since_ns;
    unsigned n_lines;
    size_t n_silent;
};

struct account {
    char name[ACCOUNT_NAME_MAX];
    struct budget shares[SHARE_MAX];
    size_t n_refused_calls; /* open calls that were refused for want of a share */
    size_t n_creating;      /* sandboxes on their way to their first stable state */
    struct list creates;    /* struct create_wait.queue_link: those that wait for a place */
    bool in_create_next;
    size_t n_alive; /* sandboxes that have not ended */
    struct log_allowance log;
};

struct accounts {
    struct strmap by_name; /* struct account */
    struct budget_pool pools[SHARE_MAX];
    struct budget_pool none; /* strangers have what is their own */
    struct account strangers;
};

/* Chosen: enough to keep cwsandbox-launch busy; what somebody else's create waits for behind one owner. */
#define ACCOUNT_MAX_CREATING 64
/* Chosen: more than a client has in flight before it reads the first refusal. Above it the connection is closed. */
#define ACCOUNT_MAX_REFUSED_CALLS 1024
/* Chosen: long enough that a refused client is no load, short for somebody who waits. */
#define ACCOUNT_RETRY_NS 1000000000ull
/* Chosen: enough to see who it is. */
#define ACCOUNT_LOG_LINES 20
#define ACCOUNT_LOG_NS (10ull * 1000000000)

void accounts_init(struct accounts *all);
void accounts_done(struct accounts *all);
/** account_get() - of @name, made when it is new. NULL: out of memory. */
struct account *account_get(struct accounts *all, const char *name);
/** account_next() - iterate: start with *@pos = 0; NULL at the end. Strangers are not among them. */
struct account *account_next(const struct accounts *all, size_t *pos);
/** account_full() - set @err to RESOURCE_EXHAUSTED: @a holds its share of @share. Returns -1. */
int account_full(const struct account *a, enum share share, struct err *err);
/** accounts_kept_free() - of @max sandboxes alive at once, how many @a must leave to the other owners: an equal part of half
 * of them, a sixteenth at most, less what they have. @n_keys: how many owners there may be, seen or not. */
uint32_t accounts_kept_free(const struct accounts *all, const struct account *a, size_t n_keys,
                            uint64_t max);
/** account_may_log() - is a line at @now_ns within the allowance? @ret_silent: how many were not since the last one. */
bool account_may_log(struct account *a, uint64_t now_ns, size_t *ret_silent);

#endif
