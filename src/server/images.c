/* See images.h. */
#include "server/images.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "image/reference.h"
#include "image/value.h"
#include "runtime/image.h"
#include "server/record.h"
#include "server/service.h"
#include "server/spec.h"

#define STORE "images" /* in the data directory, where we are: main.c */

/* Takes the words. */
static char **take_words(struct words *w)
{
    char **items = w->items; /* there is room for the end: config.c */
    *w = (struct words){0};
    return items;
}

static char **copy_layers(const struct config *c)
{
    char **layers = calloc(c->n_diff_ids + 1, sizeof(*layers));
    for (size_t i = 0; layers && i < c->n_diff_ids; i++)
        if (!(layers[i] = strdup(c->diff_ids[i]))) {
            while (i > 0)
                free(layers[--i]);
            free(layers);
            return NULL;
        }
    return layers;
}

static int read_image(const char *reference, struct image_value *ret, struct err *err)
{
    CLEANUP(store_close) struct store store;
    if (store_open_to_read(&store, STORE, err) < 0)
        return -1;
    return value_read(&store, reference, ret, err);
}

/* The id is what commits begin with. */
static int check_id(struct runtime_image *image, struct err *err)
{
    if (image->id)
        return 0;
    runtime_image_done(image);
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

/* Of a host that there will never be (RFC 6761): images that were made here, and are not any more. */
static bool is_unreachable(const char *registry)
{
    static const char domain[] = ".invalid";
    size_t n = strlen(registry), len = strlen(domain);
    return n > len && strcmp(registry + n - len, domain) == 0;
}

int images_find(void *service, const char *name, bool brought, struct runtime_image *ret,
                struct err *err)
{
    const struct service *s = service;
    enum image_pull pull = s->options->image_pull;
    CLEANUP_REFERENCE struct reference r = {0};
    CLEANUP_VALUE struct image_value v = {0};
    if (reference_parse(name, &r, err) < 0)
        return -1;
    bool made_here = is_unreachable(r.registry);
    if (made_here)
        pull = IMAGE_PULL_NEVER;
    if (pull == IMAGE_PULL_ALWAYS && !brought)
        return 1;
    CLEANUP_FREE char *reference = reference_format(&r);
    if (!reference)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (read_image(reference, &v, err) < 0) {
        if (err->code != ERR_NOT_FOUND && err->sys_errno != ENOENT)
            return -1;
        if (pull != IMAGE_PULL_NEVER && !brought) {
            err_done(err);
            return 1;
        }
        if (made_here)
            return err_set(err, ERR_NOT_FOUND,
                           "ErrImageNeverPull: image `%s` is not there, and no registry can "
                           "have it: build it again, or import it",
                           name);
        return err_set(
            err, ERR_NOT_FOUND,
            "ErrImageNeverPull: image `%s` is not available on this service, which "
            "pulls none: `cwsandbox image pull %s` gets it into the store (%s is not "
            "there)",
            name, name, reference);
    }
    char **layers = copy_layers(&v.config);
    if (!layers)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    *ret = (struct runtime_image){
        .host = v.config.host,
        .id = strdup(v.ref.config),
        .stop_signal = v.config.stop_signal,
        .layers = layers,
        .env = take_words(&v.config.env),
        .entrypoint = take_words(&v.config.entrypoint),
        .cmd = take_words(&v.config.cmd),
        .volumes = take_words(&v.config.volumes),
        .user = TAKE_PTR(v.config.user),
        .working_dir = TAKE_PTR(v.config.working_dir),
    };
    return check_id(ret, err);
}

static int put_word(struct buf *b, const char *word)
{
    return buf_put(b, word, strlen(word) + 1);
}

/* What cwsandbox-image reads first (image/fetch.h). A pipe that is empty takes it at once. */
static int put_request(int pipe, struct buf *request, struct err *err)
{
    if (buf_len(request) > PIPE_BUF)
        return err_invalid(err, "command", "what an image is to say is more than %d bytes",
                           PIPE_BUF);
    int r = fd_write_all(pipe, buf_head(request), buf_len(request));
    return r < 0 ? err_set_errno(err, ERR_INTERNAL, -r, "ask for a commit") : 0;
}

/* @words: what of the parent's words changes. */
static int compose(struct buf *b, const char *reference, const struct sandbox_info *info,
                   uint64_t max_bytes, char *const *words, size_t n, struct err *err)
{
    char bytes[24];
    (void)snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)max_bytes);
    bool fits = put_word(b, "") == 0 && put_word(b, reference) == 0 &&
                put_word(b, info->image_id) == 0 && put_word(b, bytes) == 0;
    for (size_t i = 0; i < n && fits; i++) {
        const char *equals = strchr(words[i], '=');
        if (equals == NULL || (equals == words[i] && equals[1] != '/'))
            return err_invalid(err, "command", "`%s` is neither NAME=VALUE nor =/DIRECTORY",
                               words[i]);
        fits = put_word(b, words[i]) == 0;
    }
    return fits && put_word(b, "") == 0
               ? 0
               : err_set(err, ERR_RESOURCE_EXHAUSTED, "commit: out of memory");
}

int images_commit(struct service *s, const struct sandbox *sb, char *const *words, size_t n,
                  struct image_wait *wait, int *ret_layer, struct err *err)
{
    const struct options *o = s->options;
    CLEANUP_REFERENCE struct reference r = {0};
    CLEANUP_ERR struct err why = {0};
    CLEANUP_BUF struct buf request = {0};
    struct sandbox_info info;
    int ends[2];
    if (!o->embedded && !o->image_commit)
        return err_set(
            err, ERR_UNIMPLEMENTED,
            "this service commits no images; its operator allows it by --image-commit");
    sandbox_get_info(sb, &info);
    if (info.image_id[0] == '\0' && strcmp(info.image, DEFAULT_IMAGE) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "which image the sandbox is of is not known any more: it was made by an "
                       "older service");
    if (reference_parse_tagged(words[0], &r, &why) < 0)
        return err_invalid(err, "reference", "%s", err_text(&why));
    CLEANUP_FREE char *reference = reference_format(&r);
    if (!reference || pipe2(ends, O_CLOEXEC) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "commit: out of memory or descriptors");
    CLEANUP_FD int reader = ends[0];
    CLEANUP_FD int writer = ends[1];
    if (compose(&request, reference, &info, o->root_size_bytes, words + 1, n - 1, err) < 0 ||
        put_request(writer, &request, err) < 0 ||
        pulls_commit(&s->pulls, reference, reader, wait, err) < 0)
        return -1;
    *ret_layer = TAKE_FD(writer);
    return 0;
}

int images_get(void *service, const struct sandbox *sb, struct image_wait *wait,
               struct err *err)
{
    struct service *s = service;
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    const struct record *r = info.user_data;
    const Pb__ImagePullCredentials *c = r->spec->containers[0]->image_pull_credentials;
    struct pull_request q = {.reference = info.image};
    if (c != NULL) { /* spec_check() has seen it */
        q.registry = c->registry;
        q.owner = s->options->embedded ? "" : info.owner;
        q.store = c->credentials->store_name;
        q.name = c->credentials->path;
        q.field = c->credentials->field;
    }
    return pulls_wait(&s->pulls, &q, wait, err);
}

void images_drop(void *service, struct image_wait *wait)
{
    struct service *s = service;
    pulls_drop(&s->pulls, wait);
}
