/*
 * What must outlive this process, by the id of a sandbox: a *head* that changes (state, times,
 * exit code) and a *body* that does not (owner, specification). Bytes to this file; what they
 * mean is ledger-record.h's.
 *
 * DIR/records is a file of 4 KiB pages: the first says what the file is, each other one holds
 * one record or is free. A body that does not fit its page lies beside it, in DIR/<id>.body. Every
 * write is one pwrite(2) within one page, which SIGKILL cannot cut in two (the kernel looks
 * for it between pages); a long body is written before the page that refers to it. A head is
 * rewritten where it is, in room that the disk gave when the record was made, so a change
 * needs no more of it. Nothing is synced: a loss of power may damage records, which their
 * checksums show. How this was chosen, with numbers: docs/ledger.md.
 *
 * Owner: struct runtime. Loop thread only: a write goes to the page cache.
 */
#ifndef CWS_RUNTIME_LEDGER_H
#define CWS_RUNTIME_LEDGER_H

#include "base/err.h"
#include "privproto/launchproto.h"

#define LEDGER_FORMAT 1            /* raised when an older service could not read the file */
#define LEDGER_PAGE_BYTES 4096     /* of memory and of every file system we know */
#define LEDGER_HEAD_BYTES 1024     /* of them: rewritten with each change */
#define LEDGER_MAX_HEAD 896        /* the caller's part of it */
#define LEDGER_MAX_BODY (8u << 20) /* chosen: above every specification that is accepted */

struct ledger {
    char *dir, *name; /* name: the same for people, absolute */
    int dir_fd, fd;
    uint32_t n_pages; /* of the file, the first included */
    uint32_t n_records;
    uint32_t *free_pages;
    size_t n_free, cap_free;
};

/* Where a record lies; the caller keeps it. */
struct ledger_slot {
    uint32_t page; /* 0: not in the ledger */
    uint32_t body_bytes;
    uint64_t body_sum;
};

struct ledger_record { /* everything borrowed */
    const char *id;
    const uint8_t *head, *body;
    size_t head_bytes, body_bytes;
};

struct ledger_events {
    /* False: the bytes mean nothing to the caller; treated as damage. */
    bool (*on_record)(void *user, const struct ledger_slot *slot,
                      const struct ledger_record *record);
    /* After the last record: is one with a long body in use under @id? */
    bool (*is_known)(void *user, const char *id);
    /* A damaged record was copied to a file of its own and forgotten; @what names it. */
    void (*on_damage)(void *user, const struct err *what);
    void *user;
};

/**
 * ledger_open() - @dir is made; its parent exists
 * Errors: FAILED_PRECONDITION naming the file and what to do: not ours, not a ledger, written
 * by a newer service, read-only, full.
 */
int ledger_open(struct ledger *l, const char *dir, struct err *err);
/** ledger_load() - each record once, in no order; then what belongs to none is removed. */
int ledger_load(struct ledger *l, const struct ledger_events *events, struct err *err);
/**
 * ledger_put() - a new record; @ret is untouched on failure
 * Errors: RESOURCE_EXHAUSTED (disk, quota, memory), INTERNAL.
 */
int ledger_put(struct ledger *l, const struct ledger_record *record, struct ledger_slot *ret,
               struct err *err);
/** ledger_replace() - another head and body in the place of the record at @slot. Errors: as ledger_put(). */
int ledger_replace(struct ledger *l, const struct ledger_record *record,
                   struct ledger_slot *slot, struct err *err);
/** ledger_update() - a new head of the record at @slot. @record's body is not looked at. */
int ledger_update(struct ledger *l, const struct ledger_slot *slot,
                  const struct ledger_record *record, struct err *err);
/** ledger_remove() - harmless for a slot without page. A failure shows at the next load only:
 * the record is there once more. */
void ledger_remove(struct ledger *l, struct ledger_slot *slot, const char *id);
/** ledger_close() - without records nothing of it stays on disk. Accepts a zeroed one. */
void ledger_close(struct ledger *l);

#endif
