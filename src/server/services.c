/* See services.h. */
#include "server/services.h"

#include <string.h>

#include "base/util.h"

#define FIELD "sandbox.spec.services"
/* Of an endpoint, as the hosted service takes them; 0 is its default. */
#define TIMEOUT_MIN 15
#define TIMEOUT_MAX 900

#define PUBLIC PB__VISIBILITY__VISIBILITY_PUBLIC
#define PRIVATE PB__VISIBILITY__VISIBILITY_PRIVATE
#define HTTPS PB__ENDPOINT_KIND__ENDPOINT_KIND_HTTPS
#define PASSTHROUGH PB__ENDPOINT_KIND__ENDPOINT_KIND_TLS_PASSTHROUGH
#define SHARE_TOKEN PB__ENDPOINT_AUTH__ENDPOINT_AUTH_SHARE_TOKEN

void services_offer_fill(struct services_offer *offer, const struct sites *all,
                         const struct keys *keys, const char *owner)
{
    bool named = str_startswith(owner, "uid:") == NULL && strcmp(owner, "anonymous") != 0;
    *offer = (struct services_offer){
        .web = all->authority != NULL, .tls = all->tls, .keyed = named && keys != NULL};
}

/* ---- what is asked for ---- */

static int not_here(struct err *err, const char *reason, const char *field, const char *why)
{
    (void)err_set_reason(err, ERR_UNIMPLEMENTED, reason,
                         "%s is not implemented by this service: %s", field, why);
    err_add_violation(err, field, "not implemented by this service");
    return -1;
}

/* Clients know by the reason which kind of endpoint a service does not have. */
static int check_offered(const Pb__EndpointSpec *e, const struct services_offer *offer,
                         struct err *err)
{
    const char *reason = "CWSANDBOX_NOT_IMPLEMENTED";
    if (e->kind == PASSTHROUGH)
        reason = "CWSANDBOX_TLS_PASSTHROUGH_ENDPOINTS_NOT_SUPPORTED";
    else if (e->auth == SHARE_TOKEN)
        reason = "CWSANDBOX_HTTPS_SHARE_TOKEN_NOT_SUPPORTED";
    if (!offer->tls)
        return not_here(err, reason, FIELD ".endpoint", "it has no --front with https");
    return 0;
}

static int check_endpoint(const Pb__Service *service, struct err *err)
{
    const Pb__EndpointSpec *e = service->endpoint;
    int32_t timeout = e->request_timeout_seconds;
    if (service->visibility != PUBLIC)
        return err_invalid(err, FIELD ".visibility", "an endpoint is PUBLIC");
    if (e->kind == PASSTHROUGH) {
        if (e->auth != PB__ENDPOINT_AUTH__ENDPOINT_AUTH_UNSPECIFIED || timeout != 0)
            return err_invalid(err, FIELD ".endpoint", "TLS has neither auth nor a time-out");
        return 0;
    }
    if (e->kind != HTTPS)
        return err_invalid(err, FIELD ".endpoint.kind", "%d is not known", (int)e->kind);
    if (e->auth != PB__ENDPOINT_AUTH__ENDPOINT_AUTH_OPEN && e->auth != SHARE_TOKEN)
        return err_invalid(err, FIELD ".endpoint.auth", "is required");
    if (timeout != 0 && (timeout < TIMEOUT_MIN || timeout > TIMEOUT_MAX))
        return err_invalid(err, FIELD ".endpoint.request_timeout_seconds", "must be %d to %d",
                           TIMEOUT_MIN, TIMEOUT_MAX);
    return 0;
}

static bool is_published(const Pb__Service *service)
{
    return service->visibility == PUBLIC || service->visibility == PRIVATE;
}

static int check_visibility(const Pb__Service *service, const struct services_offer *offer,
                            struct err *err)
{
    const char *reason = "CWSANDBOX_NOT_IMPLEMENTED";
    if ((uint32_t)service->visibility > PB__VISIBILITY__VISIBILITY_CUSTOM)
        return err_invalid(err, FIELD ".visibility", "%d is not known",
                           (int)service->visibility);
    if (service->visibility == PB__VISIBILITY__VISIBILITY_CUSTOM)
        return not_here(err, reason, FIELD ".visibility", "CUSTOM has no meaning here");
    if (!is_published(service))
        return 0;
    if (!offer->web)
        return not_here(err, reason, FIELD ".visibility", "it has no --front");
    if (service->visibility == PRIVATE && !offer->keyed)
        return not_here(err, reason, FIELD ".visibility",
                        "PRIVATE is for callers with an API key");
    if (service->protocol > PB__SERVICE_PROTOCOL__SERVICE_PROTOCOL_TCP)
        return not_here(err, reason, FIELD ".protocol", "only TCP is published");
    return 0;
}

/* One that is not published is a port by name. */
static int check_service(const Pb__Service *service, const struct services_offer *offer,
                         struct err *err)
{
    if (service->port < 1 || service->port > UINT16_MAX)
        return err_invalid(err, FIELD ".port", "must be 1 to 65535");
    if ((uint32_t)service->protocol > PB__SERVICE_PROTOCOL__SERVICE_PROTOCOL_SCTP)
        return err_invalid(err, FIELD ".protocol", "%d is not known", service->protocol);
    if (service->endpoint != NULL && check_endpoint(service, err) < 0)
        return -1;
    return check_visibility(service, offer, err);
}

