#include "client/options.h"

#include <string.h>

#include "base/util.h"

/* ---- filling ---- */

cws_options *cws_options_new(cws_error **error)
{
    cws_options *o = calloc(1, sizeof(*o));
    if (!o) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    o->deny_egress = o->deny_ingress = -1;
    options_times_init(&o->times);
    return o;
}

void *array_add(struct array *a, size_t item_size)
{
    if ((a->n & (a->n - 1)) == 0) { /* 0 or a power of two: it is full */
        void *grown = realloc(a->items, MAX(2 * a->n, (size_t)1) * item_size);
        if (!grown)
            return NULL;
        a->items = grown;
    }
    void *item = (char *)a->items + a->n * item_size;
    memset(item, 0, item_size);
    return item;
}

static void strings_done(struct array *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(((char **)a->items)[i]);
    free(a->items);
    *a = (struct array){0};
}

static void pairs_done(struct array *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(((struct option_pair *)a->items)[i].key);
        free(((struct option_pair *)a->items)[i].value);
    }
    free(a->items);
}

#define FREE_EACH(array, type, done) \
    do { \
        for (size_t i_ = 0; i_ < (array)->n; i_++) \
            done(&((type *)(array)->items)[i_]); \
        free((array)->items); \
    } while (0)

static void file_done(struct option_file *f)
{
    free(f->path);
    free(f->content);
}

void cws_options_free(cws_options *o)
{
    if (!o)
        return;
    FREE_EACH(&o->files, struct option_file, file_done);
    FREE_EACH(&o->services, struct option_service, option_service_done);
    FREE_EACH(&o->secrets, struct option_secret, option_secret_done);
    FREE_EACH(&o->volumes, struct option_volume, option_volume_done);
    option_secret_done(&o->pull);
    strings_done(&o->args);
    strings_done(&o->tags);
    strings_done(&o->runner_ids);
    strings_done(&o->egress);
    strmap_done(&o->env_index);
    strmap_done(&o->annotation_index);
    pairs_done(&o->env);
    pairs_done(&o->annotations);
    free(o->image);
    free(o->command);
    free(o->template_id);
    free(o->gpu_type);
    free(o->request_cpu);
    free(o->request_memory);
    free(o->limit_cpu);
    free(o->limit_memory);
    record_done(&o->spec);
    record_done(&o->container);
    record_done(&o->file);
    free(o);
}

/* The wire's strings are UTF-8; saying so here names the field, the service could only name the
 * byte. */
int option_check_text(const char *what, const char *text, cws_error **error)
{
    if (!text)
        return error_set(error, CWS_E_INVALID, "%s must not be NULL", what);
    if (!utf8_valid(text, strlen(text)))
        return error_set(error, CWS_E_INVALID, "%s is not valid UTF-8", what);
    return 0;
}

int option_check_given(const char *what, const char *text, cws_error **error)
{
    if (!text || !*text)
        return error_set(error, CWS_E_INVALID, "%s cannot be empty", what);
    return option_check_text(what, text, error);
}

int option_set_text(char **field, const char *what, const char *text, cws_error **error)
{
    char *copy = NULL;
    if (text && *text) {
        if (option_check_text(what, text, error) < 0)
            return -1;
        copy = strdup(text);
        if (!copy)
            return error_give(error, &error_nomem);
    }
    free(*field);
    *field = copy;
    return 0;
}

int option_add_text(struct array *a, const char *what, const char *text, cws_error **error)
{
    if (option_check_text(what, text, error) < 0)
        return -1;
    char **item = array_add(a, sizeof(char *));
    if (!item || !(*item = strdup(text)))
        return error_give(error, &error_nomem);
    a->n++;
    return 0;
}

/* The last value of a key wins, as in a dictionary. */
static int add_pair(struct array *a, struct strmap *index, const char *what, const char *key,
                    const char *value, cws_error **error)
{
    if (option_check_text(what, key, error) < 0 || option_check_text(what, value, error) < 0)
        return -1;
    if (!*key)
        return error_set(error, CWS_E_INVALID, "%s: the name must not be empty", what);
    char *v = strdup(value);
    if (!v)
        return error_give(error, &error_nomem);
    uintptr_t place = (uintptr_t)strmap_get(index, key);
    if (place) {
        struct option_pair *known = (struct option_pair *)a->items + place - 1;
        free(known->value);
        known->value = v;
        return 0;
    }
    struct option_pair *item = array_add(a, sizeof(*item));
    char *k = item ? strdup(key) : NULL;
    if (!k || strmap_put(index, k, (void *)(a->n + 1)) < 0) {
        free(k);
        free(v);
        return error_give(error, &error_nomem);
    }
    item->key = k;
    item->value = v;
    a->n++;
    return 0;
}

int cws_options_set_image(cws_options *o, const char *image, cws_error **error)
{
    return option_set_text(&o->image, "image", image, error);
}

