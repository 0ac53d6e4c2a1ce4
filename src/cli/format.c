/* See format.h. */
#include "cli/format.h"

#include <string.h>
#include <time.h>

#include "cli/util.h"

/* One code point of UTF-8 at @s; U+FFFD for the first byte of anything malformed. RFC 3629,
 * table of section 4. */
static uint32_t decode_utf8(const unsigned char *s, size_t *ret_len)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80       ? 1
                 : s[0] >> 5 == 6  ? 2
                 : s[0] >> 4 == 14 ? 3
                 : s[0] >> 3 == 30 ? 4
                                   : 0;
    *ret_len = 1;
    if (len == 1)
        return s[0];
    uint32_t point = len ? s[0] & (0x7Fu >> len) : 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80) /* stops at the NUL too */
            return 0xFFFD;
        point = point << 6 | (s[i] & 0x3Fu);
    }
    if (len == 0 || point < smallest[len] || point > 0x10FFFF ||
        (point >= 0xD800 && point < 0xE000))
        return 0xFFFD;
    *ret_len = len;
    return point;
}

static void json_point(FILE *out, uint32_t point)
{
    static const char escaped[] = "\b\t\n\f\r\"\\";
    static const char letters[] = "btnfr\"\\";
    const char *found = point < 0x80 && point ? strchr(escaped, (int)point) : NULL;
    if (found)
        (void)fprintf(out, "\\%c", letters[found - escaped]);
    else if (point >= 0x20 && point < 0x7F)
        (void)fputc((int)point, out);
    else if (point < 0x10000)
        (void)fprintf(out, "\\u%04x", point);
    else
        (void)fprintf(out, "\\u%04x\\u%04x", 0xD800 + ((point - 0x10000) >> 10),
                      0xDC00 + ((point - 0x10000) & 0x3FF));
}

void json_string(FILE *out, const char *text)
{
    if (!text) {
        (void)fputs("null", out);
        return;
    }
    (void)fputc('"', out);
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t len;
        json_point(out, decode_utf8(s, &len));
        s += len;
    }
    (void)fputc('"', out);
}

void print_plain(FILE *out, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t len;
        uint32_t point = decode_utf8(s, &len);
        bool malformed = point == 0xFFFD && len == 1;
        bool control =
            (point < 0x20 && point != '\n' && point != '\t') || (point >= 0x7F && point < 0xA0);
        if (malformed || control)
            (void)fprintf(out, "\\x%02x", malformed ? *s : point);
        else
            (void)fwrite(s, 1, len, out);
        s += len;
    }
}

void table_rule(FILE *out, const int *widths, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int j = 0; j < widths[i]; j++)
            (void)fputc('-', out);
        (void)fputc(i + 1 < n ? ' ' : '\n', out);
    }
}

const char *or_dash(const char *text)
{
    return text && *text ? text : "-";
}

static bool split_time(uint64_t wall_ns, struct tm *ret)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
    return wall_ns && gmtime_r(&seconds, ret);
}

char *time_iso(uint64_t wall_ns)
{
    struct tm tm;
    if (!split_time(wall_ns, &tm))
        return NULL;
    char text[sizeof("YYYY-MM-DDTHH:MM:SS") +
              16]; /* years of uint64_t nanoseconds end in 2554 */
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    unsigned micros = (unsigned)(wall_ns % NS_PER_SEC / 1000);
    return micros ? text_printf("%s.%06u+00:00", text, micros) : text_printf("%s+00:00", text);
}

char *time_human(uint64_t wall_ns)
{
    struct tm tm;
    if (!split_time(wall_ns, &tm))
        return NULL;
    char text[sizeof("YYYY-MM-DD HH:MM:SS UTC") + 16];
    (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    return text_dup(text);
}
