/*
 * The creates. CreateSandbox: check, translate, register; the answer goes out once the sandbox runs or
 * ended, or after CREATE_WAIT_NS with the state it has then (docs/architecture.md "Waiting
 * without polling").
 *
 * An owner has ACCOUNT_MAX_CREATING sandboxes on their way at a time; its further creates wait here, so that the creates of
 * others get between them.
 */
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "server/dispatch.h"
#include "server/network.h"
#include "server/record.h"
#include "server/spec.h"

#define CREATE_WAIT_NS NS_PER_SEC /* docs/architecture.md */
#define DEADLINE_MARGIN_NS \
    (50 * NS_PER_MS)         /* an answer that arrives beats a deadline that passes */
#define MAX_REQUEST_ID 128   /* chosen: a UUID has 36 */
#define MAX_DISPLAY_NAME 256 /* chosen */

struct create_wait {
    struct call *call;
    struct list queue_link;  /* account->creates until it is begun */
    struct sandbox *sandbox; /* reference; NULL until it is begun */
    struct sandbox_watch watch;
    struct timer timer;
};

static void answer(struct create_wait *w)
{
    struct sandbox_message m;
    sandbox_message_fill(&m, w->sandbox);
    sandbox_message_add_token(&m, w->sandbox);
    call_reply(w->call, &m.message);
}

static bool settled(struct sandbox *sb)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    return !sandbox_state_starting(info.state);
}

static void on_state(void *user, struct sandbox *sb)
{
    if (settled(sb))
        answer(user);
}

static void on_timer(struct timer *t)
{
    answer(CONTAINER_OF(t, struct create_wait, timer));
}

void create_on_release(struct call *call)
{
    struct create_wait *w = call->state;
    if (w == NULL)
        return;
    list_remove(&w->queue_link);
    sandbox_watch_remove(&w->watch);
    timer_stop(&call->service->timers, &w->timer);
    sandbox_unref(w->sandbox);
    free(w);
}

static void wait_for(struct create_wait *w, struct sandbox *sb)
{
    struct call *call = w->call;
    w->sandbox = sandbox_ref(sb);
    if (settled(sb)) {
        answer(w);
        return;
    }
    w->watch.cb = on_state;
    w->watch.user = w;
    sandbox_watch_add(sb, &w->watch);
    uint64_t when_ns = clock_now_ns() + CREATE_WAIT_NS;
    if (call->deadline_ns > DEADLINE_MARGIN_NS)
        when_ns = MIN(when_ns, call->deadline_ns - DEADLINE_MARGIN_NS);
    timer_start(&call->service->timers, &w->timer, when_ns, on_timer);
}

/* What is kept for as long as the sandbox is readable has a cap; files need not be. */
static int check_kept(const Pb__SandboxSpec *spec, struct err *err)
{
    size_t kept = protobuf_c_message_get_packed_size(&spec->base);
    const Pb__Container *c = spec->containers[0];
    for (size_t i = 0; i < c->n_files; i++)
        kept -= MIN(kept, c->files[i]->content.len);
    if (kept > SPEC_MAX_KEPT)
        return err_invalid(err, "sandbox.spec",
                           "larger than %u bytes without the contents of files", SPEC_MAX_KEPT);
    return 0;
}

static int check_request(const struct call *call, const Pb__CreateSandboxRequest *req,
                         struct err *err)
{
    struct services_offer offer;
    services_offer_fill(&offer, &call->service->sites, call->service->keys, call->owner);
    const Pb__SandboxSpec *spec = req->sandbox != NULL ? req->sandbox->spec : NULL;
    if (spec_check(spec, call->service->runner_id, &offer, err) < 0 ||
        check_kept(spec, err) < 0)
        return -1;
    if (strlen(req->request_id) > MAX_REQUEST_ID)
        return err_invalid(err, "request_id", "longer than %d bytes", MAX_REQUEST_ID);
    if (strlen(req->sandbox->display_name) > MAX_DISPLAY_NAME)
        return err_invalid(err, "sandbox.display_name", "longer than %d bytes",
                           MAX_DISPLAY_NAME);
    return 0;
}

