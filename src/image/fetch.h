/*
 * A pull or a commit for the service, which may not start programs: its supervisor starts `cwsandbox-image fetch` and gives it what the
 * daemon sent, as input and output.
 *
 * Input: six words, each with its NUL: the reference; a registry, or "", and the secret that opens it (login.h): owner, store,
 * name, field. Nothing of it is on a command line or in an environment. It and the secret are read before the wall, which names
 * do not reach beyond, and understood behind it. Output: "+", or "-" and why not. The end of the output's reader is the end of
 * the program.
 *
 * Or four words, the first of which is empty: the reference of a new image, the digest of its parent's config or "", the most bytes;
 * what it says otherwise than its parent (base/files-words.h), up to an empty word; and behind them a layer (commit.h), which is read from the process of a sandbox that writes it. Output: "+sha256:" and the digest of the
 * new config, or "-" and why not. A layer that ends early is the end of the program, and leaves nothing.
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

enum fetch_commit_word {
    COMMIT_MARK,
    COMMIT_REFERENCE,
    COMMIT_PARENT,
    COMMIT_BYTES,
    COMMIT_WORD_MAX
};

struct fetch {
    char bytes[FETCH_BYTES_MAX];
    const char *words[FETCH_WORD_MAX];
    char *secret; /* or NULL */
    bool commit;
    const char *changes;     /* of a commit: words, the last of them empty */
    char id[DIGEST_HEX + 1]; /* of what was committed */
};

/** fetch_open() - read the request, and from below @secrets (or NULL) what it names. Errors: INVALID_ARGUMENT, login_read()'s. */
int fetch_open(struct fetch *f, const char *secrets, struct err *err);
/** fetch_run() - do it. Errors: those of login_use(), pull_image() and commit_image(). */
int fetch_run(struct fetch *f, struct store *s, struct registries *r, struct err *err);
void fetch_done(struct fetch *f);
/** fetch_answer() - @why: NULL when it is in the store; @id: of what was committed, or "". The exit status. */
int fetch_answer(const struct err *why, const char *id);

#endif
