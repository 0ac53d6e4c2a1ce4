/*
 * Text for programs and people: JSON strings as Python's json.dumps() writes them, and times,
 * and what tables share.
 */
#ifndef CWS_CLI_FORMAT_H
#define CWS_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** json_string() - a JSON string literal, ASCII only; NULL prints null. Bytes that are not
 * UTF-8 become U+FFFD. */
void json_string(FILE *out, const char *text);

/** print_plain() - @text for somebody at a terminal, which it must not command: control
 * characters but newline and tab, and bytes that are not UTF-8, become \xNN. */
void print_plain(FILE *out, const char *text);

/** table_rule() - dashes of each width, separated by blanks: the line below a table's head. */
void table_rule(FILE *out, const int *widths, size_t n);
/** or_dash() - what a table shows of @text: "-" when it is not known. */
const char *or_dash(const char *text);

/** time_iso() - heap "2026-11-23T18:00:00.123456+00:00" as Python's isoformat(); NULL for 0. */
char *time_iso(uint64_t wall_ns);
/** time_human() - heap "2026-11-23 18:00:00 UTC"; NULL for 0. */
char *time_human(uint64_t wall_ns);

#endif
