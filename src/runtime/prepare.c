/*
 * From an image to a cell: at once where the image is there, else PREPARING until somebody has brought it.
 *
 *   #1 prepare_new(): an id, a record    #2 prepare_begin(): runtime_config.get_image()
 *   #3 it is there: the plan gets the image's words, the record is written once more, a cell -> PENDING
 *
 * The end of the sandbox before #3 is prepare_end(), whoever ends it.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "runtime/image-find.h"
#include "runtime/image.h"
#include "runtime/ledger-record.h"
#include "runtime/sandbox.h"

struct preparation {
    struct sandbox *sb;
    struct image_wait wait;
    bool asked;
    char *request_id; /* this and the rest: for the second record */
    uint8_t *kept;
    size_t kept_bytes;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "create a sandbox: out of memory");
}

/* A cell with mounts is of a kind of its own: nobody else can take it. */
static int add_mounts(struct sandbox *sb)
{
    if (sb->mounts.n == 0)
        return 0;
    if (!sb->kind) {
        sb->kind = malloc(sizeof(*sb->kind));
        if (!sb->kind)
            return -ENOMEM;
        *sb->kind = *pool_kind(sb->rt, sb->network);
    }
    sb->kind->mounts = &sb->mounts;
    return 0;
}

int sandbox_get_cell(struct sandbox *sb, const struct runtime_image *image, struct err *err)
{
    if (image->layers)
        sb->kind = image_kind(sb->rt, image, sb->network);
    if ((sb->kind || !image->layers) && add_mounts(sb) == 0)
        sb->cell = cell_take(sb->rt, sb, sb->kind ? sb->kind : pool_kind(sb->rt, sb->network));
    if (!sb->cell)
        return no_memory(err);
    memcpy(sb->id, sb->cell->id, sizeof(sb->id));
    return 0;
}

static void preparation_free(struct preparation *p)
{
    free(p->request_id);
    free(p->kept);
    free(p);
}

void prepare_end(struct sandbox *sb)
{
    struct preparation *p = TAKE_PTR(sb->preparation);
    if (!p)
        return;
    if (p->asked)
        sb->rt->config.drop_image(sb->rt->config.user, &p->wait);
    preparation_free(p);
}

/* #3 */
static int go_on(struct sandbox *sb, struct err *err)
{
    CLEANUP_IMAGE struct runtime_image image = {0};
    const struct preparation *p = sb->preparation;
    const struct sandbox_spec spec = {
        .request_id = p->request_id, .kept = p->kept, .kept_bytes = p->kept_bytes};
    int found = image_find(sb->rt, sb->image, true, &image, err);
    if (found > 0)
        return err_set(err, ERR_INTERNAL, "image `%s` was brought and is not there", sb->image);
    if (found < 0 || plan_add_image(sb->plan, &image, err) < 0 ||
        ledger_record_replace(sb, &spec, err) < 0 || sandbox_get_cell(sb, &image, err) < 0)
        return -1;
    sb->kept_bytes += runtime_image_bytes(&image);
    prepare_end(sb);
    sandbox_set_state(sb, SANDBOX_PENDING);
    if (sb->cell->state == CELL_READY)
        sandbox_on_cell_ready(sb);
    return 0;
}

static void on_image(struct image_wait *wait, const struct err *why)
{
    struct preparation *p = CONTAINER_OF(wait, struct preparation, wait);
    struct sandbox *sb = sandbox_ref(p->sb);
    CLEANUP_ERR struct err err = {0};
    p->asked = false;
    if (why)
        sandbox_fail(sb, "%s", err_text(why));
    else if (go_on(sb, &err) < 0)
        sandbox_fail(sb, "%s", err_text(&err));
    sandbox_unref(sb);
}

/* #1 */
int prepare_new(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err)
{
    struct preparation *p = calloc(1, sizeof(*p));
    if (!p)
        return no_memory(err);
    p->sb = sb;
    p->wait.cb = on_image;
    p->request_id = strdup(spec->request_id);
    p->kept = malloc(MAX(spec->kept_bytes, (size_t)1));
    if (!p->request_id || !p->kept) {
        preparation_free(p);
        return no_memory(err);
    }
    if (spec->kept_bytes > 0)
        memcpy(p->kept, spec->kept, spec->kept_bytes);
    p->kept_bytes = spec->kept_bytes;
    cell_make_id(sb->id);
    sb->state = SANDBOX_PREPARING;
    sb->preparation = p;
    return 0;
}

/* #2 */
void prepare_begin(struct sandbox *sb)
{
    const struct runtime_config *c = &sb->rt->config;
    CLEANUP_ERR struct err err = {0};
    if (c->get_image(c->user, sb, &sb->preparation->wait, &err) < 0)
        sandbox_fail(sb, "%s", err_text(&err));
    else
        sb->preparation->asked = true;
}
