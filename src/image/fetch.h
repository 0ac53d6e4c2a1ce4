/*
 * A pull for the service, which may not start programs: its supervisor starts `cwsandbox-image fetch` and gives it what the
 * daemon sent, as input and output.
 *
 * Input: six words, each with its NUL: the reference; a registry, or "", and the secret that opens it (login.h): owner, store,
 * name, field. Nothing of it is on a command line or in an environment. It and the secret are read before the wall, which names
 * do not reach beyond, and understood behind it. Output: "+", or "-" and why not. The end of the output's reader is the end of
 * the program.
 */
#ifndef CWS_IMAGE_FETCH_H
#define CWS_IMAGE_FETCH_H

#include "image/registries.h"
#include "image/store.h"

#define FETCH_BYTES_MAX ((size_t)8 << 10) /* chosen: the service cuts each word at 1 KiB */

enum fetch_word {
    FETCH_REFERENCE,
    FETCH_REGISTRY,
    FETCH_OWNER,
    FETCH_STORE,
    FETCH_NAME,
    FETCH_FIELD,
    FETCH_WORD_MAX
};

struct fetch {
    char bytes[FETCH_BYTES_MAX];
    const char *words[FETCH_WORD_MAX];
    char *secret; /* or NULL */
};

/** fetch_open() - read the request, and from below @secrets (or NULL) what it names. Errors: INVALID_ARGUMENT, login_read()'s. */
int fetch_open(struct fetch *f, const char *secrets, struct err *err);
/** fetch_run() - do it. Errors: those of login_use() and pull_image(). */
int fetch_run(const struct fetch *f, struct store *s, struct registries *r, struct err *err);
void fetch_done(struct fetch *f);
/** fetch_answer() - @why: NULL when it is in the store. The exit status. */
int fetch_answer(const struct err *why);

#endif
