/* What a sandbox may reach and what may reach it: egress rules and services. */
#include "client/options-request.h"
#include "client/options.h"

#include <ctype.h>
#include <string.h>

#define DNS_NAME_MAX 253u /* RFC 1035 2.3.4, without the root's dot */
#define DNS_LABEL_MAX 63u /* the same */
#define PORT_MAX 65535

/* RFC 1123 2.1: labels of letters, digits and inner hyphens; Kubernetes' "DNS-1123 subdomain",
 * so lower case only. */
static bool is_dns_name(const char *name)
{
    size_t label = 0;
    for (const char *c = name;; c++) {
        if (*c == '.' || *c == '\0') {
            if (label == 0 || label > DNS_LABEL_MAX || c[-1] == '-')
                return false;
            if (*c == '\0')
                return true;
            label = 0;
        } else if (islower((unsigned char)*c) || isdigit((unsigned char)*c) ||
                   (*c == '-' && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
}

int cws_options_add_egress(cws_options *o, const char *dns_name, cws_error **error)
{
    if (option_check_given("egress dns_name", dns_name, error) < 0)
        return -1;
    if (strcmp(dns_name, "*") == 0)
        return error_set(error, CWS_E_INVALID,
                         "egress dns_name `*`: everything is the policy ceiling's to allow");
    const char *name = strncmp(dns_name, "*.", 2) == 0 ? dns_name + 2 : dns_name;
    if (strlen(dns_name) > DNS_NAME_MAX || !is_dns_name(name))
        return error_set(
            error, CWS_E_INVALID,
            "egress dns_name `%s` is neither a DNS-1123 subdomain nor `*.` and one", dns_name);
    return option_add_text(&o->egress, "egress dns_name", dns_name, error);
}

void option_service_done(struct option_service *s)
{
    free(s->name);
}

static int check_endpoint(const cws_service_options *s, cws_error **error)
{
    if (s->endpoint_kind == CWS_ENDPOINT_NONE)
        return 0;
    bool https = s->endpoint_kind == CWS_ENDPOINT_HTTPS;
    if (https != (s->endpoint_auth != CWS_ENDPOINT_AUTH_UNSPECIFIED))
        return error_set(error, CWS_E_INVALID,
                         https ? "service %d: auth is required for an HTTPS endpoint"
                               : "service %d: auth must be unset for a TLS endpoint",
                         (int)s->port);
    if (!https && s->request_timeout_seconds)
        return error_set(error, CWS_E_INVALID,
                         "service %d: request_timeout_seconds must be unset for a TLS endpoint",
                         (int)s->port);
    if (s->visibility != CWS_VISIBILITY_PUBLIC)
        return error_set(error, CWS_E_INVALID,
                         "service %d: an endpoint needs visibility PUBLIC", (int)s->port);
    if (s->protocol != CWS_PROTOCOL_UNSPECIFIED && s->protocol != CWS_PROTOCOL_TCP)
        return error_set(error, CWS_E_INVALID, "service %d: an endpoint needs protocol TCP",
                         (int)s->port);
    return 0;
}

int cws_options_add_service(cws_options *o, const cws_service_options *service,
                            cws_error **error)
{
    if (service->port < 1 || service->port > PORT_MAX)
        return error_set(error, CWS_E_INVALID, "service port %d is not in 1-65535",
                         (int)service->port);
    if (check_endpoint(service, error) < 0)
        return -1;
    struct option_service *s = array_add(&o->services, sizeof(*s));
    if (!s)
        return error_give(error, &error_nomem);
    s->o = *service;
    if (option_set_text(&s->name, "service name", service->name, error) < 0)
        return -1;
    o->services.n++;
    return 0;
}

static bool needs_token(int64_t kind, int64_t auth)
{
    return kind == CWS_ENDPOINT_HTTPS && auth == CWS_ENDPOINT_AUTH_SHARE_TOKEN;
}

bool options_want_token(const cws_options *o)
{
    const struct option_service *services = o ? o->services.items : NULL;
    for (size_t i = 0; o && i < o->services.n; i++)
        if (needs_token(services[i].o.endpoint_kind, services[i].o.endpoint_auth))
            return true;
    const cws_record *spec = o ? o->spec : NULL;
    for (size_t i = 0; i < cws_record_count(spec, "services"); i++) {
        const cws_record *e =
            cws_record_record(cws_record_record(spec, "services", i), "endpoint", 0);
        if (needs_token(cws_record_int(e, "kind", 0), cws_record_int(e, "auth", 0)))
            return true;
    }
    return false;
}
