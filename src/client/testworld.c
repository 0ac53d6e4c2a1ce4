#include "client/testworld.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"

void world_begin(struct world *w, bool ours, peer_handler handler)
{
    peer_begin(&w->peer, ours, handler, w);
    w->client = cws_client_new(NULL);
    w->target = cws_target_new(w->peer.url, NULL, 0, NULL);
    assert_non_null(w->client);
    assert_non_null(w->target);
}

void world_end(struct world *w)
{
    cws_target_unref(w->target);
    cws_client_unref(w->client);
    peer_end(&w->peer);
}

cws_sandbox *world_sandbox(struct world *w)
{
    cws_options *o = cws_options_new(NULL);
    cws_options_set_poll(o, NS_PER_SEC, 15 * NS_PER_SEC);
    cws_sandbox *sb = cws_sandbox_new(w->client, w->target, o, NULL);
    cws_options_free(o);
    assert_non_null(sb);
    return sb;
}

bool world_basics(struct peer_call *c)
{
    if (!peer_is(c, "CreateSandbox") && !peer_is(c, "GetSandbox"))
        return false;
    if (c->n == 1 && !c->half_closed)
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    return true;
}

cws_error_kind result_of(cws_op *take_op)
{
    assert_non_null(take_op);
    assert_int_equal(cws_op_wait(take_op, LONG), CWS_WAIT_DONE);
    const cws_error *e = cws_op_error(take_op);
    cws_error_kind kind = e ? cws_error_get_kind(e) : 0;
    cws_op_unref(take_op);
    return kind;
}
