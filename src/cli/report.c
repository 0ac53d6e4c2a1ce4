/* See report.h. */
#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUBJECT_WIDTH 20

void report_init(struct report *r)
{
    const char *plain = getenv("NO_COLOR"), *terminal = getenv("TERM");
    bool refused = (plain && *plain) || (terminal && strcmp(terminal, "dumb") == 0);
    *r = (struct report){.colour = isatty(STDOUT_FILENO) && !refused};
}

void report_add(struct report *r, enum finding finding, const char *subject, const char *fmt,
                ...)
{
    static const char *const words[] = {"ok", "missing", "broken", "note"};
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m", ""};
    (void)printf("%s%-8s%s %-*s ", r->colour ? colours[finding] : "", words[finding],
                 r->colour && *colours[finding] ? "\033[0m" : "", SUBJECT_WIDTH, subject);
    va_list ap;
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
    r->broken |= finding == FINDING_BROKEN;
    (void)fflush(stdout); /* the next check may take a while */
}

void report_remedy(const char *text)
{
    (void)printf("%-8s %-*s -> %s\n", "", SUBJECT_WIDTH, "", text);
}
