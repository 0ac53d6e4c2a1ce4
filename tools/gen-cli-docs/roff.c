/* See roff.h. Output is stdout; main.c looks for its errors. */
#include "roff.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* "-" would become a hyphen that nobody can paste, a backslash an escape, and a dot or quote at
 * the start of a line a request. */
static void put_text(const char *text, size_t n)
{
    if (n > 0 && strchr(".'", *text))
        (void)fputs("\\&", stdout);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\\')
            (void)fputs("\\e", stdout);
        else if (text[i] == '-')
            (void)fputs("\\-", stdout);
        else if (text[i] == '\'')
            (void)fputs("\\(aq", stdout);
        else if (text[i] == '`')
            (void)fputs("\\(ga", stdout);
        else if (text[i] == '~')
            (void)fputs("\\(ti", stdout);
        else if (text[i] == '^')
            (void)fputs("\\(ha", stdout);
        else
            (void)putchar(text[i]);
    }
}

static void put_line(const char *text)
{
    put_text(text, strlen(text));
    (void)putchar('\n');
}

void roff_title(const char *name, int section, const char *manual)
{
    (void)puts(".\\\" Written by tools/gen-cli-docs from the option tables.");
    (void)printf(".TH %s %d \"\" \"cwsandbox %s\" \"%s\"\n", name, section, CWS_VERSION,
                 manual);
    (void)puts(".nh\n.ad l"); /* options and paths must not be broken */
}

void roff_section(const char *title)
{
    (void)printf(".SH %s\n", title);
}

void roff_subsection(const char *title)
{
    (void)fputs(".SS \"", stdout);
    put_text(title, strlen(title));
    (void)puts("\"");
}

void roff_paragraphs(const char *text)
{
    bool in_example = false;
    while (*text) {
        size_t n = strcspn(text, "\n");
        bool example = *text == ' ';
        if (example && !in_example)
            (void)puts(".PP\n.RS 4\n.nf");
        else if (!example)
            (void)puts(in_example ? ".fi\n.RE\n.PP" : ".PP");
        in_example = example;
        size_t indent = strspn(text, " ");
        put_text(text + indent, n - indent);
        (void)putchar('\n');
        text += n + (text[n] == '\n');
    }
    if (in_example)
        (void)puts(".fi\n.RE");
}

void roff_item(const char *label, const char *text)
{
    (void)fputs(".TP\n\\fB", stdout);
    put_text(label, strlen(label));
    (void)puts("\\fR");
    put_line(text);
}
