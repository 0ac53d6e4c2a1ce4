/*
 * API keys: the file of --api-keys, and the question "whose key is this?" in time that does not
 * depend on the key.
 *
 * File: one `name:key` a line; blank lines and lines starting with '#' are skipped. Names are
 * [A-Za-z0-9._@-]{1,63} and become owners of sandboxes; several lines may share a name
 * (rotation). Keys are visible ASCII without blanks. Owner: service.c; replaced as a whole on
 * SIGHUP. Key bytes are wiped before they are freed, and never logged.
 */
#ifndef CWS_SERVER_KEYS_H
#define CWS_SERVER_KEYS_H

#include "base/err.h"

#define KEYS_NAME_MAX 64    /* with NUL; chosen */
#define KEYS_MIN_LENGTH 8   /* chosen: shorter ones are guessed */
#define KEYS_MAX_LENGTH 512 /* chosen: a header line */
#define KEYS_MAX 1000       /* chosen: each is compared on each call: 30 us at most */
#define KEYS_MAX_FILE_BYTES (8u << 20)

struct keys;

/** keys_load() - NULL with @err: unreadable, readable by everyone (mode & 04), bad line (named
 * by number). */
struct keys *keys_load(const char *path, struct err *err);
/** keys_load_copy() - as keys_load(), from a copy of @path, which messages name. */
struct keys *keys_load_copy(const char *copy, const char *path, struct err *err);
/** keys_parse() - as keys_load(), from text; @path is for messages. @text is overwritten. */
struct keys *keys_parse(const char *path, char *text, struct err *err);
void keys_free(struct keys *keys);
size_t keys_count(const struct keys *keys);
/** keys_find() - the name that @key belongs to, borrowed, or NULL. Compares with every key,
 * always. */
const char *keys_find(const struct keys *keys, const char *key);

#endif