/* A host names a port, so a port is published once. */
static bool collide(const Pb__Service *a, const Pb__Service *b)
{
    return a->port == b->port &&
           (a->protocol == b->protocol || (is_published(a) && is_published(b)));
}

/* Hosted, they would be on two networks. */
static int check_mixed(const Pb__SandboxSpec *s, struct err *err)
{
    bool has_public = false, has_private = false;
    for (size_t i = 0; i < s->n_services; i++) {
        has_public = has_public || s->services[i]->visibility == PUBLIC;
        has_private = has_private || s->services[i]->visibility == PRIVATE;
    }
    if (has_public && has_private)
        return not_here(err, "CWSANDBOX_NOT_IMPLEMENTED", FIELD ".visibility",
                        "PUBLIC and PRIVATE in one sandbox");
    return 0;
}

int services_check(const Pb__SandboxSpec *s, const struct services_offer *offer,
                   struct err *err)
{
    if (s->n_services > SPEC_MAX_SERVICES)
        return err_invalid(err, FIELD, "more than %d", SPEC_MAX_SERVICES);
    for (size_t i = 0; i < s->n_services; i++) /* first: its reasons are the more exact ones */
        if (s->services[i]->endpoint != NULL &&
            check_offered(s->services[i]->endpoint, offer, err) < 0)
            return -1;
    for (size_t i = 0; i < s->n_services; i++) {
        if (check_service(s->services[i], offer, err) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (collide(s->services[i], s->services[k]))
                return err_invalid(err, FIELD ".port", "%d is there twice",
                                   s->services[i]->port);
    }
    return check_mixed(s, err);
}

bool services_need_token(const Pb__SandboxSpec *spec)
{
    for (size_t i = 0; i < spec->n_services; i++)
        if (spec->services[i]->endpoint != NULL &&
            spec->services[i]->endpoint->auth == SHARE_TOKEN)
            return true;
    return false;
}

/* ---- what is published ---- */

static uint32_t timeout_seconds(const Pb__Service *service)
{
    if (service->endpoint == NULL)
        return SITE_PLAIN_TIMEOUT_SECONDS;
    return service->endpoint->request_timeout_seconds > 0
               ? (uint32_t)service->endpoint->request_timeout_seconds
               : SITE_TIMEOUT_SECONDS;
}

static enum site_access access_of(const Pb__Service *service)
{
    if (service->visibility == PRIVATE)
        return SITE_KEY;
    const Pb__EndpointSpec *e = service->endpoint;
    if (e != NULL && e->kind == PASSTHROUGH)
        return SITE_TLS;
    return e != NULL && e->auth == SHARE_TOKEN ? SITE_TOKEN : SITE_OPEN;
}

size_t services_publish(const Pb__SandboxSpec *spec, struct sites *all, struct sandbox *sb,
                        const char *token, struct site **ret)
{
    struct sandbox_info info;
    size_t n_failed = 0, n = 0;
    sandbox_get_info(sb, &info);
    for (size_t i = 0; i < spec->n_services; i++)
        n += is_published(spec->services[i]);
    if (n == 0 || all->authority == NULL || sandbox_state_terminal(info.state))
        return 0;
    struct site *sites = calloc(spec->n_services, sizeof(*sites));
    if (sites == NULL)
        return n;
    for (size_t i = 0; i < spec->n_services; i++) {
        const Pb__Service *service = spec->services[i];
        if (!is_published(service))
            continue;
        sites[i] = (struct site){.sandbox = sb,
                                 .owner = info.owner,
                                 .token = token,
                                 .port = (uint16_t)service->port,
                                 .access = access_of(service),
                                 .timeout_ns = timeout_seconds(service) * NS_PER_SEC};
        n_failed += site_publish(all, info.id, &sites[i]) < 0;
    }
    *ret = sites;
    return n_failed;
}

void services_withdraw(const Pb__SandboxSpec *spec, struct sites *all, struct site *sites)
{
    for (size_t i = 0; sites != NULL && i < spec->n_services; i++)
        site_withdraw(all, &sites[i]);
    free(sites);
}

/* ---- what is told ---- */

static void fill_endpoint(Pb__EndpointStatus *e, const Pb__Service *service, const char *url)
{
    *e = (Pb__EndpointStatus)PB__ENDPOINT_STATUS__INIT;
    e->kind = service->endpoint->kind;
    if (e->kind == PASSTHROUGH) {
        if (url != NULL)
            e->address = (char *)url;
        return;
    }
    e->auth = service->endpoint->auth;
    e->request_timeout_seconds = (int32_t)timeout_seconds(service);
    if (url != NULL)
        e->url = (char *)url;
}

void services_fill(struct services_message *m, Pb__SandboxStatus *status,
                   const Pb__SandboxSpec *spec, const struct site *sites)
{
    status->n_services = MIN(spec->n_services, (size_t)SPEC_MAX_SERVICES);
    status->services = m->list;
    for (size_t i = 0; i < status->n_services; i++) {
        const Pb__Service *service = spec->services[i];
        const char *url = sites != NULL ? sites[i].url : NULL;
        Pb__ServiceStatus *s = &m->services[i];
        *s = (Pb__ServiceStatus)PB__SERVICE_STATUS__INIT;
        s->port = service->port;
        s->name = service->name;
        s->protocol = service->protocol;
        s->visibility = service->visibility;
        if (service->endpoint != NULL) {
            fill_endpoint(&m->endpoints[i], service, url);
            s->endpoint = &m->endpoints[i];
        } else if (url != NULL) {
            s->url = (char *)url;
        }
        m->list[i] = s;
    }
}
