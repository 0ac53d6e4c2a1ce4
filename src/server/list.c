/*
 * ListSandboxes: filters, pages. Each page holds matching entries only, and the token is empty
 * exactly when nothing matching is left, so page_size 1 works with filters.
 *
 * 10,000 records against a filter of 100 tags are more than the loop may be kept for, so a page is made in turns: each
 * looks at records until LIST_TURN_NS are over, and the next begins behind the last one by its number.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "server/dispatch.h"
#include "server/page-token.h"
#include "server/record.h"
#include "server/spec.h"
#include "server/usage-wait.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
#define LIST_TURN_NS \
    (500 * 1000ull) /* chosen: half of what the loop may be kept for by anything */
#define LIST_LOOKS \
    16 /* chosen: records between two looks at the clock; one takes 0.1 to 30 us */
/* A sandbox has no more tags, so that a longer filter asks for nothing; every record is held against the whole filter. */
#define FILTER_MAX SPEC_MAX_TAGS
#define LOOK_LATER 2
#define LIST_ASKED \
    16 /* chosen: sandboxes whose figures are asked for at once; launch reads for 1 to 2 ms then */
#define PAGE_MAX_BYTES \
    (16u << 20) /* chosen: far below the clients' 100 MiB; a page ends early instead */

/* Without a wish: in the order of creation, as pages have always come. */
static bool descending(const Pb__ListSandboxesRequest *req)
{
    return req->sort_direction == PB__SORT_DIRECTION__SORT_DIRECTION_DESCENDING;
}

static uint32_t filter_hash(const struct call *call, const Pb__ListSandboxesRequest *req)
{
    uint32_t hash = page_hash(PAGE_HASH_INIT, call->owner, strlen(call->owner) + 1);
    uint32_t fixed[3] = {(uint32_t)req->state, req->show_terminated ? 1 : 0, descending(req)};
    hash = page_hash(hash, fixed, sizeof(fixed));
    for (size_t i = 0; i < req->n_tags; i++)
        hash = page_hash(hash, req->tags[i], strlen(req->tags[i]) + 1);
    hash = page_hash(hash, "", 1);
    for (size_t i = 0; i < req->n_runner_ids; i++)
        hash = page_hash(hash, req->runner_ids[i], strlen(req->runner_ids[i]) + 1);
    return hash;
}

static bool holds(char *const *items, size_t n, const char *wanted)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(items[i], wanted) == 0)
            return true;
    return false;
}

static bool matches(const struct call *call, const Pb__ListSandboxesRequest *req,
                    struct sandbox *sb)
{
    struct sandbox_info info;
    sandbox_get_info(sb, &info);
    const struct record *r = info.user_data;
    if (strcmp(info.owner, call->owner) != 0)
        return false;
    /* A state asked for decides alone; else ended sandboxes are listed on request only. */
    if (req->state != PB__STATE__STATE_UNSPECIFIED
            ? (int)req->state != (int)info.state
            : !req->show_terminated && sandbox_state_terminal(info.state))
        return false;
    if (req->n_runner_ids > 0 &&
        !holds(req->runner_ids, req->n_runner_ids, call->service->runner_id))
        return false;
    if (req->n_volume_ids > 0)
        return false; /* no sandbox has a volume */
    for (size_t i = 0; i < req->n_tags; i++)
        if (!holds(r->spec->tags, r->spec->n_tags, req->tags[i]))
            return false;
    return true;
}

/* A list under way; the request is the call's. */
struct listing {
    struct call *call;
    struct timer turn;
    struct buf body;
    size_t left;  /* entries that the page still has room for */
    uint64_t seq; /* records up to this one were looked at, in the order of the list; 0: none */
    uint64_t page_seq;  /* the last one that is in the page: where the next page begins */
    uint64_t asked_seq; /* the figures of those up to this one were asked for; 0: of none */
    struct usage_wait *usage; /* of the last of them; NULL: no more */
};

static int check_list(const struct call *call, const Pb__ListSandboxesRequest *req,
                      uint64_t *ret_seq, struct err *err)
{
    if (req->page_size < 0)
        return err_invalid(err, "page_size", "must not be negative");
    if (req->n_tags > FILTER_MAX || req->n_runner_ids > FILTER_MAX ||
        req->n_volume_ids > FILTER_MAX)
        return err_invalid(err,
                           req->n_tags > FILTER_MAX         ? "tags"
                           : req->n_runner_ids > FILTER_MAX ? "runner_ids"
                                                            : "volume_ids",
                           "more than %d", FILTER_MAX);
    if ((int)req->state < 0 || (int)req->state > PB__STATE__STATE_PREPARING)
        return err_invalid(err, "state", "unknown state %d", (int)req->state);
    if ((unsigned)req->sort_direction > PB__SORT_DIRECTION__SORT_DIRECTION_ASCENDING)
        return err_invalid(err, "sort_direction", "unknown direction %d",
                           (int)req->sort_direction);
    *ret_seq = 0;
    if (req->page_token[0] == '\0')
        return 0;
    int r = page_token_decode(req->page_token, filter_hash(call, req), ret_seq);
    if (r == -ESTALE)
        return err_invalid(err, "page_token", "belongs to a list with other filters");
    if (r < 0)
        return err_invalid(err, "page_token", "not a token of this service");
    return 0;
}

/* One entry as field 1 of ListSandboxesResponse: packed one by one, so a page of big specs is
 * never built twice. */