int cws_options_set_command(cws_options *o, const char *command, const char *const *args,
                            size_t n_args, cws_error **error)
{
    if (option_set_text(&o->command, "command", command, error) < 0)
        return -1;
    strings_done(&o->args);
    for (size_t i = 0; i < n_args; i++)
        if (option_add_text(&o->args, "argument", args[i], error) < 0)
            return -1;
    return 0;
}

int cws_options_add_env(cws_options *o, const char *name, const char *value, cws_error **error)
{
    return add_pair(&o->env, &o->env_index, "environment variable", name, value, error);
}

int cws_options_add_tag(cws_options *o, const char *tag, cws_error **error)
{
    return option_add_text(&o->tags, "tag", tag, error);
}

int cws_options_add_annotation(cws_options *o, const char *key, const char *value,
                               cws_error **error)
{
    return add_pair(&o->annotations, &o->annotation_index, "annotation", key, value, error);
}

int cws_options_add_runner_id(cws_options *o, const char *runner_id, cws_error **error)
{
    return option_add_text(&o->runner_ids, "runner_id", runner_id, error);
}

int cws_options_add_file(cws_options *o, const char *path, const void *content, size_t size,
                         cws_error **error)
{
    if (option_check_text("path", path, error) < 0)
        return -1;
    if (path[0] != '/')
        return error_set(error, CWS_E_INVALID, "file `%s`: the path must be absolute", path);
    struct option_file *f = array_add(&o->files, sizeof(*f));
    if (!f)
        return error_give(error, &error_nomem);
    f->path = strdup(path);
    f->content = malloc(size ? size : 1);
    if (!f->path || !f->content) {
        free(f->path);
        free(f->content);
        return error_give(error, &error_nomem);
    }
    if (size)
        memcpy(f->content, content, size);
    f->size = size;
    o->files.n++;
    return 0;
}

int cws_options_set_resources(cws_options *o, const char *request_cpu,
                              const char *request_memory, const char *limit_cpu,
                              const char *limit_memory, cws_error **error)
{
    if (option_set_text(&o->request_cpu, "cpu request", request_cpu, error) < 0 ||
        option_set_text(&o->request_memory, "memory request", request_memory, error) < 0 ||
        option_set_text(&o->limit_cpu, "cpu limit", limit_cpu, error) < 0)
        return -1;
    return option_set_text(&o->limit_memory, "memory limit", limit_memory, error);
}

void cws_options_set_network(cws_options *o, int deny_egress, int deny_ingress)
{
    o->deny_egress = deny_egress;
    o->deny_ingress = deny_ingress;
}

int cws_options_set_gpu(cws_options *o, int64_t count, const char *type, int64_t memory_gb,
                        cws_error **error)
{
    if (count < 0 || memory_gb < 0)
        return error_set(error, CWS_E_INVALID, "gpu count and memory_gb must not be negative");
    if (memory_gb > 0 && type && *type)
        return error_set(error, CWS_E_INVALID, "gpu type cannot be combined with memory_gb");
    if (option_set_text(&o->gpu_type, "gpu type", type, error) < 0)
        return -1;
    o->gpu_count = count;
    o->gpu_memory_gb = memory_gb;
    o->has_gpu = count > 0 || memory_gb > 0 || o->gpu_type;
    return 0;
}

int cws_options_set_template(cws_options *o, const char *template_id, cws_error **error)
{
    return option_set_text(&o->template_id, "template_id", template_id, error);
}

void cws_options_set_spillover(cws_options *o, cws_spillover spillover)
{
    o->spillover = spillover;
}

static cws_record *record_of(cws_record **r, const ProtobufCMessageDescriptor *desc,
                             cws_error **error)
{
    if (!*r)
        *r = record_new(desc);
    if (!*r)
        (void)error_give(error, &error_nomem);
    return *r;
}

cws_record *cws_options_spec(cws_options *o, cws_error **error)
{
    return record_of(&o->spec, &pb__sandbox_spec__descriptor, error);
}

cws_record *cws_options_container(cws_options *o, cws_error **error)
{
    return record_of(&o->container, &pb__container__descriptor, error);
}

cws_record *cws_options_from_file(cws_options *o, cws_error **error)
{
    return record_of(&o->file, &pb__create_sandbox_from_file_request__descriptor, error);
}

void cws_options_set_max_lifetime(cws_options *o, int32_t seconds)
{
    o->max_lifetime_seconds = seconds;
}

void cws_options_set_mode(cws_options *o, int mode)
{
    o->mode = mode;
}

void cws_options_set_request_timeout(cws_options *o, uint64_t timeout_ns)
{
    o->times.request_timeout_ns = timeout_ns ? timeout_ns : OPTIONS_REQUEST_TIMEOUT_NS;
}

void cws_options_set_poll(cws_options *o, uint64_t retry_budget_ns, uint64_t rpc_timeout_ns)
{
    o->times.retry_budget_ns = retry_budget_ns;
    o->times.poll_timeout_ns = rpc_timeout_ns ? rpc_timeout_ns : OPTIONS_POLL_TIMEOUT_NS;
}

void cws_options_set_create_retry(cws_options *o, uint64_t budget_ns)
{
    o->times.create_budget_ns = budget_ns;
}
