/* See pulls.h. */
#include "server/pulls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/util.h"
#include "privproto/handover.h"
#include "runtime/image.h"

#define ANSWER_BYTES_MAX ((size_t)4096) /* of words why not; the rest is not kept */

struct pull {
    struct pulls *pulls;
    struct list link;   /* pulls->all; alone once it is over */
    struct list waits;  /* struct image_wait */
    struct buf request; /* what cwsandbox-image reads; the same bytes are the same pull */
    char *reference;
    uv_poll_t poll;
    int input_fd; /* -1: a pull; of a commit, until it is begun */
    bool commit;
    int answer_fd; /* -1: not begun */
    struct buf answer;
    uint64_t begun_ns;
};

static void on_start(struct timer *t);

void pulls_init(struct pulls *p, uv_loop_t *loop, struct timers *timers,
                int (*begin)(int input, int output))
{
    *p = (struct pulls){.loop = loop, .timers = timers, .begin = begin};
    list_init(&p->all);
}

void pulls_done(struct pulls *p)
{
    CHECK(list_empty(&p->all));
    timer_stop(p->timers, &p->start);
}

static void pull_free(struct pull *p)
{
    buf_done(&p->request);
    buf_done(&p->answer);
    cleanup_fd(&p->input_fd);
    cleanup_fd(&p->answer_fd);
    free(p->reference);
    free(p);
}

static void on_closed(uv_handle_t *handle)
{
    pull_free(CONTAINER_OF((uv_poll_t *)handle, struct pull, poll));
}

static void start_soon(struct pulls *p)
{
    timer_start(p->timers, &p->start, clock_now_ns(), on_start);
}

/* Nobody hears of it any more; closing its output ends the program. */
static void end(struct pull *p)
{
    struct pulls *pulls = p->pulls;
    list_remove(&p->link);
    if (p->answer_fd < 0) {
        pull_free(p);
        return;
    }
    pulls->n_running--;
    uv_close((uv_handle_t *)&p->poll, on_closed);
    start_soon(pulls);
}

/* A callback may drop others of those that wait. */
static void tell(struct pull *p, const char *answer, const struct err *why)
{
    struct list waits;
    list_init(&waits);
    list_splice(&p->waits, &waits);
    end(p);
    for (struct list *it; (it = list_first(&waits));) {
        list_remove(it);
        struct image_wait *w = CONTAINER_OF(it, struct image_wait, link);
        w->answer = answer;
        w->cb(w, why);
    }
}

static void fail(struct pull *p, const char *words)
{
    CLEANUP_ERR struct err err = {0};
    struct log_text text;
    log_event(LOG_WARN, p->commit ? "image_not_committed" : "image_not_pulled",
              "reference=\"%s\" why=\"%s\"", p->reference, log_text(&text, words));
    if (p->commit)
        (void)err_set(&err, ERR_FAILED_PRECONDITION, "image `%s`: %s", p->reference, words);
    else
        (void)err_set(&err, ERR_UNAVAILABLE, "ErrImagePull: image `%s`: %s", p->reference,
                      words);
    tell(p, NULL, &err);
}

/* What a program says that reads what others wrote: it becomes part of answers, which are UTF-8. */
static void make_plain(char *words)
{
    bool ascii = !utf8_valid(words, strlen(words));
    for (unsigned char *at = (unsigned char *)words; *at; at++)
        if (*at < ' ' || *at == 0x7f || (ascii && *at >= 0x80))
            *at = '?';
}

static void finish(struct pull *p)
{
    size_t n = buf_len(&p->answer);
    if (n == 0 || buf_put(&p->answer, "", 1) < 0) {
        fail(p, "cwsandbox-image ended without an answer");
        return;
    }
    char *text = (char *)buf_head(&p->answer);
    if (text[0] == '+') {
        log_event(LOG_INFO, p->commit ? "image_committed" : "image_pulled",
                  "reference=\"%s\" ms=%.0f", p->reference,
                  (double)(clock_now_ns() - p->begun_ns) / (double)NS_PER_MS);
        make_plain(text);
        tell(p, text + 1, NULL);
        return;
    }
    make_plain(text);
    fail(p, text + 1);
}

static void on_answer(uv_poll_t *handle, int status, int events)
{
    struct pull *p = CONTAINER_OF(handle, struct pull, poll);
    char bytes[1024];
    (void)status;
    (void)events;
    ssize_t n = read(p->answer_fd, bytes, sizeof(bytes));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(p);
        return;
    }
    size_t room = ANSWER_BYTES_MAX - MIN(ANSWER_BYTES_MAX, buf_len(&p->answer));
    if (room > 0 && buf_put(&p->answer, bytes, MIN((size_t)n, room)) < 0)
        finish(p); /* of half an answer nothing is known */
}

