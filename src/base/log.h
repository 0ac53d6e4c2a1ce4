/*
 * Structured log lines for the programs (server/, launch/, cli/): one event, one line, key=value, on stderr.
 * Rooms that are libraries (base, wire, transport, runtime, client) never log.
 *
 *   log_event(LOG_INFO, "sandbox_started", "id=%s ms=%.1f", id, ms);
 *   -> 2026-11-23T18:00:00.123Z info sandbox_started id=... ms=0.9
 *
 * Never secrets, argv or file contents above debug level. Thread: any (one write(2) a line).
 */
#ifndef CWS_BASE_LOG_H
#define CWS_BASE_LOG_H

#include "base/macros.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_MAX };

/** log_set_level() - call once at start, before threads. */
void log_set_level(enum log_level level);
/** log_parse_level() - "error", "warn", "info", "debug"; -EINVAL. */
int log_parse_level(const char *name, enum log_level *ret);
bool log_enabled(enum log_level level);
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

struct log_text {
    char bytes[1024]; /* no line is longer */
};
/** log_text() - @words that may hold a peer's, for between the quotes of a value: whatever could end it is replaced. Returns
 * what is in @t. */
const char *log_text(struct log_text *t, const char *words);

#endif
