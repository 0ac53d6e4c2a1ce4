/*
 * Whether two creates ask for the same. See spec.h, spec_request_hash().
 *
 * The hash tells accidents apart, it is no defence: only an owner's own requests are ever compared.
 */
#include <string.h>

#include "base/util.h"
#include "server/spec.h"

#define HASH_INIT 0x9e3779b97f4a7c15u
#define HASH_FACTOR 0xff51afd7ed558ccdu /* of MurmurHash3's finalizer: odd, well mixed */

struct hash {
    ProtobufCBuffer base;
    uint64_t value;
};

static uint64_t mix(uint64_t value, uint64_t word)
{
    value = (value ^ word) * HASH_FACTOR;
    return value ^ value >> 32;
}

/* Packing hands over what generated code has at hand: the same message always in the same pieces. */
static void append(ProtobufCBuffer *buffer, size_t n, const uint8_t *data)
{
    struct hash *h = CONTAINER_OF(buffer, struct hash, base);
    uint64_t word;
    h->value = mix(h->value, n);
    for (; n >= sizeof(word); n -= sizeof(word), data += sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        h->value = mix(h->value, word);
    }
    word = 0;
    memcpy(&word, data, n);
    h->value = mix(h->value, word);
}

static uint64_t message_hash(const void *message)
{
    struct hash h = {.base.append = append, .value = HASH_INIT};
    (void)protobuf_c_message_pack_to_buffer(message, &h.base);
    return h.value;
}

/* A sum: the order does not count. */
static uint64_t map_hash(size_t n, void *entries)
{
    uint64_t sum = n;
    for (size_t i = 0; i < n; i++)
        sum += message_hash(((void **)entries)[i]);
    return sum;
}

uint64_t spec_request_hash(Pb__CreateSandboxRequest *request)
{
    Pb__SandboxSpec *spec = request->sandbox->spec;
    Pb__Container *c = spec->containers[0];
    size_t n_annotations = spec->n_annotations, n_env = c->n_environment_variables;
    spec->n_annotations = c->n_environment_variables = 0;
    uint64_t hash = message_hash(request);
    spec->n_annotations = n_annotations;
    c->n_environment_variables = n_env;
    hash = mix(hash, map_hash(n_annotations, spec->annotations));
    hash = mix(hash, map_hash(n_env, c->environment_variables));
    return hash != 0 ? hash : 1;
}
