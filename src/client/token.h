/*
 * The token that requests to a share-token endpoint need. Only the answer to a create has it, so when
 * that answer came without it (it was lost, or the service was not that far) the same request is sent
 * again: its request id makes it a question, not a second sandbox.
 *
 * One *round* of such requests lasts while a start() waits for it; all starts share it. Nothing else
 * waits for a token.
 */
#ifndef CWS_CLIENT_TOKEN_H
#define CWS_CLIENT_TOKEN_H

#include "client/sandbox.h"

/* As the published client. */
#define TOKEN_ATTEMPTS 3u
#define TOKEN_ROUND_NS (15ULL * 1000000000ULL)
#define TOKEN_RPC_NS (5ULL * 1000000000ULL)
#define TOKEN_PAUSE_NS (1ULL * 1000000000ULL)
#define TOKEN_PAUSE_MAX_NS (5ULL * 1000000000ULL)

/** token_on_created() - [loop] the create was answered. -ENOMEM: the token is not kept. */
int token_on_created(struct cws_sandbox *sb, const Pb__Sandbox *msg);
/** token_wait() - [loop] fires without an error when the round ends; at once when there is none to wait for. */
void token_wait(struct cws_sandbox *sb, struct sb_waiter *w);
/** token_left() - [loop] a waiter is gone: without any the round ends. */
void token_left(struct cws_sandbox *sb);
/** token_give_up() - [loop] no more rounds. */
void token_give_up(struct cws_sandbox *sb);

#endif
