/*
 * Discovery: the runners that the service has, which is one: this machine. BASIC says what it
 * is, FULL also what is free on it now.
 */
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"
#include "runtime/runtime.h"
#include "server/dispatch.h"
#include "server/record.h"
#include "server/spec.h"

#define ORGANIZATION "local"
#define RUNNER_GROUP "local"    /* as in every sandbox's status: record.c */
#define MEMINFO_MAX (64u << 10) /* chosen: the file has some 1500 bytes */

/* An AvailableRunner and everything it points to. */
struct runner {
    Pb__AvailableRunner message;
    Pb__RunnerCapabilitySummary capabilities;
    Pb__RunnerResourceSummary resources;
    Pb__Timestamp connected;
    struct utsname host;
    char *architectures[1];
    Pb__Visibility visibilities[2];
};

/* A line such as "MemAvailable:   123 kB" in bytes; 0 when there is none. */
static uint64_t meminfo(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    unsigned long long kib = 0;
    if (line == NULL || sscanf(line + strlen(name), ": %llu kB", &kib) != 1)
        return 0;
    return kib << 10;
}

/* How many of the caller's sandboxes are alive; those of others are not told of. */
static int32_t n_alive(const struct call *call)
{
    int32_t n = 0;
    for (struct sandbox *sb = NULL; (sb = sandbox_next(call->service->runtime, sb)) != NULL;) {
        struct sandbox_info info;
        sandbox_get_info(sb, &info);
        if (!sandbox_state_terminal(info.state) && strcmp(info.owner, call->owner) == 0)
            n++;
    }
    return n;
}

/* What uname(2) and what container images call the same processor. */
static bool architecture_is(const char *machine, const char *wanted)
{
    static const struct {
        const char *machine, *image;
    } aliases[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};
    if (strcmp(machine, wanted) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
        if (strcmp(machine, aliases[i].machine) == 0)
            return strcmp(wanted, aliases[i].image) == 0;
    return false;
}

static void add_visibilities(struct runner *r, const struct call *call)
{
    struct services_offer offer;
    services_offer_fill(&offer, &call->service->sites, call->service->keys, call->owner);
    size_t *n = &r->capabilities.n_supported_service_visibilities;
    if (offer.web)
        r->visibilities[(*n)++] = PB__VISIBILITY__VISIBILITY_PUBLIC;
    if (offer.web && offer.keyed)
        r->visibilities[(*n)++] = PB__VISIBILITY__VISIBILITY_PRIVATE;
}

static void fill_capabilities(struct runner *r, const char *memory)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    r->capabilities = (Pb__RunnerCapabilitySummary)PB__RUNNER_CAPABILITY_SUMMARY__INIT;
    r->capabilities.max_cpu_millicores = (processors > 0 ? processors : 1) * 1000;
    r->capabilities.max_memory_bytes = (int64_t)meminfo(memory, "MemTotal");
    r->architectures[0] = r->host.machine;
    r->capabilities.supported_architectures = r->architectures;
    r->capabilities.n_supported_architectures = 1;
    r->capabilities.supported_service_visibilities = r->visibilities;
    r->message.capabilities = &r->capabilities;
}

/* What a sandbox may ask for that is created now. Processors are shared and a limit reserves none, so it is all of
 * them until the service takes no more sandboxes. */
static void fill_resources(struct runner *r, const struct call *call, const char *memory)
{
    r->resources = (Pb__RunnerResourceSummary)PB__RUNNER_RESOURCE_SUMMARY__INIT;
    r->resources.available_cpu_millicores =
        runtime_is_full(call->service->runtime) ? 0 : r->capabilities.max_cpu_millicores;
    r->resources.available_memory_bytes = (int64_t)meminfo(memory, "MemAvailable");
    r->resources.running_sandboxes = n_alive(call);
    r->message.resources = &r->resources;
}