static int put_entry(struct sandbox *sb, struct buf *out)
{
    struct sandbox_message m;
    uint8_t head[PROTO_HEAD_MAX];
    sandbox_message_fill(&m, sb);
    size_t n = protobuf_c_message_get_packed_size(&m.message.base);
    if (buf_put(out, head, proto_head_bytes(head, 1, n)) < 0)
        return -ENOMEM;
    return proto_pack(&m.message, out);
}

static int put_token(struct listing *l)
{
    char token[PAGE_TOKEN_MAX];
    page_token_encode(l->page_seq, filter_hash(l->call, l->call->request), token);
    Pb__ListSandboxesResponse tail = PB__LIST_SANDBOXES_RESPONSE__INIT;
    tail.next_page_token = token;
    return proto_pack(&tail, &l->body);
}

static int put(struct listing *l, struct sandbox *sb)
{
    l->left--;
    l->page_seq = l->seq;
    return put_entry(sb, &l->body);
}

static void on_usage(void *user);

static struct sandbox *next_of(const struct listing *l, uint64_t seq)
{
    struct runtime *rt = l->call->service->runtime;
    return descending(l->call->request) ? sandbox_before(rt, seq) : sandbox_after(rt, seq);
}

static void ignore_usage(void *user, const struct sandbox_usage *usage)
{
}

/* Of the next sandboxes that the page will tell of: one round trip to launch, and no long burst for it. Answers come in the
 * order of the questions, so the last one's is waited for. False: there is none to wait for. */
static bool ask(struct listing *l, struct sandbox *first)
{
    struct sandbox *asked[LIST_ASKED];
    size_t n = 0, max = MIN(l->left, (size_t)LIST_ASKED);
    struct sandbox_info info;
    unsigned n_looks = 0;
    for (struct sandbox *sb = first; sb != NULL && n < max && n_looks < LIST_LOOKS * 2;
         sb = next_of(l, info.seq), n_looks++) {
        sandbox_get_info(sb, &info);
        if (sandbox_usage_is_stale(sb) && matches(l->call, l->call->request, sb))
            asked[n++] = sb;
    }
    if (n == 0)
        return false;
    sandbox_get_info(asked[n - 1], &info);
    l->asked_seq = info.seq;
    for (size_t i = 0; i < n - 1; i++) /* without memory for it, its last figures are told */
        if (sandbox_usage(asked[i], ignore_usage, NULL) < 0)
            break;
    l->usage = usage_wait_new(asked[n - 1], on_usage, l);
    return l->usage != NULL;
}

static bool was_asked(const struct listing *l, uint64_t seq)
{
    if (l->asked_seq == 0)
        return false;
    return descending(l->call->request) ? seq >= l->asked_seq : seq <= l->asked_seq;
}

/* One record: LOOK_LATER when its figures are asked for, 1 when the page is complete (full, and something matches behind it), -ENOMEM, else 0. */
static int look_at(struct listing *l, struct sandbox *sb)
{
    const Pb__ListSandboxesRequest *req = l->call->request;
    struct sandbox_info info;
    uint64_t before_seq = l->seq;
    sandbox_get_info(sb, &info);
    l->seq = info.seq;
    if (!matches(l->call, req, sb))
        return 0;
    if (l->left == 0 || buf_len(&l->body) >= PAGE_MAX_BYTES)
        return put_token(l) < 0 ? -ENOMEM : 1;
    if (was_asked(l, info.seq) || !sandbox_usage_is_stale(sb) || !ask(l, sb))
        return put(l, sb);
    l->seq = before_seq; /* once more, with figures; it may have ended by then */
    return LOOK_LATER;
}

static void finish(struct listing *l, int r)
{
    if (r < 0 || call_send(l->call, NULL, 0, &l->body) < 0)
        call_refuse(l->call, ERR_RESOURCE_EXHAUSTED, NULL, "list sandboxes: out of memory");
    else
        call_finish(l->call, NULL);
}

static void on_turn(struct timer *t)
{
    struct listing *l = CONTAINER_OF(t, struct listing, turn);
    struct service *s = l->call->service;
    uint64_t end_ns = clock_now_ns() + LIST_TURN_NS;
    if (l->call->finished) /* its deadline came first */
        return;
    for (unsigned n = 1; n % LIST_LOOKS != 0 || clock_now_ns() < end_ns; n++) {
        struct sandbox *sb = next_of(l, l->seq);
        int r = sb != NULL ? look_at(l, sb) : 1;
        if (r == LOOK_LATER)
            return;
        if (r != 0) {
            finish(l, r);
            return;
        }
    }
    timer_start(&s->timers, &l->turn, 0, on_turn);
}

static void on_usage(void *user)
{
    struct listing *l = user;
    l->usage = NULL;
    on_turn(&l->turn);
}

void list_on_release(struct call *call)
{
    struct listing *l = call->state;
    if (l == NULL)
        return;
    timer_stop(&call->service->timers, &l->turn);
    usage_wait_cancel(l->usage);
    buf_done(&l->body);
    free(l);
}

void list_on_request(struct call *call, void *request)
{
    const Pb__ListSandboxesRequest *req = request;
    CLEANUP_ERR struct err err = {0};
    uint64_t after_seq;
    if (check_list(call, req, &after_seq, &err) < 0) {
        call_finish(call, &err);
        return;
    }
    struct listing *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return;
    }
    l->call = call;
    l->left = req->page_size == 0 ? PAGE_DEFAULT : (size_t)MIN(req->page_size, PAGE_MAX);
    l->seq = l->page_seq = after_seq;
    call->state = l;
    on_turn(&l->turn);
}
