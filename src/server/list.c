/*
 * ListSandboxes: filters, pages. Each page holds matching entries only, and the token is empty
 * exactly when nothing matching is left, so page_size 1 works with filters.
 */
#include <errno.h>
#include <string.h>

#include "server/dispatch.h"
#include "server/page-token.h"
#include "server/record.h"
#include "server/spec.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000
/* A sandbox has no more tags, so that a longer filter asks for nothing; every record is held against the whole filter. */
#define FILTER_MAX SPEC_MAX_TAGS
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

/* The first match behind @seq in the order of the list; 0: the first of all. */
static struct sandbox *next_match(const struct call *call, const Pb__ListSandboxesRequest *req,
                                  uint64_t seq)
{
    struct runtime *rt = call->service->runtime;
    struct sandbox *sb;
    struct sandbox_info info;
    for (;; seq = info.seq) {
        sb = descending(req) ? sandbox_before(rt, seq) : sandbox_after(rt, seq);
        if (sb == NULL || matches(call, req, sb))
            return sb;
        sandbox_get_info(sb, &info);
    }
}

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

static int put_page(const struct call *call, const Pb__ListSandboxesRequest *req,
                    uint64_t after_seq, struct buf *out)
{
    size_t left = req->page_size == 0 ? PAGE_DEFAULT : (size_t)MIN(req->page_size, PAGE_MAX);
    struct sandbox *sb = next_match(call, req, after_seq);
    for (; sb != NULL && left > 0 && buf_len(out) < PAGE_MAX_BYTES; left--) {
        struct sandbox_info info;
        if (put_entry(sb, out) < 0)
            return -ENOMEM;
        sandbox_get_info(sb, &info);
        after_seq = info.seq;
        sb = next_match(call, req, after_seq);
    }
    if (sb == NULL)
        return 0;
    char token[PAGE_TOKEN_MAX];
    page_token_encode(after_seq, filter_hash(call, req), token);
    Pb__ListSandboxesResponse tail = PB__LIST_SANDBOXES_RESPONSE__INIT;
    tail.next_page_token = token;
    return proto_pack(&tail, out);
}

void list_on_request(struct call *call, void *request)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP_BUF struct buf body = {0};
    uint64_t after_seq;
    if (check_list(call, request, &after_seq, &err) < 0)
        call_finish(call, &err);
    else if (put_page(call, request, after_seq, &body) < 0 ||
             call_send(call, NULL, 0, &body) < 0)
        call_refuse(call, ERR_RESOURCE_EXHAUSTED, NULL, "list sandboxes: out of memory");
    else
        call_finish(call, NULL);
}
