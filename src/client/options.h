/*
 * cws_options: what a sandbox is to be like, collected as plain arrays. options.c owns it and
 * has the plain setters; options-network.c, options-secrets.c and options-volumes.c have those
 * with rules of their own; options-request.h turns all of it into request bytes.
 */
#ifndef CWS_CLIENT_OPTIONS_H
#define CWS_CLIENT_OPTIONS_H

#include "base/strmap.h"
#include "client/error.h"
#include "client/options-times.h"
#include "client/record.h"

#define OPTIONS_FILE_MAX_BYTES (256u * 1024) /* as the published client */

struct option_pair {
    char *key;
    char *value;
};
struct option_file {
    char *path;
    uint8_t *content;
    size_t size;
};
struct option_service {
    char *name;            /* NULL = none, as every text below */
    cws_service_options o; /* its `name` is not used */
};
struct option_secret {
    char *store, *name, *field, *env_var;
};
struct option_volume {
    char *name, *mount_path;
    char *size, *restore_from; /* scratch */
    char *volume_id;           /* set: an existing volume */
    char *host_path;           /* set: a directory of the service's machine */
};

/* A growing array: `n` items of one of the types above at `items`. */
struct array {
    void *items;
    size_t n;
};

struct cws_options {
    char *image;
    char *command;
    struct array args;                         /* char * */
    struct array env;                          /* struct option_pair */
    struct array annotations;                  /* struct option_pair */
    struct strmap env_index, annotation_index; /* key -> 1 + place; the keys are the pairs' */
    struct array tags;                         /* char * */
    struct array runner_ids;                   /* char * */
    struct array files;                        /* struct option_file */
    struct array egress;                       /* char *: DNS names */
    struct array services;                     /* struct option_service */
    struct array secrets;                      /* struct option_secret */
    struct array volumes;                      /* struct option_volume */
    struct option_secret pull; /* env_var is the registry; unset: registry NULL */
    char *template_id;
    char *request_cpu, *request_memory, *limit_cpu, *limit_memory;
    bool has_gpu;
    int64_t gpu_count, gpu_memory_gb;
    char *gpu_type;
    int deny_egress, deny_ingress; /* -1 = unset */
    int32_t max_lifetime_seconds;
    int mode;
    cws_spillover spillover;
    struct options_times times;
    cws_record *spec;      /* SandboxSpec, or NULL; merged behind all of the above */
    cws_record *container; /* Container, the same for the one container */
    cws_record *file;      /* CreateSandboxFromFileRequest: what this request alone has */
};

/* The setters' common parts. All but array_add() return 0 or -1 with *@error. */

/** array_add() - room for one more zeroed item behind the last one; the caller counts it with
 * n++. NULL: out of memory. */
void *array_add(struct array *a, size_t item_size);
/** option_check_text() - not NULL and UTF-8: the service could only name the byte. */
int option_check_text(const char *what, const char *text, cws_error **error);
/** option_check_given() - the same, and not empty. */
int option_check_given(const char *what, const char *text, cws_error **error);
/** option_set_text() - replace *@field; NULL and "" unset it. */
int option_set_text(char **field, const char *what, const char *text, cws_error **error);
int option_add_text(struct array *a, const char *what, const char *text, cws_error **error);

/** options_check() - what does not go together, over all options. */
int options_check(const cws_options *o, cws_error **error);
/** options_pack_spec() - append the SandboxSpec. 0 or -ENOMEM. */
int options_pack_spec(const cws_options *o, bool spilled, struct buf *out);
/** options_primary() - place of the primary container, which is the first one when none is marked. */
size_t options_primary(const Pb__SandboxSpec *spec);

void option_service_done(struct option_service *s);
void option_secret_done(struct option_secret *s);
void option_volume_done(struct option_volume *v);

#endif
