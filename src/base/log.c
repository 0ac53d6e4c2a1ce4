#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

static const char *const level_names[LOG_LEVEL_MAX] = {"error", "warn", "info", "debug"};
static enum log_level g_level = LOG_INFO; /* set once at program start */

void log_set_level(enum log_level level)
{
    g_level = level;
}

int log_parse_level(const char *name, enum log_level *ret)
{
    for (size_t i = 0; i < LOG_LEVEL_MAX; i++) {
        if (strcmp(level_names[i], name) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool log_enabled(enum log_level level)
{
    return level <= g_level;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    uint64_t now_ns = clock_wall_ns();
    time_t sec = (time_t)(now_ns / NS_PER_SEC);
    struct tm tm;
    (void)gmtime_r(&sec, &tm);
    /* A longer line is cut, on purpose: one write keeps lines of several threads whole. */
    char line[1024];
    size_t n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03uZ %s %s ",
                          (unsigned)(now_ns / NS_PER_MS % 1000), level_names[level], event);
    va_list ap;
    va_start(ap, fmt);
    int w = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
    va_end(ap);
    if (w > 0)
        n = MIN(n + (size_t)w, sizeof(line) - 2);
    /* One event, one line, and no control sequence for the terminal that shows it, whatever the
     * text holds. */
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = ' ';
    line[n++] = '\n';
    (void)fd_write_all(STDERR_FILENO, line, n); /* nowhere else to complain */
}

const char *log_text(struct log_text *t, const char *words)
{
    (void)snprintf(t->bytes, sizeof(t->bytes), "%s", words);
    for (char *c = t->bytes; *c != '\0'; c++)
        if (*c == '"' || *c == '\\') /* a parser may take the latter for an escape */
            *c = '\'';
    return t->bytes;
}
