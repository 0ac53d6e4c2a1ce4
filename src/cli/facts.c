/* See facts.h. Names of fields are those of the wire's Sandbox. */
#include "cli/facts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/format.h"
#include "cli/util.h"

static const cws_record *part(const cws_record *told, const char *one, const char *two)
{
    const cws_record *r = cws_record_record(told, one, 0);
    return two ? cws_record_record(r, two, 0) : r;
}

static const cws_record *limits_of(const cws_record *told)
{
    const cws_record *wanted =
        part(cws_record_record(told, "status", 0), "effective_resource_requirements", "limits");
    return wanted ? wanted : part(told, "status", "effective_resources");
}

/* Told or not: where none is marked, the first one is the primary. */
static const cws_record *primary_of(const cws_record *spec)
{
    for (size_t i = 0; i < cws_record_count(spec, "containers"); i++) {
        const cws_record *c = cws_record_record(spec, "containers", i);
        if (cws_record_int(c, "primary", 0))
            return c;
    }
    return cws_record_record(spec, "containers", 0);
}

/* Numbers are those of the wire's State. @ret_code: of one that has ended. */
static const char *state_of(const cws_record *status, const int64_t **ret_code, int64_t *code)
{
    int64_t state = cws_record_int(status, "state", 0);
    *code = cws_record_int(status, "exit_code", 0);
    /* Neither a failure nor a stop is an exit code of 0: there is none, and the field cannot say so. */
    bool told = state == CWS_STATUS_COMPLETED ||
                ((state == CWS_STATUS_FAILED || state == CWS_STATUS_TERMINATED) && *code != 0);
    *ret_code = told ? code : NULL;
    return status_name((cws_status)state);
}

/* ---- texts ---- */

/* Appends @more behind @separator; both are freed. */
static char *joined(char *take_text, const char *separator, char *take_more)
{
    if (!take_text)
        return take_more;
    char *longer = text_printf("%s%s%s", take_text, separator, take_more);
    free(take_text);
    free(take_more);
    return longer;
}

