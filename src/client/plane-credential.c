#include "client/plane-credential.h"

#include <string.h>

#include "base/util.h"

void credential_free(struct credential *c)
{
    if (!c)
        return;
    free(c->key);
    cws_target_unref(c->target);
    tls_config_unref(c->tls);
    free(c);
}

bool credential_lives(const struct credential *c, uint64_t wall_ns)
{
    return c && c->expires_ns > wall_ns && c->expires_ns - wall_ns > CREDENTIAL_MARGIN_NS;
}

static uint64_t expiry_of(const Pb__SandboxConnection *answer)
{
    const Pb__Timestamp *at = answer->expires_at;
    if (!at || at->seconds <= 0 || at->nanos < 0)
        return 0;
    if ((uint64_t)at->seconds >= UINT64_MAX / NS_PER_SEC)
        return UINT64_MAX;
    return (uint64_t)at->seconds * NS_PER_SEC + (uint64_t)at->nanos;
}

static bool grants(const Pb__SandboxConnection *answer, Pb__SandboxDataPermission permission)
{
    for (size_t i = 0; i < answer->n_granted_permissions; i++)
        if (answer->granted_permissions[i] == permission)
            return true;
    return false;
}

static const char *fault_of(const Pb__SandboxConnection *answer)
{
    if (answer->transport != PB__SANDBOX_DATA_TRANSPORT__SANDBOX_DATA_TRANSPORT_DIRECT_MTLS)
        return "its transport is unknown";
    if (answer->protocol != PB__SANDBOX_DATA_PROTOCOL__SANDBOX_DATA_PROTOCOL_CONNECT_H2_V1)
        return "its protocol is unknown";
    if (answer->client_certificate_chain_pem.len == 0)
        return "it holds no certificate";
    if (strncmp(answer->endpoint_uri, "https://", strlen("https://")) != 0)
        return "its endpoint is no https URL";
    return NULL;
}

static int fill_endpoint(struct credential *c, const Pb__SandboxConnection *answer,
                         const struct credential_ask *ask, struct err *err)
{
    static const cws_header none;
    c->target = cws_target_new(answer->endpoint_uri, &none, 0, NULL);
    if (!c->target)
        return err_set(err, ERR_INVALID_ARGUMENT, "its endpoint is not host and port");
    c->key = str_dup_printf("%s\n%s\n%.*s", answer->endpoint_id, ask->sandbox_id,
                            (int)answer->client_certificate_chain_pem.len,
                            (const char *)answer->client_certificate_chain_pem.data);
    if (!c->key)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    c->tls = tls_client_new_as(
        &(struct tls_identity){.roots = answer->server_ca_bundle_pem.data,
                               .n_roots = answer->server_ca_bundle_pem.len,
                               .chain = answer->client_certificate_chain_pem.data,
                               .n_chain = answer->client_certificate_chain_pem.len,
                               .key = ask->key},
        err);
    return c->tls ? 0 : -1;
}

struct credential *credential_new(const Pb__SandboxConnection *answer,
                                  const struct credential_ask *ask, uint64_t wall_ns,
                                  struct err *err)
{
    const char *fault = fault_of(answer);
    if (fault) {
        (void)err_set(err, ERR_INVALID_ARGUMENT, "%s", fault);
        return NULL;
    }
    struct credential *c = calloc(1, sizeof(*c));
    if (!c) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    c->expires_ns = expiry_of(answer);
    c->granted = grants(answer, ask->permission);
    if (!credential_lives(c, wall_ns))
        (void)err_set(err, ERR_INVALID_ARGUMENT, "it expires within 30 s");
    else if (fill_endpoint(c, answer, ask, err) == 0)
        return c;
    credential_free(c);
    return NULL;
}