/* @r must not move afterwards. */
static void runner_fill(struct runner *r, const struct call *call, Pb__RunnerView view)
{
    const struct service *s = call->service;
    CLEANUP_FREE char *memory = NULL;
    size_t n;
    bool known = file_read("/proc/meminfo", MEMINFO_MAX, &memory, &n) == 0;
    if (uname(&r->host) < 0) /* cannot fail with a valid pointer */
        r->host = (struct utsname){0};
    r->message = (Pb__AvailableRunner)PB__AVAILABLE_RUNNER__INIT;
    r->message.runner_id = s->runner_id;
    r->message.runner_group_id = (char *)RUNNER_GROUP;
    r->message.organization_id = (char *)ORGANIZATION;
    r->message.healthy = !s->stopping;
    timestamp_fill(&r->connected, s->start_wall_ns);
    r->message.connected_at = &r->connected;
    fill_capabilities(r, known ? memory : "");
    add_visibilities(r, call);
    if (view == PB__RUNNER_VIEW__RUNNER_VIEW_FULL)
        fill_resources(r, call, known ? memory : "");
}

static bool shows(const struct runner *r, Pb__Visibility visibility)
{
    bool found = visibility == PB__VISIBILITY__VISIBILITY_UNSPECIFIED;
    for (size_t i = 0; i < r->capabilities.n_supported_service_visibilities; i++)
        found = found || r->visibilities[i] == visibility;
    return found;
}

static bool wanted(const struct runner *r, const Pb__ListAvailableRunnersRequest *req)
{
    if (*req->runner_group_id && strcmp(req->runner_group_id, RUNNER_GROUP) != 0)
        return false;
    if (*req->architecture && !architecture_is(r->host.machine, req->architecture))
        return false;
    /* no GPUs */
    return !*req->gpu_type && (!req->healthy_only || r->message.healthy) &&
           shows(r, req->service_visibility);
}

static int check_view(Pb__RunnerView view, struct err *err)
{
    if ((unsigned)view <= PB__RUNNER_VIEW__RUNNER_VIEW_FULL)
        return 0;
    return err_invalid(err, "view", "unknown view %d", (int)view);
}

static int check_list(const Pb__ListAvailableRunnersRequest *req, struct err *err)
{
    if (check_view(req->view, err) < 0)
        return -1;
    if (req->page_size < 0)
        return err_invalid(err, "page_size", "must not be negative");
    if ((unsigned)req->service_visibility > PB__VISIBILITY__VISIBILITY_CUSTOM)
        return err_invalid(err, "service_visibility", "unknown visibility %d",
                           (int)req->service_visibility);
    if (*req->page_token) /* one runner is one page */
        return err_invalid(err, "page_token", "not a token of this service");
    return 0;
}

void list_runners_on_request(struct call *call, void *request)
{
    CLEANUP_ERR struct err err = {0};
    Pb__ListAvailableRunnersRequest *req = request;
    if (check_list(req, &err) < 0) {
        call_finish(call, &err);
        return;
    }
    struct runner runner;
    Pb__AvailableRunner *runners[] = {&runner.message};
    Pb__ListAvailableRunnersResponse response = PB__LIST_AVAILABLE_RUNNERS_RESPONSE__INIT;
    runner_fill(&runner, call, req->view);
    response.runners = runners;
    response.n_runners = wanted(&runner, req) ? 1 : 0;
    call_reply(call, &response);
}

static int check_get(const Pb__GetAvailableRunnerRequest *req, const struct service *s,
                     struct err *err)
{
    if (check_view(req->view, err) < 0)
        return -1;
    if (!*req->runner_id)
        return err_invalid(err, "runner_id", "is required");
    if (!*req->organization_id)
        return err_invalid(err, "organization_id", "is required");
    if (strcmp(req->runner_id, s->runner_id) == 0 &&
        strcmp(req->organization_id, ORGANIZATION) == 0)
        return 0;
    return err_set_reason(err, ERR_NOT_FOUND, "CWSANDBOX_RUNNER_NOT_FOUND",
                          "organization `%s` has no runner `%s`", req->organization_id,
                          req->runner_id);
}

void get_runner_on_request(struct call *call, void *request)
{
    CLEANUP_ERR struct err err = {0};
    Pb__GetAvailableRunnerRequest *req = request;
    if (check_get(req, call->service, &err) < 0) {
        call_finish(call, &err);
        return;
    }
    struct runner runner;
    /* Whoever asks for one wants to know all; only the list is BASIC unless told otherwise. */
    bool unset = req->view == PB__RUNNER_VIEW__RUNNER_VIEW_UNSPECIFIED;
    runner_fill(&runner, call, unset ? PB__RUNNER_VIEW__RUNNER_VIEW_FULL : req->view);
    call_reply(call, &runner.message);
}
