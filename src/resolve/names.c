/* See names.h. */
#include "resolve/names.h"

#include <string.h>

static bool is(const char *line, size_t n, const char *name)
{
    return strlen(name) == n && memcmp(line, name, n) == 0;
}

enum names_answer names_look_up(const char *names, size_t size, const struct question *question)
{
    const char *parent = strchr(question->name, '.'); /* with its dot: one label less */
    enum names_answer answer = NAMES_REFUSED;

    for (size_t at = 0; at < size && names[at] != '\0';) {
        const char *line = names + at;
        const char *end = memchr(line, '\n', size - at);
        size_t n;

        if (!end)
            break;
        n = (size_t)(end - line);
        at += n + 1;
        if (is(line, n, "*"))
            answer = NAMES_ASKED;
        else if (question->plain && (*line == '*' ? parent && is(line + 1, n - 1, parent)
                                                  : is(line, n, question->name)))
            return NAMES_GRANTED;
    }
    return answer;
}
