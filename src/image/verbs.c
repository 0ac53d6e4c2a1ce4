/* See verbs.h. */
#include "image/verbs.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "image/export.h"
#include "image/import.h"
#include "image/pull.h"
#include "image/reference.h"
#include "image/value.h"

void verb_world_done(struct verb_world *w)
{
    cleanup_fd(&w->input);
    cleanup_fd(&w->output);
    registries_done(&w->registries);
    fetch_done(&w->fetch);
    store_close(&w->store);
}

typedef int parse_fn(const char *text, struct reference *ret, struct err *err);

/* The one way to write what somebody typed. */
static char *normal_form(const char *text, parse_fn *parse, struct err *err)
{
    CLEANUP_REFERENCE struct reference r = {0};
    if (parse(text, &r, err) < 0)
        return NULL;
    char *normal = reference_format(&r);
    if (!normal)
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return normal;
}

static int print_json(json_t *take_json, struct err *err)
{
    CLEANUP_JSON json_t *j = take_json;
    if (!j || json_dumpf(j, stdout, JSON_INDENT(2)) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    (void)putchar('\n'); /* main() looks at the stream */
    return 0;
}

static int print_image(const struct verb_world *w, const char *reference, struct err *err)
{
    CLEANUP_VALUE struct image_value v = {0};
    if (value_load(&w->store, reference, &v, err) < 0)
        return -1;
    if (w->options.json)
        return print_json(value_json(&v), err);
    if (!w->options.quiet)
        (void)printf("%s sha256:%.12s\n", reference, v.ref.config);
    return 0;
}

/* --- import --- */

struct imported {
    char **names;
    size_t n;
};

static void imported_done(struct imported *i)
{
    for (size_t k = 0; k < i->n; k++)
        free(i->names[k]);
    free(i->names);
}

static void on_image(void *context, const char *reference)
{
    struct imported *i = context;
    char **more = reallocarray(i->names, i->n + 1, sizeof(*more));
    if (!more)
        return; /* it is there, only not told */
    i->names = more;
    i->names[i->n] = strdup(reference);
    i->n += i->names[i->n] != NULL;
}

static int verb_import(struct verb_world *w, struct err *err)
{
    CLEANUP(imported_done) struct imported done = {0};
    const char *name = w->options.operands[1];
    CLEANUP_FREE char *reference = name ? normal_form(name, reference_parse_tagged, err) : NULL;
    if (name && !reference)
        return -1;
    struct import_args args = {w->input, w->options.rootfs ? IMPORT_ROOTFS : IMPORT_AUTO,
                               reference};
    if (store_lock(&w->store, false, err) < 0 ||
        import_image(&w->store, &args, on_image, &done, err) < 0)
        return err_wrap(err, "import `%s`", w->options.operands[0]);
    for (size_t i = 0; i < done.n; i++)
        if (print_image(w, done.names[i], err) < 0)
            return -1;
    return 0;
}

/* --- export --- */

static int verb_export(struct verb_world *w, struct err *err)
{
    CLEANUP_FREE char *reference = normal_form(w->options.operands[0], reference_parse, err);
    enum export_as as = w->options.rootfs ? EXPORT_ROOTFS : EXPORT_IMAGE;
    if (!reference || store_lock(&w->store, false, err) < 0)
        return -1;
    if (export_image(&w->store, reference, as, w->output, err) == 0)
        return 0;
    (void)ftruncate(w->output,
                    0); /* of a file no half is left; a pipe's reader has our exit status */
    return -1;
}

/* --- pull --- */

struct pull_show {
    struct pull_progress progress;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended; /* [lock] */
};

static void print_progress(struct pull_progress *p)
{
    uint64_t total = atomic_load(&p->total_bytes);
    if (total > 0)
        (void)fprintf(stderr, "\r%u of %u layers, %.1f of %.1f MB\033[K",
                      atomic_load(&p->n_layers), atomic_load(&p->total_layers),
                      (double)atomic_load(&p->n_bytes) / 1e6, (double)total / 1e6);
}

/* One line that changes, five times a second. */
static void *show_thread(void *data)
{
    struct pull_show *s = data;
    (void)pthread_mutex_lock(&s->lock);
    while (!s->ended) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&s->changed, &s->lock, &until);
        print_progress(&s->progress);
    }
    (void)pthread_mutex_unlock(&s->lock);
    (void)fputs("\r\033[K", stderr);
    return NULL;
}

