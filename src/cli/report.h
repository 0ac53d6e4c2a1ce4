/*
 * What `cwsandbox doctor` found: a line for each finding, coloured on a terminal, or one JSON
 * object.
 */
#ifndef CWS_CLI_REPORT_H
#define CWS_CLI_REPORT_H

#include <stdbool.h>

#include "cli/util.h"

enum finding {
    FINDING_OK,
    FINDING_MISSING, /* works without, but something is lost */
    FINDING_BROKEN,  /* sandboxes cannot work */
    FINDING_NOTE,
};

struct report {
    bool json;
    bool colour;
    bool broken;  /* a FINDING_BROKEN was added */
    size_t n;     /* findings so far */
    bool is_open; /* JSON: the object of the last finding waits for its remedy */
};

/** report_init() - colour when stdout is a terminal that has colours and NO_COLOR (no-color.org)
 * is not set. */
void report_init(struct report *r, bool json);
/** report_add() - print "ok       subject            text". */
void report_add(struct report *r, enum finding finding, const char *subject, const char *fmt,
                ...) PRINTF_LIKE(4, 5);
/** report_remedy() - print what to do about the last finding; once at most. */
void report_remedy(struct report *r, const char *text);
/** report_end() - print whether sandboxes work. */
void report_end(struct report *r);

#endif
