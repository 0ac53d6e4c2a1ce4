/* See fetch.h. */
#include "image/fetch.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "base/util.h"
#include "image/pull.h"
#include "image/reference.h"

#define REQUEST_BYTES_MAX ((size_t)64 << 10) /* chosen: a token for a password has a few KiB */

enum { REFERENCE, REGISTRY, USER, PASSWORD, N_WORDS };

struct request {
    char bytes[REQUEST_BYTES_MAX];
    const char *words[N_WORDS];
};

static int read_request(struct request *r, struct err *err)
{
    ssize_t n = fd_read_all(STDIN_FILENO, r->bytes, sizeof(r->bytes));
    const char *at = r->bytes, *end = r->bytes + MAX(n, (ssize_t)0);
    for (size_t i = 0; i < N_WORDS; i++) {
        const char *nul = memchr(at, '\0', (size_t)(end - at));
        if (!nul)
            return err_set(err, ERR_INVALID_ARGUMENT, "the request for an image is cut off");
        r->words[i] = at;
        at = nul + 1;
    }
    return 0;
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

static int fetch(struct store *s, struct registries *r, const struct request *q,
                 struct err *err)
{
    CLEANUP_REFERENCE struct reference reference = {0};
    struct pull_progress progress = {0};
    pthread_t thread;
    if (q->words[REGISTRY][0] != '\0' &&
        registries_set_login(r, q->words[REGISTRY], q->words[USER], q->words[PASSWORD], err) <
            0)
        return -1;
    if (pthread_create(&thread, NULL, leave_with_the_reader, NULL) == 0)
        (void)pthread_detach(thread);
    if (reference_parse(q->words[REFERENCE], &reference, err) < 0 ||
        store_lock(s, false, err) < 0)
        return -1;
    return pull_image(s, r, &reference, &progress, err);
}

int fetch_run(struct store *s, struct registries *r, struct err *err)
{
    static struct request request;
    int result = read_request(&request, err);
    if (result == 0)
        result = fetch(s, r, &request, err);
    explicit_bzero(&request, sizeof(request));
    return result;
}

int fetch_answer(const struct err *why)
{
    const char *text = why ? err_text(why) : "";
    bool told = fd_write_all(STDOUT_FILENO, why ? "-" : "+", 1) == 0 &&
                fd_write_all(STDOUT_FILENO, text, strlen(text)) == 0;
    return told && !why ? 0 : 1;
}