/* Takes the spec out of @req. */
static struct record *make_record(struct service *s, Pb__CreateSandboxRequest *req,
                                  const struct network_plan *network, uint64_t request_hash,
                                  struct err *err)
{
    struct record *record = record_new(s, TAKE_PTR(req->sandbox->spec));
    char *name = strdup(req->sandbox->display_name);
    if (record == NULL || name == NULL) {
        record_free(record);
        free(name);
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    record->display_name = name;
    record->network = network_effective(TAKE_PTR(record->spec->network), network);
    if (record->network == NULL) {
        record_free(record);
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    record->request_hash = request_hash;
    if (services_need_token(record->spec))
        record_make_token(record);
    return record;
}

/* A repeat of the create that made @sb, or another one that took its request id? */
static int check_repeat(const struct sandbox *sb, const char *request_id, uint64_t request_hash,
                        struct err *err)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    const struct record *r = info.user_data;
    if (r->request_hash == 0 || r->request_hash == request_hash)
        return 0;
    (void)err_set_reason(err, ERR_ALREADY_EXISTS, "CWSANDBOX_REQUEST_ID_CONFLICT",
                         "request_id `%s` made sandbox `%s`, from another request", request_id,
                         info.id);
    err_add_metadata(err, "sandbox_id", info.id);
    return -1;
}

static int too_few_descriptors(const struct service *s, struct err *err)
{
    (void)err_set_reason(err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED",
                         "the service has %zu of %zu descriptors open; the rest is kept for "
                         "sandboxes that exist (raise its limit of open files)",
                         s->descriptors.n_open, s->descriptors.limit);
    err->retry_delay_ns = ACCOUNT_RETRY_NS;
    return -1;
}

static enum network_offer offer_of(const struct service *s)
{
    if (!runtime_features(s->runtime)->network)
        return NETWORK_OFFER_NONE;
    return s->options->network_private ? NETWORK_OFFER_PRIVATE : NETWORK_OFFER_EGRESS;
}

static int create(struct call *call, Pb__CreateSandboxRequest *req, struct sandbox **ret,
                  struct err *err)
{
    struct service *s = call->service;
    if (check_request(call, req, err) < 0)
        return -1;
    uint64_t hash = req->request_id[0] != '\0' ? spec_request_hash(req) : 0;
    CLEANUP(spec_plan_done) struct spec_plan plan = {0};
    struct network_plan network;
    if (network_plan_make(req->sandbox->spec->network, offer_of(s), &network, err) < 0)
        return -1;
    const struct spec_room room = {s->options->root_on_disk, s->options->root_size_bytes,
                                   &s->options->host_directories};
    if (spec_name_container(req->sandbox->spec, err) < 0 ||
        spec_translate(req->sandbox->spec, &plan, err) < 0 ||
        spec_plan_volumes(req->sandbox->spec, &room, &plan, err) < 0)
        return -1;
    plan.spec.owner = call->owner;
    plan.spec.request_id = req->request_id;
    plan.spec.network = (struct sandbox_network){.on = network.network,
                                                 .ruled = network.ruled,
                                                 .n_grants = network.n_grants,
                                                 .grants = network.grants,
                                                 .names = network.names};
    plan.spec.n_kept_free = accounts_kept_free(&s->accounts, call->account, keys_count(s->keys),
                                               s->options->max_sandboxes);
    if (!descriptors_for_sandbox(&s->descriptors, clock_now_ns()))
        return too_few_descriptors(s, err);
    if (budget_room(call_share(call, SHARE_SPEC_BYTES)) == 0)
        return account_full(call->account, SHARE_SPEC_BYTES, err);
    struct record *record = make_record(s, req, &network, hash, err);
    if (record == NULL)
        return -1;
    bool existing = false;
    CLEANUP_BUF struct buf kept = {0};
    if (record_keep(record, &kept) < 0) {
        record_free(record);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    plan.spec.kept = buf_head(&kept);
    plan.spec.kept_bytes = buf_len(&kept);
    if (sandbox_create(s->runtime, &plan.spec, record, record_free, ret, &existing, err) < 0)
        return -1;
    if (existing)
        return check_repeat(*ret, req->request_id, hash, err);
    spec_keep_echo(record->spec);
    record_watch(record, *ret);
    return 0;
}

static void begin(struct create_wait *w)
{
    CLEANUP_ERR struct err err = {0};
    struct sandbox *sb;
    if (create(w->call, w->call->request, &sb, &err) < 0)
        call_finish(w->call, &err);
    else
        wait_for(w, sb);
}

void create_next(struct account *a)
{
    if (a->in_create_next) /* from a sandbox that is settled at once: the loop below goes on */
        return;
    a->in_create_next = true;
    while (a->n_creating < ACCOUNT_MAX_CREATING && !list_empty(&a->creates)) {
        struct list *first = list_first(&a->creates);
        list_remove(first);
        begin(CONTAINER_OF(first, struct create_wait, queue_link));
    }
    a->in_create_next = false;
}

/* Made while we stop, the sandbox would end at once; the client can have one that lasts from whoever serves next. */
static void refuse_stopping(struct call *call)
{
    call_turn_away(call, "the service is stopping");
}

void create_on_request(struct call *call, void *request)
{
    if (call->service->stopping) { /* it was on its way when we began to */
        refuse_stopping(call);
        return;
    }
    struct create_wait *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return;
    }
    w->call = call;
    call->state = w;
    list_append(&call->account->creates, &w->queue_link);
    create_next(call->account);
}

void create_on_stopping(struct call *call)
{
    struct create_wait *w = call->state;
    if (w->sandbox != NULL)
        return;
    list_remove(&w->queue_link);
    refuse_stopping(call);
}

/* Creates from a file need an image store and a translation that are not there. */
void create_from_file_on_request(struct call *call, void *request)
{
    const Pb__CreateSandboxFromFileRequest *req = request;
    CLEANUP_ERR struct err err = {0};
    if (req->type == PB__SANDBOX_FILE_TYPE__SANDBOX_FILE_TYPE_UNSPECIFIED) {
        (void)err_invalid(&err, "type", "is required");
    } else {
        (void)err_set_reason(&err, ERR_UNIMPLEMENTED, "CWSANDBOX_NOT_IMPLEMENTED",
                             "type: creates from a file are not implemented by this service");
        err_add_violation(&err, "type", "not implemented by this service");
    }
    call_finish(call, &err);
}
