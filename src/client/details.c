/* See details.h. The texts live in a copy of the answer's own message. */
#include "client/details.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

struct details {
    cws_sandbox_details shown; /* first: cws_sandbox_details_unref() gets its address */
    _Atomic uint32_t refs;
    Pb__SandboxStatus *copy;
    struct details *ports_of; /* an earlier answer that `shown.ports` points into, or NULL */
    struct details *gpu_of;   /* the same for `shown.gpu_type` */
    cws_service_address *urls, *ports;
    cws_service_address *tls; /* texts are its own: they outlive the answer that had them */
    const char **dns_names;
};

struct details *details_ref(struct details *d)
{
    if (d)
        atomic_fetch_add(&d->refs, 1);
    return d;
}

void details_unref(struct details *d)
{
    if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    details_unref(d->ports_of); /* at most one deep: see keep_of() */
    details_unref(d->gpu_of);
    proto_free(d->copy);
    for (size_t i = 0; i < d->shown.n_tls_addresses; i++) {
        free((char *)d->tls[i].name);
        free((char *)d->tls[i].url);
    }
    free(d->tls);
    free(d->urls);
    free(d->ports);
    free(d->dns_names);
    free(d);
}

const cws_sandbox_details *details_public(const struct details *d)
{
    return d ? &d->shown : NULL;
}

static const Pb__Gpu *gpu_of(const Pb__SandboxStatus *status)
{
    const Pb__ResourceRequirements *rr = status->effective_resource_requirements;
    if (!rr)
        return status->effective_resources ? status->effective_resources->gpu : NULL;
    if (rr->limits && rr->limits->gpu)
        return rr->limits->gpu;
    return rr->requests ? rr->requests->gpu : NULL;
}

static bool names_resources(const Pb__SandboxStatus *status)
{
    return status->effective_resource_requirements || status->effective_resources;
}

/* A copy of the interesting parts only: the rest of a status is in sandbox_info. */
static Pb__SandboxStatus *copy_of(const Pb__SandboxStatus *status)
{
    Pb__SandboxStatus part = PB__SANDBOX_STATUS__INIT;
    part.services = status->services;
    part.n_services = status->n_services;
    part.effective_egress = status->effective_egress;
    part.n_effective_egress = status->n_effective_egress;
    part.effective_resource_requirements = status->effective_resource_requirements;
    part.effective_resources = status->effective_resources;
    CLEANUP_BUF struct buf bytes = {0};
    if (proto_pack(&part, &bytes) < 0)
        return NULL;
    return proto_unpack(&pb__sandbox_status__descriptor, buf_head(&bytes), buf_len(&bytes),
                        NULL);
}

static void fill_services(struct details *d)
{
    for (size_t i = 0; i < d->copy->n_services; i++) {
        const Pb__ServiceStatus *s = d->copy->services[i];
        bool https = s->endpoint && s->endpoint->kind == PB__ENDPOINT_KIND__ENDPOINT_KIND_HTTPS;
        const char *url = https ? s->endpoint->url : s->endpoint ? "" : s->url;
        cws_service_address address = {.port = s->port, .name = s->name, .url = url};
        if (*url)
            d->urls[d->shown.n_urls++] = address;
        if (s->visibility != PB__VISIBILITY__VISIBILITY_UNSPECIFIED)
            d->ports[d->shown.n_ports++] = address;
    }
    d->shown.urls = d->urls;
    d->shown.ports = d->ports;
    d->shown.has_ports = d->copy->n_services > 0;
}

static const char *known_address(const struct details *old, const Pb__ServiceStatus *s)
{
    for (size_t i = 0; old && i < old->shown.n_tls_addresses; i++)
        if (old->tls[i].port == s->port && strcmp(old->tls[i].name, s->name) == 0)
            return old->tls[i].url;
    return "";
}

/* While it is created or runs an address stays as long as its service is listed. */
static int fill_tls(struct details *d, const struct details *old, Pb__State state)
{
    d->shown.tls_addresses = d->tls;
    if (state != PB__STATE__STATE_CREATING && state != PB__STATE__STATE_RUNNING)
        return 0;
    for (size_t i = 0; i < d->copy->n_services; i++) {
        const Pb__ServiceStatus *s = d->copy->services[i];
        bool tls = s->endpoint &&
                   s->endpoint->kind == PB__ENDPOINT_KIND__ENDPOINT_KIND_TLS_PASSTHROUGH;
        const char *address =
            tls && *s->endpoint->address ? s->endpoint->address : known_address(old, s);
        if (!*address)
            continue;
        cws_service_address *row = &d->tls[d->shown.n_tls_addresses++];
        row->port = s->port;
        row->name = strdup(s->name);
        row->url = strdup(address);
        if (!row->name || !row->url)
            return -ENOMEM;
    }
    return 0;
}

static void fill_names(struct details *d)
{
    for (size_t i = 0; i < d->copy->n_effective_egress; i++) {
        const Pb__EgressRule *rule = d->copy->effective_egress[i];
        if (rule->destination_case == PB__EGRESS_RULE__DESTINATION_HTTPS_HOSTNAME)
            d->dns_names[d->shown.n_dns_names++] = rule->https_hostname;
    }
    d->shown.dns_names = d->dns_names;
}

static void fill_gpu(struct details *d)
{
    const Pb__Gpu *gpu = gpu_of(d->copy);
    if (!gpu)
        return;
    d->shown.gpu_count = gpu->count;
    if (gpu->selector_case == PB__GPU__SELECTOR_TYPE)
        d->shown.gpu_type = gpu->type;
    if (gpu->selector_case == PB__GPU__SELECTOR_MEMORY_GB)
        d->shown.gpu_memory_gb = gpu->memory_gb;
}

/* The answer that really has what @old shows, so that chains stay one deep. */
static struct details *keep_of(struct details *old, struct details *from)
{
    return details_ref(from ? from : old);
}

static void keep_old(struct details *d, struct details *old)
{
    if (!d->shown.has_ports && old->shown.has_ports) {
        d->ports_of = keep_of(old, old->ports_of);
        d->shown.has_ports = 1;
        d->shown.ports = old->shown.ports;
        d->shown.n_ports = old->shown.n_ports;
    }
    if (!names_resources(d->copy)) {
        d->gpu_of = keep_of(old, old->gpu_of);
        d->shown.gpu_count = old->shown.gpu_count;
        d->shown.gpu_type = old->shown.gpu_type;
        d->shown.gpu_memory_gb = old->shown.gpu_memory_gb;
    }
}

int details_next(struct details *old, const Pb__SandboxStatus *status, struct details **ret)
{
    *ret = NULL;
    if (!old && !status->n_services && !status->n_effective_egress && !gpu_of(status))
        return 0; /* nearly every sandbox */
    struct details *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->refs = 1;
    d->copy = copy_of(status);
    d->urls = calloc(status->n_services + 1, sizeof(*d->urls));
    d->ports = calloc(status->n_services + 1, sizeof(*d->ports));
    d->dns_names = calloc(status->n_effective_egress + 1, sizeof(*d->dns_names));
    d->tls = calloc(status->n_services + 1, sizeof(*d->tls));
    if (!d->copy || !d->urls || !d->ports || !d->dns_names || !d->tls ||
        fill_tls(d, old, status->state) < 0) {
        details_unref(d);
        return -ENOMEM;
    }
    fill_services(d);
    fill_names(d);
    fill_gpu(d);
    if (old)
        keep_old(d, old);
    *ret = d;
    return 0;
}

void cws_sandbox_details_unref(const cws_sandbox_details *d)
{
    details_unref((struct details *)d); /* its first field */
}
