/* See fetch.h. */
#include "image/fetch.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "base/util.h"
#include "image/add.h"
#include "image/commit.h"
#include "image/login.h"
#include "image/pull.h"
#include "image/reference.h"

/* What is behind the request is not ours to read: a byte at a time, of some hundred. */
static size_t read_request(struct fetch *f)
{
    size_t n = 1, n_words = f->commit, word = n_words;
    for (; n < sizeof(f->bytes); n++) {
        if (fd_read_all(STDIN_FILENO, f->bytes + n, 1) != 1)
            return n;
        if (f->bytes[n] != '\0')
            continue;
        bool empty = n == word;
        word = n + 1;
        n_words++;
        if (f->commit ? n_words > COMMIT_WORD_MAX && empty : n_words == FETCH_WORD_MAX)
            return n + 1;
    }
    return n;
}

static const char *next_word(const char **at, const char *end)
{
    const char *word = *at, *nul = memchr(word, '\0', (size_t)(end - word));
    if (nul)
        *at = nul + 1;
    return nul ? word : NULL;
}

static int read_words(struct fetch *f, struct err *err)
{
    ssize_t n = fd_read_all(STDIN_FILENO, f->bytes, 1);
    f->commit = n == 1 && f->bytes[0] == '\0';
    const char *at = f->bytes, *end = f->bytes + (n == 1 ? read_request(f) : 0), *word = "";
    for (size_t i = 0; word && i < (f->commit ? (size_t)COMMIT_WORD_MAX : FETCH_WORD_MAX); i++)
        word = f->words[i] = next_word(&at, end);
    f->changes = at;
    while (word && f->commit && (word = next_word(&at, end)) && *word)
        ;
    return word ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "the request for an image is cut off");
}

int fetch_open(struct fetch *f, const char *secrets, struct err *err)
{
    if (read_words(f, err) < 0)
        return -1;
    if (f->commit)
        return 0;
    struct login_name name = {f->words[FETCH_OWNER], f->words[FETCH_STORE],
                              f->words[FETCH_NAME], f->words[FETCH_FIELD]};
    return f->words[FETCH_REGISTRY][0] != '\0' ? login_read(secrets, &name, &f->secret, err)
                                               : 0;
}

void fetch_done(struct fetch *f)
{
    if (f->secret)
        explicit_bzero(f->secret, strlen(f->secret));
    free(TAKE_PTR(f->secret));
}

/* Nobody waits for the image any more: the store keeps what came, for the next time. */
static void *leave_with_the_reader(void *unused)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    (void)unused;
    while (poll(&out, 1, -1) < 0)
        ;
    _exit(1);
}

static int commit(struct fetch *f, struct store *s, struct err *err)
{
    struct commit_args args = {.input = STDIN_FILENO,
                               .reference = f->words[COMMIT_REFERENCE],
                               .parent = f->words[COMMIT_PARENT],
                               .changes = f->changes};
    if (parse_u64(f->words[COMMIT_BYTES], ADD_BYTES_MAX, &args.max_bytes) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "the request for a commit has no size");
    return store_lock(s, false, err) < 0 ? -1 : commit_image(s, &args, f->id, err);
}

int fetch_run(struct fetch *f, struct store *s, struct registries *r, struct err *err)
{
    if (f->commit)
        return commit(f, s, err);

    CLEANUP_REFERENCE struct reference reference = {0};
    struct pull_progress progress = {0};
    pthread_t thread;
    if (f->secret &&
        login_use(f->secret, f->words[FETCH_FIELD], f->words[FETCH_REGISTRY], r, err) < 0)
        return err_wrap(err, "%.200s", f->words[FETCH_REGISTRY]);
    if (pthread_create(&thread, NULL, leave_with_the_reader, NULL) == 0)
        (void)pthread_detach(thread);
    if (reference_parse(f->words[FETCH_REFERENCE], &reference, err) < 0 ||
        store_lock(s, false, err) < 0)
        return -1;
    return pull_image(s, r, &reference, &progress, err);
}

int fetch_answer(const struct err *why, const char *id)
{
    CLEANUP_FREE char *named = *id ? str_dup_printf("sha256:%s", id) : NULL;
    const char *text = why ? err_text(why) : named ? named : "";
    bool told = fd_write_all(STDOUT_FILENO, why ? "-" : "+", 1) == 0 &&
                fd_write_all(STDOUT_FILENO, text, strlen(text)) == 0;
    return told && !why ? 0 : 1;
}
