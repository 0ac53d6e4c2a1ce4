/*
 * Page tokens of ListSandboxes: where the next page begins, and which filters it belongs to.
 * Opaque to clients, made by us, but anybody may send anything, so decoding checks all of it. A
 * token names the sequence number of the last sandbox listed, so pages stay right while
 * sandboxes come and go.
 */
#ifndef CWS_SERVER_PAGE_TOKEN_H
#define CWS_SERVER_PAGE_TOKEN_H

#include "base/macros.h"

#define PAGE_TOKEN_MAX 40 /* with NUL */

void page_token_encode(uint64_t after_seq, uint32_t filter_hash,
                       char ret_text[static PAGE_TOKEN_MAX]);
/** page_token_decode() - 0, -EINVAL (not one of ours), -ESTALE (ours, for other filters). */
int page_token_decode(const char *text, uint32_t filter_hash, uint64_t *ret_after_seq);
/** page_hash() - fold @n bytes into a filter hash; start with PAGE_HASH_INIT. */
#define PAGE_HASH_INIT 2166136261u
uint32_t page_hash(uint32_t hash, const void *data, size_t n);

#endif
