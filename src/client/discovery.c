/* Runners: the machines that sandboxes can run on. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "client/query.h"

#define DISCOVERY_TIMEOUT_NS (30 * NS_PER_SEC) /* as the published client */
#define DISCOVERY_PAGE_SIZE 100                /* the same */

static int fill_visibilities(struct query *q, cws_runner *to,
                             const Pb__RunnerCapabilitySummary *c)
{
    cws_visibility *list =
        query_alloc(q, c->n_supported_service_visibilities, sizeof(*to->visibilities));
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_supported_service_visibilities; i++)
        list[i] = (cws_visibility)c->supported_service_visibilities[i]; /* the same numbers */
    to->visibilities = list;
    to->n_visibilities = c->n_supported_service_visibilities;
    return 0;
}

static int fill_capabilities(struct query *q, cws_runner *to,
                             const Pb__RunnerCapabilitySummary *c)
{
    to->max_cpu_millicores = c->max_cpu_millicores;
    to->max_memory_bytes = c->max_memory_bytes;
    to->max_gpu_count = c->max_gpu_count;
    to->gpu_types = (const char *const *)c->supported_gpu_types;
    to->n_gpu_types = c->n_supported_gpu_types;
    to->architectures = (const char *const *)c->supported_architectures;
    to->n_architectures = c->n_supported_architectures;
    to->supports_privileged = c->supports_privileged;
    to->storage_classes = (const char *const *)c->available_storage_classes;
    to->n_storage_classes = c->n_available_storage_classes;
    return fill_visibilities(q, to, c);
}

static int fill(struct query *q, cws_runner *to, const Pb__AvailableRunner *from)
{
    *to = (cws_runner){
        .runner_id = from->runner_id,
        .organization_id = from->organization_id,
        .runner_group_id = from->runner_group_id,
        .tags = (const char *const *)from->tags,
        .n_tags = from->n_tags,
        .healthy = from->healthy,
        .is_shared = from->is_shared,
        .connected_ns = query_time(from->connected_at),
        .has_resources = from->resources != NULL,
    };
    if (from->resources) {
        to->available_cpu_millicores = from->resources->available_cpu_millicores;
        to->available_memory_bytes = from->resources->available_memory_bytes;
        to->available_gpu_count = from->resources->available_gpu_count;
        to->running_sandboxes = from->resources->running_sandboxes;
    }
    return from->capabilities ? fill_capabilities(q, to, from->capabilities) : 0;
}

static int collect_one(struct query *q)
{
    q->items = query_alloc(q, 1, sizeof(cws_runner));
    if (!q->items || fill(q, q->items, q->replies[0]) < 0)
        return -ENOMEM;
    q->n_items = 1;
    return 0;
}

static int collect_list(struct query *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n_replies; i++)
        n += ((Pb__ListAvailableRunnersResponse *)q->replies[i])->n_runners;
    cws_runner *items = query_alloc(q, n, sizeof(*items));
    if (!items)
        return -ENOMEM;
    for (size_t i = 0; i < q->n_replies; i++) {
        const Pb__ListAvailableRunnersResponse *page = q->replies[i];
        for (size_t k = 0; k < page->n_runners; k++)
            if (fill(q, &items[q->n_items++], page->runners[k]) < 0)
                return -ENOMEM;
    }
    q->items = items;
    return 0;
}

static const char *next_page(const void *reply)
{
    return ((const Pb__ListAvailableRunnersResponse *)reply)->next_page_token;
}

static const struct query_class list_class = {
    .path = PROTO_PATH_DISCOVERY("ListAvailableRunners"),
    .label = "List runners",
    .reply = &pb__list_available_runners_response__descriptor,
    .page_token_field = 6,
    .next_page = next_page,
    .discovery = true,
    .collect = collect_list,
};
static const struct query_class get_class = {
    .path = PROTO_PATH_DISCOVERY("GetAvailableRunner"),
    .label = "Get runner",
    .reply = &pb__available_runner__descriptor,
    .discovery = true,
    .collect = collect_one,
};

static int check_text(const char *what, const char *text, cws_error **error)
{
    if (text && !utf8_valid(text, strlen(text)))
        return error_set(error, CWS_E_INVALID, "%s is not valid UTF-8", what);
    return 0;
}

static char *text_of(const char *text)
{
    return text ? (char *)text : (char *)protobuf_c_empty_string;
}

cws_op *cws_list_runners(cws_client *client, cws_target *target,
                         const cws_runner_filter *filter, cws_error **error)
{
    static const cws_runner_filter all = {0};
    const cws_runner_filter *f = filter ? filter : &all;
    if (check_text("runner_group_id", f->runner_group_id, error) < 0 ||
        check_text("gpu_type", f->gpu_type, error) < 0 ||
        check_text("architecture", f->architecture, error) < 0)
        return NULL;
    struct query *q = query_new(client, target, &list_class,
                                f->timeout_ns ? f->timeout_ns : DISCOVERY_TIMEOUT_NS, error);
    Pb__ListAvailableRunnersRequest request = PB__LIST_AVAILABLE_RUNNERS_REQUEST__INIT;
    request.runner_group_id = text_of(f->runner_group_id);
    request.gpu_type = text_of(f->gpu_type);
    request.architecture = text_of(f->architecture);
    request.healthy_only = f->healthy_only != 0;
    request.page_size = DISCOVERY_PAGE_SIZE;
    request.view = f->with_resources ? PB__RUNNER_VIEW__RUNNER_VIEW_FULL
                                     : PB__RUNNER_VIEW__RUNNER_VIEW_BASIC;
    request.service_visibility = (Pb__Visibility)f->visibility;
    return q ? query_submit(q, &request, error) : NULL;
}

cws_op *cws_get_runner(cws_client *client, cws_target *target, const char *runner_id,
                       const char *organization_id, uint64_t timeout_ns, cws_error **error)
{
    if (!organization_id || !*organization_id) {
        (void)error_set(error, CWS_E_INVALID, "organization_id cannot be empty");
        return NULL;
    }
    if (check_text("organization_id", organization_id, error) < 0)
        return NULL;
    struct query *q = query_new(client, target, &get_class,
                                timeout_ns ? timeout_ns : DISCOVERY_TIMEOUT_NS, error);
    if (!q || query_set_id(q, "runner_id", runner_id, error) < 0) {
        cws_op_unref(q ? &q->op : NULL);
        return NULL;
    }
    Pb__GetAvailableRunnerRequest request = PB__GET_AVAILABLE_RUNNER_REQUEST__INIT;
    request.runner_id = q->id;
    request.organization_id = (char *)organization_id;
    request.view = PB__RUNNER_VIEW__RUNNER_VIEW_FULL;
    return query_submit(q, &request, error);
}

size_t cws_op_n_runners(const cws_op *op)
{
    const struct query *q = query_of(op, &list_class, &get_class);
    return q ? q->n_items : 0;
}

const cws_runner *cws_op_runner(const cws_op *op, size_t i)
{
    const struct query *q = query_of(op, &list_class, &get_class);
    return q && i < q->n_items ? &((const cws_runner *)q->items)[i] : NULL;
}
