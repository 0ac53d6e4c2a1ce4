/*
 * What the service gave for one permission on the direct way to one sandbox: where to go, as whom, until when.
 * Immutable. Thread: the loop's; credential_free() any.
 */
#ifndef CWS_CLIENT_PLANE_CREDENTIAL_H
#define CWS_CLIENT_PLANE_CREDENTIAL_H

#include "client/target.h"
#include "wire/proto.h"

/* As the published client: what does not live so much longer is not used. */
#define CREDENTIAL_MARGIN_NS (30ULL * 1000000000ULL)

struct credential {
    char *key;                 /* of its channel: endpoint, sandbox and certificate */
    struct cws_target *target; /* carries no credentials of the API */
    struct tls_config *tls;
    uint64_t expires_ns; /* wall clock */
    bool granted;        /* false: the service gave others than the permission asked for */
};

/* What was asked for. All borrowed. */
struct credential_ask {
    const char *sandbox_id;
    Pb__SandboxDataPermission permission;
    struct tls_key *key;
};

/** credential_new() - NULL with @err set: ERR_INVALID_ARGUMENT tells what is wrong with the answer. */
struct credential *credential_new(const Pb__SandboxConnection *answer,
                                  const struct credential_ask *ask, uint64_t wall_ns,
                                  struct err *err);
/** credential_free() - accepts NULL. */
void credential_free(struct credential *c);
/** credential_lives() - for CREDENTIAL_MARGIN_NS more; accepts NULL. */
bool credential_lives(const struct credential *c, uint64_t wall_ns);

#endif
