/*
 * Services of a sandbox: what a create may ask of them here, and what its record publishes (sites.h) and tells of them.
 *
 *   visibility UNSPECIFIED: a port by name. PUBLIC: a URL for everybody, PRIVATE: for who has an API key of the owner; with
 *   an endpoint HTTPS (PUBLIC only): a URL for everybody, or for who has the sandbox's share token; TLS_PASSTHROUGH: a host and
 *   a port, TLS by the program
 */
#ifndef CWS_SERVER_SERVICES_H
#define CWS_SERVER_SERVICES_H

#include "base/err.h"
#include "runtime/runtime.h"
#include "server/sites.h"
#include "server/spec.h"

/* What the service can publish for a caller. */
struct services_offer {
    bool web;   /* there is a front */
    bool tls;   /* ... that speaks TLS */
    bool keyed; /* the caller is the name of an API key */
};
void services_offer_fill(struct services_offer *offer, const struct sites *all,
                         const struct keys *keys, const char *owner);

/** services_check() - of a spec. Errors: INVALID_ARGUMENT or UNIMPLEMENTED, by reasons that clients know. */
int services_check(const Pb__SandboxSpec *spec, const struct services_offer *offer,
                   struct err *err);
/** services_need_token() - does one of them ask for a share token? */
bool services_need_token(const Pb__SandboxSpec *spec);

/** services_publish() - of a sandbox that lives: an array of one site for each service, or NULL: none is published. What there is
 *  no memory for has no URL. @token: borrowed from now on. Returns the number of those that could not be published. */
size_t services_publish(const Pb__SandboxSpec *spec, struct sites *all, struct sandbox *sb,
                        const char *token, struct site **ret);
/** services_withdraw() - frees them; NULL is harmless. */
void services_withdraw(const Pb__SandboxSpec *spec, struct sites *all, struct site *sites);

/* A part of a message of a sandbox. */
struct services_message {
    Pb__ServiceStatus services[SPEC_MAX_SERVICES];
    Pb__EndpointStatus endpoints[SPEC_MAX_SERVICES];
    Pb__ServiceStatus *list[SPEC_MAX_SERVICES];
};
/** services_fill() - status.services; @m must not move afterwards. */
void services_fill(struct services_message *m, Pb__SandboxStatus *status,
                   const Pb__SandboxSpec *spec, const struct site *sites);

#endif
