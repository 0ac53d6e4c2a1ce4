/*
 * What registries and archives say an image is made of: a manifest (config and layers) or an index (a manifest for each
 * machine). OCI image spec v1 and Docker v2 schema 2; schema 1 is refused by name. JSON with a key twice is refused: what two
 * programs read differently hides things from one of them.
 */
#ifndef CWS_IMAGE_MANIFEST_H
#define CWS_IMAGE_MANIFEST_H

#include "base/err.h"
#include "image/digest.h"

#define MANIFEST_BYTES_MAX \
    ((size_t)4 << 20)             /* Source: distribution spec, "Pushing Manifests" */
#define MANIFEST_LAYERS_MAX 127   /* Source: Docker's limit on overlay2 */
#define MANIFEST_ENTRIES_MAX 1024 /* of an index. Chosen */

#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

struct descriptor {
    char hex[DIGEST_HEX + 1];
    uint64_t size_bytes;
    char *platform; /* of an index: "linux/amd64"; else NULL */
    char *
        name; /* of an OCI layout's index: the annotation org.opencontainers.image.ref.name; else NULL */
};

struct manifest {
    bool is_index;
    struct descriptor config;   /* not of an index */
    struct descriptor *entries; /* layers from the lowest, or manifests */
    size_t n_entries;
};

/**
 * manifest_parse() - Errors: INVALID_ARGUMENT (no such JSON), UNIMPLEMENTED (schema 1, what is no image, layers that are kept
 * elsewhere), RESOURCE_EXHAUSTED (a cap).
 */
int manifest_parse(const char *text, size_t n, struct manifest *ret, struct err *err);
/** manifest_choose() - the entry of an index for this machine, borrowed; NOT_FOUND names those there are. */
const struct descriptor *manifest_choose(const struct manifest *index, struct err *err);
/** manifest_platform() - "linux/amd64": this machine. */
const char *manifest_platform(void);
void manifest_done(struct manifest *m);
#define CLEANUP_MANIFEST CLEANUP(manifest_done)

#endif
