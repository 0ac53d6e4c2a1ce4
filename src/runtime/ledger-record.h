/*
 * What the ledger holds of a sandbox, and a sandbox made of it again.
 *
 * Written before anybody is told: at creation, with each change of state, with the exit code of
 * the main process. A change that the disk refuses is reported (runtime_config.on_warning) and
 * written with the next one; the sandbox goes on. Times are kept twice: wall clock, which may
 * jump, and CLOCK_BOOTTIME, which counts in the boot it was taken in. Ages are judged by the
 * second, across a boot by the first.
 */
#ifndef CWS_RUNTIME_LEDGER_RECORD_H
#define CWS_RUNTIME_LEDGER_RECORD_H

#include "runtime/sandbox.h"

/** ledger_record_add() - @sb is new, with its id and number. Errors: as ledger_put(). */
int ledger_record_add(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err);
/** ledger_record_replace() - it has another plan than it was added with. Errors: as ledger_put(). */
int ledger_record_replace(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err);
/** ledger_record_update() - @sb as it is now. */
void ledger_record_update(struct sandbox *sb);
/** ledger_record_remove() - it is forgotten. */
void ledger_record_remove(struct sandbox *sb);
/**
 * ledger_records_load() - every sandbox of an earlier service, registered; of those that lived it is
 * not known yet whether they still do (sandbox-adopt.c)
 * Errors: as ledger_open().
 */
int ledger_records_load(struct runtime *rt, struct err *err);

#endif