static int pull_shown(struct verb_world *w, const struct reference *r, struct err *err)
{
    struct pull_show show = {.lock = PTHREAD_MUTEX_INITIALIZER,
                             .changed = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    bool shown = !w->options.quiet && isatty(STDERR_FILENO) &&
                 pthread_create(&thread, NULL, show_thread, &show) == 0;
    int result = pull_image(&w->store, &w->registries, r, &show.progress, err);
    (void)pthread_mutex_lock(&show.lock);
    show.ended = true;
    (void)pthread_cond_signal(&show.changed);
    (void)pthread_mutex_unlock(&show.lock);
    if (shown)
        (void)pthread_join(thread, NULL);
    return result;
}

static int verb_pull(struct verb_world *w, struct err *err)
{
    CLEANUP_REFERENCE struct reference r = {0};
    if (reference_parse(w->options.operands[0], &r, err) < 0)
        return -1;
    CLEANUP_FREE char *reference = reference_format(&r);
    if (!reference)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (store_lock(&w->store, false, err) < 0 || pull_shown(w, &r, err) < 0)
        return err_wrap(err, "pull `%s`", reference);
    return print_image(w, reference, err);
}

/* --- ls, inspect --- */

static void print_row(const struct image_value *v)
{
    char when[32];
    struct tm tm;
    time_t created = (time_t)v->ref.created_s;
    (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&created, &tm));
    (void)printf("%-50s %-14.12s %7.1f MB  %s\n", v->ref.reference, v->ref.config,
                 (double)v->size_bytes / 1e6, when);
}

/* Damaged ones are left out of the table and are named on stderr. */
static int list_images(const struct verb_world *w, const struct store_ref *refs, size_t n,
                       struct err *err)
{
    CLEANUP_JSON json_t *all = json_array();
    if (!w->options.json && n > 0)
        (void)printf("%-50s %-14s %10s  %s\n", "REFERENCE", "ID", "SIZE", "CREATED");
    for (size_t i = 0; i < n; i++) {
        CLEANUP_VALUE struct image_value v = {0};
        CLEANUP_ERR struct err damage = {0};
        if (value_load(&w->store, refs[i].reference, &v, &damage) < 0)
            (void)fprintf(stderr, "Warning: %s\n", err_text(&damage));
        else if (w->options.json)
            (void)json_array_append_new(all, value_json(&v));
        else
            print_row(&v);
    }
    if (!w->options.json && n == 0)
        (void)puts("No images found.");
    return w->options.json ? print_json(json_incref(all), err) : 0;
}

static int verb_ls(struct verb_world *w, struct err *err)
{
    struct store_ref *refs;
    size_t n;
    if (store_list_refs(&w->store, &refs, &n, err) < 0)
        return -1;
    int r = list_images(w, refs, n, err);
    store_refs_free(refs, n);
    return r;
}

static int verb_inspect(struct verb_world *w, struct err *err)
{
    CLEANUP_VALUE struct image_value v = {0};
    CLEANUP_FREE char *reference = normal_form(w->options.operands[0], reference_parse, err);
    return reference && value_load(&w->store, reference, &v, err) == 0
               ? print_json(value_json(&v), err)
               : -1;
}

/* --- rm, prune --- */