/* A table's row is one line. */
static char *one_line(char *text)
{
    for (char *c = text; c && *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return text;
}

uint64_t facts_time(const cws_record *told, const char *field)
{
    const cws_record *time = part(told, "status", field);
    int64_t seconds = cws_record_int(time, "seconds", 0);
    int64_t nanos = cws_record_int(time, "nanos", 0);
    return seconds > 0 ? (uint64_t)seconds * NS_PER_SEC + (uint64_t)nanos : 0;
}

char *facts_age(const cws_record *told)
{
    uint64_t created_ns = facts_time(told, "create_time");
    struct timespec now;
    if (created_ns == 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
        return NULL;
    uint64_t now_s = (uint64_t)now.tv_sec, created_s = created_ns / NS_PER_SEC;
    uint64_t age =
        now_s > created_s ? now_s - created_s : 0; /* the service's clock, and ours */
    static const struct {
        uint64_t seconds; /* the unit, used from twice itself on */
        char letter;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (age >= 2 * units[i].seconds)
            return text_printf("%" PRIu64 "%c", age / units[i].seconds, units[i].letter);
    return text_printf("%" PRIu64 "s", age);
}

char *facts_reason(const cws_record *told)
{
    const char *reason =
        cws_record_text(cws_record_record(told, "status", 0), "state_reason", 0);
    return *reason ? one_line(text_dup(reason)) : NULL;
}

char *facts_tags(const cws_record *told)
{
    const cws_record *spec = cws_record_record(told, "spec", 0);
    char *text = NULL;
    for (size_t i = 0; i < cws_record_count(spec, "tags"); i++)
        text = joined(text, ",", text_dup(cws_record_text(spec, "tags", i)));
    return one_line(text);
}

/* In single quotes when a shell would not take it as it is. */
static char *quoted(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=./:,@%^";
    if (*word && !word[strspn(word, plain)])
        return text_dup(word);
    char *text = text_dup("'");
    for (const char *end; (end = strchr(word, '\'')); word = end + 1)
        text = joined(text, "", text_printf("%.*s'\\''", (int)(end - word), word));
    return joined(text, "", text_printf("%s'", word));
}

char *facts_command(const cws_record *told)
{
    const cws_record *c = primary_of(cws_record_record(told, "spec", 0));
    const char *command = cws_record_text(c, "command", 0);
    char *text = *command ? quoted(command) : NULL;
    for (size_t i = 0; i < cws_record_count(c, "args"); i++)
        text = joined(text, " ", quoted(cws_record_text(c, "args", i)));
    return one_line(text);
}

char *facts_limits(const cws_record *told)
{
    const cws_record *limits = limits_of(told);
    const char *cpu = cws_record_text(limits, "cpu", 0);
    const char *memory = cws_record_text(limits, "memory", 0);
    int64_t gpus = cws_record_int(cws_record_record(limits, "gpu", 0), "count", 0);
    char *text = *cpu ? text_printf("cpu=%s", cpu) : NULL;
    if (*memory)
        text = joined(text, " ", text_printf("memory=%s", memory));
    if (gpus)
        text = joined(text, " ", text_printf("gpu=%" PRId64, gpus));
    return one_line(text);
}

char *facts_usage(const cws_record *told)
{
    const cws_record *usage = part(told, "status", "resource_usage");
    if (!usage)
        return NULL;
    char *text = text_printf("cpu=%" PRId64 "m", cws_record_int(usage, "cpu_millicores", 0));
    int64_t memory = cws_record_int(usage, "memory_mb", 0);
    if (memory) /* 0: nobody counts it */
        text = joined(text, " ", text_printf("memory=%" PRId64 "M", memory));
    int64_t gpus = cws_record_int(usage, "gpu_count", 0);
    return gpus ? joined(text, " ", text_printf("gpu=%" PRId64, gpus)) : text;
}

char *facts_containers(const cws_record *told)
{
    const cws_record *status = cws_record_record(told, "status", 0);
    char *text = NULL;
    for (size_t i = 0; i < cws_record_count(status, "container_statuses"); i++) {
        const cws_record *one = cws_record_record(status, "container_statuses", i);
        const int64_t *code;
        int64_t number;
        const char *state = state_of(one, &code, &number);
        const char *name = cws_record_text(one, "name", 0);
        text = joined(text, ",",
                      code ? text_printf("%s=%s(%" PRId64 ")", name, state, number)
                           : text_printf("%s=%s", name, state));
    }
    return one_line(text);
}

/* ---- blocks of `get` ---- */

/* Where it is reached: a URL, or "host:port" of a TLS passthrough endpoint; "" = nowhere. */
static const char *address_of(const cws_record *service)
{
    const cws_record *endpoint = cws_record_record(service, "endpoint", 0);
    const char *const all[] = {cws_record_text(service, "url", 0),
                               cws_record_text(endpoint, "url", 0),
                               cws_record_text(endpoint, "address", 0)};
    size_t i = 0;
    while (i + 1 < ARRAY_SIZE(all) && !*all[i])
        i++;
    return all[i];
}

static const char *visibility_of(const cws_record *service)
{
    static const char *const names[] = {"unspecified", "public", "private", "custom"};
    uint64_t number = (uint64_t)cws_record_int(service, "visibility", 0);
    return number < ARRAY_SIZE(names) ? names[number] : "unknown";
}

void facts_print_services(const cws_record *told, FILE *out)
{
    const cws_record *status = cws_record_record(told, "status", 0);
    for (size_t i = 0; i < cws_record_count(status, "services"); i++) {
        const cws_record *one = cws_record_record(status, "services", i);
        CLEANUP_FREE char *line =
            text_printf("  %" PRId64 "  %s  %s  %s", cws_record_int(one, "port", 0),
                        or_dash(cws_record_text(one, "name", 0)), visibility_of(one),
                        or_dash(address_of(one)));
        (void)fputs(i ? "\n" : "\nSERVICES\n", out);
        print_plain(out, one_line(line));
    }
    if (cws_record_count(status, "services"))
        (void)fputc('\n', out);
}

void facts_print_containers(const cws_record *told, FILE *out)
{
    const cws_record *spec = cws_record_record(told, "spec", 0);
    const cws_record *status = cws_record_record(told, "status", 0);
    for (size_t i = 0; i < cws_record_count(spec, "containers"); i++) {
        const cws_record *c = cws_record_record(spec, "containers", i);
        CLEANUP_FREE char *line =
            text_printf("  %s (%s)  %s", or_dash(cws_record_text(c, "name", 0)),
                        c == primary_of(spec) ? "primary" : "helper",
                        or_dash(cws_record_text(c, "image", 0)));
        (void)fputs(i ? "\n" : "\nCONTAINERS\n", out);
        print_plain(out, one_line(line));
    }
    if (cws_record_count(spec, "containers"))
        (void)fputc('\n', out);
    for (size_t i = 0; i < cws_record_count(status, "container_statuses"); i++) {
        const cws_record *one = cws_record_record(status, "container_statuses", i);
        const int64_t *code;
        int64_t number;
        const char *state = state_of(one, &code, &number);
        CLEANUP_FREE char *exit =
            code ? text_printf("exit=%" PRId64 "  ", number) : text_dup("");
        CLEANUP_FREE char *line = text_printf("  %s  %s  %srestarts=%" PRId64,
                                              or_dash(cws_record_text(one, "name", 0)), state,
                                              exit, cws_record_int(one, "restart_count", 0));
        (void)fputs(i ? "\n" : "\nCONTAINER STATUS\n", out);
        print_plain(out, one_line(line));
    }
    if (cws_record_count(status, "container_statuses"))
        (void)fputc('\n', out);
}

/* ---- JSON ---- */

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static void json_time(struct json *j, const char *key, uint64_t wall_ns)
{
    CLEANUP_FREE char *text = time_iso(wall_ns);
    json_text(j, key, text);
}

static void json_texts(struct json *j, const cws_record *r, const char *field)
{
    for (size_t i = 0; i < cws_record_count(r, field); i++)
        json_text(j, NULL, cws_record_text(r, field, i));
}

static void json_limits(struct json *j, const cws_record *limits)
{
    const cws_record *gpu = cws_record_record(limits, "gpu", 0);
    if (!limits) {
        json_text(j, "limits", NULL);
        return;
    }
    json_begin(j, "limits", '{');
    json_text(j, "cpu", or_null(cws_record_text(limits, "cpu", 0)));
    json_text(j, "memory", or_null(cws_record_text(limits, "memory", 0)));
    json_int(j, "gpu_count", cws_record_int(gpu, "count", 0));
    json_end(j, '}');
}

static void json_usage(struct json *j, const cws_record *usage)
{
    if (!usage) {
        json_text(j, "usage", NULL);
        return;
    }
    json_begin(j, "usage", '{');
    json_int(j, "cpu_millicores", cws_record_int(usage, "cpu_millicores", 0));
    json_int(j, "memory_mb", cws_record_int(usage, "memory_mb", 0));
    json_int(j, "gpu_count", cws_record_int(usage, "gpu_count", 0));
    json_end(j, '}');
}

static void json_containers(struct json *j, const cws_record *spec)
{
    size_t n = cws_record_count(spec, "containers");
    if (n == 0)
        return;
    json_begin(j, "containers", '[');
    for (size_t i = 0; i < n; i++) {
        const cws_record *c = cws_record_record(spec, "containers", i);
        json_begin(j, NULL, '{');
        json_text(j, "name", or_null(cws_record_text(c, "name", 0)));
        json_text(j, "image", or_null(cws_record_text(c, "image", 0)));
        json_bool(j, "primary", c == primary_of(spec));
        json_end(j, '}');
    }
    json_end(j, ']');
}

static void json_container_statuses(struct json *j, const cws_record *status)
{
    size_t n = cws_record_count(status, "container_statuses");
    if (n == 0)
        return;
    json_begin(j, "container_statuses", '[');
    for (size_t i = 0; i < n; i++) {
        const cws_record *one = cws_record_record(status, "container_statuses", i);
        const int64_t *code;
        int64_t number;
        const char *state = state_of(one, &code, &number);
        json_begin(j, NULL, '{');
        json_text(j, "name", or_null(cws_record_text(one, "name", 0)));
        json_text(j, "state", state);
        if (code)
            json_int(j, "exit_code", number);
        else
            json_text(j, "exit_code", NULL);
        json_int(j, "restart_count", cws_record_int(one, "restart_count", 0));
        json_end(j, '}');
    }
    json_end(j, ']');
}

static void json_services(struct json *j, const cws_record *status)
{
    size_t n = cws_record_count(status, "services");
    if (n == 0)
        return;
    json_begin(j, "services", '[');
    for (size_t i = 0; i < n; i++) {
        const cws_record *one = cws_record_record(status, "services", i);
        json_begin(j, NULL, '{');
        json_int(j, "port", cws_record_int(one, "port", 0));
        json_text(j, "name", or_null(cws_record_text(one, "name", 0)));
        json_text(j, "visibility", visibility_of(one));
        json_text(j, "address", or_null(address_of(one)));
        json_end(j, '}');
    }
    json_end(j, ']');
}

static void json_told(struct json *j, const cws_record *told)
{
    const cws_record *spec = cws_record_record(told, "spec", 0);
    const cws_record *status = cws_record_record(told, "status", 0);
    const cws_record *primary = primary_of(spec);
    json_time(j, "created_at", facts_time(told, "create_time"));
    json_time(j, "ended_at", facts_time(told, "end_time"));
    json_text(j, "status_reason", or_null(cws_record_text(status, "state_reason", 0)));
    json_begin(j, "tags", '[');
    json_texts(j, spec, "tags");
    json_end(j, ']');
    json_begin(j, "command", '[');
    if (*cws_record_text(primary, "command", 0))
        json_texts(j, primary, "command");
    json_texts(j, primary, "args");
    json_end(j, ']');
    json_limits(j, limits_of(told));
    json_usage(j, cws_record_record(status, "resource_usage", 0));
    json_containers(j, spec);
    json_container_statuses(j, status);
    json_services(j, status);
}

void facts_print_json(const struct sandbox_view *view, struct json *j)
{
    CLEANUP_FREE char *started = time_iso(view->started_ns);
    json_begin(j, NULL, '{');
    json_text(j, "sandbox_id", view->id);
    json_text(j, "status", view->status);
    json_text(j, "runner_id", view->runner_id);
    json_text(j, "runner_group_id", view->runner_group_id);
    json_text(j, "started_at", started);
    if (view->has_returncode)
        json_int(j, "returncode", view->returncode);
    else
        json_text(j, "returncode", NULL);
    json_told(j, view->told);
    json_end(j, '}');
}
