/*
 * What the service keeps about a sandbox beside the runtime's own facts, and the Sandbox
 * message made of both.
 */
#ifndef CWS_SERVER_RECORD_H
#define CWS_SERVER_RECORD_H

#include "runtime/runtime.h"
#include "server/service.h"
#include "server/services.h"
#include "server/spec.h"
#include "wire/proto.h"

struct record { /* user_data of a sandbox */
    struct service *service;
    Pb__SandboxSpec *spec; /* as asked for; echoed but for what spec_keep_echo() dropped */
    Pb__NetworkOptions
        *network;       /* the rules in force; NULL: not known, of a service before this one */
    char *display_name; /* of the client; NULL: none */
    char share_token[SITE_TOKEN_MAX]; /* "": no service asks for one */
    struct site *sites;    /* one for each service of the spec; NULL: none is published */
    uint64_t request_hash; /* spec_request_hash(); 0: not known */
    struct sandbox_watch watch;
    struct account *account; /* while the sandbox is alive; NULL: not counted */
    size_t spec_bytes;       /* charged to it */
    bool creating;           /* ... and on its way to a first stable state */
    enum sandbox_state logged;
};

/** record_new() - takes @take_spec (also on failure). NULL: out of memory. */
struct record *record_new(struct service *s, Pb__SandboxSpec *take_spec);
/** record_free() - for sandbox_create(). */
void record_free(void *record);
/** record_keep() - append to @out what record_restore() makes @r of again, as spec_keep_echo() will leave it. 0 or -ENOMEM. */
int record_keep(struct record *r, struct buf *out) WARN_UNUSED;
/** record_restore() - for runtime_config.restore; @service: struct service. NULL: not ours. */
void *record_restore(void *service, const uint8_t *kept, size_t n);
/** record_make_token() - a share token of its own. */
void record_make_token(struct record *r);
/** record_watch() - begin to log the sandbox's life and to keep the service's idle time. */
void record_watch(struct record *r, struct sandbox *sb);

/* A Sandbox message with everything it points to. Borrows from the sandbox: pack it before
 * returning to the loop. */
struct sandbox_message {
    Pb__Sandbox message;
    Pb__SandboxStatus status;
    Pb__Timestamp create, start, end;
    Pb__ContainerStatus container;
    Pb__ContainerStatus *containers[1];
    Pb__ResourceRequirements requirements;
    Pb__Resources resources;
    Pb__ResourceUsage usage;
    struct services_message services;
    char cpu[32], memory[32];
};
/** sandbox_message_fill() - @m needs no cleanup; must not move afterwards. */
void sandbox_message_fill(struct sandbox_message *m, struct sandbox *sb);
/** sandbox_message_add_token() - for the answer to a create, and for no other. */
void sandbox_message_add_token(struct sandbox_message *m, const struct sandbox *sb);
/** timestamp_fill() - wall clock nanoseconds as a Timestamp. */
void timestamp_fill(Pb__Timestamp *t, uint64_t wall_ns);

/** sandbox_check_container() - "" or the name of the sandbox's one container; else
 * INVALID_ARGUMENT. */
int sandbox_check_container(const struct sandbox *sb, const char *container, struct err *err);

#endif
