/* See exec-facts.h. */
#include "wire/exec-facts.h"

#include <string.h>

#include "base/util.h"

#define SIGNAL_MAX 64 /* signal(7): the last real-time signal */

struct text {
    char *out;
    size_t used;
};

static void put(struct text *t, const char *word, uint64_t value, bool told)
{
    if (!told)
        return;
    int n = snprintf(t->out + t->used, EXEC_FACTS_MAX - t->used, "%s%s=%llu",
                     t->used > 0 ? " " : "", word, (unsigned long long)value);
    CHECK(n > 0 && (size_t)n < EXEC_FACTS_MAX - t->used);
    t->used += (size_t)n;
}

void exec_facts_format(const struct exec_facts *facts, char ret[static EXEC_FACTS_MAX])
{
    struct text t = {.out = ret};

    ret[0] = '\0';
    put(&t, "signal", (uint64_t)facts->signal, facts->signal >= 0);
    put(&t, "oom_killed", (uint64_t)facts->oom_killed, facts->oom_killed >= 0);
    put(&t, "duration_ns", facts->duration_ns, facts->duration_ns != EXEC_FACT_UNKNOWN);
    put(&t, "cpu_ns", facts->cpu_ns, facts->cpu_ns != EXEC_FACT_UNKNOWN);
    put(&t, "peak_memory_bytes", facts->peak_memory_bytes,
        facts->peak_memory_bytes != EXEC_FACT_UNKNOWN);
}

/* @text: "<word>=<number>" of @n bytes. */
static bool find(const char *text, size_t n, const char *word, uint64_t max, uint64_t *ret)
{
    size_t len = strlen(word);
    char number[24];

    if (n <= len + 1 || memcmp(text, word, len) != 0 || text[len] != '=' ||
        n - len - 1 >= sizeof(number))
        return false;
    memcpy(number, text + len + 1, n - len - 1);
    number[n - len - 1] = '\0';
    return parse_u64(number, max, ret) == 0;
}

void exec_facts_parse(const char *text, struct exec_facts *ret)
{
    *ret = EXEC_FACTS_NONE;
    for (size_t n; *text; text += n + (text[n] == ' ')) {
        uint64_t value;

        n = strcspn(text, " ");
        if (find(text, n, "signal", SIGNAL_MAX, &value))
            ret->signal = (int)value;
        else if (find(text, n, "oom_killed", 1, &value))
            ret->oom_killed = (int)value;
        else if (find(text, n, "duration_ns", UINT64_MAX, &value))
            ret->duration_ns = value;
        else if (find(text, n, "cpu_ns", UINT64_MAX, &value))
            ret->cpu_ns = value;
        else if (find(text, n, "peak_memory_bytes", UINT64_MAX, &value))
            ret->peak_memory_bytes = value;
    }
}
