/*
 * The lines of `cwsandbox doctor`: one finding each, coloured on a terminal.
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
    bool colour;
    bool broken; /* a FINDING_BROKEN was added */
};

/** report_init() - colour when stdout is a terminal and NO_COLOR (no-color.org) is not set. */
void report_init(struct report *r);
/** report_add() - print "ok       subject            text". */
void report_add(struct report *r, enum finding finding, const char *subject, const char *fmt,
                ...) PRINTF_LIKE(4, 5);
/** report_remedy() - print what to do about the last finding. */
void report_remedy(const char *text);

#endif