static int sweep(struct verb_world *w, struct err *err)
{
    struct store_sweep s;
    if (store_sweep(&w->store, &s, err) < 0)
        return -1;
    if (w->options.json)
        return print_json(json_pack("{s:I, s:I, s:I}", "removed_layers", (json_int_t)s.n_layers,
                                    "removed_bytes", (json_int_t)s.n_bytes, "layers_in_use",
                                    (json_int_t)s.n_in_use),
                          err);
    if (!w->options.quiet)
        (void)printf("Removed %llu layers, %.1f MB%s\n", (unsigned long long)s.n_layers,
                     (double)s.n_bytes / 1e6,
                     s.n_in_use ? "; others go when no sandbox has them any more" : "");
    return 0;
}

static int verb_rm(struct verb_world *w, struct err *err)
{
    for (size_t i = 0; i < w->options.n_operands; i++) {
        CLEANUP_FREE char *reference =
            normal_form(w->options.operands[i], reference_parse, err);
        if (!reference || store_remove_ref(&w->store, reference, err) < 0)
            return -1;
    }
    /* While others add images their layers stay; `prune` takes them. */
    return store_try_lock_alone(&w->store) ? sweep(w, err) : 0;
}

static int by_use(const void *a, const void *b)
{
    const struct store_ref *x = a, *y = b;
    return x->used_s < y->used_s ? -1 : x->used_s > y->used_s;
}

static uint64_t image_bytes(const struct verb_world *w, const char *reference)
{
    CLEANUP_VALUE struct image_value v = {0};
    return value_load(&w->store, reference, &v, NULL) == 0 ? v.size_bytes : 0;
}

static bool is_in_use(const struct verb_world *w, const char *reference)
{
    CLEANUP_VALUE struct image_value v = {0};
    return value_load(&w->store, reference, &v, NULL) == 0 &&
           store_layer_in_use(&w->store, v.config.diff_ids[v.config.n_diff_ids - 1]);
}

/* References that were not used for long, then those unused longest until the rest is small enough. What images share counts
 * for each of them. */
static int drop_refs(struct verb_world *w, struct store_ref *refs, size_t n, struct err *err)
{
    uint64_t bytes = 0;
    time_t now = time(NULL);
    if (n > 0)
        qsort(refs, n, sizeof(*refs), by_use);
    for (size_t i = 0; i < n; i++)
        bytes += image_bytes(w, refs[i].reference);
    for (size_t i = 0; i < n; i++) {
        uint64_t unused = now > refs[i].used_s ? (uint64_t)(now - refs[i].used_s) : 0;
        bool wanted = unused < w->options.unused_s && bytes <= w->options.keep_bytes;
        if (wanted || is_in_use(w, refs[i].reference))
            continue;
        bytes -= image_bytes(w, refs[i].reference);
        if (store_remove_ref(&w->store, refs[i].reference, err) < 0)
            return -1;
    }
    return 0;
}

static int verb_prune(struct verb_world *w, struct err *err)
{
    struct store_ref *refs;
    size_t n;
    if (store_lock(&w->store, true, err) < 0 || store_list_refs(&w->store, &refs, &n, err) < 0)
        return -1;
    int r = drop_refs(w, refs, n, err);
    store_refs_free(refs, n);
    return r < 0 ? -1 : sweep(w, err);
}

int verb_run(struct verb_world *w, struct err *err)
{
    switch (w->options.verb) {
    case VERB_IMPORT:
        return verb_import(w, err);
    case VERB_LS:
        return verb_ls(w, err);
    case VERB_INSPECT:
        return verb_inspect(w, err);
    case VERB_RM:
        return verb_rm(w, err);
    case VERB_PRUNE:
        return verb_prune(w, err);
    case VERB_PULL:
        return verb_pull(w, err);
    case VERB_EXPORT:
        return verb_export(w, err);
    case VERB_FETCH:
        return fetch_run(&w->fetch, &w->store, &w->registries, err);
    case VERB_MAX:
        break;
    }
    return err_set(err, ERR_INTERNAL, "no such verb");
}
