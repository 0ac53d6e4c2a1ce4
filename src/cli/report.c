/* See report.h. */
#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/format.h"

#define SUBJECT_WIDTH 20

static const char *const words[] = {"ok", "missing", "broken", "note"};

void report_init(struct report *r, bool json)
{
    const char *plain = getenv("NO_COLOR"), *terminal = getenv("TERM");
    bool refused = (plain && *plain) || (terminal && strcmp(terminal, "dumb") == 0);
    *r = (struct report){.json = json, .colour = isatty(STDOUT_FILENO) && !refused};
    if (json)
        (void)fputs("{\n  \"findings\": [", stdout);
}

static void add_line(const struct report *r, enum finding finding, const char *subject,
                     const char *text)
{
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m", ""};
    (void)printf("%s%-8s%s %-*s %s\n", r->colour ? colours[finding] : "", words[finding],
                 r->colour && *colours[finding] ? "\033[0m" : "", SUBJECT_WIDTH, subject, text);
}

static void add_field(const char *key, const char *text)
{
    (void)printf("      \"%s\": ", key);
    json_string(stdout, text);
}

/* Ends the last finding's object. */
static void close_object(struct report *r, const char *remedy)
{
    if (!r->is_open)
        return;
    add_field("remedy", remedy);
    (void)fputs("\n    }", stdout);
    r->is_open = false;
}

static void open_object(struct report *r, enum finding finding, const char *subject,
                        const char *text)
{
    close_object(r, NULL);
    (void)fputs(r->n++ ? ",\n    {\n" : "\n    {\n", stdout);
    add_field("finding", words[finding]);
    (void)fputs(",\n", stdout);
    add_field("subject", subject);
    (void)fputs(",\n", stdout);
    add_field("text", text);
    (void)fputs(",\n", stdout);
    r->is_open = true;
}

void report_add(struct report *r, enum finding finding, const char *subject, const char *fmt,
                ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    CLEANUP_FREE char *owned = must(text);
    if (r->json)
        open_object(r, finding, subject, owned);
    else
        add_line(r, finding, subject, owned);
    r->broken |= finding == FINDING_BROKEN;
    (void)fflush(stdout); /* the next check may take a while */
}

void report_remedy(struct report *r, const char *text)
{
    if (r->json)
        close_object(r, text);
    else
        (void)printf("%-8s %-*s -> %s\n", "", SUBJECT_WIDTH, "", text);
}

void report_end(struct report *r)
{
    close_object(r, NULL);
    if (r->json)
        (void)printf("%s],\n  \"works\": %s\n}\n", r->n ? "\n  " : "",
                     r->broken ? "false" : "true");
    else
        (void)puts(r->broken ? "\nSandboxes do not work here." : "\nSandboxes work.");
}
