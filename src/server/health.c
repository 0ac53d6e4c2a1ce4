/*
 * grpc.health.v1: what load balancers and `grpc_health_probe` ask. SERVING while we accept
 * work. Source: grpc/doc/health-checking.md.
 */
#include <string.h>

#include "server/dispatch.h"

typedef Grpc__HealthCheckResponse__ServingStatus serving_status;
#define STATUS(name) GRPC__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

/* "" is the server as a whole. */
static const char *const services[] = {"", "coreweave.sandbox.v1.DiscoveryService",
                                       "coreweave.sandbox.v1.SandboxService",
                                       "grpc.health.v1.Health"};

static bool known(const char *service)
{
    for (size_t i = 0; i < ARRAY_SIZE(services); i++)
        if (strcmp(services[i], service) == 0)
            return true;
    return false;
}

static serving_status status_now(const struct call *call)
{
    return call->service->stopping ? STATUS(NOT_SERVING) : STATUS(SERVING);
}

void health_check_on_request(struct call *call, void *request)
{
    Grpc__HealthCheckRequest *req = request;
    Grpc__HealthCheckResponse response = GRPC__HEALTH_CHECK_RESPONSE__INIT;
    response.status = status_now(call);
    if (!known(req->service))
        call_refuse(call, ERR_NOT_FOUND, NULL, "unknown service `%s`", req->service);
    else
        call_reply(call, &response);
}

void health_list_on_request(struct call *call, void *request)
{
    Grpc__HealthListResponse response = GRPC__HEALTH_LIST_RESPONSE__INIT;
    Grpc__HealthCheckResponse status = GRPC__HEALTH_CHECK_RESPONSE__INIT;
    Grpc__HealthListResponse__StatusesEntry entries[ARRAY_SIZE(services)];
    Grpc__HealthListResponse__StatusesEntry *pointers[ARRAY_SIZE(services)];
    status.status = status_now(call);
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        entries[i] = (Grpc__HealthListResponse__StatusesEntry)
            GRPC__HEALTH_LIST_RESPONSE__STATUSES_ENTRY__INIT;
        entries[i].key = (char *)services[i];
        entries[i].value = &status;
        pointers[i] = &entries[i];
    }
    response.n_statuses = ARRAY_SIZE(services);
    response.statuses = pointers;
    call_reply(call, &response);
}

static void send_status(struct call *call, serving_status status)
{
    Grpc__HealthCheckResponse response = GRPC__HEALTH_CHECK_RESPONSE__INIT;
    response.status = status;
    if (call_send_message(call, &response) < 0)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

/* Stays open until the client leaves or the service stops; an unknown service may become known,
 * says the protocol. */
void health_watch_on_request(struct call *call, void *request)
{
    Grpc__HealthCheckRequest *req = request;
    send_status(call, known(req->service) ? status_now(call) : STATUS(SERVICE_UNKNOWN));
}

void health_watch_on_stopping(struct call *call)
{
    send_status(call, STATUS(NOT_SERVING));
    call_finish(call, NULL);
}