/* In memory: a pipe would wait for its reader. */
static int write_request(const struct pull *p)
{
    CLEANUP_FD int fd = memfd_create("request", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, buf_head(&p->request), buf_len(&p->request));
    if (r < 0)
        return r;
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int start(struct pull *p)
{
    int ends[2];
    CLEANUP_FD int request = p->commit ? TAKE_FD(p->input_fd) : write_request(p);
    if (request < 0)
        return request;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    CLEANUP_FD int ours = ends[0];
    CLEANUP_FD int theirs = ends[1];
    int r = p->pulls->begin(request, theirs);
    if (r < 0)
        return r;
    r = uv_poll_init(p->pulls->loop, &p->poll, ours);
    if (r < 0)
        return r;
    p->answer_fd = TAKE_FD(ours);
    p->begun_ns = clock_now_ns();
    p->pulls->n_running++;
    (void)uv_poll_start(&p->poll, UV_READABLE, on_answer); /* fails for a closing handle only */
    log_event(LOG_INFO, p->commit ? "image_committing" : "image_pulling", "reference=\"%s\"",
              p->reference);
    return 0;
}

static struct pull *first_waiting(struct pulls *p)
{
    LIST_FOREACH(it, &p->all)
    {
        struct pull *pull = CONTAINER_OF(it, struct pull, link);
        if (pull->answer_fd < 0)
            return pull;
    }
    return NULL;
}

static void on_start(struct timer *t)
{
    struct pulls *pulls = CONTAINER_OF(t, struct pulls, start);
    struct pull *p;
    while (pulls->n_running < HANDOVER_MAX_FETCHES / 2 && (p = first_waiting(pulls))) {
        int r = start(p);
        if (r < 0)
            fail(p, strerror(-r));
    }
}

static int compose(struct buf *b, const struct pull_request *q)
{
    const char *const words[] = {q->reference, q->registry, q->owner,
                                 q->store,     q->name,     q->field}; /* image/fetch.h */
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        const char *word = words[i] != NULL ? words[i] : "";
        if (buf_put(b, word, strlen(word) + 1) < 0)
            return -ENOMEM;
    }
    return 0;
}

static struct pull *find(struct pulls *p, const struct buf *request)
{
    LIST_FOREACH(it, &p->all)
    {
        struct pull *pull = CONTAINER_OF(it, struct pull, link);
        if (!pull->commit && buf_len(&pull->request) == buf_len(request) &&
            memcmp(buf_head(&pull->request), buf_head(request), buf_len(request)) == 0)
            return pull;
    }
    return NULL;
}

/* Takes @request. */
static struct pull *pull_new(struct pulls *p, struct buf *request, const char *reference)
{
    struct pull *pull = calloc(1, sizeof(*pull));
    char *copy = strdup(reference);
    if (pull == NULL || copy == NULL) {
        free(pull);
        free(copy);
        return NULL;
    }
    *pull = (struct pull){
        .pulls = p, .request = *request, .reference = copy, .input_fd = -1, .answer_fd = -1};
    *request = (struct buf){0};
    list_init(&pull->waits);
    list_append(&p->all, &pull->link);
    start_soon(p);
    return pull;
}

int pulls_wait(struct pulls *p, const struct pull_request *q, struct image_wait *wait,
               struct err *err)
{
    CLEANUP_BUF struct buf request = {0};
    bool composed = compose(&request, q) == 0;
    struct pull *pull = composed ? find(p, &request) : NULL;
    if (composed && pull == NULL)
        pull = pull_new(p, &request, q->reference);
    if (pull == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "pull an image: out of memory");
    list_append(&pull->waits, &wait->link);
    return 0;
}

int pulls_commit(struct pulls *p, const char *reference, int input, struct image_wait *wait,
                 struct err *err)
{
    CLEANUP_BUF struct buf none = {0};
    CLEANUP_FD int copy = fcntl(input, F_DUPFD_CLOEXEC, 0);
    struct pull *pull = copy < 0 ? NULL : pull_new(p, &none, reference);
    if (pull == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "commit an image: out of memory");
    pull->commit = true;
    pull->input_fd = TAKE_FD(copy);
    list_append(&pull->waits, &wait->link);
    return 0;
}

void pulls_drop(struct pulls *p, struct image_wait *wait)
{
    list_remove(&wait->link);
    LIST_FOREACH_SAFE(it, &p->all)
    {
        struct pull *pull = CONTAINER_OF(it, struct pull, link);
        if (list_empty(&pull->waits))
            end(pull);
    }
}
